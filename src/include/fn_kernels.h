/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The kernel table: what a driver may ask of one ISA tier.
 *
 * Two layouts. rows: the run of n contiguous values is reduced. cols: the run of n contiguous
 * values are columns, reduced down `rows` rows that lie `ld` bytes apart.
 *
 * Contract of every kernel: x, y, dy, dx may have any alignment, coefficients that of their type;
 * n >= 1, rows >= 1; outputs do not overlap inputs unless they are the very same run; no threads, no
 * allocation, no errors; NaN and Inf travel as IEEE arithmetic has them. "A" is the compute type:
 * float for f16, bf16 and f32 storage, double for f64. Statistics and sums are always double.
 */
#ifndef FN_KERNELS_H
#define FN_KERNELS_H

#include "fn_common.h"

/* What xh = (x - hi) * r + m is made from: hi the mean rounded to A, m = (hi - mean) * r what the
 * rounding left over, at most 1 in size. Vectors of A: one value per column, or with by_row one per
 * row, `step` values apart: 0 where one value serves all rows. */
typedef struct {
    const void *hi, *r, *m;
    int by_row;
    size_t step;
} fn_centre;

/* The elementwise parameters, vectors of A along the run, or with by_row one value per row (affine: both,
 * and beside a centre per column). NULL: none; what is one value per statistic is better multiplied
 * into r and added to m. */
typedef struct {
    const void *w, *b;
    int by_row;
} fn_param;

/* One value per group: where that of the first lies, NULL: there is none; and bytes to the next, 0: it serves
 * all. */
typedef struct {
    const char *p;
    ptrdiff_t step;
} fn_each;

/* Where the coefficients of some groups go: see fn_centre, of A, weight and bias in them; and in double 1/std,
 * and low, which is m of weight 1 and bias 0. */
typedef struct {
    void *hi, *r, *m;
    double *rstd, *low;
} fn_coefs;

typedef ptrdiff_t fn_ld; /* distance of two rows in bytes */

/* What rows are normalized with: eps, and a weight and bias of each; and what is found on the way, a mean and a
 * variance of each (raw: nothing is centred, and the variance is the mean square). relu: y is max(y, 0). */
typedef struct {
    double eps;
    int raw, relu;
    fn_each w, b;
    double *mean, *var;
} fn_made;

/* What a sum is made of: rows of a and b. */
typedef struct {
    const void *a, *b;
    fn_ld lda, ldb;
} fn_terms;

/* What makes a, b and c below of the two sums of a row: 1/std and low of each (see fn_coefs), a weight that is not in
 * g, how many values; raw: g has no mean to lose. sums: NULL, or room for a row's sums of g and of g * xh.
 * dw, db: NULL, or where fn_slope's go to (settle) after FN_COL_BLOCK rows and at the end. */
typedef struct {
    const double *rstd, *low;
    fn_each w;
    double count;
    int raw;
    double *sums, *dw, *db;
} fn_own;

/* dx = ((g - c) - (x - hi) * r * b) * a, indexed as the centre is. With c0 = mean(g), c1 = mean(g * xh):
 * a = 1/std, b = c1, c = c0 + m * c1; a weight that all of the group shares is better left out of g
 * and multiplied into a. Where dw is not NULL (centre by_row, parameters not), the vectors dw and db
 * of A receive dy * xh and dy of every row on the way; where there is a weight, db may be NULL. Where on is
 * not NULL, its rows, laid out as those of dx but ldon apart, are added to dx before it is rounded. Where own
 * is not NULL (as for dw, beside which there is a weight then, and where the table says own), a, b and c are not
 * read: the sums of a row are made just before its dx. */
typedef struct {
    const void *a, *b, *c;
    void *dw, *db;
    const void *on;
    fn_ld ldon;
    const fn_own *own;
} fn_slope;

/* y = f(x), f one of a few kinds with coefficients c0, c1, ...; see curve.tmpl.h. coef: vectors of A, one
 * value per column, or with by_row one per row, `step` values apart: 0 where one value serves all rows.
 * sum (gradient): what dy * df/dc is added to: with by_row a double of every row, else a vector of A. */
enum { FN_FLOOR, FN_RATIO, FN_SWISH, FN_TANH };
#define FN_COEFS 5 /* at most */
typedef struct {
    int kind, by_row;
    size_t step;
    const char *coef[FN_COEFS];
    char *sum[FN_COEFS];
} fn_curve;

/* D = k + the sum of (scale x)^2 over a window along an axis, whose power beta divides x; see window.tmpl.h. */
typedef struct {
    int along; /* the axis runs along a row; else down the rows, all of which are given */
    size_t before, after; /* entries of a window beside the one it is about */
    double scale, beta, k;
    double low, high; /* what D may be in A */
} fn_window;

/* Room for a block of it: so many flat arrays of so many values of A, then two doubles an entry of the axis. */
#define FN_WINDOW_ARRAYS 9
static inline size_t
fn_window_values(const fn_window *w, size_t rows, size_t n)
{
    const size_t reach = w->before + w->after,
                 values = w->along ? rows * (n + reach) : (rows + reach) * n;
    return (values / FN_LANES_MAX + 3) * FN_LANES_MAX;
}

/* How memory is used; changes no value. */
typedef struct {
    int stream;                  /* store past the cache */
    ptrdiff_t ahead_x, ahead_dy; /* bytes to the rows that are read after these; 0: unknown */
} fn_memory;

/* Functions of one value. They and their slopes have their limits at infinity, and are NaN of NaN alone. */
enum {
    FN_RELU = 1, /* max(z, 0); its slope at 0 is 0 */
    FN_SILU,     /* z sigmoid(z) */
    FN_GELU,     /* z Phi(z), Phi the normal distribution */
    FN_GELU_TANH /* z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))) / 2 */
};

/* Samples of a row of n >= lanes values: four vectors, at 0, 1/3, 2/3 and all of this. Of a block at most they are
 * the first: what lies further on comes from memory only while it is summed. Of longer rows they are spread,
 * because the first values of a row are often alike. */
static inline size_t
fn_samples_end(size_t n, size_t lanes)
{
    return n <= FN_ROW_BLOCK && n >= 4 * lanes ? 3 * lanes : n - lanes;
}

/* shift[i] = mean of a few samples of row i: near its mean, and it where all are equal. */
typedef void (*fn_shift_rows_t)(const void *x, fn_ld ldx, size_t rows, size_t n, double *shift);
/* s1[i] += sum_j (x[i,j] - shift[i]), s2[i] += sum_j (x[i,j] - shift[i])^2; shift is a number of A.
 * step 1: per row. step 0: all rows have one shift and are added to one s1 and s2. shift NULL: it is 0, and
 * s1 is not made. ahead: as in fn_memory. */
typedef void (*fn_moments_rows_t)(const void *x, fn_ld ldx, size_t rows, size_t n,
                                  const double *shift, size_t step, double *s1, double *s2,
                                  ptrdiff_t ahead);
/* shift_rows, then moments_rows of step 1, row by row: of rows that come from memory. */
typedef void (*fn_sampled_rows_t)(const void *x, fn_ld ldx, size_t rows, size_t n, double *shift,
                                  double *s1, double *s2, ptrdiff_t ahead);
/* moments_rows with every operation in double: for values whose squares leave the range of A. */
typedef fn_moments_rows_t fn_moments_rows_wide_t;
/* moments_rows of step 1, x being made on the way: x = a + b, rounded to the stored type. x may be a or b.
 * sampled: the shift of a row, of four vectors to FN_ROW_BLOCK values, is made just before. */
typedef void (*fn_moments_sum_t)(void *x, fn_ld ldx, const fn_terms *terms, size_t rows, size_t n,
                                 double *shift, double *s1, double *s2, ptrdiff_t ahead,
                                 int sampled);
/* s1[j] += sum_i (x[i,j] - shift[j]), s2[j] += sum_i (x[i,j] - shift[j])^2; shift of A, or NULL. */
typedef void (*fn_moments_cols_t)(const void *x, fn_ld ldx, size_t rows, size_t n,
                                  const void *shift, double *s1, double *s2);
/* The same in double; shift of double. */
typedef fn_moments_cols_t fn_moments_cols_wide_t;
/* y = xh * w + b. */
typedef void (*fn_affine_t)(void *y, fn_ld ldy, const void *x, fn_ld ldx, size_t rows, size_t n,
                            const fn_centre *centre, const fn_param *param,
                            const fn_memory *memory);
/* z = xh * w + b. dy NULL: y = act(z), else y = dy * act'(z), of one of the kinds above. y may be dy. */
typedef void (*fn_activated_t)(void *y, fn_ld ldy, const void *x, fn_ld ldx, const void *dy,
                               fn_ld lddy, size_t rows, size_t n, const fn_centre *centre,
                               const fn_param *param, int kind, const fn_memory *memory);
/* y = xh * w + b by statistics of each row, which are made, stored past the cache: rows of a line to FN_ROW_BLOCK
 * values. Those of y follow each other, and begin with whole values. w and b: both, neither, or w. terms: NULL, or x
 * is made of them, in rows of four lines at least, and stored as y is. Returns how many rows were gone through: all, or those before
 * some of which one must be summed in double. NULL where it does not pay: where registers do not hold all
 * accumulators, lines are not joined by an instruction, or values are converted. */
typedef size_t (*fn_normalize_rows_t)(void *y, void *x, fn_ld ldx, const fn_terms *terms,
                                      size_t rows, size_t n, const fn_made *made,
                                      const fn_param *param);
/* s1[i] += sum_j g, s2[i] += sum_j g * (x - hi) * r, g = dy * w (w a vector along the run, NULL: g = dy);
 * the centre is by_row, or (xh a vector over statistics: the share of a row in sums along it) per column,
 * where m counts too: s2[i] += sum_j g * xh. With a centre of step 0 all rows go to one s1 and s2. */
typedef void (*fn_grad_sums_rows_t)(const void *x, fn_ld ldx, const void *dy, fn_ld lddy,
                                    size_t rows, size_t n, const fn_centre *centre, const void *w,
                                    double *s1, double *s2, const fn_memory *memory);
/* s1[j] += sum_i g, s2[j] += sum_i g * (x - hi) * r; param->w: NULL, one per row or per column. With a
 * centre by_row of step 1 (the gradients of parameters) m counts too, g = dy and w is NULL. */
typedef void (*fn_grad_sums_cols_t)(const void *x, fn_ld ldx, const void *dy, fn_ld lddy,
                                    size_t rows, size_t n, const fn_centre *centre,
                                    const fn_param *param, double *s1, double *s2);
/* dx, see fn_slope; g = dy * w, b of the parameters is not read. */
typedef void (*fn_grad_combine_t)(void *dx, fn_ld lddx, const void *x, fn_ld ldx, const void *dy,
                                  fn_ld lddy, size_t rows, size_t n, const fn_centre *centre,
                                  const fn_param *param, const fn_slope *slope,
                                  const fn_memory *memory);
/* to = a + b, rounded once; to may be a or b. */
typedef void (*fn_sum_t)(void *to, fn_ld ldt, const void *a, fn_ld lda, const void *b, fn_ld ldb,
                         size_t rows, size_t n);
/* y = f(x). */
typedef void (*fn_curve_t)(void *y, fn_ld ldy, const void *x, fn_ld ldx, size_t rows, size_t n,
                           const fn_curve *curve, const fn_memory *memory);
/* dx = dy * f'(x), and the sums. Those of columns grow in A: settle them after FN_COL_BLOCK rows. */
typedef void (*fn_curve_gradient_t)(void *dx, fn_ld lddx, const void *x, fn_ld ldx, const void *dy,
                                    fn_ld lddy, size_t rows, size_t n, const fn_curve *curve,
                                    const fn_memory *memory);
/* y = x / D^beta, or with dy its gradient; room: see above, zeros to begin with. */
typedef void (*fn_window_t)(void *y, fn_ld ldy, const void *x, fn_ld ldx, const void *dy,
                            fn_ld lddy, size_t rows, size_t n, const fn_window *window, void *room);
/* mean + low and M2 of groups of count values from their sums about a shift; raw: 0, 0 and s2. Returns whether some
 * must be summed again, and if so which: again[i] is 1, about a better shift, or 2, in double, or 0. */
typedef int (*fn_statistics_t)(size_t n, double count, const double *shift, const double *s1,
                               const double *s2, int raw, double *mean, double *low, double *m2,
                               unsigned char *again);
/* Coefficients of n groups from their statistics, doubles (no mean: 0), and parameters of A. They do not overlap
 * what they are made of. */
typedef void (*fn_centres_t)(size_t n, fn_each mean, fn_each var, double eps, fn_each w, fn_each b,
                             const fn_coefs *to);
/* a, b, c of n groups, see fn_slope, from 1/std, low, a weight of A that is not in g, and the means of g and of
 * g * xh, doubles. */
typedef void (*fn_slopes_t)(size_t n, const double *rstd, const double *low, fn_each w, fn_each c0,
                            fn_each c1, void *a, void *b, void *c);
/* total[j] += part[j] in double, part[j] = 0; part of A. */
typedef void (*fn_settle_t)(size_t n, void *part, double *total);
/* to[j] = (A)v[j]. */
typedef void (*fn_narrow_t)(size_t n, const double *v, void *to);
/* Wait until streamed stores are visible to other threads. */
typedef void (*fn_fence_t)(void);

/* One tier's kernels for one storage type; the fields are the list in kernels.inc. */
typedef struct {
#define FN_PRIMITIVE(name) FN_CAT_(fn, name##_t) name;
#include "../kernels/kernels.inc"
#undef FN_PRIMITIVE
    size_t item;  /* bytes of a stored value */
    size_t real;  /* bytes of A */
    int own;      /* whether grad_combine makes the sums of rows by itself: where that pays */
    size_t lines; /* 0, or values of a line: where it can join vectors that two lines share */
} fn_kernels;

/* Whether rows of dx are stored past the cache without a detour: those that follow each other, wherever they begin. */
static inline int
fn_in_lines(size_t lines, const void *dx, fn_ld lddx, size_t n, size_t item)
{
    return n >= lines && lddx == (fn_ld)(n * item) && (uintptr_t)dx % item == 0;
}

enum { FN_F16, FN_BF16, FN_F32, FN_F64, FN_NTYPES };

typedef struct {
    const char *isa;
    const fn_kernels *type[FN_NTYPES];
} fn_table;

#endif
