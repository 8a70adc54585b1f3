/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     The two sums every gradient needs:  s1 = sum g,  s2 = sum g * (x - hi) * r,  with g = dy * w
 *          or dy. The driver adds m * s1 to s2, which makes it sum g * xh; where m changes from term to
 *          term it is in the terms.
 * Layouts  rows: along each row, for statistics of the row, or (per column) for the gradient of a
 *          parameter that belongs to the row. cols: down the rows, for statistics of the columns, or
 *          (by_row) for the gradient of a parameter that belongs to the column.
 * Method   Blocks in the compute type, added to double sums; lanes as in moments.tmpl.h. xh is formed
 *          centred, never as sum(g * x) - mean * sum(g), which cancels.
 * Needs    lanes.tmpl.h; FN_SWEEP.
 */

/* What values are multiplied with on their way into the sums: of the row, or vs: vectors along it. */
typedef struct {
    FN_LV hi, r;
    const FN_A *his, *rs, *ms, *w;
} FN_N(fn_factors);

/* One logical vector (or its first `left` values) into the accumulators a, q. fresh: nothing is in these
 * yet. fresh, vs and vw are constants in every call. */
FN_INLINE void
FN_N(grad_sums_step)(const FN_T *x, const FN_T *dy, size_t j, size_t left, FN_LV *a, FN_LV *q,
                     const FN_N(fn_factors) * by, int fresh, int vs, int vw)
{
    const FN_LV hi = vs ? FN_N(lv_coef_any)(by->his + j, left) : by->hi;
    const FN_LV r = vs ? FN_N(lv_coef_any)(by->rs + j, left) : by->r;
    FN_LV v = FN_N(lv_load_any)(x + j, left, hi);
    FN_LV g = FN_N(lv_load_any)(dy + j, left, FN_N(lv_set1)(0));
    if (vw) {
        g = FN_N(lv_mul)(g, FN_N(lv_coef_any)(by->w + j, left));
    }
    g = FN_N(lv_held)(g);
    v = FN_N(lv_centre)(v, hi, r);
    if (vs) {
        v = FN_N(lv_add)(v, FN_N(lv_coef_any)(by->ms + j, left));
    }
    *a = fresh ? g : FN_N(lv_add)(*a, g);
    v = FN_N(lv_mul)(g, v);
    *q = fresh ? v : FN_N(lv_add)(*q, v);
}

/* FN_SWEEP logical vectors from value j on. */
FN_INLINE void
FN_N(grad_sums_steps)(const FN_T *x, const FN_T *dy, size_t j, FN_LV *a, FN_LV *q,
                      const FN_N(fn_factors) * by, const fn_memory *memory, int fresh, int vs,
                      int vw)
{
    FN_UNROLL
    for (int k = 0; k < FN_SWEEP; k++) {
        const size_t at = j + (size_t)k * FN_LANES;
        if (FN_FIRST_SWEEP(k) && memory->ahead_x) {
            FN_PREFETCH((const char *)(x + at) + memory->ahead_x);
            FN_PREFETCH((const char *)(dy + at) + memory->ahead_dy);
        }
        FN_N(grad_sums_step)(x, dy, at, 0, &a[k], &q[k], by, fresh, vs, vw);
    }
}

/* What a run of values ends with, less than FN_ACCUMULATORS vectors. */
FN_INLINE void
FN_N(grad_sums_tail)(const FN_T *x, const FN_T *dy, size_t start, size_t stop, int sweep, FN_LV *a,
                     FN_LV *q, const FN_N(fn_factors) * by, const fn_memory *memory, int fresh,
                     int vs, int vw)
{
    FN_UNROLL
    for (int k = 0; k < FN_SWEEP; k++) {
        const size_t j = start + (size_t)(sweep + k) * FN_LANES;
        if (j < stop && memory->ahead_x) {
            FN_PREFETCH((const char *)(x + j) + memory->ahead_x);
            FN_PREFETCH((const char *)(dy + j) + memory->ahead_dy);
        }
        if (j + FN_LANES <= stop) {
            FN_N(grad_sums_step)(x, dy, j, 0, &a[k], &q[k], by, fresh, vs, vw);
        }
        else if (j < stop) {
            FN_N(grad_sums_step)(x, dy, j, stop - j, &a[k], &q[k], by, fresh, vs, vw);
        }
        else if (fresh) {
            a[k] = q[k] = FN_N(lv_set1)(0);
        }
    }
}

/* The sums over values [start, stop) of one row, no more than FN_ROW_BLOCK, in the accumulators from
 * `sweep` on. even: all of it by the same instructions. A processor foresees by instruction, the next at the
 * distance of the last: one that begins each row in the place of another leaves both to wait for memory. */
FN_INLINE void
FN_N(grad_sums_run)(const FN_T *x, const FN_T *dy, size_t start, size_t stop, int sweep, FN_LV *a,
                    FN_LV *q, const FN_N(fn_factors) * by, const fn_memory *memory, int vs, int vw,
                    int even)
{
    const size_t step = FN_ACCUMULATORS * FN_LANES, whole = start + (stop - start) / step * step;
    size_t j = start + (size_t)sweep * FN_LANES;
    if (whole == start) {
        FN_N(grad_sums_tail)(x, dy, start, stop, sweep, a, q, by, memory, 1, vs, vw);
        return;
    }
    if (even) {
        FN_UNROLL
        for (int k = 0; k < FN_SWEEP; k++) {
            a[k] = q[k] = FN_N(lv_set1)(0);
        }
    }
    else {
        FN_N(grad_sums_steps)(x, dy, j, a, q, by, memory, 1, vs, vw);
        j += step;
    }
    for (; j < whole; j += step) {
        FN_N(grad_sums_steps)(x, dy, j, a, q, by, memory, 0, vs, vw);
    }
    if (whole < stop) {
        FN_N(grad_sums_tail)(x, dy, whole, stop, sweep, a, q, by, memory, 0, vs, vw);
    }
}

/* The sums over values [start, stop) of one row, lane by lane. */
FN_INLINE void
FN_N(grad_sums_lanes)(const char *x, const char *dy, size_t start, size_t stop,
                      const FN_N(fn_factors) * by, FN_LV *sum, FN_LV *dot, const fn_memory *memory,
                      int vs, int vw, int even)
{
    FN_LV a[FN_ACCUMULATORS], q[FN_ACCUMULATORS];
    for (int sweep = 0; sweep < FN_ACCUMULATORS; sweep += FN_SWEEP) {
        FN_N(grad_sums_run)((const FN_T *)x, (const FN_T *)dy, start, stop, sweep, a + sweep,
                            q + sweep, by, memory, vs, vw, even);
    }
    *sum = FN_N(lv_sum_four)(a);
    *dot = FN_N(lv_sum_four)(q);
}

/* One row, in blocks. */
FN_INLINE void
FN_N(grad_sums_row)(const char *x, const char *dy, size_t n, const FN_N(fn_factors) * by,
                    double *s1, double *s2, const fn_memory *memory, int vs, int vw, int even)
{
    FN_LV sums, dots;
    FN_A sum, dot;
    for (size_t start = 0; start < n; start += FN_ROW_BLOCK) {
        const size_t stop = n - start < FN_ROW_BLOCK ? n : start + FN_ROW_BLOCK;
        FN_N(grad_sums_lanes)(x, dy, start, stop, by, &sums, &dots, memory, vs, vw, even);
        FN_N(lv_sum_two)(sums, dots, &sum, &dot);
        *s1 += (double)sum;
        *s2 += (double)dot;
    }
}

/* Whether rows of n values are a sweep of all accumulators each, which begins them and ends with them. */
#define FN_ONE_SWEEP(n)                                                                            \
    (FN_SWEEP == FN_ACCUMULATORS && (n) <= FN_SWEEP * FN_LANES && (n) > (FN_SWEEP - 1) * FN_LANES)

/* grad_sums_lanes of some such rows, without its choices: a map of 7x7 or 8x8 is over before they are made. left: 0,
 * or how many values the last vectors have. */
FN_INLINE void
FN_N(grad_sums_short)(const char *x, fn_ld ldx, const char *dy, fn_ld lddy, size_t rows,
                      size_t left, const FN_A *hi, const FN_A *r, FN_LV *sum, FN_LV *dot,
                      const fn_memory *memory)
{
    const ptrdiff_t ahead_x = memory->ahead_x, ahead_dy = memory->ahead_dy;
    for (size_t i = 0; i < rows; i++, x += ldx, dy += lddy) {
        const FN_N(fn_factors)
            by = {FN_N(lv_spread)(hi + i), FN_N(lv_spread)(r + i), NULL, NULL, NULL, NULL};
        FN_LV a[FN_ACCUMULATORS], q[FN_ACCUMULATORS];
        FN_UNROLL
        for (int k = 0; k < FN_ACCUMULATORS; k++) {
            const size_t j = (size_t)k * FN_LANES;
            if (FN_FIRST_SWEEP(k)) { /* what is at hand, if nothing is to be asked for */
                FN_PREFETCH(x + j * sizeof(FN_T) + ahead_x);
                FN_PREFETCH(dy + j * sizeof(FN_T) + ahead_dy);
            }
            FN_N(grad_sums_step)((const FN_T *)x, (const FN_T *)dy, j,
                                 k + 1 < FN_ACCUMULATORS ? 0 : left, &a[k], &q[k], &by, 1, 0, 0);
        }
        sum[i] = FN_N(lv_sum_four)(a);
        dot[i] = FN_N(lv_sum_four)(q);
    }
}

FN_INLINE void
FN_N(grad_sums_all)(const char *x, fn_ld ldx, const char *dy, fn_ld lddy, size_t rows, size_t n,
                    const fn_centre *centre, const FN_A *w, double *s1, double *s2,
                    const fn_memory *memory, int vs, int vw)
{
    const FN_A *his = centre->hi, *rs = centre->r;
    const size_t step = vs ? 1 : centre->step, by_row = vs ? 0 : step;
    FN_N(fn_factors) by = {FN_N(lv_spread)(his), FN_N(lv_spread)(rs), his, rs, centre->m, w};
    FN_LV sum[FN_LANES], dot[FN_LANES];
    if (step && n <= FN_ROW_BLOCK) {
        for (size_t row = 0; row < rows; row += FN_LANES) {
            const size_t some = rows - row < FN_LANES ? rows - row : FN_LANES;
            const char *xi = x + (fn_ld)row * ldx, *dyi = dy + (fn_ld)row * lddy;
            if (!vs && !vw && FN_ONE_SWEEP(n) && n % FN_LANES) {
                FN_N(grad_sums_short)(xi, ldx, dyi, lddy, some, n % FN_LANES, his + row, rs + row,
                                      sum, dot, memory);
            }
            else if (!vs && !vw && FN_ONE_SWEEP(n)) {
                FN_N(grad_sums_short)(xi, ldx, dyi, lddy, some, 0, his + row, rs + row, sum, dot,
                                      memory);
            }
            else {
                for (size_t i = 0; i < some; i++, xi += ldx, dyi += lddy) {
                    by.hi = FN_N(lv_spread)(his + (row + i) * by_row);
                    by.r = FN_N(lv_spread)(rs + (row + i) * by_row);
                    FN_N(grad_sums_lanes)(xi, dyi, 0, n, &by, &sum[i], &dot[i], memory, vs, vw, 0);
                }
            }
            FN_N(lv_sums)(sum, some, s1 + row);
            FN_N(lv_sums)(dot, some, s2 + row);
        }
        return;
    }
    for (size_t row = 0; row < rows; row++, x += ldx, dy += lddy) {
        by.hi = FN_N(lv_spread)(his + row * by_row);
        by.r = FN_N(lv_spread)(rs + row * by_row);
        FN_N(grad_sums_row)(x, dy, n, &by, s1 + row * step, s2 + row * step, memory, vs, vw, 0);
    }
}

static void
FN_N(fn_grad_sums_rows)(const void *x, fn_ld ldx, const void *dy, fn_ld lddy, size_t rows, size_t n,
                        const fn_centre *centre, const void *w, double *s1, double *s2,
                        const fn_memory *memory)
{
    const fn_memory along = {0, FN_AHEAD, FN_AHEAD};
    const size_t bytes = n * sizeof(FN_T);
    if (memory->ahead_x && FN_FORESEEN(ldx, bytes) && FN_FORESEEN(lddy, bytes)) {
        memory = &along;
    }
    if (!centre->by_row) {
        FN_N(grad_sums_all)(x, ldx, dy, lddy, rows, n, centre, w, s1, s2, memory, 1, 0);
    }
    else if (w) {
        FN_N(grad_sums_all)(x, ldx, dy, lddy, rows, n, centre, w, s1, s2, memory, 0, 1);
    }
    else {
        FN_N(grad_sums_all)(x, ldx, dy, lddy, rows, n, centre, w, s1, s2, memory, 0, 0);
    }
}

/* One panel of K logical vectors (or the last `left` columns) down one band of rows; the sums of the
 * bands before are in `sum` and `dot`. by_row, weighted, w_by_row are constants in every call. */
FN_INLINE void
FN_N(grad_sums_panel)(const char *x, fn_ld ldx, const char *dy, fn_ld lddy, size_t row0,
                      size_t rows, size_t j, size_t left, const FN_A *his, const FN_A *rs,
                      const FN_A *ms, const FN_A *w, FN_A *sum, FN_A *dot, fn_ld ahead, int K,
                      int by_row, int weighted, int w_by_row)
{
    const FN_LV zero = FN_N(lv_set1)(0);
    FN_LV hi[FN_SWEEP], r[FN_SWEEP], wj[FN_SWEEP], a[FN_SWEEP], q[FN_SWEEP];

    FN_UNROLL
    for (int k = 0; k < K; k++) {
        const size_t at = j + (size_t)k * FN_LANES;
        a[k] = FN_N(lv_coef)(sum + at);
        q[k] = FN_N(lv_coef)(dot + at);
        if (!by_row) {
            hi[k] = FN_N(lv_coef_any)(his + at, left);
            r[k] = FN_N(lv_coef_any)(rs + at, left);
        }
        else { /* set row by row */
            hi[k] = r[k] = zero;
        }
        wj[k] = zero;
        if (weighted && !w_by_row) {
            wj[k] = FN_N(lv_coef_any)(w + at, left);
        }
    }
    x += j * sizeof(FN_T);
    dy += j * sizeof(FN_T);
    for (size_t i = row0; i < row0 + rows; i++, x += ldx, dy += lddy) {
        if (by_row) {
            hi[0] = FN_N(lv_spread)(his + i);
            r[0] = FN_N(lv_spread)(rs + i);
        }
        FN_UNROLL
        for (int k = 0; k < K; k++) {
            const FN_T *px = (const FN_T *)x + k * FN_LANES, *pg = (const FN_T *)dy + k * FN_LANES;
            const int c = by_row ? 0 : k;
            if (ahead) {
                FN_PREFETCH((const char *)px + ahead);
                FN_PREFETCH((const char *)pg + FN_BAND * lddy);
            }
            FN_LV v = FN_N(lv_load_any)(px, left, hi[c]);
            FN_LV g = FN_N(lv_load_any)(pg, left, zero);
            if (weighted) {
                g = FN_N(lv_mul)(g, w_by_row ? FN_N(lv_spread)(w + i) : wj[k]);
            }
            v = FN_N(lv_centre)(v, hi[c], r[c]);
            if (by_row) {
                v = FN_N(lv_add)(v, FN_N(lv_spread)(ms + i));
            }
            a[k] = FN_N(lv_add)(a[k], g);
            q[k] = FN_N(lv_add)(q[k], FN_N(lv_mul)(g, v));
        }
    }
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        const size_t at = j + (size_t)k * FN_LANES;
        FN_N(lv_coef_put)(sum + at, a[k], 0);
        FN_N(lv_coef_put)(dot + at, q[k], 0);
    }
}

FN_INLINE void
FN_N(grad_sums_block)(const char *x_, fn_ld ldx, const char *dy_, fn_ld lddy, size_t rows, size_t n,
                      const fn_centre *centre, const FN_A *w, double *s1, double *s2, int by_row,
                      int weighted, int w_by_row)
{
    _Alignas(64) FN_A sum[FN_COLS_AT_ONCE], dot[FN_COLS_AT_ONCE];
    const fn_ld next_band = FN_N(next_band)(ldx, n);
    for (size_t j0 = 0; j0 < n; j0 += FN_COLS_AT_ONCE) {
        const size_t wide = n - j0 < FN_COLS_AT_ONCE ? n - j0 : FN_COLS_AT_ONCE;
        const FN_A *hi = centre->hi, *r = centre->r, *m = centre->m;
        const FN_A *weights = weighted && !w_by_row ? w + j0 : w;
        hi += by_row ? 0 : j0;
        r += by_row ? 0 : j0;
        for (size_t start = 0; start < rows; start += FN_COL_BLOCK) {
            const size_t stop = rows - start < FN_COL_BLOCK ? rows : start + FN_COL_BLOCK;
            memset(sum, 0, (wide + FN_LANES - 1) / FN_LANES * FN_LANES * sizeof *sum);
            memset(dot, 0, (wide + FN_LANES - 1) / FN_LANES * FN_LANES * sizeof *dot);
            for (size_t row = start; row < stop; row += FN_BAND) {
                const char *x = x_ + (fn_ld)row * ldx + j0 * sizeof(FN_T);
                const char *dy = dy_ + (fn_ld)row * lddy + j0 * sizeof(FN_T);
                const size_t len = stop - row < FN_BAND ? stop - row : FN_BAND;
                const fn_ld ahead = row + FN_BAND < rows ? next_band : 0;
                size_t j = 0;
                for (; j + FN_SWEEP * FN_LANES <= wide; j += FN_SWEEP * FN_LANES) {
                    FN_N(grad_sums_panel)(x, ldx, dy, lddy, row, len, j, 0, hi, r, m, weights, sum,
                                          dot, ahead, FN_SWEEP, by_row, weighted, w_by_row);
                }
                for (; FN_SWEEP > 1 && j + FN_LANES <= wide; j += FN_LANES) {
                    FN_N(grad_sums_panel)(x, ldx, dy, lddy, row, len, j, 0, hi, r, m, weights, sum,
                                          dot, ahead, 1, by_row, weighted, w_by_row);
                }
                if (j < wide) {
                    FN_N(grad_sums_panel)(x, ldx, dy, lddy, row, len, j, wide - j, hi, r, m,
                                          weights, sum, dot, ahead, 1, by_row, weighted, w_by_row);
                }
            }
            for (size_t j = 0; j < wide; j++) {
                s1[j0 + j] += (double)sum[j];
                s2[j0 + j] += (double)dot[j];
            }
        }
    }
}

static void
FN_N(fn_grad_sums_cols)(const void *x, fn_ld ldx, const void *dy, fn_ld lddy, size_t rows, size_t n,
                        const fn_centre *centre, const fn_param *param, double *s1, double *s2)
{
    if (centre->by_row) { /* the gradients of parameters: dy itself is summed */
        FN_N(grad_sums_block)(x, ldx, dy, lddy, rows, n, centre, NULL, s1, s2, 1, 0, 0);
    }
    else if (!param->w) {
        FN_N(grad_sums_block)(x, ldx, dy, lddy, rows, n, centre, NULL, s1, s2, 0, 0, 0);
    }
    else if (param->by_row) {
        FN_N(grad_sums_block)(x, ldx, dy, lddy, rows, n, centre, param->w, s1, s2, 0, 1, 1);
    }
    else {
        FN_N(grad_sums_block)(x, ldx, dy, lddy, rows, n, centre, param->w, s1, s2, 0, 1, 0);
    }
}
