/* SPDX-License-Identifier: BSD-3-Clause
 * The rung of aarch64: NEON, part of every such CPU. */
#define FN_ISA neon
#define FN_VBYTES 16
#define FN_SWEEP 2
#include "all.tmpl.h"
