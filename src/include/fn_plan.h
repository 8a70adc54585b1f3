/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The plan: how one call's axes become loops. Plain data, no pointers to arrays.
 *
 * dims is one list, outermost first, in three parts:
 *   outer  kept axes that are walked one index at a time; where a run has vectors of parameters, first those
 *          along which these change
 *   red    reduced axes outside the run
 *   run    the innermost axes: in the rows layout all reduced; in the cols layout the columns, kept
 *          axes and, where a short reduced run lies innermost ("fold"), those reduced axes too
 * An index into a part counts its axes in that order, whatever their strides are: which values meet
 * in which sum follows from the shape and the memory order alone, never from padding or slicing.
 */
#ifndef FN_PLAN_H
#define FN_PLAN_H

#include "fn_common.h"

#define FN_MAXDIM 64 /* NumPy's own limit */

/* The arrays a dimension has strides for, in bytes. Y is the output, forward or backward; DP the
 * gradients of the parameters (both of one shape), S the statistics; ON what is added to dx. */
enum { FN_X, FN_Y, FN_DY, FN_W, FN_B, FN_DP, FN_S, FN_ON, FN_NOPS };

/* Forward, where x is a sum that is still to be made: its terms, of the type and shape of x. */
enum { FN_TERM = FN_DY, FN_OTHER = FN_ON };

enum { FN_ROWS, FN_COLS };

typedef struct {
    ptrdiff_t len;
    ptrdiff_t stride[FN_NOPS];
    int kept;  /* not reduced */
    int param; /* a parameter or its gradient varies along it */
} fn_dim;

typedef struct {
    fn_dim dims[FN_MAXDIM];
    int layout;
    int nouter, nred, nrun;
    int split;     /* rows: parameters change between run[:split] and are uniform in kind after */
    int run_param; /* parameters vary along run[split:] (rows) or along the columns (cols) */
    int red_param; /* parameters vary along red */
    size_t groups; /* product of outer */
    size_t segs;   /* product of red: runs per group (rows), rows per column (cols) */
    size_t n;      /* product of run */
    size_t fold;   /* cols: reduced values per kept column, the innermost part of the run */
    size_t count;  /* values per statistic */
    int direct[FN_NOPS]; /* run[split:] is contiguous in this array */
    int whole;           /* all of the run is contiguous in X */
    int even;            /* the rows of a column lie evenly spaced in X, Y and DY: nred <= 1 */
} fn_plan;

/* An odometer over some dims, with the byte offsets of every array. */
typedef struct {
    const fn_dim *dims;
    int n;
    ptrdiff_t at[FN_MAXDIM];
    ptrdiff_t off[FN_NOPS];
} fn_walk;

static inline void
fn_walk_start(fn_walk *w, const fn_dim *dims, int n, size_t index)
{
    w->dims = dims;
    w->n = n;
    for (int op = 0; op < FN_NOPS; op++) {
        w->off[op] = 0;
    }
    for (int k = n - 1; k >= 0; k--) {
        const size_t len = (size_t)dims[k].len, rest = index / len;
        w->at[k] = (ptrdiff_t)(index - rest * len);
        index = rest;
        for (int op = 0; op < FN_NOPS; op++) {
            w->off[op] += w->at[k] * dims[k].stride[op];
        }
    }
}

static inline void
fn_walk_next(fn_walk *w)
{
    for (int k = w->n - 1; k >= 0; k--) {
        const fn_dim *d = &w->dims[k];
        for (int op = 0; op < FN_NOPS; op++) {
            w->off[op] += d->stride[op];
        }
        if (++w->at[k] < d->len) {
            return;
        }
        w->at[k] = 0;
        for (int op = 0; op < FN_NOPS; op++) {
            w->off[op] -= d->len * d->stride[op];
        }
    }
}

#endif
