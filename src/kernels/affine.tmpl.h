/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     y = z = ((x - hi) * r + m) * w + b (affine), y = act(z) or dy * act'(z) (activated), and the
 *          rounding of double coefficients to the compute type that goes before them (narrow).
 * Layouts  by_row: hi, r, m are scalars of a row (layer norm, NCHW).
 *          else:   vectors, one value per column, the same for all rows (channels last, axis=1).
 *          w, b: vectors along the run, or, beside a centre per column, one value per row.
 * Method   The mean is subtracted in two parts: x - hi with hi = (A)mean, exact where x is near the
 *          mean (Sterbenz), and what hi left over within m, so that the error of y does not grow with
 *          |mean| / std. Parameters of one value per statistic are in r and m already.
 * Aliasing y may be x, or dy.
 * Needs    lanes.tmpl.h, activate.tmpl.h.
 */

/* How w and b vary in a call; a constant where a panel is inlined. ASK: it is asked for each panel. */
enum { FN_N(PLAIN), FN_N(WEIGHT), FN_N(BIAS), FN_N(BOTH), FN_N(EACH_ROW), FN_N(ASK) };

FN_INLINE int
FN_N(how_of)(const fn_param *param)
{
    return param->by_row ? FN_N(EACH_ROW) : (param->w != NULL) | (param->b != NULL) << 1;
}

/* What becomes of z: nothing, or its activation, or the slope of that times dy. Those of relu are a few
 * instructions; all others are out of line, and a call costs the coefficients their registers. */
enum { FN_N(AS_IT_IS), FN_N(ACTIVATED), FN_N(RELU), FN_N(RELU_SLOPE) };

/* The activation, and where dy lies beside x, or NULL: the value is asked for. */
typedef struct {
    int kind;
    const char *dy;
    fn_ld lddy;
} FN_N(fn_after);

/* The coefficients of a row that goes by alone. */
typedef struct {
    FN_LV hi, r, m;
} FN_N(affine_row);

FN_INLINE
FN_N(affine_row) FN_N(affine_row_of)(const fn_centre *centre, size_t row)
{
    const FN_A *his = centre->hi, *rs = centre->r, *ms = centre->m;
    const size_t at = row * centre->step;
    return (FN_N(affine_row)){FN_N(lv_spread)(his + at), FN_N(lv_spread)(rs + at),
                              FN_N(lv_spread)(ms + at)};
}

/* K logical vectors of columns from j on, or its first `left`, down one band of rows: coefficients that
 * belong to columns are read once. y is where column j goes. K, by_row, how and what are constants in every
 * call but those of affine_edge. */
FN_INLINE void
FN_N(affine_panel)(char *y, fn_ld ldy, const char *x, fn_ld ldx, size_t row0, size_t rows, size_t j,
                   size_t left, const fn_centre *centre, const fn_param *param,
                   const FN_N(fn_after) * after, ptrdiff_t ahead, int where, int K, int by_row,
                   int how, int what)
{
    const FN_A *his = centre->hi, *rs = centre->r, *ms = centre->m, *ws = param->w, *bs = param->b;
    const int early = K > 1 && by_row && how != FN_N(PLAIN) && how != FN_N(ASK);
    how = how == FN_N(ASK) ? FN_N(how_of)(param) : how;
    const int vw = how == FN_N(WEIGHT) || how == FN_N(BOTH);
    const int vb = how == FN_N(BIAS) || how == FN_N(BOTH);
    FN_LV hi[FN_SWEEP], r[FN_SWEEP], m[FN_SWEEP], w[FN_SWEEP], b[FN_SWEEP];
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        const size_t at = j + (size_t)k * FN_LANES;
        w[k] = b[k] = FN_N(lv_set1)(0);
        if (!by_row) {
            hi[k] = FN_N(lv_coef_any)(his + at, left);
            r[k] = FN_N(lv_coef_any)(rs + at, left);
            m[k] = FN_N(lv_coef_any)(ms + at, left);
        }
        else { /* set row by row */
            hi[k] = r[k] = m[k] = FN_N(lv_set1)(0);
        }
        if (vw) {
            w[k] = FN_N(lv_coef_any)(ws + at, left);
        }
        if (vb) {
            b[k] = FN_N(lv_coef_any)(bs + at, left);
        }
    }
    x += j * sizeof(FN_T);
    const int sloped = what == FN_N(RELU_SLOPE) || (what == FN_N(ACTIVATED) && after->dy);
    const char *dy = sloped ? after->dy + (fn_ld)row0 * after->lddy : NULL;
    /* All loads before the first store, and where weights along the row make bands worth while (and there are
     * registers) those of the next row too: a load waits for a store just before it whose address agrees
     * modulo 4096. */
    FN_LV in[FN_SWEEP];
    if (early) {
        FN_N(lv_take)((const FN_T *)x, in, K, left);
    }
    for (size_t i = row0; i < row0 + rows; i++, y += ldy) {
        FN_LV out[FN_SWEEP];
        if (!early) {
            FN_N(lv_take)((const FN_T *)x, in, K, left);
        }
        if (by_row) {
            const FN_N(affine_row) c = FN_N(affine_row_of)(centre, i);
            hi[0] = c.hi;
            r[0] = c.r;
            m[0] = c.m;
        }
        FN_UNROLL
        for (int k = 0; k < K; k++) {
            const int c = by_row ? 0 : k;
            if (ahead && (!by_row || FN_SECOND_SWEEP(k) || ahead == FN_AHEAD)) {
                FN_PREFETCH((const char *)((const FN_T *)x + k * FN_LANES) + ahead);
            }
            FN_LV v = FN_N(lv_add)(FN_N(lv_centre)(in[k], hi[c], r[c]), m[c]);
            if (how == FN_N(EACH_ROW)) {
                v = FN_N(lv_mul)(v, FN_N(lv_spread)(ws + i));
                v = FN_N(lv_add)(v, FN_N(lv_spread)(bs + i));
            }
            if (vw) {
                v = FN_N(lv_mul)(v, w[k]);
            }
            if (vb) {
                v = FN_N(lv_add)(v, b[k]);
            }
            out[k] = v;
        }
        if (what == FN_N(ACTIVATED) && sloped) {
            FN_N(lv_activate_slope_some)(out, K, after->kind);
        }
        else if (what == FN_N(ACTIVATED)) {
            FN_N(lv_activate_some)(out, K, after->kind);
        }
        FN_UNROLL
        for (int k = 0; k < K; k++) {
            if (what == FN_N(RELU)) {
                out[k] = FN_N(lv_activate)(FN_RELU, out[k]);
            }
            if (what == FN_N(RELU_SLOPE)) {
                out[k] = FN_N(lv_activate_slope)(FN_RELU, out[k]);
            }
        }
        if (sloped) {
            FN_UNROLL
            for (int k = 0; k < K; k++) {
                const FN_T *pg = (const FN_T *)dy + j + k * FN_LANES;
                out[k] = FN_N(lv_mul)(out[k], FN_N(lv_load_any)(pg, left, out[k]));
            }
            dy += after->lddy;
        }
        x += ldx;
        if (early && i + 1 < row0 + rows) {
            FN_N(lv_take)((const FN_T *)x, in, K, left);
        }
        FN_N(lv_put)((FN_T *)y, out, K, left, where);
    }
}

/* Fewer columns than a vector holds: one copy for all the cases, or they would be most of the code. */
FN_NOINLINE void
FN_N(affine_edge)(char *y, fn_ld ldy, const char *x, fn_ld ldx, size_t row0, size_t rows, size_t j,
                  size_t left, const fn_centre *centre, const fn_param *param,
                  const FN_N(fn_after) * after, int where, int how, int what)
{
    FN_N(affine_panel)(y, ldy, x, ldx, row0, rows, j, left, centre, param, after, 0, where, 1,
                       centre->by_row, how, what);
}

FN_INLINE void
FN_N(affine_block)(const fn_out *o, const char *x_, fn_ld ldx, const fn_centre *centre,
                   const fn_param *param, const FN_N(fn_after) * after, ptrdiff_t ahead_x,
                   int by_row, int how, int what)
{
    const size_t end = o->row + o->rows, band = o->band, wide = FN_SWEEP * FN_LANES;
    const fn_ld next_band = by_row ? 0 : FN_N(next_band)(ldx, o->n);
    char *y = o->y;
    for (size_t row = o->row; row < end; row += band, y += (fn_ld)band * o->ldy) {
        const size_t len = end - row >= band ? band : end - row;
        const ptrdiff_t ahead = fn_out_ahead(o, row, ldx, ahead_x, next_band);
        const char *x = x_ + (fn_ld)row * ldx;
        const size_t lead = fn_out_lead(o, y, FN_LANES), j1 = o->j1;
        size_t j = o->j0 + lead;
#define FN_PANEL(K, j)                                                                             \
    FN_N(affine_panel)((char *)((FN_T *)y + ((j) - o->j0)), o->ldy, x, ldx, row, len, j, 0,        \
                       centre, param, after, ahead, o->where, K, by_row, how, what)
        for (; j + wide <= j1; j += wide) {
            FN_PANEL(FN_SWEEP, j);
        }
        if (FN_SWEEP > 2 && what == FN_N(AS_IT_IS) && j + 2 * FN_LANES <= j1) {
            FN_PANEL(2, j);
            j += 2 * FN_LANES;
        }
        for (; FN_SWEEP > 1 && j + FN_LANES <= j1; j += FN_LANES) {
            FN_PANEL(1, j);
        }
        if (lead) { /* the columns before lines, with the first whole vector */
            FN_PANEL(1, o->j0);
        }
        if (j < j1 && o->apart && j1 - o->j0 >= FN_LANES) {
            j = j1 - FN_LANES; /* a whole vector again rather than part of one */
            FN_PANEL(1, j);
        }
        else if (j < j1) {
            FN_N(affine_edge)((char *)((FN_T *)y + (j - o->j0)), o->ldy, x, ldx, row, len, j,
                              j1 - j, centre, param, after, o->where, how, what);
        }
#undef FN_PANEL
    }
}

/* K vectors of a row that goes by alone, or the first `left` values of one, to memory, or joined to lines. */
FN_INLINE void
FN_N(affine_few)(FN_T *y, const FN_T *x, const FN_N(affine_row) * own, const fn_centre *centre,
                 const fn_param *param, size_t j, size_t left, FN_N(fn_shift) * shift,
                 ptrdiff_t ahead, int K, int how, int what)
{
    const FN_A *his = centre->hi, *rs = centre->r, *ms = centre->m, *ws = param->w, *bs = param->b;
    FN_LV in[FN_SWEEP], out[FN_SWEEP];
    FN_N(lv_take)(x, in, K, left);
    FN_UNROLL
    for (int k = 0; k < K; k++) {
        const size_t at = j + (size_t)k * FN_LANES;
        const FN_LV hi = own ? own->hi : FN_N(lv_coef_any)(his + at, left);
        const FN_LV r = own ? own->r : FN_N(lv_coef_any)(rs + at, left);
        const FN_LV m = own ? own->m : FN_N(lv_coef_any)(ms + at, left);
        if (ahead) {
            FN_PREFETCH((const char *)(x + k * FN_LANES) + ahead);
        }
        out[k] = FN_N(lv_add)(FN_N(lv_centre)(in[k], hi, r), m);
        if (how != FN_N(PLAIN)) {
            out[k] = FN_N(lv_mul)(out[k], FN_N(lv_coef_any)(ws + at, left));
        }
        if (how == FN_N(BOTH)) {
            out[k] = FN_N(lv_add)(out[k], FN_N(lv_coef_any)(bs + at, left));
        }
        if (what == FN_N(RELU)) {
            out[k] = FN_N(lv_activate)(FN_RELU, out[k]);
        }
    }
    if (!shift) {
        FN_N(lv_put)(y, out, K, left, FN_TO_MEMORY);
    }
    else if (left) {
        FN_N(lv_shift_part)(y, out[0], left, shift);
    }
    else {
        FN_N(lv_shift_put)(y, out, K, shift);
    }
}

/* Rows one by one: a row's own coefficients stay in registers, the vectors that rows share are read again for each.
 * lines: they follow each other and go past the cache without a buffer. how: PLAIN, or by_row WEIGHT or BOTH. */
FN_INLINE void
FN_N(affine_alone)(char *y_, fn_ld ldy, const char *x_, fn_ld ldx, size_t rows, size_t n,
                   const fn_centre *of, const fn_param *along, ptrdiff_t ahead, int by_row, int how,
                   int what, int lines)
{
#define FN_FEW(K, left)                                                                            \
    FN_N(affine_few)(y + j, x + j, own, lines ? of : &centre, lines ? along : &param, j, left,     \
                     lines ? &shift : NULL, ahead, K, how, what)
    /* Read once: for all a compiler knows, y is stored to them. Not beside lines, whose loop has no register left:
     * 1.15 times as long there, of columns. */
    const fn_centre centre = *of;
    const fn_param param = *along;
    const int apart = y_ != x_;
    FN_N(fn_shift) shift;
    if (lines) {
        FN_N(lv_shift_start)(&shift, (FN_T *)y_, 0);
    }
    for (size_t row = 0; row < rows; row++, y_ += ldy, x_ += ldx) {
        const FN_N(affine_row) by = FN_N(affine_row_of)(&centre, by_row ? row : 0);
        const FN_N(affine_row) *own = by_row ? &by : NULL;
        const FN_T *x = (const FN_T *)x_;
        FN_T *y = (FN_T *)y_;
        const size_t lead = fn_lead(y, n, FN_LANES, sizeof(FN_T), !lines && apart);
        size_t j = lead;
        for (; j + FN_SWEEP * FN_LANES <= n; j += FN_SWEEP * FN_LANES) {
            FN_FEW(FN_SWEEP, 0);
        }
        for (; j + FN_LANES <= n; j += FN_LANES) {
            FN_FEW(1, 0);
        }
        if (j < n && !lines && apart) { /* a whole vector again rather than part of one */
            j = n - FN_LANES;
            FN_FEW(1, 0);
        }
        else if (j < n) {
            FN_FEW(1, n - j);
        }
        if (lead) { /* the columns before lines, with the first whole vector */
            j = 0;
            FN_FEW(1, 0);
        }
    }
    if (lines) {
        FN_N(lv_shift_end)((FN_T *)y_, &shift);
    }
#undef FN_FEW
}

/* One function each, with the registers to itself. */
#define FN_GO_ALONE(name, by_row, how, what, lines)                                                \
    FN_NOINLINE void FN_N(name)(char *y, fn_ld ldy, const char *x, fn_ld ldx, size_t rows,         \
                                size_t n, const fn_centre *centre, const fn_param *param,          \
                                ptrdiff_t ahead)                                                   \
    {                                                                                              \
        FN_N(affine_alone)(y, ldy, x, ldx, rows, n, centre, param, ahead, by_row, FN_N(how),       \
                           FN_N(what), lines);                                                     \
    }
FN_GO_ALONE(rows_plain, 1, PLAIN, AS_IT_IS, 0)
#if FN_SWEEP > 1 /* else a row's coefficients have no registers for themselves anyway */
FN_GO_ALONE(rows_weight, 1, WEIGHT, AS_IT_IS, 0)
FN_GO_ALONE(rows_both, 1, BOTH, AS_IT_IS, 0)
FN_GO_ALONE(rows_plain_relu, 1, PLAIN, RELU, 0)
FN_GO_ALONE(rows_weight_relu, 1, WEIGHT, RELU, 0)
FN_GO_ALONE(rows_both_relu, 1, BOTH, RELU, 0)
#endif
#if FN_SWEEP > 1 && FN_AS_STORED
FN_GO_ALONE(rows_of_columns, 0, PLAIN, AS_IT_IS, 0)
#endif
#if FN_SHIFTS
FN_GO_ALONE(lines_of_columns, 0, PLAIN, AS_IT_IS, 1)
FN_GO_ALONE(lines_of_rows, 1, PLAIN, AS_IT_IS, 1)
FN_GO_ALONE(lines_of_rows_weight, 1, WEIGHT, AS_IT_IS, 1)
FN_GO_ALONE(lines_of_rows_both, 1, BOTH, AS_IT_IS, 1)
FN_GO_ALONE(lines_of_columns_relu, 0, PLAIN, RELU, 1)
FN_GO_ALONE(lines_of_rows_relu, 1, PLAIN, RELU, 1)
FN_GO_ALONE(lines_of_rows_weight_relu, 1, WEIGHT, RELU, 1)
FN_GO_ALONE(lines_of_rows_both_relu, 1, BOTH, RELU, 1)
#endif
#undef FN_GO_ALONE

/* Whether rows go by alone: past the cache those that are joined to lines, but for long ones with vectors to read
 * again; from cache long ones. Short ones with vectors go by in bands of many, and those that share all vectors are
 * best alone from a page to two. */
FN_INLINE int
FN_N(is_alone)(void *y, fn_ld ldy, size_t n, const fn_centre *centre, int how, int lines)
{
    const size_t bytes = n * sizeof(FN_T);
    const int shared = how != FN_N(PLAIN) || !centre->by_row;
    const size_t vectors = FN_AS_STORED ? FN_OUT_AGAIN : FN_OUT_LONG;
    if (lines) {
        return FN_SHIFTS && fn_in_lines(FN_UNIT, y, ldy, n, sizeof(FN_T)) &&
               (!shared || fn_out_again(bytes, centre->by_row ? vectors : FN_OUT_COLUMNS));
    }
    return !shared          ? n > FN_SWEEP * FN_LANES
           : centre->by_row ? bytes > FN_OUT_SHORT
                            : bytes >= FN_PAGE && bytes <= FN_OUT_AGAIN;
}

/* Returns whether these rows go by alone, and have gone. */
FN_INLINE int
FN_N(go_alone)(void *y, fn_ld ldy, const void *x, fn_ld ldx, size_t rows, size_t n,
               const fn_centre *centre, const fn_param *param, const fn_memory *memory, int relu)
{
    const int how = FN_N(how_of)(param), lines = memory->stream != 0;
    if (!FN_N(is_alone)(y, ldy, n, centre, how, lines)) {
        return 0;
    }
    switch (how << 3 | (centre->by_row != 0) << 2 | relu << 1 | lines) {
#define FN_CASE(how, by_row, relu, lines, name)                                                    \
    case FN_N(how) << 3 | (by_row) << 2 | (relu) << 1 | (lines):                                   \
        FN_N(name)(y, ldy, x, ldx, rows, n, centre, param, memory->ahead_x);                       \
        return 1;
        FN_CASE(PLAIN, 1, 0, 0, rows_plain)
#if FN_SWEEP > 1
        FN_CASE(WEIGHT, 1, 0, 0, rows_weight)
        FN_CASE(BOTH, 1, 0, 0, rows_both)
        FN_CASE(PLAIN, 1, 1, 0, rows_plain_relu)
        FN_CASE(WEIGHT, 1, 1, 0, rows_weight_relu)
        FN_CASE(BOTH, 1, 1, 0, rows_both_relu)
#endif
#if FN_SWEEP > 1 && FN_AS_STORED
        FN_CASE(PLAIN, 0, 0, 0, rows_of_columns)
#endif
#if FN_SHIFTS
        FN_CASE(PLAIN, 0, 0, 1, lines_of_columns)
        FN_CASE(PLAIN, 1, 0, 1, lines_of_rows)
        FN_CASE(WEIGHT, 1, 0, 1, lines_of_rows_weight)
        FN_CASE(BOTH, 1, 0, 1, lines_of_rows_both)
        FN_CASE(PLAIN, 0, 1, 1, lines_of_columns_relu)
        FN_CASE(PLAIN, 1, 1, 1, lines_of_rows_relu)
        FN_CASE(WEIGHT, 1, 1, 1, lines_of_rows_weight_relu)
        FN_CASE(BOTH, 1, 1, 1, lines_of_rows_both_relu)
#endif
#undef FN_CASE
    }
    return 0;
}

/* Rows that share vectors are best gone through together. */
FN_INLINE int
FN_N(affine_from)(const fn_centre *centre, const fn_param *param)
{
    return centre->by_row && !param->w && !param->b ? FN_FROM_ANY : FN_FROM_COMMON;
}

/* Every way in which coefficients and parameters vary is code of its own; but where activations take most of the
 * time, only all parameters within the centre, and both beside it. */
FN_INLINE void
FN_N(affine_any)(const fn_out *o, const void *x, fn_ld ldx, const fn_centre *centre,
                 const fn_param *param, const FN_N(fn_after) * after, ptrdiff_t ahead, int what)
{
    const int how = FN_N(how_of)(param);
    if (what == FN_N(ACTIVATED) && how != FN_N(PLAIN) && how != FN_N(BOTH)) {
        FN_N(affine_block)(o, x, ldx, centre, param, after, ahead, centre->by_row, FN_N(ASK), what);
        return;
    }
    switch (how << 1 | (centre->by_row != 0)) {
#define FN_CASE(s)                                                                                 \
    case s:                                                                                        \
        if (what == FN_N(ACTIVATED) && (s) >> 1 != FN_N(PLAIN) && (s) >> 1 != FN_N(BOTH)) {        \
            return; /* it was asked for */                                                         \
        }                                                                                          \
        FN_N(affine_block)(o, x, ldx, centre, param, after, ahead, (s) & 1, (s) >> 1, what);       \
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
#undef FN_CASE
    }
}

static void
FN_N(fn_affine)(void *y, fn_ld ldy, const void *x, fn_ld ldx, size_t rows, size_t n,
                const fn_centre *centre, const fn_param *param, const fn_memory *memory)
{
    fn_out o;
    if (FN_N(go_alone)(y, ldy, x, ldx, rows, n, centre, param, memory, 0)) {
        return;
    }
    fn_out_start(&o, memory->stream, FN_N(affine_from)(centre, param), FN_OUT_BYTES / 2, y, ldy,
                 ldx, rows, n, sizeof(FN_T), y == x);
    while (fn_out_next(&o)) {
        FN_N(affine_any)(&o, x, ldx, centre, param, NULL, memory->ahead_x, FN_N(AS_IT_IS));
    }
}

static void
FN_N(fn_activated)(void *y, fn_ld ldy, const void *x, fn_ld ldx, const void *dy, fn_ld lddy,
                   size_t rows, size_t n, const fn_centre *centre, const fn_param *param, int kind,
                   const fn_memory *memory)
{
    const FN_N(fn_after) after = {kind, dy, lddy};
    fn_out o;
    if (kind == FN_RELU && !dy &&
        FN_N(go_alone)(y, ldy, x, ldx, rows, n, centre, param, memory, 1)) {
        return;
    }
    fn_out_start(&o, memory->stream, FN_N(affine_from)(centre, param), FN_OUT_BYTES / 2, y, ldy,
                 ldx, rows, n, sizeof(FN_T), y == x || y == dy);
    while (fn_out_next(&o)) {
        if (kind != FN_RELU) {
            FN_N(affine_any)(&o, x, ldx, centre, param, &after, memory->ahead_x, FN_N(ACTIVATED));
        }
        else if (dy) {
            FN_N(affine_any)(&o, x, ldx, centre, param, &after, memory->ahead_x, FN_N(RELU_SLOPE));
        }
        else {
            FN_N(affine_any)(&o, x, ldx, centre, param, &after, memory->ahead_x, FN_N(RELU));
        }
    }
}

static void
FN_N(fn_narrow)(size_t n, const double *v, void *to_)
{
    FN_A *to = to_;
    for (size_t j = 0; j < n; j++) {
        to[j] = (FN_A)v[j];
    }
}
