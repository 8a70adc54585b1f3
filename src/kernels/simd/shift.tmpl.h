/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What    Values that follow each other in memory, stored in whole lines wherever they begin, past the cache or not:
 *         lv_shift_start, then lv_shift_put of whole vectors and lv_shift_part of the beginning of one, then
 *         lv_shift_end.
 * Method  A unit is a native vector of stored values, a line where FN_SHIFTS. Each line is made of the end of
 *         one unit and the beginning of the next, by one instruction; of 16 bits a unit is two vectors.
 *         What a row leaves over waits in `before`, at its end, for the row that follows.
 * Needs   lanes.tmpl.h.
 */
#define FN_SHIFTS FN_JOINS /* where joining costs nothing */
#define FN_UNIT (FN_VBYTES / (int)sizeof(FN_T))
#define FN_PER_UNIT ((int)(sizeof(FN_A) / sizeof(FN_T))) /* native vectors */
#define FN_U FN_CAT(fn_unit, FN_BITS)
#define FN_UMASK FN_CAT(fn_unit_lanes, FN_BITS)

typedef struct {
    FN_U before;
    FN_UMASK from;  /* lanes of it, then of the next */
    size_t over;    /* how many of a unit belong with the next */
    int kept;       /* lines are stored plainly: they are in the cache already */
    size_t foreign; /* values of the first line that are not ours; 0: it is stored */
} FN_N(fn_shift);

FN_INLINE FN_UMASK
FN_N(lanes_from)(size_t first)
{
    FN_UMASK lanes;
    memcpy(&lanes, FN_CAT(fn_lane_numbers, FN_BITS) + first, sizeof lanes);
    return lanes;
}

FN_INLINE void
FN_N(lv_shift_start)(FN_N(fn_shift) * s, const FN_T *p, int kept)
{
    s->kept = kept;
    s->over = s->foreign = (uintptr_t)p % FN_VBYTES / sizeof(FN_T);
    s->before = (FN_U){0};
    s->from = FN_N(lanes_from)(FN_UNIT - s->over);
}

FN_INLINE void
FN_N(store_line)(FN_T *line, FN_U joined, FN_N(fn_shift) * s, int first)
{
    if (first && s->foreign) {
        memcpy(line + s->foreign, (const FN_T *)&joined + s->foreign,
               (FN_UNIT - s->foreign) * sizeof(FN_T));
        s->foreign = 0;
        return;
    }
    if (s->kept) {
        memcpy(line, &joined, sizeof joined);
    }
    else {
        fn_stream_bytes(line, &joined, sizeof joined);
    }
}

/* Unit k of some vectors: their native ones from k * FN_PER_UNIT on, zeros behind the last. */
FN_INLINE FN_U
FN_N(lv_unit)(const FN_LV *a, int natives, int k)
{
    FN_CAT(fn_native, FN_BITS) stored[FN_PER_UNIT];
    FN_UNROLL
    for (int i = 0; i < FN_PER_UNIT; i++) {
        const int at = k * FN_PER_UNIT + i;
        stored[i] = FN_NARROW(at < natives ? a[at / FN_NATIVE].v[at % FN_NATIVE] : (FN_V){0});
    }
    return FN_CAT(fn_unit_of, FN_BITS)(stored);
}

/* The first `left` values of a vector. */
FN_INLINE void
FN_N(lv_shift_part)(FN_T *p, FN_LV a, size_t left, FN_N(fn_shift) * s)
{
    const FN_U unit = FN_N(lv_unit)(&a, FN_NATIVE, 0);
    if (s->over + left >= FN_UNIT) {
        const FN_U joined = FN_CAT(fn_join, FN_BITS)(s->before, s->from, unit);
        FN_N(store_line)(p - s->over, joined, s, 1);
    }
    s->before = FN_CAT(fn_join, FN_BITS)(s->before, FN_N(lanes_from)(left), unit);
    s->over = (s->over + left) % FN_UNIT;
    s->from = FN_N(lanes_from)(FN_UNIT - s->over);
}

FN_INLINE void
FN_N(lv_shift_put)(FN_T *p, const FN_LV *a, int K, FN_N(fn_shift) * s)
{
    const int natives = K * FN_NATIVE, units = natives / FN_PER_UNIT;
    FN_UNROLL
    for (int k = 0; k < units; k++) {
        const FN_U unit = FN_N(lv_unit)(a, natives, k);
        const FN_U joined = FN_CAT(fn_join, FN_BITS)(s->before, s->from, unit);
        s->before = unit;
        FN_N(store_line)(p + k * FN_UNIT - s->over, joined, s, k == 0);
    }
    if (natives % FN_PER_UNIT) {
        FN_N(lv_shift_part)(p + units * FN_UNIT, a[K - 1], FN_LANES, s);
    }
}

/* s goes on after the first unit of a row, a vector, whose line is stored when the row before has come to its end. */
FN_INLINE void
FN_N(lv_shift_from)(FN_N(fn_shift) * s, const FN_N(fn_shift) * row_before, const FN_LV *first)
{
    *s = *row_before;
    s->before = FN_N(lv_unit)(first, FN_NATIVE, 0);
    s->foreign = 0;
}

/* s as a copy of it was left by whole units. */
FN_INLINE void
FN_N(lv_shift_go_on)(FN_N(fn_shift) * s, const FN_N(fn_shift) * copy)
{
    s->before = copy->before;
    s->foreign = copy->foreign;
}

/* p: after the last, of a unit at least. */
FN_INLINE void
FN_N(lv_shift_end)(FN_T *p, const FN_N(fn_shift) * s)
{
    const FN_U last = FN_CAT(fn_join, FN_BITS)(s->before, s->from, s->before);
    memcpy(p - s->over, &last, s->over * sizeof(FN_T));
}
