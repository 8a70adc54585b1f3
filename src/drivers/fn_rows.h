/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Rows that a kernel takes at once: their statistics become coefficients of the compute type.
 */
#ifndef FN_ROWS_H
#define FN_ROWS_H

#include "fn_call.h"

#define FN_BATCH 128  /* rows at once, at most */
#define FN_BESIDE 4   /* groups of several runs, at least */
#define FN_PARTS 16   /* runs of a group, at most, that are taken together with those of the next */
#define FN_NEAR 20480 /* bytes of such groups at once */
#define FN_SHORT 1024 /* bytes of a row up to which a quarter of that is enough */

_Static_assert(FN_BATCH == 128, "the drivers' arrays have this size written out");

/* Coefficients of up to FN_BATCH rows, of A; see fn_centre and fn_slope. */
typedef char fn_row_coef[FN_BATCH * 8] __attribute__((aligned(64)));
typedef struct {
    fn_row_coef hi, r, m, a, b, c;
    double rstd[FN_BATCH], low[FN_BATCH]; /* see fn_coefs */
} fn_rows;

/* hi, r, m of some rows: y = (x - hi) * r + m, with w and b the weight and bias of all of a row. */
static inline void
fn_centre_rows(const fn_call *c, size_t rows, fn_each mean, fn_each var, fn_each w, fn_each b,
               fn_rows *out)
{
    const fn_coefs to = {out->hi, out->r, out->m, out->rstd, out->low};
    c->kernels->centres(rows, mean, var, c->eps, w, b, &to);
}

/* The centre of row i alone. */
static inline void
fn_pick_row(const fn_rows *rows, size_t i, size_t real, fn_rows *out)
{
    memcpy(out->hi, rows->hi + i * real, real);
    memcpy(out->r, rows->r + i * real, real);
    memcpy(out->m, rows->m + i * real, real);
    out->rstd[0] = rows->rstd[i];
    out->low[0] = rows->low[i];
}

/* Rows that share their statistics: hi, r, 1/std and low of each of some, for `each` rows in its place. */
static inline void
fn_spread_rows(fn_rows *rows, size_t some, size_t each, size_t real)
{
    float *his = (void *)rows->hi, *rs = (void *)rows->r;
    double *wide_his = (void *)rows->hi, *wide_rs = (void *)rows->r;
    for (size_t i = some; i-- > 0 && each > 1;) { /* from the last on: none is overwritten unread */
        const size_t from = i * each, stop = from + each;
        if (real == sizeof *his) {
            const float hi = his[i], r = rs[i];
            for (size_t k = from; k < stop; k++) {
                his[k] = hi;
                rs[k] = r;
            }
        }
        else {
            const double hi = wide_his[i], r = wide_rs[i];
            for (size_t k = from; k < stop; k++) {
                wide_his[k] = hi;
                wide_rs[k] = r;
            }
        }
        const double rstd = rows->rstd[i], low = rows->low[i];
        for (size_t k = from; k < stop; k++) {
            rows->rstd[k] = rstd;
            rows->low[k] = low;
        }
    }
}

/* Add the sums of some runs, `cuts` pairs of each, times its weight, to one pair: in chains of additions that do not
 * wait for each other. */
FN_INLINE void
fn_weigh_by(const double *pairs, size_t runs, size_t cuts, const char *w, fn_ld step, int single,
            double *g, double *gx)
{
    enum { CHAINS = 4 };
    double sums[CHAINS] = {0}, dots[CHAINS] = {0};
    for (size_t run = 0; run < runs; run += CHAINS) {
        const size_t left = runs - run;
        FN_UNROLL
        for (size_t k = 0; k < CHAINS; k++) {
            if (k < left) {
                const double weight = fn_real_at(w, single);
                double sum = pairs[0], dot = pairs[1];
                for (size_t cut = 1; cut < cuts; cut++) {
                    pairs += 2;
                    sum += pairs[0];
                    dot += pairs[1];
                }
                sums[k] += weight * sum;
                dots[k] += weight * dot;
                pairs += 2;
                w += step;
            }
        }
    }
    *g += (sums[0] + sums[1]) + (sums[2] + sums[3]);
    *gx += (dots[0] + dots[1]) + (dots[2] + dots[3]);
}

static inline void
fn_weigh(const double *pairs, size_t runs, size_t cuts, const char *w, fn_ld step, int single,
         double *g, double *gx)
{
    if (cuts == 1 && single) {
        fn_weigh_by(pairs, runs, 1, w, step, 1, g, gx);
    }
    else {
        fn_weigh_by(pairs, runs, cuts, w, step, single, g, gx);
    }
}

/* a, b, c of some rows, whose centres are set, for means c0 of g and c1 of g * xh, and weights that are
 * not in g; see fn_slope. */
static inline void
fn_slope_rows(const fn_call *c, size_t rows, fn_each w, fn_each c0, fn_each c1, fn_rows *out)
{
    c->kernels->slopes(rows, out->rstd, out->low, w, c0, c1, out->a, out->b, out->c);
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
    const fn_slope slope = {rows->a, rows->b, rows->c, dw, db, NULL, 0, NULL};
    return slope;
}

/* How many rows to take at once, so that what one sweep reads is still in second-level cache for the next.
 * Changes no bit. */
static inline size_t
fn_batch(size_t row_bytes, size_t l2)
{
    const size_t most = row_bytes < FN_SHORT ? FN_BATCH / 4 : FN_BATCH, rows = l2 / 2 / row_bytes;
    return rows < 1 ? 1 : rows > most ? most : rows;
}

/* How many groups of several runs to take at once, run by run: where those of neighbours lie side by side, so
 * that memory is gone through in its order. bytes: those of a group that second-level cache is to hold, of all arrays
 * that are read. 0: better one by one. */
static inline size_t
fn_batch_of_runs(const fn_plan *p, size_t item, size_t bytes, size_t l2)
{
    const fn_dim *last = p->dims + p->nouter - 1;
    if (p->nouter == 0 || p->nred != 1 || p->run_param || p->red_param ||
        last->stride[FN_X] != (ptrdiff_t)(p->n * item)) {
        return 0;
    }
    const size_t groups = l2 / 2 / bytes;
    return groups < FN_BESIDE ? 0 : groups > FN_BATCH ? FN_BATCH : groups;
}

/* How many groups to take at once of `parts` runs, each with a weight and a bias of its own: where all their runs lie
 * evenly, they are rows of one call, while first-level cache keeps them for the next sweep. group_bytes: of all arrays.
 * 0: better one by one. */
static inline size_t
fn_batch_of_parts(const fn_call *c, size_t parts, size_t group_bytes)
{
    const fn_plan *p = c->plan;
    const fn_dim *part = p->dims + p->nouter, *group = part - 1;
    if (p->nouter == 0 || p->nred || p->split != 1 || parts > FN_PARTS) {
        return 0;
    }
    for (int op = 0; op < FN_NOPS; op++) {
        if (op != FN_S && op != FN_DP && c->at[op] &&
            group->stride[op] != (ptrdiff_t)parts * part->stride[op]) {
            return 0;
        }
    }
    const size_t most = FN_BATCH / parts, groups = FN_NEAR / group_bytes;
    return groups < 2 ? 0 : groups > most ? most : groups;
}

/* Whether to ask for the next batch while one is worked on: where the processor foresees its rows only if
 * they come from memory; else if all that is then under way fits. */
static inline int
fn_ask_ahead(fn_ld ld, size_t row_bytes, size_t batch_bytes, int stream, size_t l2)
{
    return FN_FORESEEN(ld, row_bytes) ? stream : 4 * batch_bytes <= l2;
}

/* The place in the page from `first` on, by eighths, that lies farthest behind a, b and c, modulo a page: what is stored
 * there, a vector for each that is loaded from these, is in no load's way (FN_PAGE). */
static inline char *
fn_behind(char *first, const char *a, const char *b, const char *c)
{
    char *best = first;
    size_t most = 0;
    for (char *place = first; place < first + FN_PAGE; place += FN_PAGE / 8) {
        const size_t from_a = (uintptr_t)(place - a) % FN_PAGE;
        const size_t from_b = (uintptr_t)(place - b) % FN_PAGE;
        const size_t from_c = c ? (uintptr_t)(place - c) % FN_PAGE : from_a;
        const size_t both = from_a < from_b ? from_a : from_b,
                     least = both < from_c ? both : from_c;
        if (least > most) {
            most = least;
            best = place;
        }
    }
    return best;
}

#endif
