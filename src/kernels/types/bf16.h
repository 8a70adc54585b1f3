/* SPDX-License-Identifier: BSD-3-Clause
 * A storage type: bfloat16, computed in float. */
#define FN_T uint16_t
#define FN_A float
#define FN_REAL f32
#define FN_V fn_vf
#define FN_VMASK fn_vi
#define FN_BITS u16
#define FN_WIDEN fn_widen_bf16
#define FN_NARROW fn_narrow_bf16
#define FN_AS_STORED 0
