/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What    Every kernel of one ISA tier for one storage type, and their table fn_kernels_<type>_<isa>.
 *         A type is nine macros in types/<type>.h; there is no second body for a second type.
 * Needs   FN_STORED (f16, bf16 ...), from the build, which compiles every rung once for each type.
 *         FN_ISA (baseline, v3 ...), FN_VBYTES (16, 32, 64), FN_SWEEP: how many of the four
 *         accumulators the registers hold at once (1, 2, 4).
 *
 * Everything but the table is static: a helper with external linkage could be merged by the linker
 * with the copy of a higher tier.
 */
#include "fn_kernels.h"
#include "fn_numerics.h"
#include "simd/coefficients.h"
#include "simd/vectors.h"
#include "simd/out.h"

#define FN_SAME(v) (v)
#define FN_STRING_(a) #a
#define FN_STRING(a) FN_STRING_(a)
/* clang-format off */ /* the name of a file is no division */
#define FN_TYPE FN_STRING(types/FN_STORED.h)
/* clang-format on */
#define FN_TAG FN_STORED
#include FN_TYPE

#include "simd/lanes.tmpl.h"
#include "simd/shift.tmpl.h"
#include "simd/functions.tmpl.h"

#include "activate.tmpl.h"
#include "affine.tmpl.h"
#include "curve.tmpl.h"
#include "grad_sums.tmpl.h"
#include "sum.tmpl.h"
#include "moments.tmpl.h"
#include "statistics.tmpl.h"

#include "grad_alone.tmpl.h"
#include "grad_combine.tmpl.h"
#include "normalize.tmpl.h"
#include "window.tmpl.h"

static void
FN_N(fn_fence)(void)
{
    fn_stream_fence();
}

extern const fn_kernels FN_N(fn_kernels);
const fn_kernels FN_N(fn_kernels) = {
#define FN_PRIMITIVE(name) .name = FN_N(FN_CAT(fn, name)),
#include "kernels.inc"
#undef FN_PRIMITIVE
    .item = sizeof(FN_T),
    .real = sizeof(FN_A),
    .own = FN_OWN,
    .lines = FN_SHIFTS ? FN_UNIT : 0,
};
