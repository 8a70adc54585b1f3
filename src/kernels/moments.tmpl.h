/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     Sums about a shift c:  s1 = sum (x - c),  s2 = sum (x - c)^2.  The driver turns them into
 *          mean = c + s1/n and M2 = s2 - s1^2/n; with c within a few standard deviations of the mean
 *          nothing cancels, and the driver calls again with a better c where it was not.
 *          Without a shift s2 alone is made, about 0 (RMS).
 * Layouts  rows: every row of n values has sums of its own, or (step 0) all rows have one.
 *          cols: s1, s2 are per column.
 * Method   A block (FN_ROW_BLOCK values of a row, FN_COL_BLOCK rows of columns) is summed in the compute
 *          type, squares in runs of FN_SQUARES, then added to the double sums. A value's lane is its
 *          index in the row modulo 4 logical vectors, so the order of additions is the same on every
 *          ISA; each tier sweeps over as many of the four accumulators at once as its registers
 *          hold. A tail is filled up with c, which adds exact zeros.
 * wide     The same sums, each operation in double: for blocks whose squares overflow or vanish in
 *          float32.
 * Source   Chan, Golub, LeVeque, "Algorithms for computing the sample variance" (1983), shifted
 *          data and pairwise combination.
 * Needs    lanes.tmpl.h; FN_SWEEP accumulators at once (1, 2 or 4).
 */

/* Powers of two samples: the mean of equal values is exactly that value. */
static void
FN_N(fn_shift_rows)(const void *x_, fn_ld ldx, size_t rows, size_t n, double *shift)
{
    const char *row = x_;
    for (size_t i = 0; i < rows; i++, row += ldx) {
        const FN_T *x = (const FN_T *)row;
        if (n < FN_LANES) {
            size_t some = 1;
            while (2 * some <= n) {
                some *= 2;
            }
            const FN_A sum = FN_N(lv_sum)(FN_N(lv_load_n)(x, some, FN_N(lv_set1)(0)));
            shift[i] = (double)(sum / (FN_A)some);
            continue;
        }
        const size_t last = fn_samples_end(n, FN_LANES);
        const FN_LV sum =
            FN_N(lv_add)(FN_N(lv_add)(FN_N(lv_load)(x), FN_N(lv_load)(x + last / 3)),
                         FN_N(lv_add)(FN_N(lv_load)(x + 2 * last / 3), FN_N(lv_load)(x + last)));
        shift[i] = (double)(FN_N(lv_sum)(sum) / (FN_A)(4 * FN_LANES));
    }
}

/* x - c is added to *a and its square to *q; raw: x^2 to *q alone. fresh: nothing is in these yet. Both are
 * constants in every call. */
FN_INLINE void
FN_N(moments_add)(FN_LV v, FN_LV c, FN_LV *a, FN_LV *q, int fresh_a, int fresh_q, int raw)
{
    const FN_LV d = raw ? v : FN_N(lv_sub)(v, c), square = FN_N(lv_mul)(d, d);
    if (!raw) {
        *a = fresh_a ? d : FN_N(lv_add)(*a, d);
    }
    *q = fresh_q ? square : FN_N(lv_add)(*q, square);
}

/* A row; summed: x = a + b is written on the way. That is a constant in every call. */
typedef struct {
    const FN_T *x, *a, *b;
    int summed;
} FN_N(moments_row);

/* Go on to the next row. */
FN_INLINE void
FN_N(moments_go_on)(FN_N(moments_row) * row, fn_ld ldx, const fn_terms *terms)
{
    row->x = (const FN_T *)((const char *)row->x + ldx);
    if (terms) {
        row->a = (const FN_T *)((const char *)row->a + terms->lda);
        row->b = (const FN_T *)((const char *)row->b + terms->ldb);
    }
}

/* The row from value j on. */
FN_INLINE
FN_N(moments_row) FN_N(moments_from)(FN_N(moments_row) row, size_t j)
{
    row.x += j;
    if (row.summed) {
        row.a += j;
        row.b += j;
    }
    return row;
}

/* Ask for the samples of the row that lies `ahead` bytes further on. */
FN_INLINE void
FN_N(prefetch_samples)(FN_N(moments_row) row, size_t n, ptrdiff_t ahead)
{
    const size_t last = fn_samples_end(n, FN_LANES);
    FN_UNROLL
    for (size_t k = 0; k < 8; k++) { /* the first and the last value of each */
        const FN_N(moments_row) at =
            FN_N(moments_from)(row, k / 2 * last / 3 + k % 2 * (FN_LANES - 1));
        FN_PREFETCH((const char *)(at.summed ? at.a : at.x) + ahead);
        if (at.summed) {
            FN_PREFETCH((const char *)at.b + ahead);
        }
    }
}

/* The k-th vector of the row, or its first `left` values and `fill`. */
FN_INLINE FN_LV
FN_N(moments_value)(FN_N(moments_row) row, int k, size_t left, FN_LV fill)
{
    row = FN_N(moments_from)(row, (size_t)k * FN_LANES);
    if (row.summed && left) {
        FN_N(fn_sum)((FN_T *)row.x, 0, row.a, 0, row.b, 0, 1, left);
    }
    else if (row.summed) {
        FN_N(lv_store)((FN_T *)row.x, FN_N(lv_add)(FN_N(lv_load)(row.a), FN_N(lv_load)(row.b)));
    }
    return FN_N(lv_load_any)(row.x, left, fill);
}

/* FN_SWEEP logical vectors. */
FN_INLINE void
FN_N(moments_step)(FN_N(moments_row) row, FN_LV c, FN_LV *a, FN_LV *q, ptrdiff_t ahead, int fresh_a,
                   int fresh_q, int raw)
{
    FN_UNROLL
    for (int k = 0; k < FN_SWEEP; k++) {
        if (FN_FIRST_SWEEP(k) && ahead) {
            FN_PREFETCH((const char *)(row.x + k * FN_LANES) + ahead);
        }
        const FN_LV v = FN_N(moments_value)(row, k, 0, c);
        FN_N(moments_add)(v, c, &a[k], &q[k], fresh_a, fresh_q, raw);
    }
}

/* The same of what a run of values ends with, less than FN_ACCUMULATORS vectors. */
FN_INLINE void
FN_N(moments_tail)(FN_N(moments_row) row, size_t left, int sweep, FN_LV c, FN_LV *a, FN_LV *q,
                   ptrdiff_t ahead, int fresh, int raw)
{
    FN_UNROLL
    for (int k = 0; k < FN_SWEEP; k++) {
        const size_t at = (size_t)(sweep + k) * FN_LANES;
        if (at < left) {
            if (ahead) {
                FN_PREFETCH((const char *)(row.x + at) + ahead);
            }
            const FN_LV v = left - at >= FN_LANES
                                ? FN_N(moments_value)(row, sweep + k, 0, c)
                                : FN_N(moments_value)(row, sweep + k, left - at, c);
            FN_N(moments_add)(v, c, &a[k], &q[k], fresh, fresh, raw);
        }
        else if (fresh) {
            a[k] = q[k] = FN_N(lv_set1)(0);
        }
    }
}

/* The sums of len <= FN_ROW_BLOCK values, in the accumulators from `sweep` on. */
FN_INLINE void
FN_N(moments_run)(FN_N(moments_row) row, size_t len, int sweep, FN_LV c, FN_LV *a, FN_LV *q,
                  ptrdiff_t ahead, int raw)
{
    const size_t step = FN_ACCUMULATORS * FN_LANES, steps = len / step;
    const FN_N(moments_row) p = FN_N(moments_from)(row, (size_t)sweep * FN_LANES);
    if (!steps) {
        FN_N(moments_tail)(row, len, sweep, c, a, q, ahead, 1, raw);
        return;
    }
    FN_N(moments_step)(p, c, a, q, ahead, 1, 1, raw);
    for (size_t i = 1; i < steps && i < FN_SQUARES; i++) {
        FN_N(moments_step)(FN_N(moments_from)(p, i * step), c, a, q, ahead, 0, 0, raw);
    }
    for (size_t i = FN_SQUARES; i < steps; i += FN_SQUARES) {
        const size_t end = steps - i < FN_SQUARES ? steps : i + FN_SQUARES;
        FN_LV s[FN_SWEEP];
        FN_N(moments_step)(FN_N(moments_from)(p, i * step), c, a, s, ahead, 0, 1, raw);
        for (size_t l = i + 1; l < end; l++) {
            FN_N(moments_step)(FN_N(moments_from)(p, l * step), c, a, s, ahead, 0, 0, raw);
        }
        FN_UNROLL
        for (int k = 0; k < FN_SWEEP; k++) {
            q[k] = FN_N(lv_add)(q[k], s[k]);
        }
    }
    if (steps * step < len) {
        FN_N(moments_tail)(FN_N(moments_from)(row, steps * step), len - steps * step, sweep, c, a,
                           q, ahead, 0, raw);
    }
}

/* The sums of the first len <= FN_ROW_BLOCK values of a row, lane by lane. */
FN_INLINE void
FN_N(moments_block)(FN_N(moments_row) row, size_t len, FN_LV c, FN_LV *sum, FN_LV *square,
                    ptrdiff_t ahead, int raw)
{
    FN_LV a[FN_ACCUMULATORS], q[FN_ACCUMULATORS];
    for (int sweep = 0; sweep < FN_ACCUMULATORS; sweep += FN_SWEEP) {
        FN_N(moments_run)(row, len, sweep, c, a + sweep, q + sweep, ahead, raw);
    }
    if (!raw) {
        *sum = FN_N(lv_sum_four)(a);
    }
    *square = FN_N(lv_sum_four)(q);
}

/* Shift of a row that is not made yet, of four vectors to FN_ROW_BLOCK values. */
FN_INLINE void
FN_N(shift_of_sums)(FN_N(moments_row) row, double *shift)
{
    _Alignas(64) FN_T samples[4 * FN_LANES]; /* x may be a term */
    FN_N(fn_sum)(samples, 0, row.a, 0, row.b, 0, 1, 4 * FN_LANES);
    FN_N(fn_shift_rows)(samples, 0, 1, 4 * FN_LANES, shift);
}

/* sampled: the shift of a row is made just before its sums. */
FN_INLINE void
FN_N(moments_rows)(const void *x, fn_ld ldx, const fn_terms *terms, size_t rows, size_t n,
                   double *shift, size_t step, double *s1, double *s2, ptrdiff_t ahead, int raw,
                   int sampled)
{
    const fn_ld apart = terms ? terms->lda : ldx;
    const ptrdiff_t next = ahead && FN_FORESEEN(apart, n * sizeof(FN_T)) ? ahead : 0;
    FN_N(moments_row) at = {x, terms ? terms->a : NULL, terms ? terms->b : NULL, terms != NULL};
    FN_LV sum[FN_LANES], square[FN_LANES];
    ahead = terms ? 0 : next ? FN_AHEAD : ahead;
    if (step && n <= FN_ROW_BLOCK) {
        for (size_t row = 0; row < rows; row += FN_LANES) {
            const size_t some = rows - row < FN_LANES ? rows - row : FN_LANES;
            for (size_t i = 0; i < some; i++, FN_N(moments_go_on)(&at, ldx, terms)) {
                if (sampled && terms) {
                    FN_N(shift_of_sums)(at, shift + row + i);
                }
                else if (sampled) {
                    FN_N(fn_shift_rows)(at.x, ldx, 1, n, shift + row + i);
                }
                const FN_LV c = FN_N(lv_set1)(raw ? 0 : (FN_A)shift[row + i]);
                FN_N(moments_block)(at, n, c, &sum[i], &square[i], ahead, raw);
            }
            if (!raw) {
                FN_N(lv_sums)(sum, some, s1 + row);
            }
            FN_N(lv_sums)(square, some, s2 + row);
        }
        return;
    }
    for (size_t row = 0; row < rows; row++, FN_N(moments_go_on)(&at, ldx, terms)) {
        if (sampled) {
            FN_N(fn_shift_rows)(at.x, ldx, 1, n, shift + row * step);
        }
        const FN_LV c = FN_N(lv_set1)(raw ? 0 : (FN_A)shift[row * step]);
        if (next && !raw) {
            FN_N(prefetch_samples)(at, n, next);
        }
        for (size_t start = 0; start < n; start += FN_ROW_BLOCK) {
            const size_t len = n - start < FN_ROW_BLOCK ? n - start : FN_ROW_BLOCK;
            FN_N(moments_block)(FN_N(moments_from)(at, start), len, c, sum, square, ahead, raw);
            if (!raw) {
                s1[row * step] += (double)FN_N(lv_sum)(sum[0]);
            }
            s2[row * step] += (double)FN_N(lv_sum)(square[0]);
        }
    }
}

/* One function, so that there is one copy of it. */
FN_NOINLINE void
FN_N(moments_shifted)(const void *x, fn_ld ldx, size_t rows, size_t n, double *shift, size_t step,
                      double *s1, double *s2, ptrdiff_t ahead, int sampled)
{
    FN_N(moments_rows)(x, ldx, NULL, rows, n, shift, step, s1, s2, ahead, 0, sampled);
}

static void
FN_N(fn_moments_rows)(const void *x, fn_ld ldx, size_t rows, size_t n, const double *shift,
                      size_t step, double *s1, double *s2, ptrdiff_t ahead)
{
    if (shift) {
        FN_N(moments_shifted)(x, ldx, rows, n, (double *)shift, step, s1, s2, ahead, 0);
    }
    else {
        FN_N(moments_rows)(x, ldx, NULL, rows, n, NULL, step, s1, s2, ahead, 1, 0);
    }
}

static void
FN_N(fn_sampled_rows)(const void *x, fn_ld ldx, size_t rows, size_t n, double *shift, double *s1,
                      double *s2, ptrdiff_t ahead)
{
    FN_N(moments_shifted)(x, ldx, rows, n, shift, 1, s1, s2, ahead, 1);
}

static void
FN_N(fn_moments_sum)(void *x, fn_ld ldx, const fn_terms *terms, size_t rows, size_t n,
                     double *shift, double *s1, double *s2, ptrdiff_t ahead, int sampled)
{
    const fn_terms known = *terms; /* not NULL */
    if (shift) {
        FN_N(moments_rows)(x, ldx, &known, rows, n, shift, 1, s1, s2, ahead, 0, sampled);
    }
    else {
        FN_N(moments_rows)(x, ldx, &known, rows, n, NULL, 1, s1, s2, ahead, 1, 0);
    }
}

static void
FN_N(fn_moments_rows_wide)(const void *x_, fn_ld ldx, size_t rows, size_t n, const double *shift,
                           size_t step, double *s1, double *s2, ptrdiff_t ahead)
{
    (void)ahead; /* a second reading: all is in cache */
    for (size_t i = 0; i < rows; i++) {
        const FN_T *x = (const FN_T *)((const char *)x_ + (fn_ld)i * ldx);
        for (size_t j = 0; j < n; j += FN_LANES) {
            const size_t len = n - j < FN_LANES ? n - j : FN_LANES;
            const FN_LV v = len == FN_LANES ? FN_N(lv_load)(x + j)
                                            : FN_N(lv_load_n)(x + j, len, FN_N(lv_set1)(0));
            FN_A held[FN_LANES];
            memcpy(held, &v, sizeof held);
            for (size_t k = 0; k < len; k++) {
                const double d = (double)held[k] - (shift ? shift[i * step] : 0);
                s1[i * step] += shift ? d : 0;
                s2[i * step] += d * d;
            }
        }
    }
}

/* K logical vectors of columns from j on, or its first `left`, down one band of rows. The sums of the
 * bands before are in `sum` and `square`, which hold the columns of this call. K and raw are constants in every
 * call. */
FN_INLINE void
FN_N(moments_panel)(const char *x, fn_ld ldx, size_t rows, size_t j, size_t left, const FN_A *shift,
                    FN_A *sum, FN_A *square, fn_ld ahead, int K, int raw)
{
    FN_LV c[FN_SWEEP], a[FN_SWEEP], s[FN_SWEEP];
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        c[k] = FN_N(lv_set1)(0);
        if (!raw) {
            c[k] = FN_N(lv_coef_any)(shift + j + (size_t)k * FN_LANES, left);
            a[k] = FN_N(lv_coef)(sum + j + (size_t)k * FN_LANES);
        }
        s[k] = FN_N(lv_set1)(0);
    }
    x += j * sizeof(FN_T);
    for (size_t i = 0; i < rows; i++, x += ldx) {
        FN_UNROLL
        for (int k = 0; k < K; k++) {
            const FN_T *p = (const FN_T *)x + k * FN_LANES;
            if (ahead) {
                FN_PREFETCH((const char *)p + ahead);
            }
            FN_N(moments_add)(FN_N(lv_load_any)(p, left, c[k]), c[k], &a[k], &s[k], 0, 0, raw);
        }
    }
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        const size_t at = j + (size_t)k * FN_LANES;
        if (!raw) {
            FN_N(lv_coef_put)(sum + at, a[k], 0);
        }
        FN_N(lv_coef_put)(square + at, FN_N(lv_add)(FN_N(lv_coef)(square + at), s[k]), 0);
    }
}

FN_INLINE void
FN_N(moments_cols)(const void *x_, fn_ld ldx, size_t rows, size_t n, const FN_A *shift, double *s1,
                   double *s2, int raw)
{
    /* Bands run along whole rows, not down a panel: rows lie in memory one after the other. */
    _Alignas(64) FN_A sum[FN_COLS_AT_ONCE], square[FN_COLS_AT_ONCE];
    const fn_ld next_band = FN_N(next_band)(ldx, n);
    for (size_t j0 = 0; j0 < n; j0 += FN_COLS_AT_ONCE) {
        const size_t wide = n - j0 < FN_COLS_AT_ONCE ? n - j0 : FN_COLS_AT_ONCE;
        const FN_A *c = raw ? NULL : shift + j0;
        for (size_t start = 0; start < rows; start += FN_COL_BLOCK) {
            const size_t stop = rows - start < FN_COL_BLOCK ? rows : start + FN_COL_BLOCK;
            memset(sum, 0, (wide + FN_LANES - 1) / FN_LANES * FN_LANES * sizeof *sum);
            memset(square, 0, (wide + FN_LANES - 1) / FN_LANES * FN_LANES * sizeof *square);
            for (size_t row = start; row < stop; row += FN_SQUARES) {
                const char *x = (const char *)x_ + (fn_ld)row * ldx + j0 * sizeof(FN_T);
                const size_t len = stop - row < FN_SQUARES ? stop - row : FN_SQUARES;
                const fn_ld ahead = row + FN_BAND < rows ? next_band : 0;
                size_t j = 0;
                for (; j + FN_SWEEP * FN_LANES <= wide; j += FN_SWEEP * FN_LANES) {
                    FN_N(moments_panel)(x, ldx, len, j, 0, c, sum, square, ahead, FN_SWEEP, raw);
                }
                for (; FN_SWEEP > 1 && j + FN_LANES <= wide; j += FN_LANES) {
                    FN_N(moments_panel)(x, ldx, len, j, 0, c, sum, square, ahead, 1, raw);
                }
                if (j < wide) {
                    FN_N(moments_panel)(x, ldx, len, j, wide - j, c, sum, square, ahead, 1, raw);
                }
            }
            for (size_t j = 0; j < wide; j++) {
                s1[j0 + j] += raw ? 0 : (double)sum[j];
                s2[j0 + j] += (double)square[j];
            }
        }
    }
}

static void
FN_N(fn_moments_cols)(const void *x, fn_ld ldx, size_t rows, size_t n, const void *shift,
                      double *s1, double *s2)
{
    if (shift) {
        FN_N(moments_cols)(x, ldx, rows, n, shift, s1, s2, 0);
    }
    else {
        FN_N(moments_cols)(x, ldx, rows, n, NULL, s1, s2, 1);
    }
}

static void
FN_N(fn_moments_cols_wide)(const void *x_, fn_ld ldx, size_t rows, size_t n, const void *shift_,
                           double *s1, double *s2)
{
    const double *shift = shift_;
    for (size_t i = 0; i < rows; i++) {
        const FN_T *x = (const FN_T *)((const char *)x_ + (fn_ld)i * ldx);
        for (size_t j = 0; j < n; j += FN_LANES) {
            const size_t len = n - j < FN_LANES ? n - j : FN_LANES;
            const FN_LV v = len == FN_LANES ? FN_N(lv_load)(x + j)
                                            : FN_N(lv_load_n)(x + j, len, FN_N(lv_set1)(0));
            FN_A held[FN_LANES];
            memcpy(held, &v, sizeof held);
            for (size_t k = 0; k < len; k++) {
                const double d = (double)held[k] - (shift ? shift[j + k] : 0);
                s1[j + k] += shift ? d : 0;
                s2[j + k] += d * d;
            }
        }
    }
}
