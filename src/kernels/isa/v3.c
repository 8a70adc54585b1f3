/* SPDX-License-Identifier: BSD-3-Clause
 * A rung: x86-64-v3, AVX2 + F16C. Haswell (2013) and Zen (2017) onwards. */
#define FN_ISA v3
#define FN_VBYTES 32
#define FN_SWEEP 2
#include "all.tmpl.h"
