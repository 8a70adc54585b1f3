/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The machine: which tiers its CPU and operating system can run, and its cache sizes.
 */
#ifndef FN_MACHINE_H
#define FN_MACHINE_H

#include "fn_kernels.h"

/* The tiers built into this binary, best first; NULL ends the list. */
extern const fn_table *const fn_tables[];

/* The names in kernels.inc; NULL ends the list. */
extern const char *const fn_primitives[];

/* Whether the CPU has the tier's instructions and the system saves its registers. */
int fn_supports(const char *isa);

/* Bytes of a core's L2 and of the last-level cache; a default where the system does not say. */
size_t fn_l2_bytes(void);
size_t fn_llc_bytes(void);

/* A copy that stores past the cache where the machine can: what benchmarks call the limit. */
void fn_copy_past_cache(void *to, const void *from, size_t bytes);

#endif
