/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     dx = ((g - c) - (x - hi) * r * b) * a,  g = dy * w or dy: the gradient of every layer that
 *          divides by a standard deviation, once the two sums are known. With c0 = mean(g) and
 *          c1 = mean(g * xh) it is (g - c0 - xh * c1) / std, for a = 1/std, b = c1, c = c0 + m * c1.
 *          Where g is constant and its mean exact, g - c0 is 0 and not a rounding error times a.
 *          on, if any, is added: a gradient that comes to x by another way, as that of a residual does.
 * Layouts  as in affine.tmpl.h: hi, r, m, a, b, c are scalars of a row or vectors along the columns.
 *          dw, db (by_row only): dy * xh and dy are added to them while dy and xh are in registers, which
 *          saves the gradients of a vector parameter a sweep of their own; settle moves them on. vd says how
 *          many of the two are wanted: where there is a weight, dw alone will do.
 *          own: a row's sums are made just before its dx, which then finds the row in first-level cache.
 * Aliasing dx may be x, dy or on.
 * Needs    grad_alone.tmpl.h.
 */

/* As affine_panel: K logical vectors of columns from j on, or its first `left`, down one band of rows; dx
 * is where column j goes. */
FN_INLINE void
FN_N(grad_combine_panel)(char *dx, fn_ld lddx, const char *x, fn_ld ldx, const char *dy, fn_ld lddy,
                         size_t row0, size_t rows, size_t j, size_t left, const fn_centre *centre,
                         const fn_param *param, const fn_slope *slope, ptrdiff_t ahead_x,
                         ptrdiff_t ahead_dy, int where, int K, int by_row, int how, int vd,
                         const FN_N(combine_row) * alike)
{
    const FN_A *his = centre->hi, *rs = centre->r, *ws = param->w;
    const FN_A *as = slope->a, *bs = slope->b, *cs = slope->c;
    FN_A *dws = slope->dw, *dbs = slope->db;
    const int vw = how == FN_N(WEIGHT);
    FN_LV hi[FN_SWEEP], r[FN_SWEEP], a[FN_SWEEP], b[FN_SWEEP], c[FN_SWEEP], w[FN_SWEEP];
    FN_LV dw[FN_SWEEP], db[FN_SWEEP], m = FN_N(lv_set1)(0);
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        const size_t at = j + (size_t)k * FN_LANES;
        if (!by_row) {
            hi[k] = FN_N(lv_coef_any)(his + at, left);
            r[k] = FN_N(lv_coef_any)(rs + at, left);
            a[k] = FN_N(lv_coef_any)(as + at, left);
            b[k] = FN_N(lv_coef_any)(bs + at, left);
            c[k] = FN_N(lv_coef_any)(cs + at, left);
        }
        else { /* set row by row */
            hi[k] = r[k] = a[k] = b[k] = c[k] = FN_N(lv_set1)(0);
        }
        w[k] = dw[k] = db[k] = FN_N(lv_set1)(0);
        if (vw) {
            w[k] = FN_N(lv_coef_any)(ws + at, left);
        }
        if (vd) {
            dw[k] = FN_N(lv_coef_any)(dws + at, left);
        }
        if (vd > 1) {
            db[k] = FN_N(lv_coef_any)(dbs + at, left);
        }
    }
    x += j * sizeof(FN_T);
    dy += j * sizeof(FN_T);
    const char *on = slope->on;
    if (on) {
        on += (fn_ld)row0 * slope->ldon + (fn_ld)(j * sizeof(FN_T));
    }
    const int early = K > 1 && by_row && (vw || vd); /* as in affine_panel */
    FN_LV in[FN_SWEEP], above[FN_SWEEP];
    if (early) {
        FN_N(lv_take)((const FN_T *)x, in, K, left);
        FN_N(lv_take)((const FN_T *)dy, above, K, left);
    }
    for (size_t i = row0; i < row0 + rows; i++, dx += lddx) {
        FN_LV out[FN_SWEEP];
        if (!early) {
            FN_N(lv_take)((const FN_T *)x, in, K, left);
            FN_N(lv_take)((const FN_T *)dy, above, K, left);
        }
        if (by_row) {
            const FN_N(combine_row) s =
                alike ? *alike : FN_N(combine_row_of)(centre, param, slope, i, how, vd);
            hi[0] = s.hi;
            r[0] = s.r;
            m = s.m;
            a[0] = s.a;
            b[0] = s.b;
            c[0] = s.c;
        }
        FN_UNROLL
        for (int k = 0; k < K; k++) {
            const FN_T *px = (const FN_T *)x + k * FN_LANES, *pg = (const FN_T *)dy + k * FN_LANES;
            const int q = by_row ? 0 : k;
            if (ahead_x && (!by_row || FN_SECOND_SWEEP(k))) {
                FN_PREFETCH((const char *)px + ahead_x);
                FN_PREFETCH((const char *)pg + ahead_dy);
            }
            const FN_LV weight = how == FN_N(EACH_ROW) ? FN_N(lv_spread)(ws + i) : w[k];
            out[k] = FN_N(combine_step)(in[k], above[k], weight, &dw[k], &db[k], hi[q], r[q], m,
                                        a[q], b[q], c[q], how != FN_N(PLAIN), vd);
        }
        if (on) {
            FN_UNROLL
            for (int k = 0; k < K; k++) {
                const FN_T *po = (const FN_T *)on + k * FN_LANES;
                FN_PREFETCH((const char *)po + (fn_ld)rows * slope->ldon);
                out[k] = FN_N(lv_add)(out[k], FN_N(lv_load_any)(po, left, m));
            }
            on += slope->ldon;
        }
        x += ldx;
        dy += lddy;
        if (early && i + 1 < row0 + rows) {
            FN_N(lv_take)((const FN_T *)x, in, K, left);
            FN_N(lv_take)((const FN_T *)dy, above, K, left);
        }
        FN_N(lv_put)((FN_T *)dx, out, K, left, where);
    }
    if (vd) {
        FN_UNROLL
        for (int k = 0; k < K; k++) {
            const size_t at = j + (size_t)k * FN_LANES;
            FN_N(lv_coef_put)(dws + at, dw[k], left);
            if (vd > 1) {
                FN_N(lv_coef_put)(dbs + at, db[k], left);
            }
        }
    }
}

FN_NOINLINE void
FN_N(grad_combine_edge)(char *dx, fn_ld lddx, const char *x, fn_ld ldx, const char *dy, fn_ld lddy,
                        size_t row0, size_t rows, size_t j, size_t left, const fn_centre *centre,
                        const fn_param *param, const fn_slope *slope, int where, int how)
{
    FN_N(grad_combine_panel)(dx, lddx, x, ldx, dy, lddy, row0, rows, j, left, centre, param, slope,
                             0, 0, where, 1, centre->by_row, how, FN_N(wanted)(slope), NULL);
}

FN_INLINE void
FN_N(grad_combine_block)(const fn_out *o, const char *x_, fn_ld ldx, const char *dy_, fn_ld lddy,
                         const fn_centre *centre, const fn_param *param, const fn_slope *slope,
                         const fn_memory *memory, int by_row, int how, int vd, int alike)
{
    const size_t end = o->row + o->rows, band = o->band, wide = FN_SWEEP * FN_LANES;
    const fn_ld band_x = FN_N(next_band)(ldx, o->n), band_dy = FN_N(next_band)(lddy, o->n);
    FN_N(combine_row) all_alike;
    if (alike) {
        all_alike = FN_N(combine_row_of)(centre, param, slope, o->row, how, vd);
    }
    char *dx = o->y;
    for (size_t row = o->row; row < end; row += band, dx += (fn_ld)band * o->ldy) {
        const size_t len = end - row >= band ? band : end - row;
        const char *x = x_ + (fn_ld)row * ldx, *dy = dy_ + (fn_ld)row * lddy;
        const int known = !by_row || memory->ahead_x;
        const ptrdiff_t ahead_x = known ? fn_out_ahead(o, row, ldx, memory->ahead_x, band_x) : 0;
        const ptrdiff_t ahead_dy =
            known ? fn_out_ahead(o, row, lddy, memory->ahead_dy, band_dy) : 0;
        const size_t lead = vd ? 0 : fn_out_lead(o, dx, FN_LANES), j1 = o->j1;
        size_t j = o->j0 + lead;
#define FN_PANEL(K, j)                                                                             \
    FN_N(grad_combine_panel)((char *)((FN_T *)dx + ((j) - o->j0)), o->ldy, x, ldx, dy, lddy, row,  \
                             len, j, 0, centre, param, slope, ahead_x, ahead_dy, o->where, K,      \
                             by_row, how, vd, alike ? &all_alike : NULL)
        for (; j + wide <= j1; j += wide) {
            FN_PANEL(FN_SWEEP, j);
        }
        if (FN_SWEEP > 2 && j + 2 * FN_LANES <= j1) {
            FN_PANEL(2, j);
            j += 2 * FN_LANES;
        }
        for (; FN_SWEEP > 1 && j + FN_LANES <= j1; j += FN_LANES) {
            FN_PANEL(1, j);
        }
        if (lead) {
            FN_PANEL(1, o->j0);
        }
        if (j < j1 && !vd && o->apart && j1 - o->j0 >= FN_LANES) {
            j = j1 - FN_LANES;
            FN_PANEL(1, j);
        }
        else if (j < j1) {
            FN_N(grad_combine_edge)((char *)((FN_T *)dx + (j - o->j0)), o->ldy, x, ldx, dy, lddy,
                                    row, len, j, j1 - j, centre, param, slope, o->where, how);
        }
#undef FN_PANEL
    }
}

/* Where a band has no coefficient to share, a row goes by at once: rows often lie a multiple of 4096 bytes
 * apart, and a load at the place of a store just before, modulo 4096, waits for it. */
static void
FN_N(fn_grad_combine)(void *dx, fn_ld lddx, const void *x, fn_ld ldx, const void *dy, fn_ld lddy,
                      size_t rows, size_t n, const fn_centre *centre, const fn_param *param,
                      const fn_slope *slope, const fn_memory *memory)
{
    const int how = !param->w ? FN_N(PLAIN) : param->by_row ? FN_N(EACH_ROW) : FN_N(WEIGHT);
    const int columns = how == FN_N(EACH_ROW) ? 2 : how, vd = FN_N(wanted)(slope);
    const int parts = how == FN_N(WEIGHT) ? 1 + vd : 0; /* of rows that are made */
    const int made = FN_OWN && slope->own != NULL;
    const int shared = !made && (!centre->by_row || vd || how == FN_N(WEIGHT));
    const int alone = !made && !shared && n > FN_SWEEP * FN_LANES;
    const int alike = how == FN_N(EACH_ROW) && centre->by_row && !centre->step; /* group norm */
    const int dense = memory->stream && fn_in_lines(FN_UNIT, dx, lddx, n, sizeof(FN_T));
    const int narrow =
        !centre->by_row && how == FN_N(PLAIN) && fn_out_again(n * sizeof(FN_T), 2 * FN_OUT_COLUMNS);
    const int lines = FN_SHIFTS && dense && (made ? n % FN_LANES == 0 : alone || narrow);
    FN_N(combine_row) row;
    fn_out o;
    fn_out_start(&o, memory->stream && !lines, shared ? FN_FROM_COMMON : FN_FROM_ANY, FN_OUT_BYTES,
                 dx, lddx, ldx, rows, n, sizeof(FN_T), dx == x || dx == dy || dx == slope->on);
    if (made) {
        o.band = 1;
    }
    while (fn_out_next(&o)) {
        switch (made             ? 20 + parts + 4 * lines
                : alone          ? 11 + (how != FN_N(PLAIN)) + 2 * lines
                : lines          ? 15
                : alike          ? 16
                : centre->by_row ? 3 + columns + 3 * vd
                                 : columns) {
#define FN_BANDS(s, by_row, how, vd, alike)                                                        \
    case s:                                                                                        \
        FN_N(grad_combine_block)(&o, x, ldx, dy, lddy, centre, param, slope, memory, by_row, how,  \
                                 vd, alike);                                                       \
        break;
#define FN_ALONE(s, name)                                                                          \
    case s:                                                                                        \
        FN_N(name)(&o, x, ldx, dy, lddy, centre, param, slope, &row);                              \
        break;
            FN_BANDS(0, 0, FN_N(PLAIN), 0, 0)
            FN_BANDS(1, 0, FN_N(WEIGHT), 0, 0)
            FN_BANDS(2, 0, FN_N(EACH_ROW), 0, 0)
            FN_BANDS(3, 1, FN_N(PLAIN), 0, 0)
            FN_BANDS(4, 1, FN_N(WEIGHT), 0, 0)
            FN_BANDS(5, 1, FN_N(EACH_ROW), 0, 0)
            FN_BANDS(7, 1, FN_N(WEIGHT), 1, 0)
            FN_BANDS(9, 1, FN_N(PLAIN), 2, 0)
            FN_BANDS(10, 1, FN_N(WEIGHT), 2, 0)
            FN_BANDS(16, 1, FN_N(EACH_ROW), 0, 1)
            FN_ALONE(11, alone_plain)
            FN_ALONE(12, alone_each_row)
#if FN_SHIFTS
            FN_ALONE(13, lines_plain)
            FN_ALONE(14, lines_each_row)
            FN_ALONE(15, lines_columns)
#endif
#if FN_OWN
            FN_ALONE(20, made_plain)
            FN_ALONE(21, made_weight)
            FN_ALONE(22, made_weight_one)
            FN_ALONE(23, made_weight_both)
#endif
#if FN_OWN && FN_SHIFTS
            FN_ALONE(24, made_lines_plain)
            FN_ALONE(25, made_lines_weight)
            FN_ALONE(26, made_lines_weight_one)
            FN_ALONE(27, made_lines_weight_both)
#endif
#undef FN_BANDS
#undef FN_ALONE
        }
    }
}
