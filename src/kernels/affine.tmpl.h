/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     y = ((x - hi) - lo) * r * w + b  (forward), and the rounding of double coefficients to
 *          the compute type that goes before it (split).
 * Layouts  rows: hi, lo, r are scalars of the run, w folded into r unless it varies along the run.
 *          cols: hi, lo, r are vectors, one value per column, for `rows` rows.
 * Method   The mean is subtracted in two parts, hi = (A)mean and lo = (A)(mean - hi): the first
 *          subtraction is exact where x is near the mean (Sterbenz), so the error of y does not grow
 *          with |mean| / std. w and b: vectors along the run, or scalars.
 * Aliasing y may be x.
 * Needs    lanes.tmpl.h.
 */

/* K logical vectors of columns from j on, or its first `left`, down `rows` rows: coefficients are read
 * once and stay in registers. K, vs, vw, vb (which coefficients are vectors) and stream are constants in
 * every call but that of affine_edge. */
FN_INLINE void
FN_N(affine_panel)(char *y, fn_ld ldy, const char *x, fn_ld ldx, size_t rows, size_t j, size_t left,
                   const fn_centre *centre, const fn_param *param, ptrdiff_t ahead, int K, int vs,
                   int vw, int vb, int stream)
{
    const FN_A *his = centre->hi, *los = centre->lo, *rs = centre->r, *ws = param->w,
               *bs = param->b;
    const FN_A mean = (FN_A)centre->mean;
    FN_LV hi[FN_SWEEP], lo[FN_SWEEP], r[FN_SWEEP], w[FN_SWEEP], b[FN_SWEEP];
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        const size_t at = j + (size_t)k * FN_LANES;
        if (vs) {
            hi[k] = FN_N(lv_coef_any)(his + at, left);
            lo[k] = FN_N(lv_coef_any)(los + at, left);
            r[k] = FN_N(lv_coef_any)(rs + at, left);
        }
        else {
            hi[k] = FN_N(lv_set1)(mean);
            lo[k] = FN_N(lv_set1)((FN_A)(centre->mean - (double)mean));
            r[k] = FN_N(lv_set1)((FN_A)(vw ? centre->rstd : centre->rstd * param->w0));
        }
        w[k] = vw ? FN_N(lv_coef_any)(ws + at, left) : FN_N(lv_set1)((FN_A)param->w0);
        b[k] = vb ? FN_N(lv_coef_any)(bs + at, left) : FN_N(lv_set1)((FN_A)param->b0);
    }
    x += j * sizeof(FN_T);
    y += j * sizeof(FN_T);
    for (size_t i = 0; i < rows; i++, x += ldx, y += ldy) {
        /* All loads before the first store: a store at the same place of another page would hold up
         * the load after it. */
        FN_LV out[FN_SWEEP];
        FN_UNROLL
        for (int k = 0; k < K; k++) {
            const FN_T *px = (const FN_T *)x + k * FN_LANES;
            if (FN_SECOND_SWEEP(k) && ahead) {
                FN_PREFETCH((const char *)px + ahead);
            }
            FN_LV v = FN_N(lv_load_any)(px, left, hi[k]);
            v = FN_N(lv_centre)(v, hi[k], lo[k], r[k]);
            if (vs || vw) {
                v = FN_N(lv_mul)(v, w[k]);
            }
            out[k] = FN_N(lv_add)(v, b[k]);
        }
        FN_UNROLL
        for (int k = 0; k < K; k++) {
            FN_N(lv_store_any)((FN_T *)y + k * FN_LANES, out[k], left, stream);
        }
    }
}

/* Fewer columns than a vector holds: one copy for all the cases, or they would be most of the code. */
FN_NOINLINE void
FN_N(affine_edge)(char *y, fn_ld ldy, const char *x, fn_ld ldx, size_t rows, size_t j, size_t left,
                  const fn_centre *centre, const fn_param *param)
{
    FN_N(affine_panel)(y, ldy, x, ldx, rows, j, left, centre, param, 0, 1, centre->hi != NULL,
                       param->w != NULL, param->b != NULL, 0);
}

FN_INLINE void
FN_N(affine_block)(char *y, fn_ld ldy, const char *x, fn_ld ldx, size_t rows, size_t n,
                   const fn_centre *centre, const fn_param *param, ptrdiff_t ahead, int vs, int vw,
                   int vb, int stream)
{
    size_t j = stream ? FN_N(lv_head)(y, n) : 0;
    if (j) {
        FN_N(affine_edge)(y, ldy, x, ldx, rows, 0, j, centre, param);
    }
    for (; j + FN_SWEEP * FN_LANES <= n; j += FN_SWEEP * FN_LANES) {
        FN_N(affine_panel)(y, ldy, x, ldx, rows, j, 0, centre, param, ahead, FN_SWEEP, vs, vw, vb,
                           stream);
    }
    for (; FN_SWEEP > 1 && j + FN_LANES <= n; j += FN_LANES) {
        FN_N(affine_panel)(y, ldy, x, ldx, rows, j, 0, centre, param, ahead, 1, vs, vw, vb, stream);
    }
    if (j < n) {
        FN_N(affine_edge)(y, ldy, x, ldx, rows, j, n - j, centre, param);
    }
}

static void
FN_N(fn_affine)(void *y_, fn_ld ldy, const void *x_, fn_ld ldx, size_t rows, size_t n,
                const fn_centre *centre, const fn_param *param, const fn_memory *memory)
{
    const int which = (centre->hi != NULL) << 3 | (param->w != NULL) << 2 |
                      (param->b != NULL) << 1 |
                      FN_N(lv_may_stream)(memory->stream, y_, rows, ldy, n);
    for (size_t row0 = 0; row0 < rows; row0 += FN_COL_BLOCK) {
        const size_t len = rows - row0 < FN_COL_BLOCK ? rows - row0 : FN_COL_BLOCK;
        const char *x = (const char *)x_ + (fn_ld)row0 * ldx;
        char *y = (char *)y_ + (fn_ld)row0 * ldy;
        switch (which) {
#define FN_CASE(s)                                                                                 \
    case s:                                                                                        \
        FN_N(affine_block)(y, ldy, x, ldx, len, n, centre, param, memory->ahead_x, (s) >> 3,       \
                           (s) >> 2 & 1, (s) >> 1 & 1, (s) & 1);                                   \
        break;
            FN_CASE(0)
            FN_CASE(1)
            FN_CASE(2)
            FN_CASE(3)
            FN_CASE(4)
            FN_CASE(5)
            FN_CASE(6)
            FN_CASE(7)
            FN_CASE(8)
            FN_CASE(9)
            FN_CASE(10)
            FN_CASE(11)
            FN_CASE(12)
            FN_CASE(13)
            FN_CASE(14)
            FN_CASE(15)
#undef FN_CASE
        }
    }
}

static void
FN_N(fn_split)(size_t n, const double *v, void *hi_, void *lo_)
{
    FN_A *hi = hi_, *lo = lo_;
    for (size_t j = 0; j < n; j++) {
        hi[j] = (FN_A)v[j];
    }
    if (lo) {
        for (size_t j = 0; j < n; j++) {
            lo[j] = (FN_A)(v[j] - (double)hi[j]);
        }
    }
}
