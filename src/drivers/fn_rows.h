/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Rows that a kernel takes at once: their statistics become coefficients of the compute type.
 */
#ifndef FN_ROWS_H
#define FN_ROWS_H

#include "fn_call.h"
#include "fn_numerics.h"

#define FN_BATCH 32 /* rows at once, at most */

_Static_assert(FN_BATCH == 32, "the drivers' arrays have this size written out");

/* Coefficients of up to FN_BATCH rows, of A; see fn_centre and fn_slope. */
typedef char fn_row_coef[FN_BATCH * 8] __attribute__((aligned(64)));
typedef struct {
    fn_row_coef hi, r, m, a, b, c;
    double rstd[FN_BATCH], low[FN_BATCH]; /* low: m of weight 1 and bias 0, not rounded */
} fn_rows;

static inline void
fn_set_real(char *to, size_t i, double v, int single)
{
    if (single) {
        const float f = (float)v;
        memcpy(to + i * sizeof f, &f, sizeof f);
    }
    else {
        memcpy(to + i * sizeof v, &v, sizeof v);
    }
}

/* One value per row: where that of the first row lies (NULL: there is none), and bytes to the next. */
typedef struct {
    const char *p;
    ptrdiff_t step;
} fn_each;

static inline double
fn_each_double(fn_each e, size_t i, double none)
{
    double v = none;
    if (e.p) {
        memcpy(&v, e.p + (ptrdiff_t)i * e.step, sizeof v);
    }
    return v;
}

static inline double
fn_each_real(fn_each e, size_t i, double none, int single)
{
    return e.p ? fn_real_at(e.p + (ptrdiff_t)i * e.step, single) : none;
}

/* hi, r, m of row i: y = (x - hi) * r + m, with w and b the weight and bias of all the row. */
static inline void
fn_centre_row(size_t i, double mean, double var, double eps, double w, double b, int single,
              fn_rows *out)
{
    const double hi = single ? (double)(float)mean : mean, rstd = fn_rstd(var, eps), r = rstd * w;
    out->rstd[i] = rstd;
    out->low[i] = (hi - mean) * rstd;
    fn_set_real(out->hi, i, hi, single);
    fn_set_real(out->r, i, r, single);
    fn_set_real(out->m, i, (hi - mean) * r + b, single);
}

static inline void
fn_centre_rows(size_t rows, fn_each mean, fn_each var, double eps, fn_each w, fn_each b, int single,
               fn_rows *out)
{
    for (size_t i = 0; i < rows; i++) {
        fn_centre_row(i, fn_each_double(mean, i, 0), fn_each_double(var, i, 0), eps,
                      fn_each_real(w, i, 1, single), fn_each_real(b, i, 0, single), single, out);
    }
}

/* a, b, c of row i, whose centre is set, for means c0 of g and c1 of g * xh, and a weight that is not in
 * g; see fn_slope. */
static inline void
fn_slope_row(size_t i, double w, double c0, double c1, int single, fn_rows *out)
{
    fn_set_real(out->a, i, out->rstd[i] * w, single);
    fn_set_real(out->b, i, c1, single);
    fn_set_real(out->c, i, c0 + out->low[i] * c1, single);
}

/* The kernels' view of them; step 0: the first one's serve all rows. */
static inline fn_centre
fn_centre_of(const fn_rows *rows, size_t step)
{
    const fn_centre centre = {rows->hi, rows->r, rows->m, 1, step};
    return centre;
}

/* dx = (dy - b) * a + c, with b and c zero: statistics that are constants. */
static inline fn_centre
fn_scale_of(const fn_rows *rows, size_t step)
{
    const fn_centre centre = {rows->b, rows->a, rows->c, 1, step};
    return centre;
}

static inline fn_slope
fn_slope_of(const fn_rows *rows, void *dw, void *db)
{
    const fn_slope slope = {rows->a, rows->b, rows->c, dw, db};
    return slope;
}

/* How many rows to take at once, so that what one sweep reads is still in first-level cache, or near
 * it, for the next. Changes no bit. */
static inline size_t
fn_batch(size_t row_bytes)
{
    const size_t rows = 131072 / row_bytes;
    return rows < 4 ? (row_bytes <= 131072 ? 4 : 1) : rows > FN_BATCH ? FN_BATCH : rows;
}

#endif
