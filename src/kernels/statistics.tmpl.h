/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     What happens between two sweeps, in double: sums become statistics, these the coefficients of
 *          the sweep that writes (centres), the means of a gradient those of its last (slopes).
 * Layouts  One value per group, and none is added to another's: rows and columns alike.
 * Method   Some at once, from wherever they lie to where a loop is vectorized. Roots and divisions are
 *          why this is a kernel: the baseline, of which the drivers are, takes two at a time.
 * Needs    fn_numerics.h.
 */
#define FN_GROUPS 64 /* a multiple of the widest vector */

/* Values as they come, aligned or not. */
typedef double FN_N(loose_double) __attribute__((aligned(1), may_alias));
typedef FN_A FN_N(loose_real) __attribute__((aligned(1), may_alias));

/* Some values from number `at` on: where they are, or in room. */
FN_NOINLINE const
    FN_N(loose_double) *
    FN_N(take_doubles)(fn_each e, size_t at, size_t some, double *room)
{
    const char *p = e.p + (ptrdiff_t)at * e.step;
    if (e.step == (ptrdiff_t)sizeof *room) {
        return (const FN_N(loose_double) *)p;
    }
    const double first = *(const FN_N(loose_double) *)p;
    for (size_t i = 0; i < some && !e.step; i++) {
        room[i] = first;
    }
    for (size_t i = 0; i < some && e.step; i++, p += e.step) {
        room[i] = *(const FN_N(loose_double) *)p;
    }
    return room;
}

/* Parameters, which are of A; none: where there are none. */
FN_NOINLINE void
FN_N(take_reals)(fn_each e, size_t at, size_t some, double none, double *restrict out)
{
    const char *p = e.p ? e.p + (ptrdiff_t)at * e.step : NULL;
    const FN_N(loose_real) *dense = (const FN_N(loose_real) *)p;
    if (!p) {
        for (size_t i = 0; i < some; i++) {
            out[i] = none;
        }
    }
    else if (e.step == (ptrdiff_t)sizeof(FN_A)) {
        for (size_t i = 0; i < some; i++) {
            out[i] = (double)dense[i];
        }
    }
    else {
        for (size_t i = 0; i < some; i++, p += e.step) {
            out[i] = (double)*(const FN_N(loose_real) *)p;
        }
    }
}

static int
FN_N(fn_statistics)(size_t n, double count, const double *restrict shift, const double *restrict s1,
                    const double *restrict s2, int raw, double *restrict mean, double *restrict low,
                    double *restrict m2, unsigned char *restrict again)
{
    const int single = sizeof(FN_A) == sizeof(float);
    const double share = 1 / count, centred = raw ? 0 : 1, tiny = single ? count * 0x1p-100 : 0;
    const double largest = 0x1.fffffffffffffp1023;
    int64_t suspect = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = s1[i] * share * centred, drift = s1[i] * d, left = s2[i] - drift;
        fn_two_sum(shift[i], d, &mean[i], &low[i]);
        m2[i] = left > 0 ? left : 0;
        suspect |= -(int64_t)!(s2[i] <= largest) | -(int64_t)!(fabs(s1[i]) <= largest) |
                   -(int64_t)(s2[i] < tiny) | -(int64_t)(drift > 2.25 * left);
    }
    if (!suspect) {
        return 0;
    }
    int any = 0;
    for (size_t i = 0; i < n; i++) {
        const fn_moment m = {count, mean[i], low[i], m2[i]};
        const int out = fn_out_of_range(count, shift[i], s1[i], s2[i], single);
        again[i] = (unsigned char)(out ? 2 : !raw && fn_poor_shift(m, s1[i]));
        any |= again[i];
    }
    return any;
}

FN_INLINE void
FN_N(centres_of)(size_t some, const FN_N(loose_double) * mu, const double *w, const double *b,
                 const double *rstd, FN_A *restrict hi, FN_A *restrict r, FN_A *restrict m,
                 double *restrict low)
{
    for (size_t i = 0; i < some; i++) {
        hi[i] = (FN_A)mu[i];
        low[i] = ((double)hi[i] - mu[i]) * rstd[i];
        r[i] = (FN_A)(rstd[i] * w[i]);
        m[i] = (FN_A)(low[i] * w[i] + b[i]);
    }
}

FN_INLINE void
FN_N(rstds_of)(size_t some, const FN_N(loose_double) * var, double eps, double *restrict rstd)
{
    for (size_t i = 0; i < some; i++) {
        rstd[i] = fn_rstd(var[i], eps);
    }
}

static void
FN_N(fn_centres)(size_t n, fn_each mean, fn_each var, double eps, fn_each w, fn_each b,
                 const fn_coefs *to)
{
    const double zero = 0;
    const fn_each none = {(const char *)&zero, 0};
    FN_A *his = to->hi, *rs = to->r, *ms = to->m;
    const int own = var.step != 0;
    for (size_t at = 0; at < n; at += FN_GROUPS) {
        const size_t some = n - at < FN_GROUPS ? n - at : FN_GROUPS;
        double means[FN_GROUPS], vars[FN_GROUPS], weight[FN_GROUPS], bias[FN_GROUPS];
        const FN_N(loose_double) *mu = FN_N(take_doubles)(mean.p ? mean : none, at, some, means);
        const FN_N(loose_double) *v = FN_N(take_doubles)(var, at, own ? some : 1, vars);
        double *rstd = to->rstd + at;
        FN_N(rstds_of)(own ? some : 1, v, eps, rstd);
        for (size_t i = 1; i < some && !own; i++) {
            rstd[i] = rstd[0];
        }
        FN_N(take_reals)(w, at, some, 1, weight);
        FN_N(take_reals)(b, at, some, 0, bias);
        FN_N(centres_of)(some, mu, weight, bias, rstd, his + at, rs + at, ms + at, to->low + at);
    }
}

FN_INLINE void
FN_N(slope_of)(double rstd, double low, double weight, double g, double gx, FN_A *a, FN_A *b,
               FN_A *c)
{
    *a = (FN_A)(rstd * weight);
    *b = (FN_A)gx;
    *c = (FN_A)(g + low * gx);
}

static void
FN_N(fn_slopes)(size_t n, const double *rstd, const double *low, fn_each w, fn_each c0, fn_each c1,
                void *a_, void *b_, void *c_)
{
    FN_A *restrict a = a_, *restrict b = b_, *restrict c = c_;
    for (size_t at = 0; at < n; at += FN_GROUPS, a += FN_GROUPS, b += FN_GROUPS, c += FN_GROUPS) {
        const size_t some = n - at < FN_GROUPS ? n - at : FN_GROUPS;
        double weight[FN_GROUPS], gs[FN_GROUPS], gxs[FN_GROUPS];
        const FN_N(loose_double) *g = FN_N(take_doubles)(c0, at, some, gs);
        const FN_N(loose_double) *gx = FN_N(take_doubles)(c1, at, some, gxs);
        FN_N(take_reals)(w, at, some, 1, weight);
        for (size_t i = 0; i < some; i++) {
            FN_N(slope_of)(rstd[at + i], low[at + i], weight[i], g[i], gx[i], a + i, b + i, c + i);
        }
    }
}
