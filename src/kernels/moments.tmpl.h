/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     Sums about a shift c:  s1 = sum (x - c),  s2 = sum (x - c)^2.  The driver turns them into
 *          mean = c + s1/n and M2 = s2 - s1^2/n; with c within a few standard deviations of the mean
 *          nothing cancels, and the driver calls again with a better c where it was not.
 *          c = 0 gives the raw moment (RMS).
 * Layouts  rows: x is one run of n values; s1, s2 are per lane.
 *          cols: x is rows x n; s1, s2 are per column.
 * Method   A block (FN_ROW_BLOCK values, FN_COL_BLOCK rows) is summed in the compute type, squares in
 *          runs of FN_SQUARES, then added to the double sums. A value's lane is its index in the run modulo 4 logical vectors, so
 *          the order of additions is the same on every ISA; each tier sweeps over as many of the
 *          four accumulators at once as its registers hold. A tail is filled up with c, which
 *          adds exact zeros.
 * wide     The same sums, each operation in double: for blocks whose squares overflow or vanish in
 *          float32.
 * Source   Chan, Golub, LeVeque, "Algorithms for computing the sample variance" (1983), shifted
 *          data and pairwise combination.
 * Needs    lanes.tmpl.h; FN_SWEEP accumulators at once (1, 2 or 4).
 */

static double
FN_N(fn_shift_rows)(const void *const samples[4], size_t w)
{
    const FN_T *const *x = (const FN_T *const *)samples;
    if (w < FN_LANES) {
        double sum = 0;
        for (int q = 0; q < 4; q++) {
            FN_A held[FN_LANES];
            FN_LV v = FN_N(lv_load_n)(x[q], w, FN_N(lv_set1)(0));
            memcpy(held, &v, sizeof held);
            for (size_t i = 0; i < w; i++) {
                sum += (double)held[i];
            }
        }
        return (double)(FN_A)(sum / (double)(4 * w));
    }
    /* Powers of two: the mean of equal values is exactly that value. */
    FN_LV sum = FN_N(lv_add)(FN_N(lv_add)(FN_N(lv_load)(x[0]), FN_N(lv_load)(x[1])),
                             FN_N(lv_add)(FN_N(lv_load)(x[2]), FN_N(lv_load)(x[3])));
    return (double)(FN_N(lv_sum)(sum) / (FN_A)(4 * FN_LANES));
}

static void
FN_N(fn_moments_rows)(const void *x_, size_t n, double shift, double *s1, double *s2,
                      ptrdiff_t ahead)
{
    const size_t step = FN_ACCUMULATORS * FN_LANES;
    const FN_LV c = FN_N(lv_set1)((FN_A)shift);

    for (size_t start = 0; start < n; start += FN_ROW_BLOCK) {
        const FN_T *block = (const FN_T *)x_ + start;
        const size_t len = n - start < FN_ROW_BLOCK ? n - start : FN_ROW_BLOCK;
        const size_t steps = len / step;
        FN_LV sum[FN_ACCUMULATORS], square[FN_ACCUMULATORS];

        for (int sweep = 0; sweep < FN_ACCUMULATORS; sweep += FN_SWEEP) {
            FN_LV a[FN_SWEEP], q[FN_SWEEP];
            const FN_T *p = block + sweep * FN_LANES;
            FN_UNROLL
            for (int k = 0; k < FN_SWEEP; k++) {
                a[k] = q[k] = FN_N(lv_set1)(0);
            }
            for (size_t i = 0; i < steps; i += FN_SQUARES) {
                const size_t some = steps - i < FN_SQUARES ? steps - i : FN_SQUARES;
                FN_LV s[FN_SWEEP];
                FN_UNROLL
                for (int k = 0; k < FN_SWEEP; k++) {
                    s[k] = FN_N(lv_set1)(0);
                }
                for (size_t l = 0; l < some; l++, p += step) {
                    FN_UNROLL
                    for (int k = 0; k < FN_SWEEP; k++) {
                        if (FN_FIRST_SWEEP(k) && ahead) {
                            FN_PREFETCH((const char *)(p + k * FN_LANES) + ahead);
                        }
                        FN_LV d = FN_N(lv_sub)(FN_N(lv_load)(p + k * FN_LANES), c);
                        a[k] = FN_N(lv_add)(a[k], d);
                        s[k] = FN_N(lv_add)(s[k], FN_N(lv_mul)(d, d));
                    }
                }
                FN_UNROLL
                for (int k = 0; k < FN_SWEEP; k++) {
                    q[k] = FN_N(lv_add)(q[k], s[k]);
                }
            }
            FN_UNROLL
            for (int k = 0; k < FN_SWEEP; k++) {
                const size_t at = steps * step + (size_t)(sweep + k) * FN_LANES;
                if (at < len) {
                    FN_LV v = len - at >= FN_LANES ? FN_N(lv_load)(block + at)
                                                   : FN_N(lv_load_n)(block + at, len - at, c);
                    FN_LV d = FN_N(lv_sub)(v, c);
                    a[k] = FN_N(lv_add)(a[k], d);
                    q[k] = FN_N(lv_add)(q[k], FN_N(lv_mul)(d, d));
                }
                sum[sweep + k] = a[k];
                square[sweep + k] = q[k];
            }
        }
        FN_N(lv_to_double)(
            s1, FN_N(lv_add)(FN_N(lv_add)(sum[0], sum[1]), FN_N(lv_add)(sum[2], sum[3])));
        FN_N(lv_to_double)(s2, FN_N(lv_add)(FN_N(lv_add)(square[0], square[1]),
                                            FN_N(lv_add)(square[2], square[3])));
    }
}

static void
FN_N(fn_moments_rows_wide)(const void *x_, size_t n, double shift, double *s1, double *s2,
                           ptrdiff_t ahead)
{
    (void)ahead; /* a second reading: all is in cache */
    const FN_T *x = x_;
    for (size_t j = 0; j < n; j += FN_LANES) {
        const size_t len = n - j < FN_LANES ? n - j : FN_LANES;
        const FN_LV v =
            len == FN_LANES ? FN_N(lv_load)(x + j) : FN_N(lv_load_n)(x + j, len, FN_N(lv_set1)(0));
        FN_A held[FN_LANES];
        memcpy(held, &v, sizeof held);
        for (size_t i = 0; i < len; i++) {
            const double d = (double)held[i] - shift;
            s1[i] += d;
            s2[i] += d * d;
        }
    }
}

/* K logical vectors of columns from j on, or its first `left`, down one block of rows. K is a constant
 * in every call. */
FN_INLINE void
FN_N(moments_panel)(const char *x, fn_ld ldx, size_t rows, size_t j, size_t left, const FN_A *shift,
                    double *s1, double *s2, int K)
{
    FN_LV c[FN_SWEEP], a[FN_SWEEP], q[FN_SWEEP];
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        c[k] = FN_N(lv_coef_any)(shift + j + (size_t)k * FN_LANES, left);
        a[k] = q[k] = FN_N(lv_set1)(0);
    }
    x += j * sizeof(FN_T);
    for (size_t i = 0; i < rows; i += FN_SQUARES) {
        const size_t some = rows - i < FN_SQUARES ? rows - i : FN_SQUARES;
        FN_LV s[FN_SWEEP];
        FN_UNROLL
        for (int k = 0; k < K; k++) {
            s[k] = FN_N(lv_set1)(0);
        }
        for (size_t l = 0; l < some; l++, x += ldx) {
            FN_UNROLL
            for (int k = 0; k < K; k++) {
                const FN_T *p = (const FN_T *)x + k * FN_LANES;
                FN_PREFETCH(p + FN_SWEEP * FN_LANES); /* the next panel's line of this row */
                FN_LV d = FN_N(lv_sub)(FN_N(lv_load_any)(p, left, c[k]), c[k]);
                a[k] = FN_N(lv_add)(a[k], d);
                s[k] = FN_N(lv_add)(s[k], FN_N(lv_mul)(d, d));
            }
        }
        FN_UNROLL
        for (int k = 0; k < K; k++) {
            q[k] = FN_N(lv_add)(q[k], s[k]);
        }
    }
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        const size_t at = j + (size_t)k * FN_LANES;
        FN_N(lv_to_double_n)(s1 + at, a[k], left ? left : (size_t)FN_LANES);
        FN_N(lv_to_double_n)(s2 + at, q[k], left ? left : (size_t)FN_LANES);
    }
}

static void
FN_N(fn_moments_cols)(const void *x_, fn_ld ldx, size_t rows, size_t n, const void *shift,
                      double *s1, double *s2)
{
    for (size_t start = 0; start < rows; start += FN_COL_BLOCK) {
        const char *x = (const char *)x_ + (fn_ld)start * ldx;
        const size_t len = rows - start < FN_COL_BLOCK ? rows - start : FN_COL_BLOCK;
        size_t j = 0;
        for (; j + FN_SWEEP * FN_LANES <= n; j += FN_SWEEP * FN_LANES) {
            FN_N(moments_panel)(x, ldx, len, j, 0, shift, s1, s2, FN_SWEEP);
        }
        for (; FN_SWEEP > 1 && j + FN_LANES <= n; j += FN_LANES) {
            FN_N(moments_panel)(x, ldx, len, j, 0, shift, s1, s2, 1);
        }
        if (j < n) {
            FN_N(moments_panel)(x, ldx, len, j, n - j, shift, s1, s2, 1);
        }
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
                const double d = (double)held[k] - shift[j + k];
                s1[j + k] += d;
                s2[j + k] += d * d;
            }
        }
    }
}
