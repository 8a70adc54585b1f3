/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     y = f(x), a pointwise function with coefficients that broadcast against x, and its gradient:
 *          dx = dy * f'(x), and the sum of dy * df/dc for every coefficient c.
 *            floor  max(c0 x + c1, c2)
 *            ratio  x / max(c0, c1 x + c2) * c3 + c4
 *            swish  x sigmoid(c0 x) c1 + c2
 *            tanh   tanh(c0 x) c1 + c2
 * Layouts  by_row: coefficients are scalars of a row, and sums are taken along it. else: vectors, one
 *          value per column, and sums are taken down the rows.
 * Method   One sweep: dx and all sums from the same load of x and dy. Along a row, blocks of FN_CURVE_BLOCK
 *          values in one logical vector of lanes, added up in the compute type, then to a double; down the
 *          rows one lane per column. NaN comes through a maximum from either side. The derivative of
 *          max(a, b) is that of the b that is larger, else of the a.
 * Source   FRN and its threshold: Singh and Krishnan (2020). EvoNorm-B0 and S0: Liu et al. (2020). Dynamic
 *          tanh: Zhu et al. (2025).
 * Aliasing y may be x; dx may be x or dy.
 * Needs    lanes.tmpl.h, functions.tmpl.h, out.h.
 */

/* The larger of a number and a coefficient; NaN if either is. */
FN_INLINE FN_V
FN_N(curve_most)(FN_V x, FN_V c)
{
    return FN_N(v_select)(c == c, FN_N(v_larger)(c, x), c);
}

FN_INLINE FN_V
FN_N(curve_where)(FN_VMASK mask, FN_V x)
{
    return (FN_V)(mask & (FN_VMASK)x);
}

FN_INLINE FN_V
FN_N(curve_value)(int kind, FN_V x, const FN_V *c)
{
    switch (kind) {
    case FN_FLOOR:
        return FN_N(curve_most)(c[0] * x + c[1], c[2]);
    case FN_RATIO:
        return x / FN_N(curve_most)(c[1] * x + c[2], c[0]) * c[3] + c[4];
    case FN_SWISH:
        return x * FN_N(v_sigmoid)(c[0] * x) * c[1] + c[2];
    default:
        return FN_N(v_tanh)(c[0] * x) * c[1] + c[2];
    }
}

/* Returns g f'(x); d[k] = g df/dc[k]. */
FN_INLINE FN_V
FN_N(curve_slopes)(int kind, FN_V x, FN_V g, const FN_V *c, FN_V *d)
{
    if (kind == FN_FLOOR) {
        const FN_VMASK above = c[0] * x + c[1] > c[2];
        d[0] = FN_N(curve_where)(above, g * x);
        d[1] = FN_N(curve_where)(above, g);
        d[2] = FN_N(curve_where)(~above, g);
        return FN_N(curve_where)(above, g * c[0]);
    }
    if (kind == FN_RATIO) {
        const FN_V u = c[1] * x + c[2], most = FN_N(curve_most)(u, c[0]);
        const FN_VMASK above = u > c[0];
        const FN_V one = FN_N(v_set1)(1), inverse = one / most, ratio = x * inverse,
                   h = g * c[3] * inverse, fall = -h * ratio;
        d[0] = FN_N(curve_where)(~above, fall);
        d[1] = FN_N(curve_where)(above, fall * x);
        d[2] = FN_N(curve_where)(above, fall);
        d[3] = g * ratio;
        d[4] = g;
        return h * FN_N(v_select)(above, c[2] * inverse, one); /* c2 = u - c1 x cancels nowhere */
    }
    const FN_V z = c[0] * x, h = g * c[1];
    d[2] = g;
    if (kind == FN_SWISH) { /* s = p or e p, 1 - s = e p or p: neither cancels */
        const FN_V e = FN_N(v_exp)(FN_N(v_minus_abs)(z)), p = 1 / (e + 1), slope = e * p * p;
        const FN_V s = FN_N(v_select)(z > 0, p, e * p);
        d[0] = h * x * x * slope;
        d[1] = g * x * s;
        return h * (s + z * slope);
    }
    const FN_V t = FN_N(v_tanh)(z), slope = (1 - t) * (1 + t);
    d[0] = h * x * slope;
    d[1] = g * t;
    return h * c[0] * slope;
}

/* The first `left` lanes, 0 in the others. */
FN_INLINE FN_LV
FN_N(curve_first)(FN_LV a, size_t left)
{
    FN_VMASK lane;
    memcpy(&lane, FN_CAT(fn_lane_numbers, FN_REAL), sizeof lane);
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        a.v[k] = FN_N(curve_where)(lane < (int)left - k * FN_VLANES, a.v[k]);
    }
    return a;
}

#define FN_COEFS_OF(kind) ((kind) == FN_RATIO ? 5 : 3)

/* One logical vector v (and g of dy), or its first `left` values; by_row: the sums are those of a row, to which only
 * these values count. left, kind, by_row and back are constants in every call but those of curve_edge. */
FN_INLINE void
FN_N(curve_step)(FN_T *y, FN_LV v, FN_LV g, size_t left, const FN_LV *c, FN_LV *sum, int where,
                 int kind, int by_row, int back)
{
    FN_LV out, d[FN_COEFS];
    FN_UNROLL_SOME
    for (int k = 0; k < FN_NATIVE; k++) {
        FN_V ck[FN_COEFS], dk[FN_COEFS];
        for (int m = 0; m < FN_COEFS_OF(kind); m++) {
            ck[m] = c[m].v[k];
        }
        if (!back) {
            out.v[k] = FN_N(curve_value)(kind, v.v[k], ck);
            continue;
        }
        out.v[k] = FN_N(curve_slopes)(kind, v.v[k], g.v[k], ck, dk);
        for (int m = 0; m < FN_COEFS_OF(kind); m++) {
            d[m].v[k] = dk[m];
        }
    }
    for (int m = 0; back && m < FN_COEFS_OF(kind); m++) {
        sum[m] = FN_N(lv_add)(sum[m], left && by_row ? FN_N(curve_first)(d[m], left) : d[m]);
    }
    FN_N(lv_put)(y, &out, 1, left, where);
}

/* Coefficients of columns from j on, or of the first `left`. */
FN_INLINE void
FN_N(curve_coefs)(const fn_curve *curve, size_t j, size_t left, FN_LV *c, int kind)
{
    for (int m = 0; m < FN_COEFS_OF(kind); m++) {
        c[m] = FN_N(lv_coef_any)((const FN_A *)curve->coef[m] + j, left);
    }
}

/* What a row ends with: one copy for all kinds and layouts. */
FN_NOINLINE void
FN_N(curve_edge)(FN_T *y, const FN_T *x, const FN_T *dy, size_t left, const FN_LV *c, FN_LV *sum,
                 int where, int kind, int by_row, int back)
{
    const FN_LV none = FN_N(lv_set1)(0), v = FN_N(lv_load_any)(x, left, none);
    const FN_LV g = back ? FN_N(lv_load_any)(dy, left, none) : none;
    switch (kind) {
#define FN_CASE(kind)                                                                              \
    case kind:                                                                                     \
        FN_N(curve_step)(y, v, g, left, c, sum, where, kind, by_row, back);                        \
        break;
        FN_CASE(FN_FLOOR)
        FN_CASE(FN_RATIO)
        FN_CASE(FN_SWISH)
        FN_CASE(FN_TANH)
#undef FN_CASE
    }
}

/* The first `left` values of a vector, by way of copies: or the loop around a whole one would
 * have to keep its coefficients and sums in memory. */
FN_INLINE void
FN_N(curve_some)(FN_T *y, const FN_T *x, const FN_T *dy, size_t left, const FN_LV *c, FN_LV *sum,
                 const fn_curve *curve, int where, int kind, int back)
{
    FN_LV c_copy[FN_COEFS], sum_copy[FN_COEFS];
    for (int m = 0; m < FN_COEFS_OF(kind); m++) {
        c_copy[m] = c[m];
        if (back) {
            sum_copy[m] = sum[m];
        }
    }
    FN_N(curve_edge)(y, x, dy, left, c_copy, sum_copy, where, curve->kind, curve->by_row, back);
    for (int m = 0; back && m < FN_COEFS_OF(kind); m++) {
        sum[m] = sum_copy[m];
    }
}

/* Row by row. Lanes wait in `held`: those of long rows that go by in parts (out.h: whole vectors), and
 * those of short rows, to be added up side by side. */
FN_INLINE void
FN_N(curve_rows)(const fn_out *o, const char *x_, fn_ld ldx, const char *dy_, fn_ld lddy,
                 const fn_curve *curve, FN_LV (*held)[FN_LANES], int kind, int back)
{
    const ptrdiff_t ahead = fn_out_ahead(o, o->row, ldx, 0, 0) / (ptrdiff_t)sizeof(FN_T);
    const int brief = o->n <= FN_CURVE_BLOCK;
    for (size_t i = 0; i < o->rows; i++) {
        const size_t row = o->row + i, at = i % FN_LANES;
        const FN_T *x = (const FN_T *)(x_ + (fn_ld)row * ldx);
        const FN_T *dy = (const FN_T *)(dy_ + (fn_ld)row * lddy);
        FN_T *y = (FN_T *)(o->y + (fn_ld)i * o->ldy);
        FN_LV c[FN_COEFS], sum[FN_COEFS];
        for (int m = 0; m < FN_COEFS_OF(kind); m++) {
            c[m] = FN_N(lv_spread)((const FN_A *)curve->coef[m] + row * curve->step);
            sum[m] = back && o->j0 % FN_CURVE_BLOCK ? held[m][at] : FN_N(lv_set1)(0);
        }
        for (size_t j = o->j0, stop; j < o->j1; j = stop) {
            stop = (j / FN_CURVE_BLOCK + 1) * FN_CURVE_BLOCK;
            stop = back && stop < o->j1 ? stop : o->j1;
            for (; j + FN_LANES <= stop; j += FN_LANES, y += FN_LANES) {
                if (ahead) {
                    FN_PREFETCH(x + j + ahead);
                    FN_PREFETCH(dy + j + ahead);
                }
                FN_N(curve_step)(y, FN_N(lv_load)(x + j), FN_N(lv_load)(dy + j), 0, c, sum,
                                 o->where, kind, 1, back);
            }
            if (j < stop && !back && o->apart && stop - o->j0 >= FN_LANES) {
                y -= FN_LANES - (stop - j); /* a whole vector again rather than part of one */
                const FN_LV last = FN_N(lv_load)(x + stop - FN_LANES);
                FN_N(curve_step)(y, last, last, 0, c, sum, o->where, kind, 1, 0);
            }
            else if (j < stop) {
                FN_N(curve_some)(y, x + j, dy + j, stop - j, c, sum, curve, o->where, kind, back);
            }
            const int whole = stop % FN_CURVE_BLOCK == 0 || stop == o->n;
            for (int m = 0; back && m < FN_COEFS_OF(kind); m++) {
                held[m][at] = sum[m];
                sum[m] = !brief && whole ? FN_N(lv_set1)(0) : sum[m];
            }
            for (int m = 0; back && !brief && whole && m < FN_COEFS_OF(kind); m++) {
                ((double *)curve->sum[m])[row] += (double)FN_N(lv_sum)(held[m][at]);
            }
        }
        const int full = at == FN_LANES - 1 || i == o->rows - 1;
        for (int m = 0; back && brief && full && o->j1 == o->n && m < FN_COEFS_OF(kind); m++) {
            FN_N(lv_sums)(held[m], at + 1, (double *)curve->sum[m] + row - at);
        }
    }
}

/* Columns, forward: row by row, with the coefficients of its columns. They are loads beside a chain of operations, of
 * which many run at once; down a band, loads of the next row would wait for the end of a chain where rows lie a
 * multiple of 4096 bytes apart. */
FN_INLINE void
FN_N(curve_cols)(const fn_out *o, const char *x_, fn_ld ldx, const fn_curve *curve, int kind)
{
    const fn_ld next_band = FN_N(next_band)(ldx, o->n);
    for (size_t i = 0; i < o->rows; i++) {
        const size_t row = o->row + i;
        const ptrdiff_t ahead = fn_out_ahead(o, row, ldx, 0, next_band) / (ptrdiff_t)sizeof(FN_T);
        const FN_T *x = (const FN_T *)(x_ + (fn_ld)row * ldx);
        FN_T *y = (FN_T *)(o->y + (fn_ld)i * o->ldy);
        FN_LV c[FN_COEFS];
        size_t j = o->j0;
        for (; j + FN_LANES <= o->j1; j += FN_LANES, y += FN_LANES) {
            if (ahead) {
                FN_PREFETCH(x + j + ahead);
            }
            FN_N(curve_coefs)(curve, j, 0, c, kind);
            const FN_LV v = FN_N(lv_load)(x + j);
            FN_N(curve_step)(y, v, v, 0, c, NULL, o->where, kind, 0, 0);
        }
        if (j < o->j1 && o->apart && o->j1 - o->j0 >= FN_LANES) {
            y -= FN_LANES - (o->j1 - j); /* a whole vector again rather than part of one */
            j = o->j1 - FN_LANES;
            FN_N(curve_coefs)(curve, j, 0, c, kind);
            const FN_LV v = FN_N(lv_load)(x + j);
            FN_N(curve_step)(y, v, v, 0, c, NULL, o->where, kind, 0, 0);
        }
        else if (j < o->j1) {
            FN_N(curve_coefs)(curve, j, o->j1 - j, c, kind);
            FN_N(curve_some)(y, x + j, NULL, o->j1 - j, c, NULL, curve, o->where, kind, 0);
        }
    }
}

/* Backward: one logical vector of columns, or its first `left`, down one band of rows, with its sums; dx is where
 * column j goes. */
FN_INLINE void
FN_N(curve_panel)(char *dx, fn_ld lddx, const char *x, fn_ld ldx, const char *dy, fn_ld lddy,
                  size_t rows, size_t j, size_t left, const fn_curve *curve, ptrdiff_t ahead_x,
                  ptrdiff_t ahead_dy, int where, int kind)
{
    FN_LV c[FN_COEFS], sum[FN_COEFS];
    FN_N(curve_coefs)(curve, j, left, c, kind);
    for (int m = 0; m < FN_COEFS_OF(kind); m++) {
        sum[m] = FN_N(lv_coef_any)((const FN_A *)curve->sum[m] + j, left);
    }
    x += j * sizeof(FN_T);
    dy += j * sizeof(FN_T);
    for (size_t i = 0; i < rows; i++, x += ldx, dy += lddy, dx += lddx) {
        if (ahead_x) {
            FN_PREFETCH(x + ahead_x);
            FN_PREFETCH(dy + ahead_dy);
        }
        if (left) {
            FN_N(curve_some)((FN_T *)dx, (const FN_T *)x, (const FN_T *)dy, left, c, sum, curve,
                             where, kind, 1);
        }
        else {
            FN_N(curve_step)((FN_T *)dx, FN_N(lv_load)((const FN_T *)x),
                             FN_N(lv_load)((const FN_T *)dy), 0, c, sum, where, kind, 0, 1);
        }
    }
    for (int m = 0; m < FN_COEFS_OF(kind); m++) {
        FN_N(lv_coef_put)((FN_A *)curve->sum[m] + j, sum[m], left);
    }
}

FN_INLINE void
FN_N(curve_bands)(const fn_out *o, const char *x_, fn_ld ldx, const char *dy_, fn_ld lddy,
                  const fn_curve *curve, int kind)
{
    const fn_ld band_x = FN_N(next_band)(ldx, o->n), band_dy = FN_N(next_band)(lddy, o->n);
    for (size_t i = 0; i < o->rows; i += o->band) {
        const size_t row = o->row + i, rows = o->rows - i < o->band ? o->rows - i : o->band;
        const ptrdiff_t ahead_x = fn_out_ahead(o, row, ldx, 0, band_x);
        const ptrdiff_t ahead_dy = fn_out_ahead(o, row, lddy, 0, band_dy);
        const char *x = x_ + (fn_ld)row * ldx, *dy = dy_ + (fn_ld)row * lddy;
        char *dx = o->y + (fn_ld)i * o->ldy;
        size_t j = o->j0;
        for (; j + FN_LANES <= o->j1; j += FN_LANES, dx += FN_LANES * sizeof(FN_T)) {
            FN_N(curve_panel)(dx, o->ldy, x, ldx, dy, lddy, rows, j, 0, curve, ahead_x, ahead_dy,
                              o->where, kind);
        }
        if (j < o->j1) {
            FN_N(curve_panel)(dx, o->ldy, x, ldx, dy, lddy, rows, j, o->j1 - j, curve, 0, 0,
                              o->where, kind);
        }
    }
}

FN_INLINE void
FN_N(curve_any)(void *y, fn_ld ldy, const void *x, fn_ld ldx, const void *dy, fn_ld lddy,
                size_t rows, size_t n, const fn_curve *curve, const fn_memory *memory, int back)
{
    FN_LV held[FN_COEFS][FN_LANES];
    fn_out o;
    const int rows_from = back ? FN_FROM_FIRST : FN_FROM_ANY; /* sums along a row: whole vectors */
    fn_out_start(&o, memory->stream, curve->by_row ? rows_from : FN_FROM_COMMON,
                 back ? FN_OUT_BYTES : FN_OUT_BYTES / 2, y, ldy, ldx, rows, n, sizeof(FN_T),
                 y == x || y == dy);
    while (fn_out_next(&o)) {
        switch (curve->kind << 1 | (curve->by_row != 0)) {
#define FN_CASE(kind)                                                                              \
    case (kind) << 1:                                                                              \
        if (back) {                                                                                \
            FN_N(curve_bands)(&o, x, ldx, dy, lddy, curve, kind);                                  \
        }                                                                                          \
        else {                                                                                     \
            FN_N(curve_cols)(&o, x, ldx, curve, kind);                                             \
        }                                                                                          \
        break;                                                                                     \
    case (kind) << 1 | 1:                                                                          \
        FN_N(curve_rows)(&o, x, ldx, dy, lddy, curve, held, kind, back);                           \
        break;
            FN_CASE(FN_FLOOR)
            FN_CASE(FN_RATIO)
            FN_CASE(FN_SWISH)
            FN_CASE(FN_TANH)
#undef FN_CASE
        }
    }
}

static void
FN_N(fn_curve)(void *y, fn_ld ldy, const void *x, fn_ld ldx, size_t rows, size_t n,
               const fn_curve *curve, const fn_memory *memory)
{
    FN_N(curve_any)(y, ldy, x, ldx, x, ldx, rows, n, curve, memory, 0);
}

static void
FN_N(fn_curve_gradient)(void *dx, fn_ld lddx, const void *x, fn_ld ldx, const void *dy, fn_ld lddy,
                        size_t rows, size_t n, const fn_curve *curve, const fn_memory *memory)
{
    FN_N(curve_any)(dx, lddx, x, ldx, dy, lddy, rows, n, curve, memory, 1);
}
