/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What every C file of the core shares: inlining, token pasting, the fixed sizes of the arithmetic.
 *
 * The sizes below are part of the numerical contract: they decide which values are added to which,
 * so they may depend on the type and the shape of the data and on nothing else. Changing one changes
 * results in their last bits (never their error bound); see src/DECISIONS.md.
 */
#ifndef FN_COMMON_H
#define FN_COMMON_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define FN_INLINE static inline __attribute__((always_inline))
#define FN_NOINLINE static __attribute__((noinline))
#define FN_UNROLL _Pragma("GCC unroll 4")
#else
#error "fastnorm's kernels are written with the vector extensions of GCC and Clang"
#endif

/* Ask for a line that will be read once, soon; any address will do. */
#define FN_PREFETCH(p) __builtin_prefetch((p), 0, 3)

/* Long rows that follow each other are what a processor foresees. It is told of lines FN_AHEAD bytes ahead in
 * the sweep of the sums, of the next rows' samples, and while values are stored past the cache, whose stores
 * take the same buffers, of the next rows alone where these go by in turn. */
#define FN_AHEAD 1024
#define FN_FORESEEN(ld, bytes) ((ld) == (ptrdiff_t)(bytes) && (bytes) >= FN_AHEAD)

/* Rows that go by in turn are asked for so many bytes before, or a row, if they are long or apart. */
#define FN_ROWS_AHEAD 6144

/* A load waits for a store just before whose address agrees with its own modulo a page. */
#define FN_PAGE 4096

/* Of other rows, those to be read next are asked for by one of the two sweeps over a run, or the few misses a
 * core can have under way would all be spent in one: the first sweep takes the even vectors, the second
 * the odd ones. */
#define FN_FIRST_SWEEP(k) ((k) % 2 == 0 && FN_SWEEP > 1)
#define FN_SECOND_SWEEP(k) ((k) % 2 == 1 || FN_SWEEP == 1)

#define FN_CAT_(a, b) a##_##b
#define FN_CAT(a, b) FN_CAT_(a, b)

/* One logical vector is 64 bytes of the compute type on every ISA: 16 float or 8 double lanes. */
#define FN_LANE_BYTES 64
#define FN_LANES_MAX 16

/* Logical vectors a rows reduction keeps in flight; a value's lane is its index modulo 4 vectors. */
#define FN_ACCUMULATORS 4

/* Values summed in the compute type before a lane is added to its float64 partner. */
#define FN_ROW_BLOCK 1024  /* rows: 16 per float lane */
#define FN_COL_BLOCK 32    /* cols: 32 per column */
#define FN_CURVE_BLOCK 512 /* along a row of curve_gradient: 32 per float lane */
/* Squares are first added in runs of so many. Where |mean| >> std, x - shift lies on a grid, and
 * squares of whole numbers are 0 or 1 modulo 4: a long sum that drops two bits drops them all one way
 * (2e-7 of the variance after 32 additions). Sums of eight have no such habit. */
#define FN_SQUARES 8

/* Rows that are gone through together, panel by panel: their lines are as many streams for the
 * prefetcher, and coefficients are read once for all. Changes no bit. */
#define FN_BAND 8
/* Columns whose sums a kernel holds in first-level cache while bands of rows go by. */
#define FN_COLS_AT_ONCE 1024

#endif
