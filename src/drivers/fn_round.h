/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sums in double, rounded to float: a loop that a compiler makes vectors of.
 */
#ifndef FN_ROUND_H
#define FN_ROUND_H

#include <float.h>
#include <math.h>
#include <stddef.h>

/* Whether one of the results is infinite. */
static inline int
fn_round(size_t n, const double *restrict from, float *restrict to)
{
    int beyond = 0;
    for (size_t i = 0; i < n; i++) {
        const float value = (float)from[i];
        to[i] = value;
        beyond |= fabsf(value) > FLT_MAX;
    }
    return beyond;
}

#endif
