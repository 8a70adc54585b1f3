/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Vectors of parameters that do not lie along the runs they multiply, as one value for each channel of small maps:
 * they are laid out along them once, and their gradients are summed there and added up at the end. Runs would gather
 * them again and again.
 */
#ifndef FN_LAY_H
#define FN_LAY_H

#include "fn_call.h"
#include "fn_strided.h"

#include <stdlib.h>

#define FN_LAID                                                                                    \
    262144 /* values of a parameter that may always be laid out; more if x has four times as many */

/* What was laid out. vectors: the dims along which they change, then those of a run, as they were given. */
typedef struct {
    double *sums; /* NULL, or the gradients: of the weight, of the bias */
    char *room;   /* NULL: nothing was laid out */
    fn_dim dims[FN_MAXDIM];
    int vectors, nrun;
    size_t count, n; /* vectors, and the values of one */
    char *dweight, *dbias;
} fn_laid;

static inline int
fn_scattered(const fn_plan *plan, int op, int there)
{
    return there && !plan->direct[op];
}

/* One array of vectors, from where it lies to where it is laid out. */
static inline char *
fn_lay(const fn_laid *laid, const char *from, int op, size_t item, char *to)
{
    fn_walk at;
    fn_walk_start(&at, laid->dims, laid->vectors, 0);
    for (size_t i = 0; i < laid->count; i++, to += laid->n * item) {
        fn_gather(to, from + at.off[op], laid->dims + laid->vectors, laid->nrun, op, 0, laid->n,
                  item);
        fn_walk_next(&at);
    }
    return to;
}

/* Steps of an array that is laid out: along all of a run, and from vector to vector. */
static inline void
fn_step_along(fn_plan *plan, int op, size_t item)
{
    const int run = plan->nouter + plan->nred;
    ptrdiff_t step = (ptrdiff_t)item;
    for (int k = run + plan->nrun - 1; k >= 0; k--) {
        fn_dim *dim = &plan->dims[k];
        dim->stride[op] = k >= run || dim->param ? step : 0;
        step *= dim->stride[op] ? dim->len : 1;
    }
    plan->direct[op] = 1;
}

/* Of a plan of rows. Where memory is short, nothing is laid out. */
static inline void
fn_lay_out(fn_call *c, fn_plan *plan, fn_laid *laid)
{
    const int wanted = c->at[FN_DP] || c->dbias, run = plan->nouter + plan->nred;
    const int w = fn_scattered(plan, FN_W, c->at[FN_W] != NULL);
    const int b = fn_scattered(plan, FN_B, c->at[FN_B] != NULL);
    const int sums = fn_scattered(plan, FN_DP, wanted);
    const size_t real = c->kernels->real;
    laid->room = NULL;
    if (!plan->run_param || !(w || b || sums)) {
        return;
    }
    laid->vectors = 0;
    laid->count = 1;
    for (int k = 0; k < run; k++) {
        if (plan->dims[k].param) {
            laid->dims[laid->vectors++] = plan->dims[k];
            laid->count *= (size_t)plan->dims[k].len;
        }
    }
    memcpy(laid->dims + laid->vectors, plan->dims + run, (size_t)plan->nrun * sizeof(fn_dim));
    laid->nrun = plan->nrun;
    laid->n = plan->n;
    const size_t values = laid->count * laid->n;
    if (values > FN_LAID && values > plan->groups * plan->segs * plan->n / 4) {
        return;
    }
    laid->room = malloc(values * ((size_t)(w + b) * real + (size_t)sums * 2 * sizeof(double)));
    if (!laid->room) {
        return;
    }
    char *next = laid->room;
    laid->sums = NULL;
    if (sums) {
        laid->sums = (double *)(void *)next;
        memset(next, 0, 2 * values * sizeof(double));
        next += 2 * values * sizeof(double);
        laid->dweight = c->at[FN_DP];
        laid->dbias = c->dbias;
        c->at[FN_DP] = laid->dweight ? (char *)laid->sums : NULL;
        c->dbias = laid->dbias ? (char *)(laid->sums + values) : NULL;
        c->dparam_size = values;
        fn_step_along(plan, FN_DP, sizeof(double));
    }
    for (int op = FN_W; op <= FN_B; op++) {
        if (op == FN_W ? w : b) {
            const char *from = c->at[op];
            c->at[op] = next;
            next = fn_lay(laid, from, op, real, next);
            fn_step_along(plan, op, real);
        }
    }
}

/* Once the call is done: gradients go to where they belong. */
static inline void
fn_take_up(fn_laid *laid)
{
    if (laid->room && laid->sums) {
        const fn_dim *run = laid->dims + laid->vectors;
        const double *dw = laid->sums, *db = dw + laid->count * laid->n;
        fn_walk at;
        fn_walk_start(&at, laid->dims, laid->vectors, 0);
        for (size_t i = 0; i < laid->count; i++, dw += laid->n, db += laid->n) {
            if (laid->dweight) {
                fn_scatter_add(dw, 1, laid->dweight + at.off[FN_DP], run, laid->nrun, FN_DP, 0,
                               laid->n);
            }
            if (laid->dbias) {
                fn_scatter_add(db, 1, laid->dbias + at.off[FN_DP], run, laid->nrun, FN_DP, 0,
                               laid->n);
            }
            fn_walk_next(&at);
        }
    }
    free(laid->room);
}

#endif
