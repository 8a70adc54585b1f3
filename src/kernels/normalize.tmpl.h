/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     y = xh * w + b, or max(y, 0), of rows whose statistics are not known yet: what moments_rows, statistics, centres and
 *          affine do one after the other, with the same bits.
 * Layouts  rows of FN_ROW_BLOCK values at most, more than one line; those of y follow each other.
 * Method   While one row is summed the row before it is stored past the cache, four vectors of either in turn. So
 *          x is read from memory while y goes there, as in a copy, and what is written was in first-level
 *          cache. Neither a prefetch nor a sweep of many rows can do that: streaming stores take the
 *          buffers in which misses wait.
 * Aliasing y may be x.
 * Needs    affine.tmpl.h, moments.tmpl.h, statistics.tmpl.h; FN_SWEEP, FN_AS_STORED.
 */
#if FN_SWEEP == FN_ACCUMULATORS && FN_AS_STORED

/* A row that is written: columns [j, end) are left. */
typedef struct {
    FN_T *to;
    const FN_T *x; /* column 0 */
    size_t j, end;
    int relu;
    FN_LV tail; /* the last values of the row before */
    FN_N(affine_row) own;
} FN_N(fn_written);

/* K vectors of it, from column j on. how is a constant in every call but those of edges. */
FN_INLINE void
FN_N(write_some)(const FN_N(fn_written) * row, void *to, size_t j, int where, int K, int how,
                 const fn_param *param)
{
    const fn_centre own = {NULL, NULL, NULL, 1, 0}; /* not read */
    FN_N(affine_panel)(to, 0, (const char *)row->x, 0, 0, 1, j, 0, &own, param, NULL, 0, where, K,
                       1, how, row->relu ? FN_N(RELU) : FN_N(AS_IT_IS), &row->own);
}

/* A parameter of one row. */
FN_INLINE double
FN_N(real_of)(fn_each e, size_t row, double none)
{
    const char *p = e.p + (ptrdiff_t)row * e.step;
    return e.p ? (double)*(const FN_N(loose_real) *)p : none;
}

/* Statistics of row number i, which lies at x, from its sums about a shift, and the coefficients of its output. A
 * poor shift is replaced. Returns 0 if the row must be summed in double. */
FN_INLINE int
FN_N(row_of_sums)(FN_N(affine_row) * own, const fn_made *made, size_t i, const void *x, size_t n,
                  double shift, FN_LV sum, FN_LV square)
{
    const double count = (double)n;
    const int single = sizeof(FN_A) == sizeof(float), raw = made->raw;
    double s1 = raw ? 0 : (double)FN_N(lv_sum)(sum), s2 = (double)FN_N(lv_sum)(square);
    fn_moment m = fn_from_sums(count, shift, s1, s2);
    if (!raw && !fn_out_of_range(count, shift, s1, s2, single) && fn_poor_shift(m, s1)) {
        shift = (double)(FN_A)m.mean;
        s1 = s2 = 0;
        FN_N(fn_moments_rows)(x, 0, 1, n, &shift, 1, &s1, &s2, 0);
        m = fn_from_sums(count, shift, s1, s2);
    }
    if (fn_out_of_range(count, shift, s1, s2, single)) {
        return 0;
    }
    const double mean = m.mean + m.low, var = (raw ? s2 : m.m2) / count;
    const double rstd = fn_rstd(var, made->eps), w = FN_N(real_of)(made->w, i, 1);
    const double b = FN_N(real_of)(made->b, i, 0);
    double low;
    FN_A hi[1], r[1], shifted[1];
    FN_N(centres_of)(1, &mean, &w, &b, &rstd, hi, r, shifted, &low);
    *own = (FN_N(affine_row)){FN_N(lv_spread)(hi), FN_N(lv_spread)(r), FN_N(lv_spread)(shifted)};
    made->mean[i] = mean;
    made->var[i] = var;
    return 1;
}

/* The sums of a row, lane by lane, by the additions of moments_run (a sum begins with -0, which changes none), and
 * of the row that is written what four vectors at a time make. how and raw are constants in every call. */
FN_INLINE void
FN_N(sum_and_write)(const FN_T *x, size_t n, FN_LV c, FN_LV *sum, FN_LV *square,
                    FN_N(fn_written) * row, const fn_param *param, int how, int raw)
{
    const size_t step = FN_ACCUMULATORS * FN_LANES, steps = n / step;
    const FN_N(moments_row) at = {x, NULL, NULL, 0};
    const fn_param p = *param;
    FN_N(fn_written) w = *row;
    FN_LV a[FN_ACCUMULATORS], q[FN_ACCUMULATORS], s[FN_ACCUMULATORS];
    FN_UNROLL
    for (int k = 0; k < FN_ACCUMULATORS; k++) {
        a[k] = q[k] = FN_N(lv_set1)((FN_A)-0.0);
    }
    for (size_t i = 0; i < steps;) {
        const size_t end = steps - i < FN_SQUARES ? steps : i + FN_SQUARES;
        FN_UNROLL
        for (int k = 0; k < FN_ACCUMULATORS; k++) {
            s[k] = FN_N(lv_set1)((FN_A)-0.0);
        }
        for (; i < end; i++) {
            FN_N(moments_step)(FN_N(moments_from)(at, i * step), c, a, s, 0, 0, 0, raw);
            if (w.j + step <= w.end) {
                FN_N(write_some)(&w, w.to, w.j, FN_TO_LINES, FN_SWEEP, how, &p);
                w.j += step;
                w.to += step;
            }
        }
        FN_UNROLL
        for (int k = 0; k < FN_ACCUMULATORS; k++) {
            q[k] = FN_N(lv_add)(q[k], s[k]);
        }
    }
    FN_N(moments_tail)(FN_N(moments_from)(at, steps * step), n - steps * step, 0, c, a, q, 0, 0,
                       raw);
    if (!raw) {
        *sum = FN_N(lv_sum_four)(a);
    }
    *square = FN_N(lv_sum_four)(q);
    row->j = w.j;
    row->to = w.to;
}

/* One function for all ways, so that each has the registers for itself. A bias alone has no way here. */
FN_NOINLINE void
FN_N(sum_and_write_any)(const FN_T *x, size_t n, FN_A shift, FN_LV *sum, FN_LV *square,
                        FN_N(fn_written) * row, const fn_param *param, int raw)
{
    const FN_LV c = FN_N(lv_set1)(shift);
    switch (FN_N(how_of)(param) << 1 | (raw != 0)) {
#define FN_CASE(s)                                                                                 \
    case s:                                                                                        \
        FN_N(sum_and_write)(x, n, c, sum, square, row, param, (s) >> 1, (s) & 1);                  \
        break;
        FN_CASE(0)
        FN_CASE(1)
        FN_CASE(2)
        FN_CASE(3)
        FN_CASE(6)
        FN_CASE(7)
#undef FN_CASE
    }
}

/* A line of the last p values of a and the first of b: it stays in registers, since a load would wait for all the
 * stores before those it is made of. */
FN_INLINE FN_LV
FN_N(line_of)(FN_LV a, FN_LV b, size_t p)
{
    FN_LV line;
#if defined(__clang__)
    for (size_t i = 0; i < FN_LANES; i++) {
        line.v[0][i] = i < p ? a.v[0][i + FN_LANES - p] : b.v[0][i - p];
    }
#else
    FN_VMASK lane;
    memcpy(&lane, FN_CAT(fn_lane_numbers, FN_REAL), sizeof lane);
    line.v[0] = __builtin_shuffle(a.v[0], b.v[0], lane + (int)(FN_LANES - p));
#endif
    return line;
}

/* Begin with a row at y: where it begins within a line, with that line. first: it is the first row. */
FN_INLINE void
FN_N(write_begin)(FN_N(fn_written) * row, char *y, size_t n, int first, const fn_param *param)
{
    const size_t before = (uintptr_t)y % FN_LINE;
    const size_t lead = before ? (FN_LINE - before) / sizeof(FN_T) : 0;
    if (lead) {
        FN_LV head;
        FN_N(write_some)(row, &head, 0, FN_TO_MEMORY, 1, FN_N(ASK), param);
        if (first) {
            memcpy(y, &head, FN_LINE - before);
        }
        else {
            FN_N(lv_stream)((FN_T *)(y - before), FN_N(line_of)(row->tail, head, FN_LANES - lead));
        }
    }
    row->to = (FN_T *)y + lead;
    row->j = lead;
    row->end = n - (n - lead) % FN_LANES;
}

/* What is left of it; its end, if that does not fill a line, waits for the next. */
FN_INLINE void
FN_N(write_end)(FN_N(fn_written) * row, size_t n, const fn_param *param)
{
    for (; row->j < row->end; row->j += FN_LANES, row->to += FN_LANES) {
        FN_N(write_some)(row, row->to, row->j, FN_TO_LINES, 1, FN_N(ASK), param);
    }
    if (row->end < n) {
        FN_N(write_some)(row, &row->tail, n - FN_LANES, FN_TO_MEMORY, 1, FN_N(ASK), param);
    }
}

#define FN_PAGE 4096

typedef struct {
    _Alignas(FN_LINE) FN_A value[FN_ROW_BLOCK + FN_PAGE / sizeof(FN_A)];
} FN_N(fn_param_room);

/* A vector of parameters, in room half a page behind y: it begins its lines where y does, so that no vector of it is
 * across two, and its loads do not agree, modulo 4096, with the stores that wait. */
FN_INLINE const void *
FN_N(param_beside)(const FN_A *p, size_t n, const char *y, FN_N(fn_param_room) * room)
{
    char *to = (char *)room + ((uintptr_t)y + FN_PAGE / 2 - (uintptr_t)room) % FN_PAGE;
    return p ? memcpy(to, p, n * sizeof *p) : NULL;
}

static size_t
FN_N(fn_normalize_rows)(void *y_, const void *x_, fn_ld ldx, size_t rows, size_t n,
                        const fn_made *made, const fn_param *given)
{
    const char *x = x_;
    char *y = y_;
    FN_N(fn_param_room) weight, bias;
    const fn_param param = {FN_N(param_beside)(given->w, n, y, &weight),
                            FN_N(param_beside)(given->b, n, y, &bias), 0};
    FN_N(fn_written) row = {.relu = made->relu};
    for (size_t i = 0; i <= rows; i++, x += ldx) { /* row i is summed, the one before it written */
        FN_LV sum, square;
        double shift = 0;
        row.x = (const FN_T *)(x - ldx);
        row.j = row.end = 0;
        if (i) {
            FN_N(write_begin)(&row, y + (i - 1) * n * sizeof(FN_T), n, i == 1, &param);
        }
        if (i < rows) {
            if (!made->raw) {
                FN_N(fn_shift_rows)(x, ldx, 1, n, &shift);
            }
            FN_N(sum_and_write_any)((const FN_T *)x, n, (FN_A)shift, &sum, &square, &row, &param,
                                    made->raw);
        }
        if (i) {
            FN_N(write_end)(&row, n, &param);
        }
        if (i < rows && !FN_N(row_of_sums)(&row.own, made, i, x, n, shift, sum, square)) {
            rows = i;
        }
    }
    if (rows) { /* the end of the last row */
        char *end = y + rows * n * sizeof(FN_T);
        const size_t bytes = (uintptr_t)end % FN_LINE;
        memcpy(end - bytes, (char *)&row.tail + sizeof row.tail - bytes, bytes);
    }
    return rows;
}
#else
/* By two or four sweeps over a row, or with values to be converted, it takes longer than the kernels one by one. */
enum { FN_N(fn_normalize_rows) /* NULL */ };
#endif
