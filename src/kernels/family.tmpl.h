/* SPDX-License-Identifier: BSD-3-Clause
 * What    All primitives of one storage type on one ISA, then the dtype's macros are forgotten.
 * Needs   the nine dtype macros of all.tmpl.h. */
#include "simd/lanes.tmpl.h"
#include "simd/functions.tmpl.h"

#include "activate.tmpl.h"
#include "affine.tmpl.h"
#include "curve.tmpl.h"
#include "grad_combine.tmpl.h"
#include "grad_sums.tmpl.h"
#include "moments.tmpl.h"
#include "sum.tmpl.h"

static void
FN_N(fn_fence)(void)
{
    fn_stream_fence();
}

#undef FN_MATH
#undef FN_TAIL
#undef FN_WORDS
#undef FN_TAIL
#undef FN_COUNT
#undef FN_UNROLL_ALL
#undef FN_N
#undef FN_LV
#undef FN_LANES
#undef FN_VLANES
#undef FN_TAG
#undef FN_T
#undef FN_A
#undef FN_REAL
#undef FN_V
#undef FN_VMASK
#undef FN_BITS
#undef FN_WIDEN
#undef FN_NARROW
