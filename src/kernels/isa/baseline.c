/* SPDX-License-Identifier: BSD-3-Clause
 * A rung: the ABI floor, SSE2 on x86-64. Every x86-64 CPU; the readable specification of the rest. */
#define FN_ISA baseline
#define FN_VBYTES 16
#define FN_SWEEP 1
#include "all.tmpl.h"
