/* SPDX-License-Identifier: BSD-3-Clause
 * A storage type: binary64, computed in as it is. */
#define FN_T double
#define FN_A double
#define FN_REAL f64
#define FN_V fn_vd
#define FN_VMASK fn_vl
#define FN_BITS f64
#define FN_WIDEN FN_SAME
#define FN_NARROW FN_SAME
#define FN_AS_STORED 1
