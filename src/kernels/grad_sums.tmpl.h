/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     The two sums every gradient needs:  s1 = sum g,  s2 = sum g * xh,  with g = dy * w or dy
 *          and xh = ((x - hi) - lo) * r.
 * Layouts  rows: over one run, per lane. cols: down the rows, per column.
 *          The statistics may be scalars, vectors along the run, or (cols) one per row: the last is
 *          the gradient of layer_norm's weight, a column sum whose statistics belong to the rows.
 * Method   Blocks in the compute type, added to double sums; lanes as in moments.tmpl.h. xh is formed
 *          centred, never as sum(g * x) - mean * sum(g), which cancels.
 * Needs    lanes.tmpl.h; FN_SWEEP.
 */

/* One logical vector (or its first `left` values) into the accumulators a, q. */
FN_INLINE void
FN_N(grad_sums_step)(const FN_T *x, const FN_T *dy, size_t j, size_t left, FN_LV *a, FN_LV *q,
                     FN_LV hi, FN_LV lo, FN_LV r, const fn_centre *centre, const FN_A *w, int vs,
                     int vw)
{
    const FN_A *his = centre->hi, *los = centre->lo, *rs = centre->r;
    if (vs) {
        hi = FN_N(lv_coef_any)(his + j, left);
        lo = FN_N(lv_coef_any)(los + j, left);
        r = FN_N(lv_coef_any)(rs + j, left);
    }
    FN_LV v = FN_N(lv_load_any)(x + j, left, hi);
    FN_LV g = FN_N(lv_load_any)(dy + j, left, FN_N(lv_set1)(0));
    if (vw) {
        g = FN_N(lv_mul)(g, FN_N(lv_coef_any)(w + j, left));
    }
    *a = FN_N(lv_add)(*a, g);
    *q = FN_N(lv_add)(*q, FN_N(lv_mul)(g, FN_N(lv_centre)(v, hi, lo, r)));
}

FN_INLINE void
FN_N(grad_sums_run)(const FN_T *x, const FN_T *dy, size_t n, const fn_centre *centre, const FN_A *w,
                    double *s1, double *s2, const fn_memory *memory, int vs, int vw)
{
    const size_t step = FN_ACCUMULATORS * FN_LANES;
    const FN_A mean = (FN_A)centre->mean;
    const FN_LV hi = FN_N(lv_set1)(mean);
    const FN_LV lo = FN_N(lv_set1)((FN_A)(centre->mean - (double)mean));
    const FN_LV r = FN_N(lv_set1)((FN_A)centre->rstd);

    for (size_t start = 0; start < n; start += FN_ROW_BLOCK) {
        const size_t len = n - start < FN_ROW_BLOCK ? n - start : FN_ROW_BLOCK;
        const size_t stop = start + len, whole = start + len / step * step;
        FN_LV sum[FN_ACCUMULATORS], dot[FN_ACCUMULATORS];

        for (int sweep = 0; sweep < FN_ACCUMULATORS; sweep += FN_SWEEP) {
            FN_LV a[FN_SWEEP], q[FN_SWEEP];
            FN_UNROLL
            for (int k = 0; k < FN_SWEEP; k++) {
                a[k] = q[k] = FN_N(lv_set1)(0);
            }
            for (size_t j = start + (size_t)sweep * FN_LANES; j < whole; j += step) {
                FN_UNROLL
                for (int k = 0; k < FN_SWEEP; k++) {
                    if (FN_FIRST_SWEEP(k) && memory->ahead_x) {
                        const size_t at = j + (size_t)k * FN_LANES;
                        FN_PREFETCH((const char *)(x + at) + memory->ahead_x);
                        FN_PREFETCH((const char *)(dy + at) + memory->ahead_dy);
                    }
                    FN_N(grad_sums_step)(x, dy, j + (size_t)k * FN_LANES, 0, &a[k], &q[k], hi, lo,
                                         r, centre, w, vs, vw);
                }
            }
            FN_UNROLL
            for (int k = 0; k < FN_SWEEP; k++) {
                const size_t j = whole + (size_t)(sweep + k) * FN_LANES;
                if (j + FN_LANES <= stop) {
                    FN_N(grad_sums_step)(x, dy, j, 0, &a[k], &q[k], hi, lo, r, centre, w, vs, vw);
                }
                else if (j < stop) {
                    FN_N(grad_sums_step)(x, dy, j, stop - j, &a[k], &q[k], hi, lo, r, centre, w, vs,
                                         vw);
                }
                sum[sweep + k] = a[k];
                dot[sweep + k] = q[k];
            }
        }
        FN_N(lv_to_double)(
            s1, FN_N(lv_add)(FN_N(lv_add)(sum[0], sum[1]), FN_N(lv_add)(sum[2], sum[3])));
        FN_N(lv_to_double)(
            s2, FN_N(lv_add)(FN_N(lv_add)(dot[0], dot[1]), FN_N(lv_add)(dot[2], dot[3])));
    }
}

static void
FN_N(fn_grad_sums_rows)(const void *x, const void *dy, size_t n, const fn_centre *centre,
                        const void *w, double *s1, double *s2, const fn_memory *memory)
{
    if (centre->hi) {
        if (w) {
            FN_N(grad_sums_run)(x, dy, n, centre, w, s1, s2, memory, 1, 1);
        }
        else {
            FN_N(grad_sums_run)(x, dy, n, centre, w, s1, s2, memory, 1, 0);
        }
    }
    else if (w) {
        FN_N(grad_sums_run)(x, dy, n, centre, w, s1, s2, memory, 0, 1);
    }
    else {
        FN_N(grad_sums_run)(x, dy, n, centre, w, s1, s2, memory, 0, 0);
    }
}

/* One panel of K logical vectors (or the last `left` columns) down one block of rows.
 * by_row, weighted, w_by_row are constants in every call. */
FN_INLINE void
FN_N(grad_sums_panel)(const char *x, fn_ld ldx, const char *dy, fn_ld lddy, size_t rows,
                      size_t row0, size_t j, size_t left, const fn_centre *centre, const FN_A *w,
                      double *s1, double *s2, int K, int by_row, int weighted, int w_by_row)
{
    const FN_A *his = centre->hi, *los = centre->lo, *rs = centre->r;
    const FN_LV zero = FN_N(lv_set1)(0);
    FN_LV hi[FN_SWEEP], lo[FN_SWEEP], r[FN_SWEEP], wj[FN_SWEEP], a[FN_SWEEP], q[FN_SWEEP];

    FN_UNROLL
    for (int k = 0; k < K; k++) {
        const size_t at = j + (size_t)k * FN_LANES;
        a[k] = q[k] = zero;
        if (!by_row) {
            hi[k] = FN_N(lv_coef_any)(his + at, left);
            lo[k] = FN_N(lv_coef_any)(los + at, left);
            r[k] = FN_N(lv_coef_any)(rs + at, left);
        }
        if (weighted && !w_by_row) {
            wj[k] = FN_N(lv_coef_any)(w + at, left);
        }
    }
    x += j * sizeof(FN_T);
    dy += j * sizeof(FN_T);
    for (size_t i = 0; i < rows; i++, x += ldx, dy += lddy) {
        FN_UNROLL
        for (int k = 0; k < K; k++) {
            if (by_row) {
                hi[k] = FN_N(lv_set1)(his[row0 + i]);
                lo[k] = FN_N(lv_set1)(los[row0 + i]);
                r[k] = FN_N(lv_set1)(rs[row0 + i]);
            }
            const FN_T *px = (const FN_T *)x + k * FN_LANES, *pg = (const FN_T *)dy + k * FN_LANES;
            FN_LV v = FN_N(lv_load_any)(px, left, hi[k]);
            FN_LV g = FN_N(lv_load_any)(pg, left, zero);
            if (weighted) {
                g = FN_N(lv_mul)(g, w_by_row ? FN_N(lv_set1)(w[row0 + i]) : wj[k]);
            }
            a[k] = FN_N(lv_add)(a[k], g);
            q[k] = FN_N(lv_add)(q[k], FN_N(lv_mul)(g, FN_N(lv_centre)(v, hi[k], lo[k], r[k])));
        }
    }
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        const size_t at = j + (size_t)k * FN_LANES;
        FN_N(lv_to_double_n)(s1 + at, a[k], left ? left : (size_t)FN_LANES);
        FN_N(lv_to_double_n)(s2 + at, q[k], left ? left : (size_t)FN_LANES);
    }
}

FN_INLINE void
FN_N(grad_sums_block)(const char *x, fn_ld ldx, const char *dy, fn_ld lddy, size_t rows, size_t n,
                      const fn_centre *centre, const FN_A *w, double *s1, double *s2, int by_row,
                      int weighted, int w_by_row)
{
    for (size_t row0 = 0; row0 < rows; row0 += FN_COL_BLOCK) {
        const size_t len = rows - row0 < FN_COL_BLOCK ? rows - row0 : FN_COL_BLOCK;
        const char *px = x + (fn_ld)row0 * ldx, *pg = dy + (fn_ld)row0 * lddy;
        size_t j = 0;
        for (; j + FN_SWEEP * FN_LANES <= n; j += FN_SWEEP * FN_LANES) {
            FN_N(grad_sums_panel)(px, ldx, pg, lddy, len, row0, j, 0, centre, w, s1, s2, FN_SWEEP,
                                  by_row, weighted, w_by_row);
        }
        for (; FN_SWEEP > 1 && j + FN_LANES <= n; j += FN_LANES) {
            FN_N(grad_sums_panel)(px, ldx, pg, lddy, len, row0, j, 0, centre, w, s1, s2, 1, by_row,
                                  weighted, w_by_row);
        }
        if (j < n) {
            FN_N(grad_sums_panel)(px, ldx, pg, lddy, len, row0, j, n - j, centre, w, s1, s2, 1,
                                  by_row, weighted, w_by_row);
        }
    }
}

static void
FN_N(fn_grad_sums_cols)(const void *x, fn_ld ldx, const void *dy, fn_ld lddy, size_t rows, size_t n,
                        const fn_centre *centre, const void *w, int w_by_row, double *s1,
                        double *s2)
{
    if (centre->by_row) { /* the gradients of parameters: dy itself is summed */
        FN_N(grad_sums_block)(x, ldx, dy, lddy, rows, n, centre, w, s1, s2, 1, 0, 0);
    }
    else if (!w) {
        FN_N(grad_sums_block)(x, ldx, dy, lddy, rows, n, centre, w, s1, s2, 0, 0, 0);
    }
    else if (w_by_row) {
        FN_N(grad_sums_block)(x, ldx, dy, lddy, rows, n, centre, w, s1, s2, 0, 1, 1);
    }
    else {
        FN_N(grad_sums_block)(x, ldx, dy, lddy, rows, n, centre, w, s1, s2, 0, 1, 0);
    }
}
