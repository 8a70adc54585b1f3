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

FN_INLINE FN_LV
FN_N(affine_lanes)(FN_LV x, FN_LV hi, FN_LV lo, FN_LV r, FN_LV w, FN_LV b, int scaled)
{
    FN_LV y = FN_N(lv_centre)(x, hi, lo, r);
    if (scaled) {
        y = FN_N(lv_mul)(y, w);
    }
    return FN_N(lv_add)(y, b);
}

/* One run. vs, vw, vb, stream are constants in every call: which coefficients are vectors. */
FN_INLINE void
FN_N(affine_run)(FN_T *y, const FN_T *x, size_t n, const fn_centre *centre, const fn_param *param,
                 int vs, int vw, int vb, int stream)
{
    const FN_A *his = centre->hi, *los = centre->lo, *rs = centre->r, *ws = param->w, *bs = param->b;
    const int scaled = vs || vw;
    const FN_A mean = (FN_A)centre->mean;
    FN_LV hi = FN_N(lv_set1)(mean);
    FN_LV lo = FN_N(lv_set1)((FN_A)(centre->mean - (double)mean));
    FN_LV r = FN_N(lv_set1)((FN_A)(vw ? centre->rstd : centre->rstd * param->w0));
    FN_LV w = FN_N(lv_set1)((FN_A)param->w0);
    FN_LV b = FN_N(lv_set1)((FN_A)param->b0);
    size_t j = 0, head = 0;

    if (stream) { /* ordinary stores up to the first line boundary */
        head = (size_t)(-(uintptr_t)y & (sizeof(FN_T) * FN_LANES - 1)) / sizeof(FN_T);
        head = head < n ? head : n;
    }
    for (;;) {
        const size_t stop = head ? head : n;
        for (; !head && j + FN_LANES <= n; j += FN_LANES) {
            if (vs) {
                hi = FN_N(lv_coef)(his + j);
                lo = FN_N(lv_coef)(los + j);
                r = FN_N(lv_coef)(rs + j);
            }
            if (vw) {
                w = FN_N(lv_coef)(ws + j);
            }
            if (vb) {
                b = FN_N(lv_coef)(bs + j);
            }
            FN_LV out = FN_N(affine_lanes)(FN_N(lv_load)(x + j), hi, lo, r, w, b, scaled);
            if (stream) {
                FN_N(lv_stream)(y + j, out);
            }
            else {
                FN_N(lv_store)(y + j, out);
            }
        }
        if (j < stop) { /* the head of a streamed run, or the tail */
            const size_t left = stop - j;
            if (vs) {
                hi = FN_N(lv_coef_n)(his + j, left);
                lo = FN_N(lv_coef_n)(los + j, left);
                r = FN_N(lv_coef_n)(rs + j, left);
            }
            if (vw) {
                w = FN_N(lv_coef_n)(ws + j, left);
            }
            if (vb) {
                b = FN_N(lv_coef_n)(bs + j, left);
            }
            FN_LV v = FN_N(lv_load_n)(x + j, left, hi);
            FN_N(lv_store_n)
            (y + j, FN_N(affine_lanes)(v, hi, lo, r, w, b, scaled), left);
            j = stop;
        }
        if (!head) {
            break;
        }
        head = 0;
    }
}

static void
FN_N(fn_affine)(void *y_, fn_ld ldy, const void *x_, fn_ld ldx, size_t rows, size_t n,
                const fn_centre *centre, const fn_param *param, int stream)
{
    const char *x = x_;
    char *y = y_;
    const int which = (centre->hi != NULL) << 3 | (param->w != NULL) << 2 |
                      (param->b != NULL) << 1 | (stream != 0);
    for (size_t i = 0; i < rows; i++, x += ldx, y += ldy) {
        switch (which) {
#define FN_CASE(s)                                                                                 \
    case s:                                                                                        \
        FN_N(affine_run)                                                                           \
        ((FN_T *)y, (const FN_T *)x, n, centre, param, (s) >> 3, (s) >> 2 & 1, (s) >> 1 & 1,       \
         (s) & 1);                                                                                 \
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
