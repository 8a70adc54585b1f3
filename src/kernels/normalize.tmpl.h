/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     y = xh * w + b, or max(y, 0), of rows whose statistics are not known yet: what moments_rows, statistics, centres and
 *          affine do one after the other, with the same bits. x may be a sum, made on the way.
 * Layouts  rows of FN_ROW_BLOCK values at most, more than one line (of a sum, four); those of y follow each
 *          other, and those of a sum.
 * Method   While one row is summed the row before it is stored past the cache, four vectors of either in turn. So
 *          x is read from memory while y goes there, as in a copy, and what is written was in first-level
 *          cache. What comes some rows later is asked for meanwhile. A sum is kept in first-level cache until
 *          it is written, and is stored past the cache beside y; plainly where it replaces a term, whose
 *          lines were just read. Both are joined to lines (lv_shift): a row's end
 *          waits for the next row as one vector, since a load of what several stores left would wait for all
 *          stores before them.
 * Aliasing y may be x or a term, a sum may be a term.
 * Needs    affine.tmpl.h, moments.tmpl.h, statistics.tmpl.h; FN_SWEEP, FN_SHIFTS, FN_AS_STORED.
 */
#if FN_SWEEP == FN_ACCUMULATORS && FN_SHIFTS && FN_AS_STORED

/* A row that is written: columns from j on are left. summed: x, too. */
typedef struct {
    const FN_T *x;
    FN_T *y, *sum;
    size_t j;
    int relu, summed;
    FN_N(affine_row) own;
    FN_N(fn_shift) to_y, to_sum;
} FN_N(fn_written);

/* The next K vectors, or the first `left` values of one. */
FN_INLINE void
FN_N(write_some)(FN_N(fn_written) * row, size_t left, int K, int how, int summed,
                 const fn_param *param)
{
    const fn_centre unread = {NULL, NULL, NULL, 1, 0};
    const size_t j = row->j;
    FN_N(affine_few)(row->y + j, row->x + j, &row->own, &unread, param, j, left, &row->to_y, 0, K,
                     how, row->relu ? FN_N(RELU) : FN_N(AS_IT_IS));
    if (summed) {
        FN_LV x[FN_SWEEP];
        FN_N(lv_take)(row->x + j, x, K, left);
        if (left) {
            FN_N(lv_shift_part)(row->sum + j, x[0], left, &row->to_sum);
        }
        else {
            FN_N(lv_shift_put)(row->sum + j, x, K, &row->to_sum);
        }
    }
    row->j += left ? left : (size_t)K * FN_LANES;
}

/* What is left of it. */
FN_INLINE void
FN_N(write_end)(FN_N(fn_written) * row, size_t n, const fn_param *param)
{
    const int how = FN_N(how_of)(param);
    while (row->j + FN_LANES <= n) {
        FN_N(write_some)(row, 0, 1, how, row->summed, param);
    }
    if (row->j < n) {
        FN_N(write_some)(row, n - row->j, 1, how, row->summed, param);
    }
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
            if (w.j + step <= n) {
                FN_N(write_some)(&w, 0, FN_SWEEP, how, at.summed, &p);
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
    FN_N(lv_shift_go_on)(&row->to_y, &w.to_y);
    if (at.summed) {
        FN_N(lv_shift_go_on)(&row->to_sum, &w.to_sum);
    }
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

/* Room for a row: it may begin anywhere in a page. */
typedef struct {
    _Alignas(FN_LINE) FN_A value[FN_ROW_BLOCK + FN_PAGE / sizeof(FN_A)];
} FN_N(fn_row_room);

/* Its place so many bytes behind y, modulo a page: loads do not agree, modulo 4096, with stores that wait. */
FN_INLINE void *
FN_N(place_behind)(uintptr_t y, size_t bytes, FN_N(fn_row_room) * room)
{
    return (char *)room + (y + bytes - (uintptr_t)room) % FN_PAGE;
}

/* A vector of parameters, half a page behind y. */
FN_INLINE const void *
FN_N(param_behind)(const FN_A *p, size_t n, uintptr_t y, FN_N(fn_row_room) * room)
{
    return p ? memcpy(FN_N(place_behind)(y, FN_PAGE / 2, room), p, n * sizeof *p) : NULL;
}

static size_t
FN_N(fn_normalize_rows)(void *y_, void *x, fn_ld ldx, const fn_terms *terms, size_t rows, size_t n,
                        const fn_made *made, const fn_param *given)
{
    const size_t bytes = n * sizeof(FN_T);
    const fn_ld ld = terms ? terms->lda : ldx;
    const ptrdiff_t ahead = ld == (fn_ld)bytes && bytes >= FN_OUT_LONG ? FN_ROWS_AHEAD : ld;
    FN_T *y = y_, *sum = x;
    const uintptr_t line = (uintptr_t)y / FN_LINE * FN_LINE; /* vectors in a room begin lines */
    FN_N(fn_row_room) weight, bias, sums[2];
    const fn_param param = {FN_N(param_behind)(given->w, n, line, &weight),
                            FN_N(param_behind)(given->b, n, line, &bias), 0};
    FN_N(moments_row) at = {x, terms ? terms->a : NULL, terms ? terms->b : NULL, terms != NULL};
    FN_N(fn_written) row = {.relu = made->relu, .summed = terms != NULL};
    FN_N(lv_shift_start)(&row.to_y, y, 0);
    FN_N(lv_shift_start)(&row.to_sum, sum, terms && (x == terms->a || x == terms->b));
    for (size_t i = 0; i <= rows; i++) { /* row i is summed, the one before it written */
        FN_LV s1, s2;
        double shift = 0;
        const size_t written = i ? i - 1 : 0;
        row.j = i ? 0 : n;
        row.y = y + written * n;
        row.sum = sum + written * n;
        if (i < rows) {
            if (terms) {
                at.x = FN_N(place_behind)(line, (i % 2 ? 3 : 1) * FN_PAGE / 4, &sums[i % 2]);
            }
            if (terms && !made->raw) {
                FN_N(shift_of_sums)(at, &shift);
            }
            else if (!made->raw) {
                FN_N(fn_shift_rows)(at.x, 0, 1, n, &shift);
            }
            FN_N(sum_and_write_any)(at, n, (FN_A)shift, &s1, &s2, &row, &param, ahead, made->raw);
        }
        FN_N(write_end)(&row, n, &param);
        if (i < rows && !FN_N(row_of_sums)(&row.own, made, i, at.x, n, shift, s1, s2)) {
            rows = i;
        }
        row.x = at.x;
        FN_N(moments_go_on)(&at, terms ? 0 : ldx, terms);
    }
    if (rows) {
        FN_N(lv_shift_end)(y + rows * n, &row.to_y);
    }
    if (rows && terms) {
        FN_N(lv_shift_end)(sum + rows * n, &row.to_sum);
    }
    return rows;
}
#else
/* By two or four sweeps over a row, or with values to be converted, it takes longer than the kernels one by one. */
enum { FN_N(fn_normalize_rows) /* NULL */ };
#endif
