/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     y = x / D^beta, D = k + the sum of (scale x)^2 over a window that slides along an axis, and its
 *          gradient dx = dy / D^beta - 2 beta scale^2 x W, W the sum of dy x / D^(beta + 1) over all windows
 *          that a place is in: those about it, mirrored.
 * Layouts  along: the axis runs along the rows. else: down the rows, columns being other places.
 * Method   The rows lie one after another in flat arrays of A that stay in cache, with zeros for what is
 *          beyond the ends of the axis, so that neighbours on it are one step apart everywhere, and whole
 *          vectors do all work but that at the ends of rows. Sums of two, four, eight entries are doubled
 *          from each other, and those that make up the window added: nothing is subtracted, and no sum
 *          is longer than its window. The usual powers are steps of a fixed number, or roots; any other
 *          is the C library's. Places along the other axes with a D whose power or products would
 *          leave the range of A are done again, in double.
 * Source   A. Krizhevsky, I. Sutskever, G. E. Hinton (2012), section 3.3.
 * Aliasing y may be x; dx may be x or dy.
 * Needs    lanes.tmpl.h, functions.tmpl.h.
 */
#define FN_FLAT FN_N(fn_flat)
#define FN_SUMS FN_N(fn_sums)
#define FN_EXTREMES FN_N(fn_extremes)

typedef struct {
    size_t lines, length; /* rows, and values of one */
    size_t pitch, step;   /* from a row to the next; from an entry of the axis to the next */
    size_t size;          /* of a flat array, zeros counted */
    size_t reach;         /* entries of a window beside the one it is about */
    FN_A *x, *dy, *direct;
    FN_A *squares[3], *product[3]; /* of whose windows sums are made, and room for these */
} FN_FLAT;

/* Sums over windows: where each begins there are two numbers to add, or one (NULL). */
typedef struct {
    const FN_A *first, *second;
} FN_SUMS;

/* The least and the largest of some values; a NaN is none. */
typedef struct {
    FN_LV least, largest;
} FN_EXTREMES;

FN_INLINE FN_FLAT
FN_N(flat_of)(const fn_window *w, size_t rows, size_t n, void *room)
{
    FN_FLAT f = {.lines = rows, .length = n, .reach = w->before + w->after};
    FN_A *p = room;
    f.step = w->along ? 1 : n;
    f.pitch = w->along ? n + f.reach : n;
    f.size = rows * f.pitch + (w->along ? 0 : f.reach * n);
    FN_A **const all[] = {&f.x,          &f.dy,         &f.direct,     f.squares + 0, f.squares + 1,
                          f.squares + 2, f.product + 0, f.product + 1, f.product + 2};
    for (int k = 0; k < FN_WINDOW_ARRAYS; k++, p += fn_window_values(w, rows, n)) {
        *all[k] = p;
    }
    return f;
}

/* Zeros around the rows of a flat array, whose first one begins after `lead` of them. */
FN_INLINE void
FN_N(flat_ends)(const FN_FLAT *f, FN_A *to, size_t lead)
{
    memset(to, 0, lead * sizeof *to);
    for (size_t i = 0; i + 1 < f->lines && f->pitch > f->length; i++) {
        memset(to + lead + i * f->pitch + f->length, 0, (f->pitch - f->length) * sizeof *to);
    }
    const size_t end = lead + (f->lines - 1) * f->pitch + f->length;
    memset(to + end, 0, (f->size - end) * sizeof *to);
}

/* Bytes to what is read after this block: rows below it, or columns beside it. */
FN_INLINE fn_ld
FN_N(flat_ahead)(const FN_FLAT *f, fn_ld ld)
{
    return f->step == 1 ? (fn_ld)f->lines * ld : (fn_ld)(f->length * sizeof(FN_T));
}

/* Rows of x or dy; into squares go those of its values times `scale`. */
FN_INLINE void
FN_N(flat_read)(const FN_FLAT *f, const char *from, fn_ld ld, FN_A *to, size_t lead, FN_A *squares,
                double scale)
{
    const FN_LV factor = FN_N(lv_set1)((FN_A)scale);
    const fn_ld ahead = FN_N(flat_ahead)(f, ld);
    for (size_t i = 0; i < f->lines; i++, from += ld) {
        const size_t at = lead + i * f->pitch;
        for (size_t j = 0, left = 0; j < f->length; j += FN_LANES) {
            left = f->length - j < FN_LANES ? f->length - j : 0;
            const FN_LV v = FN_N(lv_load_any)((const FN_T *)from + j, left, FN_N(lv_set1)(0));
            FN_PREFETCH((const FN_T *)(from + ahead) + j);
            FN_N(lv_coef_put)(to + at + j, v, left);
            if (squares) {
                const FN_LV scaled = FN_N(lv_mul)(v, factor);
                FN_N(lv_coef_put)(squares + at + j, FN_N(lv_mul)(scaled, scaled), left);
            }
        }
    }
    FN_N(flat_ends)(f, to, lead);
    if (squares) {
        FN_N(flat_ends)(f, squares, lead);
    }
}

/* to[i] = a[i] + b[i]; up to a vector more is written. */
FN_INLINE void
FN_N(flat_add)(FN_A *to, const FN_A *a, const FN_A *b, size_t count)
{
    for (size_t i = 0; i < count; i += FN_LANES) {
        FN_N(lv_coef_put)(to + i, FN_N(lv_add)(FN_N(lv_coef)(a + i), FN_N(lv_coef)(b + i)), 0);
    }
}

/* Sums of reach + 1 entries from each on of the first of three arrays, which they take. The last addition is
 * left to who reads them. */
FN_NOINLINE FN_SUMS
FN_N(window_sums)(const FN_FLAT *f, FN_A *const *work)
{
    const size_t width = f->reach + 1;
    FN_A *power = work[0], *total = NULL;
    for (size_t length = 1, done = 0;; length *= 2) {
        if (width & length) {
            const FN_A *next = power + done * f->step;
            done += length;
            if (done == width) {
                const FN_SUMS sums = {total ? total : next, total ? next : NULL};
                return sums;
            }
            if (total) {
                FN_N(flat_add)(total, total, next, f->size - (done - 1) * f->step);
            }
            total = total ? total : power;
        }
        FN_A *to = work[0];
        for (int k = 1; to == power || to == total; k++) {
            to = work[k];
        }
        FN_N(flat_add)(to, power, power + length * f->step, f->size - (2 * length - 1) * f->step);
        power = to;
    }
}

FN_INLINE FN_LV
FN_N(window_sum)(FN_SUMS sums, size_t at, size_t left)
{
    FN_LV sum = FN_N(lv_coef_any)(sums.first + at, left);
    if (sums.second) {
        sum = FN_N(lv_add)(sum, FN_N(lv_coef_any)(sums.second + at, left));
    }
    return sum;
}

FN_INLINE FN_LV
FN_N(lv_root)(FN_LV a)
{
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        a.v[k] = FN_CAT(fn_root, FN_REAL)(a.v[k]);
    }
    return a;
}

FN_INLINE FN_LV
FN_N(lv_div)(FN_LV a, FN_LV b)
{
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        a.v[k] = a.v[k] / b.v[k];
    }
    return a;
}

/* Any power of any vector, value by value: by the C library's function of double, rounded once. */
FN_NOINLINE void
FN_N(window_pow)(FN_LV *base, double beta)
{
    FN_A values[FN_LANES];
    memcpy(values, base, sizeof values);
    for (int i = 0; i < FN_LANES; i++) {
        values[i] = (FN_A)pow((double)values[i], beta);
    }
    memcpy(base, values, sizeof values);
}

/* x / base^beta, where beta is so many quarters, or 0: any. */
FN_INLINE FN_LV
FN_N(window_divide)(FN_LV x, FN_LV base, int quarters, double beta)
{
    switch (quarters) {
    case 2:
        base = FN_N(lv_root)(base);
        break;
    case 3:
        FN_UNROLL
        for (int k = 0; k < FN_NATIVE; k++) {
            x.v[k] = x.v[k] * FN_N(v_three_quarters)(base.v[k]);
        }
        return x;
    case 4:
        break;
    default:
        FN_N(window_pow)(&base, beta);
    }
    return FN_N(lv_div)(x, base);
}

FN_INLINE int
FN_N(window_quarters)(double beta)
{
    return beta == 0.5 ? 2 : beta == 0.75 ? 3 : beta == 1 ? 4 : 0;
}

/* D of some places, of which `left` count (0: all), noted among the others. */
FN_INLINE FN_LV
FN_N(window_base)(FN_SUMS sums, size_t at, size_t left, FN_LV k, FN_EXTREMES *seen)
{
    const FN_LV base = FN_N(lv_add)(FN_N(window_sum)(sums, at, left), k);
    FN_UNROLL
    for (int i = 0; i < FN_NATIVE; i++) {
        seen->least.v[i] = FN_N(v_smaller)(base.v[i], seen->least.v[i]);
        seen->largest.v[i] = FN_N(v_larger)(base.v[i], seen->largest.v[i]);
    }
    return base;
}

FN_INLINE int
FN_N(window_misfits)(const FN_EXTREMES *seen, const fn_window *w)
{
    FN_A least[FN_LANES], largest[FN_LANES];
    int out = 0;
    memcpy(least, &seen->least, sizeof least);
    memcpy(largest, &seen->largest, sizeof largest);
    for (int i = 0; i < FN_LANES; i++) {
        out |= least[i] < w->low || largest[i] > w->high;
    }
    return out;
}

/* The axis at one place, in double; x, dy and y begin at its first entry. room: two doubles an entry. */
static void
FN_N(window_again)(char *y, fn_ld ldy, const FN_A *x, const FN_A *dy, size_t step, size_t count,
                   const fn_window *w, double *room)
{
    double *base = room, *product = room + count;
    for (size_t c = 0; c < count; c++) {
        const size_t from = c < w->before ? 0 : c - w->before;
        const size_t to = count - c <= w->after ? count : c + w->after + 1;
        double sum = 0;
        for (size_t i = from; i < to; i++) {
            const double v = (double)x[i * step] * w->scale;
            sum += v * v;
        }
        sum += w->k;
        base[c] = sum == 0 ? INFINITY : sum; /* 1 / 0 is defined as 0 */
        const double v = (double)x[c * step], power = pow(base[c], w->beta);
        product[c] = dy ? (double)dy[c * step] / power * v / base[c] : v / power;
    }
    for (size_t c = 0; c < count; c++) {
        double result = product[c];
        if (dy) {
            const size_t from = c < w->after ? 0 : c - w->after;
            const size_t to = count - c <= w->before ? count : c + w->before + 1;
            double sum = 0;
            for (size_t i = from; i < to; i++) {
                sum += product[i];
            }
            result = (double)dy[c * step] / pow(base[c], w->beta) -
                     2 * w->beta * w->scale * w->scale * (double)x[c * step] * sum;
        }
        FN_N(lv_store_n)((FN_T *)(y + (fn_ld)c * ldy), FN_N(lv_set1)((FN_A)result), 1);
    }
}

/* All places with a D out of range. NaN is none: it is one in double, too. */
FN_NOINLINE void
FN_N(window_outside)(char *y, fn_ld ldy, const FN_FLAT *f, FN_SUMS squares, int back,
                     const fn_window *w, void *room)
{
    const size_t count = w->along ? f->length : f->lines, places = f->lines * f->length / count;
    const fn_ld ld = w->along ? (fn_ld)sizeof(FN_T) : ldy;
    for (size_t p = 0; p < places; p++) {
        const size_t first = w->along ? p * f->pitch : p, at = first + w->before * f->step;
        size_t c = 0;
        for (FN_A base = 0; c < count; c++) {
            base = FN_N(window_sum)(squares, first + c * f->step, 1).v[0][0] + (FN_A)w->k;
            if (base < w->low || base > w->high) {
                break;
            }
        }
        if (c < count) {
            FN_N(window_again)(y + (fn_ld)p * (w->along ? ldy : (fn_ld)sizeof(FN_T)), ld, f->x + at,
                               back ? f->dy + first : NULL, f->step, count, w, room);
        }
    }
}

/* dy / D^beta, and dy x / D^(beta + 1) with zeros about it. */
FN_INLINE void
FN_N(window_terms)(const FN_FLAT *f, const char *dy, fn_ld lddy, FN_SUMS squares,
                   const fn_window *w, FN_EXTREMES *extremes)
{
    const fn_ld ahead = FN_N(flat_ahead)(f, lddy);
    const FN_LV k = FN_N(lv_set1)((FN_A)w->k);
    const double beta = w->beta;
    const int quarters = FN_N(window_quarters)(beta);
    const FN_A *x = f->x + w->before * f->step;
    FN_A *direct = f->direct, *product = f->product[0] + w->after * f->step;
    FN_EXTREMES seen = *extremes;
    for (size_t i = 0; i < f->lines; i++, dy += lddy) {
        for (size_t j = 0, left = 0; j < f->length; j += FN_LANES) {
            const size_t at = i * f->pitch + j;
            left = f->length - j < FN_LANES ? f->length - j : 0;
            const FN_LV base = FN_N(window_base)(squares, at, left, k, &seen);
            FN_PREFETCH((const FN_T *)(dy + ahead) + j);
            const FN_LV above = FN_N(lv_load_any)((const FN_T *)dy + j, left, FN_N(lv_set1)(0));
            const FN_LV g = FN_N(window_divide)(above, base, quarters, beta);
            const FN_LV h = FN_N(lv_div)(FN_N(lv_coef)(x + at), base);
            FN_N(lv_coef_put)(direct + at, g, left);
            FN_N(lv_coef_put)(product + at, FN_N(lv_mul)(g, h), left);
        }
    }
    *extremes = seen;
    FN_N(flat_ends)(f, f->product[0], w->after * f->step);
}

/* y, row by row. */
FN_INLINE void
FN_N(window_quotients)(char *y, fn_ld ldy, const FN_FLAT *f, FN_SUMS squares, const fn_window *w,
                       FN_EXTREMES *extremes)
{
    const FN_LV k = FN_N(lv_set1)((FN_A)w->k);
    const double beta = w->beta;
    const int quarters = FN_N(window_quarters)(beta);
    const FN_A *x = f->x + w->before * f->step;
    FN_EXTREMES seen = *extremes;
    for (size_t i = 0; i < f->lines; i++, y += ldy) {
        for (size_t j = 0, left = 0; j < f->length; j += FN_LANES) {
            const size_t at = i * f->pitch + j;
            left = f->length - j < FN_LANES ? f->length - j : 0;
            const FN_LV base = FN_N(window_base)(squares, at, left, k, &seen);
            const FN_LV v = FN_N(lv_coef)(x + at);
            FN_N(lv_store_any)((FN_T *)y + j, FN_N(window_divide)(v, base, quarters, beta), left);
        }
    }
    *extremes = seen;
}

/* dx, row by row. */
FN_INLINE void
FN_N(window_differences)(char *dx, fn_ld lddx, const FN_FLAT *f, FN_SUMS products,
                         const fn_window *w)
{
    const FN_LV share = FN_N(lv_set1)((FN_A)(2 * w->beta * w->scale * w->scale));
    const FN_A *x = f->x + w->before * f->step, *direct = f->direct;
    for (size_t i = 0; i < f->lines; i++, dx += lddx) {
        for (size_t j = 0, left = 0; j < f->length; j += FN_LANES) {
            const size_t at = i * f->pitch + j;
            left = f->length - j < FN_LANES ? f->length - j : 0;
            const FN_LV through = FN_N(lv_mul)(FN_N(window_sum)(products, at, left), share);
            const FN_LV inner = FN_N(lv_mul)(through, FN_N(lv_coef)(x + at));
            FN_N(lv_store_any)((FN_T *)dx + j, FN_N(lv_sub)(FN_N(lv_coef)(direct + at), inner),
                               left);
        }
    }
}

static void
FN_N(fn_window)(void *y, fn_ld ldy, const void *x, fn_ld ldx, const void *dy, fn_ld lddy,
                size_t rows, size_t n, const fn_window *w, void *room)
{
    const FN_FLAT f = FN_N(flat_of)(w, rows, n, room);
    const FN_LV far = FN_N(lv_set1)(INFINITY);
    FN_EXTREMES seen = {far, FN_N(lv_sub)(FN_N(lv_set1)(0), far)};
    FN_N(flat_read)(&f, x, ldx, f.x, w->before * f.step, f.squares[0], w->scale);
    const FN_SUMS squares = FN_N(window_sums)(&f, f.squares);
    if (dy) {
        FN_N(window_terms)(&f, dy, lddy, squares, w, &seen);
        if (FN_N(window_misfits)(&seen, w)) { /* before dx takes its place */
            FN_N(flat_read)(&f, dy, lddy, f.dy, 0, NULL, 0);
        }
        FN_N(window_differences)(y, ldy, &f, FN_N(window_sums)(&f, f.product), w);
    }
    else {
        FN_N(window_quotients)(y, ldy, &f, squares, w, &seen);
    }
    if (FN_N(window_misfits)(&seen, w)) {
        FN_N(window_outside)(y, ldy, &f, squares, dy != NULL, w,
                             (FN_A *)room + FN_WINDOW_ARRAYS * fn_window_values(w, rows, n));
    }
}
