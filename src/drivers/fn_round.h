/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sums in double, rounded to float: a loop that a compiler makes vectors of.
 */
#ifndef FN_ROUND_H
#define FN_ROUND_H

#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stddef.h>

/* Whether a result may be infinite that was none before. The processor takes note of it: looking at
 * every result would cost as much as the rounding. Its note may be of an earlier operation. */
static inline int
fn_round(size_t n, const double *restrict from, float *restrict to)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = (float)from[i];
    }
    if (!fetestexcept(FE_OVERFLOW)) {
        return 0;
    }
    int beyond = 0;
    for (size_t i = 0; i < n; i++) {
        beyond |= fabsf(to[i]) > FLT_MAX;
    }
    return beyond;
}

#endif
