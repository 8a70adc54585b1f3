/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     y = xh * w + b, or max(y, 0), of rows whose statistics are not known yet: what moments_rows, statistics, centres and
 *          affine do one after the other, with the same bits. x may be a sum, made on the way.
 * Layouts  rows of FN_ROW_BLOCK values at most, more than one line (of a sum, four); those of y follow each
 *          other, and those of a sum.
 * Method   While one row is summed the row before it is stored past the cache, four vectors of either in turn. So
 *          x is read from memory while y goes there, as in a copy, and what is written was in first-level
 *          cache. What comes some rows later is asked for meanwhile. A sum is kept in first-level cache until
 *          it is written, and is stored past the cache beside y.
 * Aliasing y may be x or a term, a sum may be a term.
 * Needs    affine.tmpl.h, moments.tmpl.h, statistics.tmpl.h; FN_SWEEP, FN_AS_STORED.
 */
#if FN_SWEEP == FN_ACCUMULATORS && FN_AS_STORED

/* Where a row goes, past the cache: columns [j, end) are left. tail: the last values of the row before. */
typedef struct {
    FN_T *to;
    size_t j, end;
    FN_LV tail;
} FN_N(fn_lines);

/* A row that is written, x being column 0; summed: x, too. */
typedef struct {
    const FN_T *x;
    int relu, summed;
    FN_N(fn_lines) y, sum;
    FN_N(affine_row) own;
} FN_N(fn_written);

/* K vectors of y, from column j on. how is a constant in every call but those of edges. */
FN_INLINE void
FN_N(write_some)(const FN_N(fn_written) * row, void *to, size_t j, int where, int K, int how,
                 const fn_param *param)
{
    const fn_centre own = {NULL, NULL, NULL, 1, 0}; /* not read */
    FN_N(affine_panel)(to, 0, (const char *)row->x, 0, 0, 1, j, 0, &own, param, NULL, 0, where, K,
                       1, how, row->relu ? FN_N(RELU) : FN_N(AS_IT_IS), &row->own);
}

/* K lines of it, if so many are left. */
FN_INLINE int
FN_N(write_lines)(FN_N(fn_written) * row, int K, int how, const fn_param *param)
{
    if (row->y.j + (size_t)K * FN_LANES > row->y.end) {
        return 0;
    }
    FN_N(write_some)(row, row->y.to, row->y.j, FN_TO_LINES, K, how, param);
    row->y.j += (size_t)K * FN_LANES;
    row->y.to += K * FN_LANES;
    return 1;
}

/* The same of x. */
FN_INLINE int
FN_N(copy_lines)(FN_N(fn_written) * row, int K)
{
    if (row->sum.j + (size_t)K * FN_LANES > row->sum.end) {
        return 0;
    }
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        FN_N(lv_stream)(row->sum.to, FN_N(lv_load)(row->x + row->sum.j));
        row->sum.j += FN_LANES;
        row->sum.to += FN_LANES;
    }
    return 1;
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

/* Four vectors so many bytes ahead. */
FN_INLINE void
FN_N(ask_for)(const FN_T *x, ptrdiff_t ahead)
{
    FN_UNROLL
    for (int k = 0; k < FN_ACCUMULATORS; k++) {
        FN_PREFETCH((const char *)(x + k * FN_LANES) + ahead);
    }
}

/* The sums of a row, lane by lane, by the additions of moments_run (a sum begins with -0, which changes none), and
 * of the row that is written what four vectors at a time make. how, raw and what is summed are constants in every
 * call. */
FN_INLINE void
FN_N(sum_and_write)(FN_N(moments_row) at, size_t n, FN_LV c, FN_LV *sum, FN_LV *square,
                    FN_N(fn_written) * row, const fn_param *param, ptrdiff_t ahead, int how,
                    int raw)
{
    const size_t step = FN_ACCUMULATORS * FN_LANES, steps = n / step;
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
            if (at.summed) {
                FN_N(ask_for)(at.a + i * step, ahead);
                FN_N(ask_for)(at.b + i * step, ahead);
            }
            else {
                FN_N(ask_for)(at.x + i * step, ahead);
            }
            FN_N(moments_step)(FN_N(moments_from)(at, i * step), c, a, s, 0, 0, 0, raw);
            FN_N(write_lines)(&w, FN_SWEEP, how, &p);
            if (at.summed) {
                FN_N(copy_lines)(&w, FN_SWEEP);
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
    row->y.j = w.y.j;
    row->y.to = w.y.to;
    row->sum.j = w.sum.j;
    row->sum.to = w.sum.to;
}

/* One function for all ways, so that each has the registers for itself. A bias alone has no way here. */
FN_NOINLINE void
FN_N(sum_and_write_any)(FN_N(moments_row) at, size_t n, FN_A shift, FN_LV *sum, FN_LV *square,
                        FN_N(fn_written) * row, const fn_param *param, ptrdiff_t ahead, int raw)
{
    const FN_LV c = FN_N(lv_set1)(shift);
    switch (FN_N(how_of)(param) << 2 | (at.summed != 0) << 1 | (raw != 0)) {
#define FN_CASE(s)                                                                                 \
    case s:                                                                                        \
        at.summed = (s) >> 1 & 1;                                                                  \
        FN_N(sum_and_write)(at, n, c, sum, square, row, param, ahead, (s) >> 2, (s) & 1);          \
        break;
#define FN_CASES(how)                                                                              \
    FN_CASE(4 * how) FN_CASE(4 * how + 1) FN_CASE(4 * how + 2) FN_CASE(4 * how + 3)
        FN_CASES(FN_N(PLAIN))
        FN_CASES(FN_N(WEIGHT))
        FN_CASES(FN_N(BOTH))
#undef FN_CASES
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

/* Begin with a row at y: where it begins within a line, with that line, of its first values, `head`, and the last of
 * the row before. first: there is none. */
FN_INLINE void
FN_N(lines_begin)(FN_N(fn_lines) * lines, char *y, size_t n, int first, const FN_LV *head)
{
    const size_t before = (uintptr_t)y % FN_LINE;
    const size_t lead = before ? (FN_LINE - before) / sizeof(FN_T) : 0;
    if (lead && first) {
        memcpy(y, head, FN_LINE - before);
    }
    else if (lead) {
        FN_N(lv_stream)((FN_T *)(y - before), FN_N(line_of)(lines->tail, *head, FN_LANES - lead));
    }
    lines->to = (FN_T *)y + lead;
    lines->j = lead;
    lines->end = n - (n - lead) % FN_LANES;
}

/* The end of the last row. */
FN_INLINE void
FN_N(lines_end)(const FN_N(fn_lines) * lines, char *end)
{
    const size_t bytes = (uintptr_t)end % FN_LINE;
    memcpy(end - bytes, (const char *)(&lines->tail + 1) - bytes, bytes);
}

/* A row whose y begins there, and x, which is row->x, at sum. */
FN_INLINE void
FN_N(write_begin)(FN_N(fn_written) * row, char *y, char *sum, size_t n, int first,
                  const fn_param *param)
{
    FN_LV head;
    if ((uintptr_t)y % FN_LINE) {
        FN_N(write_some)(row, &head, 0, FN_TO_MEMORY, 1, FN_N(ASK), param);
    }
    FN_N(lines_begin)(&row->y, y, n, first, &head);
    if (row->summed) {
        head = FN_N(lv_load)(row->x);
        FN_N(lines_begin)(&row->sum, sum, n, first, &head);
    }
}

/* What is left of it; ends that do not fill a line wait for the next. */
FN_INLINE void
FN_N(write_end)(FN_N(fn_written) * row, size_t n, const fn_param *param)
{
    while (FN_N(write_lines)(row, 1, FN_N(ASK), param)) {
    }
    if (row->y.end < n) {
        FN_N(write_some)(row, &row->y.tail, n - FN_LANES, FN_TO_MEMORY, 1, FN_N(ASK), param);
    }
    if (row->summed) {
        while (FN_N(copy_lines)(row, 1)) {
        }
        row->sum.tail = FN_N(lv_load)(row->x + n - FN_LANES);
    }
}

/* Room for a row: it may begin anywhere in a page. */
typedef struct {
    _Alignas(FN_LINE) FN_A value[FN_ROW_BLOCK + FN_PAGE / sizeof(FN_A)];
} FN_N(fn_row_room);

/* Its place so many bytes behind y, modulo a page: loads do not agree, modulo 4096, with stores that wait. */
FN_INLINE FN_A *
FN_N(place_behind)(uintptr_t y, size_t bytes, FN_N(fn_row_room) * room)
{
    return (FN_A *)((char *)room + (y + bytes - (uintptr_t)room) % FN_PAGE);
}

/* A vector of parameters, half a page behind y; it begins its lines where y does, so that no vector of it is across
 * two. */
FN_INLINE const void *
FN_N(param_behind)(const FN_A *p, size_t n, const char *y, FN_N(fn_row_room) * room)
{
    return p ? memcpy(FN_N(place_behind)((uintptr_t)y, FN_PAGE / 2, room), p, n * sizeof *p) : NULL;
}

static size_t
FN_N(fn_normalize_rows)(void *y_, void *x, fn_ld ldx, const fn_terms *terms, size_t rows, size_t n,
                        const fn_made *made, const fn_param *given)
{
    const size_t bytes = n * sizeof(FN_T);
    const fn_ld ld = terms ? terms->lda : ldx;
    const ptrdiff_t ahead = ld == (fn_ld)bytes && bytes >= FN_OUT_LONG ? FN_ROWS_AHEAD : ld;
    char *y = y_, *sum = x;
    FN_N(fn_row_room) weight, bias, sums[2];
    const fn_param param = {FN_N(param_behind)(given->w, n, y, &weight),
                            FN_N(param_behind)(given->b, n, y, &bias), 0};
    FN_N(moments_row) at = {x, terms ? terms->a : NULL, terms ? terms->b : NULL, terms != NULL};
    FN_N(fn_written) row = {.relu = made->relu, .summed = terms != NULL};
    for (size_t i = 0; i <= rows; i++) { /* row i is summed, the one before it written */
        FN_LV s1, s2;
        double shift = 0;
        row.y.j = row.y.end = row.sum.j = row.sum.end = 0;
        if (i) {
            FN_N(write_begin)(&row, y + (i - 1) * bytes, sum + (i - 1) * bytes, n, i == 1, &param);
        }
        if (i < rows) {
            if (terms) { /* its vectors begin lines: a store across two would wait */
                at.x = FN_N(place_behind)((uintptr_t)y / FN_LINE * FN_LINE,
                                          (i % 2 ? 3 : 1) * FN_PAGE / 4, &sums[i % 2]);
            }
            if (terms && !made->raw) {
                FN_N(shift_of_sums)(at, &shift);
            }
            else if (!made->raw) {
                FN_N(fn_shift_rows)(at.x, 0, 1, n, &shift);
            }
            FN_N(sum_and_write_any)(at, n, (FN_A)shift, &s1, &s2, &row, &param, ahead, made->raw);
        }
        if (i) {
            FN_N(write_end)(&row, n, &param);
        }
        if (i < rows && !FN_N(row_of_sums)(&row.own, made, i, at.x, n, shift, s1, s2)) {
            rows = i;
        }
        row.x = at.x;
        FN_N(moments_go_on)(&at, terms ? 0 : ldx, terms);
    }
    if (rows) {
        FN_N(lines_end)(&row.y, y + rows * bytes);
        if (terms) {
            FN_N(lines_end)(&row.sum, sum + rows * bytes);
        }
    }
    return rows;
}
#else
/* By two or four sweeps over a row, or with values to be converted, it takes longer than the kernels one by one. */
enum { FN_N(fn_normalize_rows) /* NULL */ };
#endif
