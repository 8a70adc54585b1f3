/* SPDX-License-Identifier: BSD-3-Clause
 * A storage type: binary16, computed in float. */
#define FN_T uint16_t
#define FN_A float
#define FN_REAL f32
#define FN_V fn_vf
#define FN_VMASK fn_vi
#define FN_BITS u16
#define FN_WIDEN fn_widen_f16
#define FN_NARROW fn_narrow_f16
#define FN_AS_STORED 0
