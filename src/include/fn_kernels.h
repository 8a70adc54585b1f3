/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The kernel table: what a driver may ask of one ISA tier.
 *
 * Two layouts. rows: the run of n contiguous values is reduced. cols: the run of n contiguous
 * values are columns, reduced down `rows` rows that lie `ld` bytes apart.
 *
 * Contract of every kernel: x, y, dy, dx may have any alignment, coefficients that of their type;
 * n >= 1, rows >= 1; outputs do not overlap inputs unless they are the very same run; no threads, no allocation, no errors; NaN and
 * Inf travel as IEEE arithmetic has them. "A" is the compute type: float for f16, bf16 and f32
 * storage, double for f64. Statistics and sums are always double.
 */
#ifndef FN_KERNELS_H
#define FN_KERNELS_H

#include "fn_common.h"

/* The statistics xh = ((x - hi) - lo) * r is made from, with hi + lo the mean and r = 1/std.
 * Vectors of A: one value per column. With hi == NULL the scalars hold for the whole run, but not in
 * grad_sums_cols, which alone reads by_row: the vectors then have one value per row. */
typedef struct {
    const void *hi, *lo, *r;
    double mean, rstd;
    int by_row;
} fn_centre;

/* The elementwise parameters. A NULL vector means its scalar. */
typedef struct {
    const void *w, *b;
    double w0, b0;
} fn_param;

/* What the backward pass subtracts: c0 = mean(g), c1 = mean(g * xh). Vectors of A, or scalars. Where
 * dw is not NULL (scalars only), the vectors dw and db of A receive dy * xh and dy on the way. */
typedef struct {
    const void *c0, *c1;
    double c00, c10;
    void *dw, *db;
} fn_means;

/* How memory is used; changes no value. */
typedef struct {
    int stream;                  /* store past the cache; the output is aligned to its element */
    ptrdiff_t ahead_x, ahead_dy; /* bytes to the run that is read after this one; 0: unknown */
} fn_memory;

typedef ptrdiff_t fn_ld; /* distance of two rows in bytes */

/* Mean of four samples of w <= lanes contiguous values each: a shift near the mean. */
typedef double (*fn_shift_rows_t)(const void *const x[4], size_t w);
/* s1[lane] += sum (x - shift), s2[lane] += sum (x - shift)^2; FN_LANES_MAX lanes. ahead: as in
 * fn_memory. */
typedef void (*fn_moments_rows_t)(const void *x, size_t n, double shift, double *s1, double *s2,
                                  ptrdiff_t ahead);
/* The same with every operation in double: for values whose squares leave the range of A. */
typedef fn_moments_rows_t fn_moments_rows_wide_t;
/* s1[j] += sum_i (x[i,j] - shift[j]), s2[j] += sum_i (x[i,j] - shift[j])^2; shift of A. */
typedef void (*fn_moments_cols_t)(const void *x, fn_ld ldx, size_t rows, size_t n,
                                  const void *shift, double *s1, double *s2);
/* The same in double; shift of double. */
typedef fn_moments_cols_t fn_moments_cols_wide_t;
/* y = xh * w + b. */
typedef void (*fn_affine_t)(void *y, fn_ld ldy, const void *x, fn_ld ldx, size_t rows, size_t n,
                            const fn_centre *centre, const fn_param *param,
                            const fn_memory *memory);
/* s1[lane] += sum g, s2[lane] += sum g * xh, g = dy * w (w NULL: g = dy). */
typedef void (*fn_grad_sums_rows_t)(const void *x, const void *dy, size_t n,
                                    const fn_centre *centre, const void *w, double *s1, double *s2,
                                    const fn_memory *memory);
/* s1[j] += sum_i g[i,j], s2[j] += sum_i g[i,j] * xh[i,j]; w: NULL, one per row (w_by_row) or per
 * column; with statistics by row (the gradients of parameters) g = dy, w is NULL. */
typedef void (*fn_grad_sums_cols_t)(const void *x, fn_ld ldx, const void *dy, fn_ld lddy,
                                    size_t rows, size_t n, const fn_centre *centre, const void *w,
                                    int w_by_row, double *s1, double *s2);
/* dx = ((dy * w - c0) - xh * c1) * r. */
typedef void (*fn_grad_combine_t)(void *dx, fn_ld lddx, const void *x, fn_ld ldx, const void *dy,
                                  fn_ld lddy, size_t rows, size_t n, const fn_centre *centre,
                                  const fn_param *param, const fn_means *means,
                                  const fn_memory *memory);
/* total[j] += part[j] in double, part[j] = 0; part of A. */
typedef void (*fn_settle_t)(size_t n, void *part, double *total);
/* hi = (A)v, lo = (A)(v - hi); lo may be NULL. The exact centre, and any narrowing to A. */
typedef void (*fn_split_t)(size_t n, const double *v, void *hi, void *lo);
/* Wait until streamed stores are visible to other threads. */
typedef void (*fn_fence_t)(void);

/* One tier's kernels for one storage type; the fields are the list in kernels.inc. */
typedef struct {
#define FN_PRIMITIVE(name) FN_CAT_(fn, name##_t) name;
#include "../kernels/kernels.inc"
#undef FN_PRIMITIVE
    size_t item; /* bytes of a stored value */
    size_t real; /* bytes of A */
} fn_kernels;

enum { FN_F16, FN_BF16, FN_F32, FN_F64, FN_NTYPES };

typedef struct {
    const char *isa;
    fn_kernels type[FN_NTYPES];
} fn_table;

#endif
