/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sums in double, rounded to float: two loops that a compiler makes vectors of.
 */
#ifndef FN_ROUND_H
#define FN_ROUND_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Whether one of the results is infinite or NaN. */
static inline int
fn_round(size_t n, const double *restrict from, float *restrict to)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = (float)from[i];
    }
    int32_t beyond = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, &to[i], sizeof bits);
        beyond |= (bits & 0x7fffffff) >= 0x7f800000;
    }
    return beyond;
}

#endif
