/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     dx = ((dy * w - c0) - xh * c1) * r,  xh = ((x - hi) - lo) * r,  c0 = mean(g),
 *          c1 = mean(g * xh): the gradient of every layer that divides by a standard deviation, once
 *          the two sums are known.
 * Layouts  rows: hi, lo, r, c0, c1 are scalars of the run; cols: vectors, one value per column.
 *          w: a vector along the run or a scalar.
 *          dw, db (rows only): dy * xh and dy are added to them while dy and xh are in registers, which
 *          saves the gradients of a vector parameter a sweep of their own; settle moves them on.
 * Aliasing dx may be x or dy.
 * Needs    lanes.tmpl.h.
 */

/* As affine_panel: K logical vectors of columns from j on, or its first `left`, down `rows` rows. */
FN_INLINE void
FN_N(grad_combine_panel)(char *dx, fn_ld lddx, const char *x, fn_ld ldx, const char *dy, fn_ld lddy,
                         size_t rows, size_t j, size_t left, const fn_centre *centre,
                         const fn_param *param, const fn_means *means, const fn_memory *memory,
                         int K, int vs, int vw, int vd, int stream)
{
    const FN_A *his = centre->hi, *los = centre->lo, *rs = centre->r;
    const FN_A *c0s = means->c0, *c1s = means->c1, *ws = param->w;
    const FN_A mean = (FN_A)centre->mean;
    FN_LV hi[FN_SWEEP], lo[FN_SWEEP], r[FN_SWEEP], c0[FN_SWEEP], c1[FN_SWEEP], w[FN_SWEEP];
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        const size_t at = j + (size_t)k * FN_LANES;
        if (vs) {
            hi[k] = FN_N(lv_coef_any)(his + at, left);
            lo[k] = FN_N(lv_coef_any)(los + at, left);
            r[k] = FN_N(lv_coef_any)(rs + at, left);
            c0[k] = FN_N(lv_coef_any)(c0s + at, left);
            c1[k] = FN_N(lv_coef_any)(c1s + at, left);
        }
        else {
            hi[k] = FN_N(lv_set1)(mean);
            lo[k] = FN_N(lv_set1)((FN_A)(centre->mean - (double)mean));
            r[k] = FN_N(lv_set1)((FN_A)centre->rstd);
            c0[k] = FN_N(lv_set1)((FN_A)means->c00);
            c1[k] = FN_N(lv_set1)((FN_A)means->c10);
        }
        w[k] = vw ? FN_N(lv_coef_any)(ws + at, left) : FN_N(lv_set1)((FN_A)param->w0);
    }
    x += j * sizeof(FN_T);
    dy += j * sizeof(FN_T);
    dx += j * sizeof(FN_T);
    for (size_t i = 0; i < rows; i++, x += ldx, dy += lddy, dx += lddx) {
        FN_UNROLL
        for (int k = 0; k < K; k++) {
            const FN_T *px = (const FN_T *)x + k * FN_LANES, *pg = (const FN_T *)dy + k * FN_LANES;
            if (FN_SECOND_SWEEP(k) && memory->ahead_x) {
                FN_PREFETCH((const char *)px + memory->ahead_x);
                FN_PREFETCH((const char *)pg + memory->ahead_dy);
            }
            FN_LV v = FN_N(lv_load_any)(px, left, hi[k]);
            FN_LV g = FN_N(lv_load_any)(pg, left, hi[k]);
            FN_LV xh = FN_N(lv_centre)(v, hi[k], lo[k], r[k]);
            if (vd) {
                FN_A *dw = (FN_A *)means->dw + j + (size_t)k * FN_LANES;
                FN_A *db = (FN_A *)means->db + j + (size_t)k * FN_LANES;
                FN_N(lv_coef_put)(
                    dw, FN_N(lv_add)(FN_N(lv_coef_any)(dw, left), FN_N(lv_mul)(g, xh)), left);
                FN_N(lv_coef_put)(db, FN_N(lv_add)(FN_N(lv_coef_any)(db, left), g), left);
            }
            g = FN_N(lv_sub)(FN_N(lv_mul)(g, w[k]), c0[k]);
            g = FN_N(lv_mul)(FN_N(lv_sub)(g, FN_N(lv_mul)(xh, c1[k])), r[k]);
            FN_N(lv_store_any)((FN_T *)dx + k * FN_LANES, g, left, stream);
        }
    }
}

FN_NOINLINE void
FN_N(grad_combine_edge)(char *dx, fn_ld lddx, const char *x, fn_ld ldx, const char *dy, fn_ld lddy,
                        size_t rows, size_t j, size_t left, const fn_centre *centre,
                        const fn_param *param, const fn_means *means)
{
    const fn_memory plain = {0, 0, 0};
    FN_N(grad_combine_panel)(dx, lddx, x, ldx, dy, lddy, rows, j, left, centre, param, means,
                             &plain, 1, centre->hi != NULL, param->w != NULL, means->dw != NULL, 0);
}

FN_INLINE void
FN_N(grad_combine_block)(char *dx, fn_ld lddx, const char *x, fn_ld ldx, const char *dy, fn_ld lddy,
                         size_t rows, size_t n, const fn_centre *centre, const fn_param *param,
                         const fn_means *means, const fn_memory *memory, int vs, int vw, int vd,
                         int stream)
{
    size_t j = stream ? FN_N(lv_head)(dx, n) : 0;
    if (j) {
        FN_N(grad_combine_edge)(dx, lddx, x, ldx, dy, lddy, rows, 0, j, centre, param, means);
    }
    for (; j + FN_SWEEP * FN_LANES <= n; j += FN_SWEEP * FN_LANES) {
        FN_N(grad_combine_panel)(dx, lddx, x, ldx, dy, lddy, rows, j, 0, centre, param, means,
                                 memory, FN_SWEEP, vs, vw, vd, stream);
    }
    for (; FN_SWEEP > 1 && j + FN_LANES <= n; j += FN_LANES) {
        FN_N(grad_combine_panel)(dx, lddx, x, ldx, dy, lddy, rows, j, 0, centre, param, means,
                                 memory, 1, vs, vw, vd, stream);
    }
    if (j < n) {
        FN_N(grad_combine_edge)(dx, lddx, x, ldx, dy, lddy, rows, j, n - j, centre, param, means);
    }
}

static void
FN_N(fn_grad_combine)(void *dx_, fn_ld lddx, const void *x_, fn_ld ldx, const void *dy_, fn_ld lddy,
                      size_t rows, size_t n, const fn_centre *centre, const fn_param *param,
                      const fn_means *means, const fn_memory *memory)
{
    const int which = (means->dw != NULL) << 3 | (centre->hi != NULL) << 2 |
                      (param->w != NULL) << 1 |
                      FN_N(lv_may_stream)(memory->stream, dx_, rows, lddx, n);
    for (size_t row0 = 0; row0 < rows; row0 += FN_COL_BLOCK) {
        const size_t len = rows - row0 < FN_COL_BLOCK ? rows - row0 : FN_COL_BLOCK;
        const char *x = (const char *)x_ + (fn_ld)row0 * ldx;
        const char *dy = (const char *)dy_ + (fn_ld)row0 * lddy;
        char *dx = (char *)dx_ + (fn_ld)row0 * lddx;
        switch (which) {
#define FN_CASE(s)                                                                                 \
    case s:                                                                                        \
        FN_N(grad_combine_block)(dx, lddx, x, ldx, dy, lddy, len, n, centre, param, means, memory, \
                                 (s) >> 2 & 1, (s) >> 1 & 1, (s) >> 3, (s) & 1);                   \
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
#undef FN_CASE
        }
    }
}

static void
FN_N(fn_settle)(size_t n, void *part_, double *total)
{
    FN_A *part = part_;
    for (size_t j = 0; j < n; j++) {
        total[j] += (double)part[j];
        part[j] = 0;
    }
}
