/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One call as the drivers see it: the plan, the kernels, the arrays; and how work is cut.
 */
#ifndef FN_CALL_H
#define FN_CALL_H

#include "fn_kernels.h"
#include "fn_plan.h"

#include <string.h>

typedef struct {
    const fn_plan *plan;
    const fn_kernels *kernels;
    char *at[FN_NOPS]; /* index 0 of every array; FN_S: the means, FN_DP: the weight's gradient */
    char *var;         /* beside the means */
    char *dbias;       /* beside the weight's gradient */
    char *c0, *c1; /* backward: the means of g and g * xh, beside the means; NULL: to be found */
    size_t dparam_size; /* values in either gradient */
    double eps;
    int raw;        /* no centring: var holds the mean square */
    int given;      /* forward: the statistics are inputs */
    int fixed;      /* backward: the statistics are constants */
    int stream;     /* store past the cache */
    int activation; /* of what is normalized; 0: none */
    int summed;     /* forward: x is a sum that is made first */
    int slope;      /* its slope times dy is written, not its value; backward: before all else */
    int dz;         /* backward: the array of the gradient before an activation: FN_DY or, with
                       slope, FN_Y, where it is made */
    int single;     /* the compute type is float */
    int threads;
} fn_call;

/* Room for values that must be gathered first: a block of a run, and a block of rows of columns. */
#define FN_GATHER 256
typedef char fn_run_buffer[FN_ROW_BLOCK * 8] __attribute__((aligned(64)));
typedef char fn_block_buffer[FN_COL_BLOCK * FN_GATHER * 8] __attribute__((aligned(64)));
typedef double fn_row_buffer[FN_COL_BLOCK];

/* Cython takes only literals for the sizes of arrays: the drivers repeat these. */
_Static_assert(FN_LANES_MAX == 16 && FN_COL_BLOCK == 32 && FN_GATHER == 256 && FN_NOPS == 8,
               "the drivers' arrays have these sizes written out");

/* Pieces of a rows reduction: the unit that is summed about one shift and merged in order. The cut
 * follows from the shape alone. */
#define FN_PIECE 65536

typedef struct {
    size_t count;   /* pieces of a group */
    size_t per_seg; /* pieces of a run */
    size_t length;  /* values of a run in a piece, but for the last */
    size_t segs;    /* runs in a piece */
} fn_cut;

static inline fn_cut
fn_cut_rows(size_t segs, size_t n)
{
    fn_cut cut;
    if (n >= FN_PIECE) {
        const size_t pieces = (n + FN_PIECE - 1) / FN_PIECE;
        const size_t even = (n + pieces - 1) / pieces;
        cut.length = (even + FN_ROW_BLOCK - 1) / FN_ROW_BLOCK * FN_ROW_BLOCK;
        cut.per_seg = (n + cut.length - 1) / cut.length;
        cut.segs = 1;
        cut.count = segs * cut.per_seg;
    }
    else {
        cut.length = n;
        cut.per_seg = 1;
        cut.segs = FN_PIECE / n;
        cut.count = (segs + cut.segs - 1) / cut.segs;
    }
    return cut;
}

/* What piece number `piece` covers: runs [seg0, seg1), values [j0, j1) of each. */
typedef struct {
    size_t seg0, seg1, j0, j1;
} fn_span;

static inline fn_span
fn_piece(const fn_cut *cut, size_t segs, size_t n, size_t piece)
{
    fn_span span;
    if (cut->per_seg > 1) {
        span.seg0 = piece / cut->per_seg;
        span.seg1 = span.seg0 + 1;
        span.j0 = (piece - span.seg0 * cut->per_seg) * cut->length;
        span.j1 = span.j0 + cut->length < n ? span.j0 + cut->length : n;
    }
    else {
        span.seg0 = piece * cut->segs;
        span.seg1 = span.seg0 + cut->segs < segs ? span.seg0 + cut->segs : segs;
        span.j0 = 0;
        span.j1 = n;
    }
    return span;
}

/* What is wanted of some rows: they normalized, the activation of that, or its slope times dy. */
static inline void
fn_write(const fn_call *c, void *y, fn_ld ldy, const void *x, fn_ld ldx, const void *dy, fn_ld lddy,
         size_t rows, size_t n, const fn_centre *centre, const fn_param *param,
         const fn_memory *memory)
{
    if (c->activation) {
        c->kernels->activated(y, ldy, x, ldx, dy, lddy, rows, n, centre, param, c->activation,
                              memory);
    }
    else {
        c->kernels->affine(y, ldy, x, ldx, rows, n, centre, param, memory);
    }
}

/* A parameter's value; parameters are stored in the compute type. */
static inline double
fn_real_at(const char *p, int single)
{
    if (single) {
        float v;
        memcpy(&v, p, sizeof v);
        return v;
    }
    double v;
    memcpy(&v, p, sizeof v);
    return v;
}

#endif
