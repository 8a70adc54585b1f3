/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     dx = ((dy * w - c0) - xh * c1) * r,  xh = ((x - hi) - lo) * r,  c0 = mean(g),
 *          c1 = mean(g * xh): the gradient of every layer that divides by a standard deviation, once
 *          the two sums are known.
 * Layouts  rows: hi, lo, r, c0, c1 are scalars of the run; cols: vectors, one value per column.
 *          w: a vector along the run or a scalar.
 * Aliasing dx may be x or dy.
 * Needs    lanes.tmpl.h.
 */

/* vs, vw, stream are constants in every call. */
FN_INLINE void
FN_N(grad_combine_run)(FN_T *dx, const FN_T *x, const FN_T *dy, size_t n, const fn_centre *centre,
                       const fn_param *param, const fn_means *means, int vs, int vw, int stream)
{
    const FN_A *his = centre->hi, *los = centre->lo, *rs = centre->r;
    const FN_A *c0s = means->c0, *c1s = means->c1, *ws = param->w;
    const FN_A mean = (FN_A)centre->mean;
    FN_LV hi = FN_N(lv_set1)(mean);
    FN_LV lo = FN_N(lv_set1)((FN_A)(centre->mean - (double)mean));
    FN_LV r = FN_N(lv_set1)((FN_A)centre->rstd);
    FN_LV w = FN_N(lv_set1)((FN_A)param->w0);
    FN_LV c0 = FN_N(lv_set1)((FN_A)means->c00), c1 = FN_N(lv_set1)((FN_A)means->c10);
    size_t j = 0, head = 0;

    if (stream) { /* ordinary stores up to the first line boundary */
        head = (size_t)(-(uintptr_t)dx & (sizeof(FN_T) * FN_LANES - 1)) / sizeof(FN_T);
        head = head < n ? head : n;
    }
    for (;;) {
        const size_t stop = head ? head : n;
        while (j < stop) {
            const size_t left = head || n - j < FN_LANES ? stop - j : 0; /* 0: all lanes */
            if (vs) {
                hi = left ? FN_N(lv_coef_n)(his + j, left) : FN_N(lv_coef)(his + j);
                lo = left ? FN_N(lv_coef_n)(los + j, left) : FN_N(lv_coef)(los + j);
                r = left ? FN_N(lv_coef_n)(rs + j, left) : FN_N(lv_coef)(rs + j);
                c0 = left ? FN_N(lv_coef_n)(c0s + j, left) : FN_N(lv_coef)(c0s + j);
                c1 = left ? FN_N(lv_coef_n)(c1s + j, left) : FN_N(lv_coef)(c1s + j);
            }
            if (vw) {
                w = left ? FN_N(lv_coef_n)(ws + j, left) : FN_N(lv_coef)(ws + j);
            }
            FN_LV v = left ? FN_N(lv_load_n)(x + j, left, hi) : FN_N(lv_load)(x + j);
            FN_LV g = left ? FN_N(lv_load_n)(dy + j, left, hi) : FN_N(lv_load)(dy + j);
            FN_LV xh = FN_N(lv_centre)(v, hi, lo, r);
            FN_LV out = FN_N(lv_sub)(FN_N(lv_mul)(g, w), c0);
            out = FN_N(lv_mul)(FN_N(lv_sub)(out, FN_N(lv_mul)(xh, c1)), r);
            if (left) {
                FN_N(lv_store_n)(dx + j, out, left);
                j += left;
                continue;
            }
            if (stream) {
                FN_N(lv_stream)(dx + j, out);
            }
            else {
                FN_N(lv_store)(dx + j, out);
            }
            j += FN_LANES;
        }
        if (!head) {
            break;
        }
        head = 0;
    }
}

static void
FN_N(fn_grad_combine)(void *dx_, fn_ld lddx, const void *x_, fn_ld ldx, const void *dy_, fn_ld lddy,
                      size_t rows, size_t n, const fn_centre *centre, const fn_param *param,
                      const fn_means *means, int stream)
{
    const char *x = x_, *dy = dy_;
    char *dx = dx_;
    const int which = (centre->hi != NULL) << 2 | (param->w != NULL) << 1 | (stream != 0);
    for (size_t i = 0; i < rows; i++, x += ldx, dy += lddy, dx += lddx) {
        switch (which) {
#define FN_CASE(s)                                                                                 \
    case s:                                                                                        \
        FN_N(grad_combine_run)                                                                     \
        ((FN_T *)dx, (const FN_T *)x, (const FN_T *)dy, n, centre, param, means, (s) >> 2,         \
         (s) >> 1 & 1, (s) & 1);                                                                   \
        break;
            FN_CASE(0)
            FN_CASE(1)
            FN_CASE(2)
            FN_CASE(3)
            FN_CASE(4)
            FN_CASE(5)
            FN_CASE(6)
            FN_CASE(7)
#undef FN_CASE
        }
    }
}
