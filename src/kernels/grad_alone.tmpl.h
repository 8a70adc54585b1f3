/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     grad_combine of rows that go by one after the other, not in bands: those that share no coefficient with
 *          their neighbours, and those whose sums are made just before (fn_own), so that dx finds x and dy of its
 *          row in first-level cache.
 * Method   One step for one vector, which the bands of grad_combine.tmpl.h take too. Past the cache, rows that
 *          follow each other are joined to lines on the way (lv_shift): no buffer that is filled and emptied in turn.
 * Needs    grad_sums.tmpl.h, statistics.tmpl.h, the kinds of weights of affine.tmpl.h.
 */

/* Whether rows make their own sums: where registers hold more than one vector of each array; and if values are
 * converted in both sweeps, where rows can go past the cache in lines. */
#define FN_OWN (FN_SWEEP > 1 && (FN_AS_STORED || FN_SHIFTS))

/* Rows that make their own sums go by two at once, each in the latency of the other's, and what lies along them is
 * read and added to half as often: those of so many bytes at most, in cache and past it. */
#define FN_TWO (FN_AS_STORED ? FN_SWEEP * 1024 : 0)
#define FN_TWO_LINES (FN_AS_STORED ? 448 : 0)

/* The coefficients of a row that goes by alone, or of all rows. */
typedef struct {
    FN_LV hi, r, m, a, b, c, w;
} FN_N(combine_row);

/* How many gradients of parameters are made on the way: none, the weight's, or both. */
FN_INLINE int
FN_N(wanted)(const fn_slope *slope)
{
    return (slope->dw != NULL) + (slope->db != NULL);
}

FN_INLINE
FN_N(combine_row)
FN_N(combine_row_of)(const fn_centre *centre, const fn_param *param, const fn_slope *slope,
                     size_t row, int how, int vd)
{
    const FN_A *his = centre->hi, *rs = centre->r, *ms = centre->m, *ws = param->w;
    const FN_A *as = slope->a, *bs = slope->b, *cs = slope->c;
    const size_t at = row * centre->step;
    const FN_LV zero = FN_N(lv_set1)(0);
    return (FN_N(combine_row)){FN_N(lv_spread)(his + at),
                               FN_N(lv_spread)(rs + at),
                               vd ? FN_N(lv_spread)(ms + at) : zero,
                               FN_N(lv_spread)(as + at),
                               FN_N(lv_spread)(bs + at),
                               FN_N(lv_spread)(cs + at),
                               how == FN_N(EACH_ROW) ? FN_N(lv_spread)(ws + row) : zero};
}

/* Those of a vector of columns, or of its first `left`, from column j on. */
FN_INLINE
FN_N(combine_row)
FN_N(combine_row_at)(const fn_centre *centre, const fn_slope *slope, size_t j, size_t left)
{
    const FN_A *his = centre->hi, *rs = centre->r;
    const FN_A *as = slope->a, *bs = slope->b, *cs = slope->c;
    const FN_LV zero = FN_N(lv_set1)(0);
    return (FN_N(combine_row)){FN_N(lv_coef_any)(his + j, left),
                               FN_N(lv_coef_any)(rs + j, left),
                               zero,
                               FN_N(lv_coef_any)(as + j, left),
                               FN_N(lv_coef_any)(bs + j, left),
                               FN_N(lv_coef_any)(cs + j, left),
                               zero};
}

/* One vector; g: dy, w: its weights (how says whether there are any), dw, db: what is added to, vd of them. */
FN_INLINE FN_LV
FN_N(combine_step)(FN_LV x, FN_LV g, FN_LV w, FN_LV *dw, FN_LV *db, FN_LV hi, FN_LV r, FN_LV m,
                   FN_LV a, FN_LV b, FN_LV c, int weighted, int vd)
{
    const FN_LV t = FN_N(lv_centre)(x, hi, r);
    if (vd) {
        *dw = FN_N(lv_add)(*dw, FN_N(lv_mul)(g, FN_N(lv_add)(t, m)));
    }
    if (vd > 1) {
        *db = FN_N(lv_add)(*db, g);
    }
    if (weighted) {
        g = FN_N(lv_mul)(g, w);
    }
    return FN_N(lv_mul)(FN_N(lv_sub)(FN_N(lv_sub)(g, c), FN_N(lv_mul)(t, b)), a);
}

/* Where the first values of some rows are, bytes from one to the next, and 0, or bytes to what is asked for: memory
 * has time meanwhile. */
typedef struct {
    char *dx;
    const char *x, *dy, *on;
    fn_ld lddx, ldx, lddy, ldon, ahead_x, ahead_dy;
} FN_N(combine_rows);

/* Those that the sums of the row itself make: s1 of g, s2 of g * (x - hi) * r. */
FN_INLINE
FN_N(combine_row)
FN_N(combine_row_made)(const fn_centre *centre, const fn_own *own, size_t row, double s1, double s2)
{
    const FN_A *his = centre->hi, *rs = centre->r, *ms = centre->m;
    const size_t at = row * centre->step;
    const double low = own->low[at];
    double c0, c1, weight;
    FN_A a, b, c;
    s2 = fn_whole_dot(s1, s2, low);
    if (own->sums) {
        own->sums[2 * row] = s1;
        own->sums[2 * row + 1] = s2;
    }
    fn_means(own->count, own->raw, s1, s2, &c0, &c1);
    weight =
        own->w.p ? (double)*(const FN_N(loose_real) *)(own->w.p + (fn_ld)row * own->w.step) : 1;
    FN_N(slope_of)(own->rstd[at], low, weight, c0, c1, &a, &b, &c);
    return (FN_N(combine_row)){FN_N(lv_spread)(his + at), FN_N(lv_spread)(rs + at),
                               FN_N(lv_spread)(ms + at),  FN_N(lv_set1)(a),
                               FN_N(lv_set1)(b),          FN_N(lv_set1)(c),
                               FN_N(lv_set1)(0)};
}

/* The same of R rows: one, or more of a block at most, whose sums hide each other's latency. */
FN_INLINE void
FN_N(combine_rows_made)(const FN_N(combine_rows) * rows, size_t n, const fn_centre *centre,
                        const FN_A *w, const fn_own *own, size_t row, FN_N(combine_row) * by, int R,
                        int vw)
{
    const FN_A *his = centre->hi, *rs = centre->r;
    const fn_memory as_foreseen = {0, 0, 0};
    FN_LV sums[2], dots[2];
    FN_UNROLL
    for (int i = 0; i < R; i++) {
        const char *x = rows->x + i * rows->ldx, *dy = rows->dy + i * rows->lddy;
        const size_t at = (row + (size_t)i) * centre->step;
        const FN_N(fn_factors)
            of = {FN_N(lv_spread)(his + at), FN_N(lv_spread)(rs + at), NULL, NULL, NULL, w};
        if (R == 1) {
            double s1 = 0, s2 = 0;
            FN_N(grad_sums_row)(x, dy, n, &of, &s1, &s2, &as_foreseen, 0, vw, 1);
            by[0] = FN_N(combine_row_made)(centre, own, row, s1, s2);
            return;
        }
        FN_N(grad_sums_lanes)(x, dy, 0, n, &of, &sums[i], &dots[i], &as_foreseen, 0, vw, 1);
    }
    FN_UNROLL
    for (int i = 0; i < R; i++) {
        FN_A sum, dot;
        FN_N(lv_sum_two)(sums[i], dots[i], &sum, &dot);
        by[i] = FN_N(combine_row_made)(centre, own, row + (size_t)i, (double)sum, (double)dot);
    }
}

/* K vectors of each of R rows, or the first `left` values of one, from column j on; dx begins with column j0. w, dw, db:
 * from column j on. first: the first vector of the second row, whose line begins with the end of the first. */
FN_INLINE void
FN_N(grad_combine_few)(const FN_N(combine_rows) * rows, const FN_A *w, FN_A *dw, FN_A *db,
                       const FN_N(combine_row) * own, const fn_centre *centre,
                       const fn_slope *slope, size_t j, size_t j0, size_t left, int where,
                       FN_N(fn_shift) * shift, FN_LV *first, int K, int R, int how, int vd)
{
    FN_LV in[2][FN_SWEEP], above[2][FN_SWEEP], out[2][FN_SWEEP];
    FN_UNROLL
    for (int i = 0; i < R; i++) {
        const FN_T *x = (const FN_T *)(rows->x + i * rows->ldx) + j;
        const FN_T *dy = (const FN_T *)(rows->dy + i * rows->lddy) + j;
        FN_UNROLL
        for (int k = 0; k < K && rows->ahead_x; k++) {
            FN_PREFETCH((const char *)(x + k * FN_LANES) + rows->ahead_x);
            FN_PREFETCH((const char *)(dy + k * FN_LANES) + rows->ahead_dy);
        }
        FN_N(lv_take)(x, in[i], K, left);
        FN_N(lv_take)(dy, above[i], K, left);
    }
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        const size_t at = (size_t)k * FN_LANES;
        FN_LV weight = FN_N(lv_set1)(0), dwk = weight, dbk = weight;
        if (how == FN_N(WEIGHT)) {
            weight = FN_N(lv_coef_any)(w + at, left);
        }
        if (vd) {
            dwk = FN_N(lv_coef_any)(dw + at, left);
        }
        if (vd > 1) {
            dbk = FN_N(lv_coef_any)(db + at, left);
        }
        FN_UNROLL
        for (int i = 0; i < R; i++) {
            const FN_N(combine_row) by =
                own ? own[i] : FN_N(combine_row_at)(centre, slope, j + at, left);
            above[i][k] = FN_N(lv_held)(above[i][k]);
            out[i][k] = FN_N(combine_step)(in[i][k], above[i][k],
                                           how == FN_N(EACH_ROW) ? by.w : weight, &dwk, &dbk, by.hi,
                                           by.r, by.m, by.a, by.b, by.c, how != FN_N(PLAIN), vd);
        }
        if (vd) {
            FN_N(lv_coef_put)(dw + at, dwk, left);
        }
        if (vd > 1) {
            FN_N(lv_coef_put)(db + at, dbk, left);
        }
    }
    FN_UNROLL
    for (int i = 0; i < R; i++) {
        FN_T *dx = (FN_T *)(rows->dx + i * rows->lddx) + (j - j0);
        if (rows->on) {
            const FN_T *on = (const FN_T *)(rows->on + i * rows->ldon) + j;
            FN_LV more[FN_SWEEP];
            FN_N(lv_take)(on, more, K, left);
            FN_UNROLL
            for (int k = 0; k < K; k++) {
                if (rows->ahead_x) {
                    FN_PREFETCH((const char *)(on + k * FN_LANES) + FN_AHEAD);
                }
                out[i][k] = FN_N(lv_add)(out[i][k], more[k]);
            }
        }
        if (shift && left) {
            FN_N(lv_shift_part)(dx, out[i][0], left, shift);
        }
        else if (shift && i && j == j0) {
            *first = out[1][0];
            FN_N(lv_shift_from)(shift + 1, shift, first);
            FN_N(lv_shift_put)(dx + FN_LANES, out[1] + 1, K - 1, shift + 1);
        }
        else if (shift) {
            FN_N(lv_shift_put)(dx, out[i], K, shift + i);
        }
        else {
            FN_N(lv_put)(dx, out[i], K, left, where);
        }
    }
}

/* Columns [j0, j1) of R rows that go by at once. */
FN_INLINE void
FN_N(grad_combine_row)(const fn_out *o, const FN_N(combine_rows) * rows, const FN_A *w,
                       const fn_centre *centre, const fn_slope *slope, const FN_N(combine_row) * by,
                       FN_N(fn_shift) * shift, int R, int how, int vd, int whole)
{
    FN_A *dw = slope->dw, *db = slope->db;
    const size_t end = o->j1, wide = FN_SWEEP / R * FN_LANES;
    const int all = R > 1 || shift; /* columns, which go where they belong */
    const int where = all ? FN_TO_MEMORY : o->where;
    const size_t j0 = all ? 0 : o->j0;
    FN_LV first;
    const int same = R == 1 || rows->lddx % FN_LINE == 0; /* both rows begin their lines alike */
    const size_t lead = vd || shift || !same ? 0 : fn_out_lead(o, rows->dx, FN_LANES);
    size_t j = j0 + lead;
#define FN_FEW(K, left)                                                                            \
    FN_N(grad_combine_few)(rows, w + j, dw + j, db + j, by, centre, slope, j, j0, left, where,     \
                           shift, &first, K, R, how, vd)
    for (; j + wide <= end; j += wide) {
        FN_FEW(FN_SWEEP / R, 0);
    }
    for (; FN_SWEEP > R && j + FN_LANES <= end; j += FN_LANES) {
        FN_FEW(1, 0);
    }
    if (j < end && !vd && !shift && o->apart && end - j0 >= FN_LANES) {
        j = end - FN_LANES;
        FN_FEW(1, 0);
    }
    else if (j < end && !whole) {
        FN_FEW(1, end - j);
    }
    if (lead) { /* not with sums of parameters, to which a vector must be added once */
        j = j0;
        FN_FEW(1, 0);
    }
#undef FN_FEW
    if (shift && R > 1) {
        /* What the second row begins with, now that the first has come to its end. */
        FN_N(lv_shift_put)((FN_T *)(rows->dx + rows->lddx), &first, 1, shift);
        FN_N(lv_shift_go_on)(shift, shift + 1);
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

/* Once row `row` is done. ahead: totals are asked for some rows before. What goes by has pushed them out of
 * first-level cache, and a load behind streaming stores waits for these. */
FN_INLINE void
FN_N(settle_in_turn)(const fn_slope *slope, size_t n, size_t row, size_t rows, int vd, int ahead)
{
    enum { AHEAD = 4, A_LINE = 64 / sizeof(double) };
    double *dw = slope->own->dw, *db = slope->own->db;
    const size_t left = FN_COL_BLOCK - 1 - row % FN_COL_BLOCK;
    if (left == 0 || row + 1 == rows) {
        FN_N(fn_settle)(n, slope->dw, dw);
        if (vd > 1) {
            FN_N(fn_settle)(n, slope->db, db);
        }
    }
    else if (ahead && left <= AHEAD) {
        for (size_t j = (AHEAD - left) * A_LINE; j < n; j += AHEAD * A_LINE) {
            FN_PREFETCH((const char *)(dw + j));
            if (vd > 1) {
                FN_PREFETCH((const char *)(db + j));
            }
        }
    }
}

/* How many rows before a row is asked for. Whole ones: of one of 8 KiB, asked for 6 KiB before, the sums would
 * wait for the end. */
FN_INLINE fn_ld
FN_N(rows_ahead)(fn_ld ldx)
{
    const fn_ld apart = ldx < 0 ? -ldx : ldx;
    return apart && apart < FN_ROWS_AHEAD ? FN_ROWS_AHEAD / apart : 1;
}

/* R rows from `row` on: their coefficients are given, or made of their sums. at_hand: those of a row that goes by in
 * parts. */
FN_INLINE void
FN_N(grad_combine_some)(const fn_out *o, const FN_N(combine_rows) * rows, size_t row,
                        const fn_centre *centre, const fn_param *param, const fn_slope *slope,
                        FN_N(combine_row) * at_hand, FN_N(fn_shift) * shift, int R, int by_row,
                        int how, int vd, int made, int lines)
{
    FN_N(combine_row) by[2];
    if (made && !o->j0) {
        FN_N(combine_rows_made)(rows, o->n, centre, param->w, slope->own, row, by, R,
                                how == FN_N(WEIGHT));
    }
    else if (made) {
        by[0] = *at_hand;
    }
    else if (by_row) {
        by[0] = FN_N(combine_row_of)(centre, param, slope, row, how, vd);
    }
    FN_N(grad_combine_row)(o, rows, param->w, centre, slope, by_row ? by : NULL, shift, R, how, vd,
                           made && lines);
    for (int i = 0; i < R; i++) {
        if (made && vd && slope->own->dw && o->j1 == o->n) {
            FN_N(settle_in_turn)(slope, o->n, row + (size_t)i, o->all_rows, vd, lines);
        }
    }
    if (made && R == 1) {
        *at_hand = by[0];
    }
}

/* Rows one by one, or those that make their sums by twos. */
FN_INLINE void
FN_N(grad_combine_alone)(const fn_out *o, const char *x, fn_ld ldx, const char *dy, fn_ld lddy,
                         const fn_centre *centre, const fn_param *param, const fn_slope *slope,
                         FN_N(combine_row) * at_hand, int by_row, int how, int vd, int made,
                         int lines)
{
    const fn_ld next = made && lines ? FN_N(rows_ahead)(ldx) : 0;
    const size_t end = o->row + o->rows;
    const int two = made && FN_AS_STORED && !o->stream &&
                    o->n * sizeof(FN_T) <= (lines ? FN_TWO_LINES : FN_TWO);
    const char *on = slope->on;
    char *dx = o->y;
    FN_N(fn_shift) shift[2];
    size_t row = o->row;
    if (lines) {
        FN_N(lv_shift_start)(shift, (const FN_T *)dx, 0);
    }
#define FN_SOME(R)                                                                                 \
    const fn_ld at = (fn_ld)row;                                                                   \
    const FN_N(combine_rows)                                                                       \
        rows = {dx,         x + at * ldx, dy + at * lddy, on ? on + at * slope->ldon : NULL,       \
                o->ldy,     ldx,          lddy,           slope->ldon,                             \
                next * ldx, next * lddy};                                                          \
    FN_N(grad_combine_some)(o, &rows, row, centre, param, slope, at_hand, lines ? shift : NULL, R, \
                            by_row, how, vd, made, lines)
    for (; two && row + 2 <= end; row += 2, dx += 2 * o->ldy) {
        FN_SOME(2);
    }
    for (; row < end; row++, dx += o->ldy) {
        FN_SOME(1);
    }
#undef FN_SOME
    if (lines) {
        FN_N(lv_shift_end)((FN_T *)dx, shift);
    }
}

/* One function each, with the registers to itself. lines: rows that follow each other go past the cache line by
 * line; those that make their own sums are of whole vectors. */
#define FN_ALONE(name, by_row, how, vd, made, lines)                                               \
    FN_NOINLINE void FN_N(name)(const fn_out *o, const char *x, fn_ld ldx, const char *dy,         \
                                fn_ld lddy, const fn_centre *centre, const fn_param *param,        \
                                const fn_slope *slope, FN_N(combine_row) * row)                    \
    {                                                                                              \
        FN_N(grad_combine_alone)(o, x, ldx, dy, lddy, centre, param, slope, row, by_row,           \
                                 FN_N(how), vd, made, lines);                                      \
    }
FN_ALONE(alone_plain, 1, PLAIN, 0, 0, 0)
FN_ALONE(alone_each_row, 1, EACH_ROW, 0, 0, 0)
#if FN_OWN
FN_ALONE(made_plain, 1, PLAIN, 0, 1, 0)
FN_ALONE(made_weight, 1, WEIGHT, 0, 1, 0)
FN_ALONE(made_weight_one, 1, WEIGHT, 1, 1, 0)
FN_ALONE(made_weight_both, 1, WEIGHT, 2, 1, 0)
#endif
#if FN_SHIFTS
FN_ALONE(lines_plain, 1, PLAIN, 0, 0, 1)
FN_ALONE(lines_each_row, 1, EACH_ROW, 0, 0, 1)
FN_ALONE(lines_columns, 0, PLAIN, 0, 0, 1)
#endif
#if FN_OWN && FN_SHIFTS
FN_ALONE(made_lines_plain, 1, PLAIN, 0, 1, 1)
FN_ALONE(made_lines_weight, 1, WEIGHT, 0, 1, 1)
FN_ALONE(made_lines_weight_one, 1, WEIGHT, 1, 1, 1)
FN_ALONE(made_lines_weight_both, 1, WEIGHT, 2, 1, 1)
#endif
#undef FN_ALONE
