/* SPDX-License-Identifier: BSD-3-Clause
 * A rung: x86-64-v4, AVX-512 F/BW/DQ/VL. Skylake-SP (2017) and Zen 4 (2022) onwards. */
#define FN_ISA v4
#define FN_VBYTES 64
#define FN_SWEEP 4
#include "all.tmpl.h"
