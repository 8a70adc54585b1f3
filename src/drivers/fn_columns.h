/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Loops over the columns of one tile, in double, between two kernel calls. The compiler vectorizes
 * them; none adds across columns but the fold, whose order is that of memory.
 */
#ifndef FN_COLUMNS_H
#define FN_COLUMNS_H

#include "fn_call.h"
#include "fn_numerics.h"

/* Columns: cut by the shape alone, because some sums run along a tile. */
#define FN_TILE_VALUES 65536 /* of a tile that is gone through twice within second-level cache, */
#define FN_TILE_LEAST 256    /* unless that makes it narrower: then rows had better be whole */
#define FN_TILE_MAX 2048
#define FN_TILE_UNIT 64
#define FN_COL_PIECE 131072

typedef struct {
    size_t width; /* columns of a tile */
    size_t tiles;
    size_t rows; /* rows of a piece, which is summed about one shift */
    size_t pieces;
} fn_grid;

static inline fn_grid
fn_cut_cols(const fn_plan *p)
{
    fn_grid grid;
    size_t unit = FN_TILE_UNIT, width = FN_TILE_VALUES / p->segs;
    if (p->fold > 1) { /* whole groups, and whole vectors where that is possible */
        unit = p->fold;
        while (unit % FN_LANES_MAX) {
            unit *= 2;
        }
    }
    width = width < FN_TILE_LEAST || width > FN_TILE_MAX ? FN_TILE_MAX : width;
    width = (width / unit ? width / unit : 1) * unit;
    grid.width = width < p->n ? width : p->n;
    grid.tiles = (p->n + grid.width - 1) / grid.width;
    size_t rows = FN_COL_PIECE / p->n / FN_COL_BLOCK * FN_COL_BLOCK;
    rows = rows < 4 * FN_COL_BLOCK ? 4 * FN_COL_BLOCK : rows;
    grid.rows = rows < p->segs ? rows : p->segs;
    grid.pieces = (p->segs + grid.rows - 1) / grid.rows;
    return grid;
}

/* Fold piece b into a, column by column (fn_merge for equal counts). */
static inline void
fn_columns_merge(size_t width, double na, double nb, double *mean, double *low, double *m2,
                 const double *mean_b, const double *low_b, const double *m2_b)
{
    const double share = nb / (na + nb), cross = na * share;
    for (size_t j = 0; j < width; j++) {
        const double d = (mean_b[j] - mean[j]) + (low_b[j] - low[j]);
        double rest;
        fn_two_sum(mean[j], d * share, &mean[j], &rest);
        low[j] += rest;
        m2[j] += m2_b[j] + d * d * cross;
    }
}

/* The sum of n neighbours: where these are many in eight running sums, none of which waits for another. */
static inline double
fn_neighbours(const double *v, size_t n)
{
    double sum[8] = {0};
    size_t i = 0;
    if (n < 24) {
        for (; i < n; i++) {
            sum[0] += v[i];
        }
        return sum[0];
    }
    for (; i + 8 <= n; i += 8) {
        for (size_t k = 0; k < 8; k++) {
            sum[k] += v[i + k];
        }
    }
    for (size_t k = 0; i + k < n; k++) {
        sum[k] += v[i + k];
    }
    for (size_t half = 4; half > 0; half /= 2) {
        for (size_t k = 0; k < half; k++) {
            sum[k] += sum[k + half];
        }
    }
    return sum[0];
}

/* v[g] = the sum of the first `some` of the `fold` neighbours of group g. */
static inline void
fn_columns_fold(size_t width, size_t fold, size_t some, double *v)
{
    if (fold == 1) {
        return;
    }
    for (size_t g = 0; g < width / fold; g++) {
        v[g] = fn_neighbours(v + g * fold, some);
    }
}

/* v[j] = the sum of the neighbours of j's group, divided by count. */
static inline void
fn_columns_average(size_t width, size_t fold, double count, double *v)
{
    if (fold == 1) {
        for (size_t j = 0; j < width; j++) {
            v[j] /= count;
        }
        return;
    }
    for (size_t g = 0; g < width / fold; g++) {
        const double mean = fn_neighbours(v + g * fold, fold) / count;
        for (size_t f = 0; f < fold; f++) {
            v[g * fold + f] = mean;
        }
    }
}

/* Two sums of every group of `share` neighbours, in pairs. */
static inline void
fn_columns_pairs(size_t width, size_t share, const double *s1, const double *s2, double *out)
{
    if (share == 1) {
        for (size_t j = 0; j < width; j++) {
            out[2 * j] = s1[j];
            out[2 * j + 1] = s2[j];
        }
        return;
    }
    for (size_t g = 0; g < width / share; g++) {
        out[2 * g] = fn_neighbours(s1 + g * share, share);
        out[2 * g + 1] = fn_neighbours(s2 + g * share, share);
    }
}

/* Values of the compute type, in the first bytes of v, become doubles in place. */
static inline void
fn_columns_widen(size_t n, double *v, int single)
{
    if (single) {
        const char *from = (const char *)v;
        for (size_t j = n; j-- > 0;) {
            float held;
            memcpy(&held, from + j * sizeof held, sizeof held);
            v[j] = (double)held;
        }
    }
}

/* to[j] = v[group of j] */
static inline void
fn_columns_spread(size_t width, size_t fold, const double *v, double *to)
{
    if (fold == 1) {
        memcpy(to, v, width * sizeof *to);
        return;
    }
    for (size_t g = 0; g < width / fold; g++) {
        for (size_t f = 0; f < fold; f++) {
            to[g * fold + f] = v[g];
        }
    }
}

/* The same of values of the compute type. */
static inline void
fn_columns_spread_reals(size_t width, size_t fold, size_t real, const char *v, char *to)
{
    if (real == sizeof(double)) {
        fn_columns_spread(width, fold, (const double *)v, (double *)to);
        return;
    }
    for (size_t g = 0; g < width / fold; g++) {
        float held;
        memcpy(&held, v + g * sizeof held, sizeof held);
        for (size_t f = 0; f < fold; f++) {
            memcpy(to + (g * fold + f) * sizeof held, &held, sizeof held);
        }
    }
}

static inline void
fn_columns_fill(size_t n, double value, double *out)
{
    for (size_t j = 0; j < n; j++) {
        out[j] = value;
    }
}

static inline void
fn_columns_multiply(size_t n, const double *by, double *what)
{
    for (size_t j = 0; j < n; j++) {
        what[j] *= by[j];
    }
}

/* to[j] += a[j] * b[j] */
static inline void
fn_columns_add_product(size_t n, const double *a, const double *b, double *to)
{
    for (size_t j = 0; j < n; j++) {
        to[j] += a[j] * b[j];
    }
}

static inline void
fn_columns_add(size_t n, const double *from, double *to)
{
    for (size_t j = 0; j < n; j++) {
        to[j] += from[j];
    }
}

#endif
