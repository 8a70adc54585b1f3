/* SPDX-License-Identifier: BSD-3-Clause
 *
 * From sums to statistics, in double: the arithmetic between two kernel calls.
 */
#ifndef FN_NUMERICS_H
#define FN_NUMERICS_H

#include "fn_common.h"

#include <math.h>

/* The mean is mean + low, unevaluated: where |mean| >> std, differences of rounded means would cost
 * the variance of float64 data its last digits. */
typedef struct {
    double count, mean, low, m2;
} fn_moment;

/* *sum + *low = a + b exactly (Knuth's two-sum). */
static inline void
fn_two_sum(double a, double b, double *sum, double *low)
{
    const double s = a + b, t = s - a;
    *sum = s;
    *low = (a - (s - t)) + (b - t);
}

/* mean and M2 from s1 = sum(x - shift), s2 = sum((x - shift)^2). */
static inline fn_moment
fn_from_sums(double n, double shift, double s1, double s2)
{
    const double d = s1 * (1 / n), m2 = s2 - s1 * d;
    fn_moment m = {n, 0, 0, m2 > 0 || m2 != m2 ? m2 : 0};
    fn_two_sum(shift, d, &m.mean, &m.low);
    return m;
}

/* In float32, squares above 2^128 overflow and below about 2^-126 vanish; a sum of zero is believed
 * when the shift is so large that the square of its spacing would not have vanished. */
static inline int
fn_out_of_range(double n, double shift, double s1, double s2, int single)
{
    if (!isfinite(s1) || !isfinite(s2)) {
        return 1;
    }
    return single && s2 < n * 0x1p-100 && !(s2 == 0 && fabs(shift) > 0x1p-30);
}

/* s2 = M2 + n * (shift - mean)^2 carries its relative rounding error over to M2 enlarged by s2 / M2.
 * A shift further off than 1.5 standard deviations (factor 3.25) is called poor. */
static inline int
fn_poor_shift(fn_moment m, double s1)
{
    return s1 * (s1 * (1 / m.count)) > 2.25 * m.m2;
}

/* Fold b into a: Chan, Golub, LeVeque (1979). */
static inline void
fn_merge(fn_moment *a, fn_moment b)
{
    if (a->count == 0) {
        *a = b;
        return;
    }
    const double n = a->count + b.count, d = (b.mean - a->mean) + (b.low - a->low);
    double low;
    fn_two_sum(a->mean, d * (b.count / n), &a->mean, &low);
    a->low += low;
    a->m2 += b.m2 + d * d * (a->count * (b.count / n));
    a->count = n;
}

/* sum(g * xh) from sum(g) and sum(g * (x - hi) * r), low what the rounding of the mean left over. */
static inline double
fn_whole_dot(double s1, double s2, double low)
{
    return s2 + low * s1;
}

/* What a gradient subtracts, from the two sums of a group: the means of g and of g * xh. */
static inline void
fn_means(double count, int raw, double g, double gx, double *c0, double *c1)
{
    *c0 = raw ? 0 : g / count;
    *c1 = gx / count;
}

/* 1 / sqrt(var + eps); 0 where that sum is 0, so that a constant group gives xh = 0. */
static inline double
fn_rstd(double var, double eps)
{
    const double v = var + eps,
                 none = v == 0 ? 1 : 0; /* no branch, so that loops of it vectorize */
    return (1 - none) / sqrt(v + none);
}

#endif
