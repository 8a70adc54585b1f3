/* SPDX-License-Identifier: BSD-3-Clause
 * A storage type: binary32, computed in as it is. */
#define FN_T float
#define FN_A float
#define FN_REAL f32
#define FN_V fn_vf
#define FN_VMASK fn_vi
#define FN_BITS f32
#define FN_WIDEN FN_SAME
#define FN_NARROW FN_SAME
#define FN_AS_STORED 1
