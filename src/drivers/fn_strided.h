/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Values of a run that is not contiguous, moved between an array and a small dense buffer.
 */
#ifndef FN_STRIDED_H
#define FN_STRIDED_H

#include "fn_plan.h"

#include <string.h>

/* n values `stride` bytes apart, to or from a dense buffer. */
#define FN_MOVE(type)                                                                              \
    for (size_t i = 0; i < n; i++) {                                                               \
        type held;                                                                                 \
        memcpy(&held, src + (ptrdiff_t)i * from, sizeof held);                                     \
        memcpy(dst + (ptrdiff_t)i * to, &held, sizeof held);                                       \
    }

static inline void
fn_move(char *dst, ptrdiff_t to, const char *src, ptrdiff_t from, size_t n, size_t item)
{
    if (to == (ptrdiff_t)item && from == (ptrdiff_t)item) {
        memcpy(dst, src, n * item);
        return;
    }
    switch (item) {
    case 2:
        FN_MOVE(uint16_t)
        break;
    case 4:
        FN_MOVE(uint32_t)
        break;
    default:
        FN_MOVE(uint64_t)
    }
}
#undef FN_MOVE

/* Values [start, start + n) of the flattened dims; `array` is where index 0 lies. scatter != 0 moves
 * from the buffer to the array. */
static inline void
fn_move_run(char *buffer, char *array, const fn_dim *dims, int ndims, int op, size_t start,
            size_t n, size_t item, int scatter)
{
    if (ndims == 0) {
        fn_move(scatter ? array : buffer, (ptrdiff_t)item, scatter ? buffer : array,
                (ptrdiff_t)item, 1, item);
        return;
    }
    const fn_dim *inner = &dims[ndims - 1];
    const size_t len = (size_t)inner->len;
    const ptrdiff_t stride = inner->stride[op];
    while (n > 0) {
        const size_t outer = start / len, at = start - outer * len;
        const size_t take = n < len - at ? n : len - at;
        fn_walk w;
        fn_walk_start(&w, dims, ndims - 1, outer);
        char *p = array + w.off[op] + (ptrdiff_t)at * stride;
        if (scatter) {
            fn_move(p, stride, buffer, (ptrdiff_t)item, take, item);
        }
        else {
            fn_move(buffer, (ptrdiff_t)item, p, stride, take, item);
        }
        buffer += take * item;
        start += take;
        n -= take;
    }
}

static inline void
fn_gather(void *buffer, const void *array, const fn_dim *dims, int ndims, int op, size_t start,
          size_t n, size_t item)
{
    fn_move_run(buffer, (char *)(uintptr_t)array, dims, ndims, op, start, n, item, 0);
}

static inline void
fn_scatter(const void *buffer, void *array, const fn_dim *dims, int ndims, int op, size_t start,
           size_t n, size_t item)
{
    fn_move_run((char *)(uintptr_t)buffer, array, dims, ndims, op, start, n, item, 1);
}

/* array[i] += from[i * step] in double, for the gradients of parameters. */
static inline void
fn_scatter_add(const double *from, size_t step, char *array, const fn_dim *dims, int ndims, int op,
               size_t start, size_t n)
{
    if (ndims == 0) {
        *(double *)array += *from;
        return;
    }
    const fn_dim *inner = &dims[ndims - 1];
    const size_t len = (size_t)inner->len;
    while (n > 0) {
        const size_t outer = start / len, at = start - outer * len;
        const size_t take = n < len - at ? n : len - at;
        fn_walk w;
        fn_walk_start(&w, dims, ndims - 1, outer);
        char *p = array + w.off[op] + (ptrdiff_t)at * inner->stride[op];
        if (inner->stride[op] == 0) {
            double total = *(const double *)p;
            for (size_t i = 0; i < take; i++, from += step) {
                total += *from;
            }
            *(double *)p = total;
        }
        else {
            for (size_t i = 0; i < take; i++, from += step, p += inner->stride[op]) {
                *(double *)p += *from;
            }
        }
        start += take;
        n -= take;
    }
}

/* Add n pairs to two arrays that lie alike, `at` bytes from their beginnings; NULL: it is not wanted. */
static inline void
fn_scatter_add_pairs(const double *pairs, char *first, char *second, ptrdiff_t at,
                     const fn_dim *dims, int ndims, int op, size_t n)
{
    if (first && second && ndims == 1 && dims->stride[op] == (ptrdiff_t)sizeof *pairs) {
        double *restrict sums = (void *)(first + at), *restrict dots = (void *)(second + at);
        for (size_t i = 0; i < n; i++) {
            sums[i] += pairs[2 * i];
            dots[i] += pairs[2 * i + 1];
        }
        return;
    }
    if (first) {
        fn_scatter_add(pairs, 2, first + at, dims, ndims, op, 0, n);
    }
    if (second) {
        fn_scatter_add(pairs + 1, 2, second + at, dims, ndims, op, 0, n);
    }
}

#endif
