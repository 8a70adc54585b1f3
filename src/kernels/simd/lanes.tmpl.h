/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What    The SIMD vocabulary of one storage type: a logical vector of 64 bytes of the compute type,
 *         the same number of lanes on every ISA. load, load_n, store, store_n, set1, add,
 *         sub, mul, to_double. Tails live here and nowhere else.
 * Needs   vectors.h; FN_TAG (f32 ...), FN_T storage type, FN_A compute type and FN_REAL its tag, FN_V
 *         native vector of A, FN_VMASK its comparison result; FN_BITS, the tag of the stored form,
 *         and FN_WIDEN / FN_NARROW from and to it.
 */
#define FN_N(name) FN_CAT(FN_CAT(name, FN_TAG), FN_ISA)
#define FN_LV FN_N(fn_lv)
#define FN_LANES (FN_LANE_BYTES / (int)sizeof(FN_A))
#define FN_VLANES (FN_VBYTES / (int)sizeof(FN_A))

typedef struct {
    FN_V v[FN_NATIVE];
} FN_LV;

FN_INLINE FN_LV
FN_N(lv_set1)(FN_A a)
{
    FN_LV out;
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        out.v[k] = a - (FN_V){0}; /* a sum would lose the sign of -0 */
    }
    return out;
}

FN_INLINE FN_LV
FN_N(lv_load)(const FN_T *p)
{
    FN_LV out;
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        out.v[k] = FN_WIDEN(FN_CAT(fn_read, FN_BITS)(p + k * FN_VLANES));
    }
    return out;
}

/* The same for more than one use; at most addresses, every fetch is two. */
FN_INLINE FN_LV
FN_N(lv_held)(FN_LV a)
{
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        FN_HOLD(a.v[k]);
    }
    return a;
}

FN_INLINE void
FN_N(lv_store)(FN_T *p, FN_LV a)
{
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        FN_CAT(fn_write, FN_BITS)(p + k * FN_VLANES, FN_NARROW(a.v[k]));
    }
}

/* The same past the cache: p begins a line, or follows what was stored so. */
FN_INLINE void
FN_N(lv_stream)(FN_T *p, FN_LV a)
{
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        const __typeof__(FN_NARROW(a.v[k])) stored = FN_NARROW(a.v[k]);
        fn_stream_bytes(p + k * FN_VLANES, &stored, sizeof stored);
    }
}

/* How many of the first n lanes lie in native vector k. */
FN_INLINE size_t
FN_N(lv_share)(size_t n, int k)
{
    const size_t before = (size_t)(k * FN_VLANES);
    return n <= before ? 0 : n - before < FN_VLANES ? n - before : FN_VLANES;
}

/* The first n < lanes values, `fill` in the other lanes. */
FN_INLINE FN_LV
FN_N(lv_load_n)(const FN_T *p, size_t n, FN_LV fill)
{
    FN_LV out;
    FN_VMASK lane;
    memcpy(&lane, FN_CAT(fn_lane_numbers, FN_REAL), sizeof lane);
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        FN_V v = FN_WIDEN(FN_CAT(fn_read_n, FN_BITS)(p + k * FN_VLANES, FN_N(lv_share)(n, k)));
        FN_VMASK in = lane < (int)n - k * FN_VLANES;
        out.v[k] = (FN_V)((in & (FN_VMASK)v) | (~in & (FN_VMASK)fill.v[k]));
    }
    return out;
}

FN_INLINE void
FN_N(lv_store_n)(FN_T *p, FN_LV a, size_t n)
{
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        FN_CAT(fn_write_n, FN_BITS)
        (p + k * FN_VLANES, FN_NARROW(a.v[k]), FN_N(lv_share)(n, k));
    }
}

/* Coefficients are stored in the compute type. */
FN_INLINE FN_LV
FN_N(lv_coef)(const FN_A *p)
{
    FN_LV out;
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        out.v[k] = FN_CAT(fn_read, FN_REAL)(p + k * FN_VLANES);
    }
    return out;
}

FN_INLINE FN_LV
FN_N(lv_coef_n)(const FN_A *p, size_t n)
{
    FN_LV out;
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        out.v[k] = FN_CAT(fn_read_n, FN_REAL)(p + k * FN_VLANES, FN_N(lv_share)(n, k));
    }
    return out;
}

/* Whole vectors where left == 0, else the first `left` lanes. */
FN_INLINE FN_LV
FN_N(lv_load_any)(const FN_T *p, size_t left, FN_LV fill)
{
    return left ? FN_N(lv_load_n)(p, left, fill) : FN_N(lv_load)(p);
}

FN_INLINE FN_LV
FN_N(lv_coef_any)(const FN_A *p, size_t left)
{
    return left ? FN_N(lv_coef_n)(p, left) : FN_N(lv_coef)(p);
}

FN_INLINE void
FN_N(lv_coef_put)(FN_A *p, FN_LV a, size_t left)
{
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        if (left) {
            FN_CAT(fn_write_n, FN_REAL)(p + k * FN_VLANES, a.v[k], FN_N(lv_share)(left, k));
        }
        else {
            FN_CAT(fn_write, FN_REAL)(p + k * FN_VLANES, a.v[k]);
        }
    }
}

FN_INLINE void
FN_N(lv_store_any)(FN_T *p, FN_LV a, size_t left)
{
    if (left) {
        FN_N(lv_store_n)(p, a, left);
    }
    else {
        FN_N(lv_store)(p, a);
    }
}

/* K vectors that follow each other, or the first `left` values of one. */
FN_INLINE void
FN_N(lv_take)(const FN_T *p, FN_LV *a, int K, size_t left)
{
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        a[k] = FN_N(lv_load_any)(p + k * FN_LANES, left, FN_N(lv_set1)(0));
    }
}

/* The same to where out.h says. */
FN_INLINE void
FN_N(lv_put)(FN_T *p, const FN_LV *a, int K, size_t left, int where)
{
    if (where == FN_TO_LINES) {
        FN_UNROLL
        for (int k = 0; k < K; k++) {
            FN_N(lv_stream)(p + k * FN_LANES, a[k]);
        }
        return;
    }
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        FN_N(lv_store_any)(p + k * FN_LANES, a[k], where == FN_TO_ROOM ? 0 : left);
    }
}

FN_INLINE FN_LV
FN_N(lv_add)(FN_LV a, FN_LV b)
{
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        a.v[k] = a.v[k] + b.v[k];
    }
    return a;
}

FN_INLINE FN_LV
FN_N(lv_sub)(FN_LV a, FN_LV b)
{
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        a.v[k] = a.v[k] - b.v[k];
    }
    return a;
}

FN_INLINE FN_LV
FN_N(lv_mul)(FN_LV a, FN_LV b)
{
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        a.v[k] = a.v[k] * b.v[k];
    }
    return a;
}

/* Lane i of the result is lane (i + by) modulo the width. */
FN_INLINE FN_V
FN_N(lv_rotate)(FN_V v, int by)
{
#if defined(__clang__)
    FN_V out;
    for (int i = 0; i < FN_VLANES; i++) {
        out[i] = v[(i + by) % FN_VLANES];
    }
    return out;
#else
    FN_VMASK from;
    memcpy(&from, FN_CAT(fn_lane_numbers, FN_REAL) + by, sizeof from);
    return __builtin_shuffle(v, from); /* takes indices modulo the width */
#endif
}

/* The native vectors of a logical one, halves added pairwise. */
FN_INLINE FN_V
FN_N(lv_native_sum)(FN_LV a)
{
    FN_UNROLL
    for (int half = FN_NATIVE / 2; half > 0; half /= 2) {
        for (int k = 0; k < half; k++) {
            a.v[k] = a.v[k] + a.v[k + half];
        }
    }
    return a.v[0];
}

/* The sum of all lanes, halves added pairwise: one order on every ISA. */
FN_INLINE FN_A
FN_N(lv_sum)(FN_LV a)
{
    FN_V v = FN_N(lv_native_sum)(a);
    FN_UNROLL
    for (int half = FN_VLANES / 2; half > 0; half /= 2) {
        v = v + FN_N(lv_rotate)(v, half);
    }
    return v[0];
}

/* Four accumulators, lane by lane. */
FN_INLINE FN_LV
FN_N(lv_sum_four)(const FN_LV *a)
{
    return FN_N(lv_add)(FN_N(lv_add)(a[0], a[1]), FN_N(lv_add)(a[2], a[3]));
}

/* Lane i of the result: where the bit `half` of i is clear, a[i] + a[i + half], else b[i - half] + b[i]. */
FN_INLINE FN_V
FN_N(lv_fold)(FN_V a, FN_V b, int half)
{
    FN_V own, other;
#if defined(__clang__)
    for (int i = 0; i < FN_VLANES; i++) {
        own[i] = (i & half ? b : a)[i];
        other[i] = (i & half ? b : a)[i ^ half];
    }
#else
    FN_VMASK lane;
    memcpy(&lane, FN_CAT(fn_lane_numbers, FN_REAL), sizeof lane);
    const FN_VMASK from_b = (lane & half) * (FN_VLANES / half);
    own = __builtin_shuffle(a, b, lane + from_b);
    other = __builtin_shuffle(a, b, (lane ^ half) + from_b);
#endif
    return own + other;
}

/* lv_sum of two. */
FN_INLINE void
FN_N(lv_sum_two)(FN_LV a, FN_LV b, FN_A *sum_a, FN_A *sum_b)
{
    FN_V v = FN_N(lv_fold)(FN_N(lv_native_sum)(a), FN_N(lv_native_sum)(b), FN_VLANES / 2);
    FN_UNROLL
    for (int half = FN_VLANES / 4; half > 0; half /= 2) {
        v = v + FN_N(lv_rotate)(v, half);
    }
    *sum_a = v[0];
    *sum_b = v[FN_VLANES / 2];
}

/* sums[i] += lv_sum(a[i]) for some of FN_LANES vectors: but for a single one, halves of all are added side by
 * side. The others are overwritten. */
FN_INLINE void
FN_N(lv_sums)(FN_LV *a, size_t some, double *sums)
{
    FN_V v[FN_LANES];
    FN_A total[FN_LANES];
    if (some == 1) {
        sums[0] += (double)FN_N(lv_sum)(a[0]);
        return;
    }
    for (size_t i = some; i < FN_LANES; i++) {
        a[i] = a[0]; /* anything, but not zeros: they would be a call of memset */
    }
    FN_UNROLL
    for (int i = 0; i < FN_LANES; i++) {
        v[i] = FN_N(lv_native_sum)(a[i]);
    }
    for (int at = 0; at < FN_LANES; at += FN_VLANES) {
        FN_UNROLL
        for (int half = FN_VLANES / 2; half > 0; half /= 2) {
            for (int i = at; i < at + half; i++) {
                v[i] = FN_N(lv_fold)(v[i], v[i + half], half);
            }
        }
        FN_CAT(fn_write, FN_REAL)(total + at, v[at]);
    }
    for (size_t i = 0; i < some; i++) {
        sums[i] += (double)total[i];
    }
}

/* (x - hi) * r */
FN_INLINE FN_LV
FN_N(lv_centre)(FN_LV x, FN_LV hi, FN_LV r)
{
    return FN_N(lv_mul)(FN_N(lv_sub)(x, hi), r);
}

/* One value in all lanes, from memory. */
FN_INLINE FN_LV
FN_N(lv_spread)(const FN_A *p)
{
    return FN_N(lv_set1)(*p);
}

/* Columns go by in bands of rows, panel by panel: lines in an order that no processor foresees, where a
 * row is more than one panel. Bytes to the band to ask for meanwhile; 0: rows follow each other anyway. */
FN_INLINE fn_ld
FN_N(next_band)(fn_ld ld, size_t n)
{
    return n > FN_SWEEP * FN_LANES ? FN_BAND * ld : 0;
}
