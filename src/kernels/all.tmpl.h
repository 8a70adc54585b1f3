/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What    Every kernel of one ISA tier, for each storage type, and the tier's table fn_table_<isa>.
 *         A dtype is nine macros; there is no second body for a second dtype.
 * Needs   FN_ISA (baseline, v3 ...), FN_VBYTES (16, 32, 64), FN_SWEEP: how many of the four
 *         accumulators the registers hold at once (1, 2, 4).
 *
 * Everything but the table is static: a helper with external linkage could be merged by the linker
 * with the copy of a higher tier.
 */
#include "fn_kernels.h"
#include "simd/coefficients.h"
#include "simd/vectors.h"
#include "simd/out.h"

#define FN_SAME(v) (v)

#define FN_TAG f32
#define FN_T float
#define FN_A float
#define FN_REAL f32
#define FN_V fn_vf
#define FN_VMASK fn_vi
#define FN_BITS f32
#define FN_WIDEN FN_SAME
#define FN_NARROW FN_SAME
#include "family.tmpl.h"

#define FN_TAG bf16
#define FN_T uint16_t
#define FN_A float
#define FN_REAL f32
#define FN_V fn_vf
#define FN_VMASK fn_vi
#define FN_BITS u16
#define FN_WIDEN fn_widen_bf16
#define FN_NARROW fn_narrow_bf16
#include "family.tmpl.h"

#define FN_TAG f16
#define FN_T uint16_t
#define FN_A float
#define FN_REAL f32
#define FN_V fn_vf
#define FN_VMASK fn_vi
#define FN_BITS u16
#define FN_WIDEN fn_widen_f16
#define FN_NARROW fn_narrow_f16
#include "family.tmpl.h"

#define FN_TAG f64
#define FN_T double
#define FN_A double
#define FN_REAL f64
#define FN_V fn_vd
#define FN_VMASK fn_vl
#define FN_BITS f64
#define FN_WIDEN FN_SAME
#define FN_NARROW FN_SAME
#include "family.tmpl.h"

#define FN_TABLE FN_CAT(fn_table, FN_ISA)
#define FN_STRING_(a) #a
#define FN_STRING(a) FN_STRING_(a)

extern const fn_table FN_TABLE;
const fn_table FN_TABLE = {
    .isa = FN_STRING(FN_ISA),
    .type =
        {
#define FN_PRIMITIVE(name) .name = FN_CAT(FN_CAT(FN_CAT(fn, name), f16), FN_ISA),
            [FN_F16] =
                {
#include "kernels.inc"
                    .item = 2, .real = sizeof(float)},
#undef FN_PRIMITIVE
#define FN_PRIMITIVE(name) .name = FN_CAT(FN_CAT(FN_CAT(fn, name), bf16), FN_ISA),
            [FN_BF16] =
                {
#include "kernels.inc"
                    .item = 2, .real = sizeof(float)},
#undef FN_PRIMITIVE
#define FN_PRIMITIVE(name) .name = FN_CAT(FN_CAT(FN_CAT(fn, name), f32), FN_ISA),
            [FN_F32] =
                {
#include "kernels.inc"
                    .item = 4, .real = sizeof(float)},
#undef FN_PRIMITIVE
#define FN_PRIMITIVE(name) .name = FN_CAT(FN_CAT(FN_CAT(fn, name), f64), FN_ISA),
            [FN_F64] =
                {
#include "kernels.inc"
                    .item = 8, .real = sizeof(double)},
#undef FN_PRIMITIVE
        },
};
