/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What    Functions of native vectors: v_exp, v_sigmoid, v_tanh; v_tail and v_falls, of which the normal
 *         distribution Phi and its density are made; v_three_quarters, a power; maxima, selections, and the
 *         reflection v_unfold.
 * Method  Additions, products, divisions, whole numbers and bits, one order on every ISA: the same bits.
 *         No branches: clamps keep what overflows away, and let NaN pass (fn_larger, fn_smaller).
 *         e^x: n = round(x / ln 2), r = x - n ln 2 in two parts, 2^n in two factors.
 *         sigmoid: e^x / (1 + e^x). tanh: m / (m + 2) of m = e^(2|x|) - 1, which does not cancel.
 *         x^(-3/4): x^(-1/4) from the exponent, off by 3 %, then by steps of third order, the last of them
 *         after the cube was taken.
 *         Phi: see coefficients.h; a is cut in two, so that e^(-a^2 / 2) knows a^2 to twice the precision.
 * Source  coefficients.h.
 * Needs   lanes.tmpl.h, coefficients.h.
 *
 * Largest errors measured, in units of the last place: exp 0.95, sigmoid 2.4, tanh 2.5, the density 1.5,
 * Phi 4.7 (from -1 to 0; else 3.3); means 0.24, 0.31, 0.19, 0.43, 0.42. Of subnormal results 1.4. x^(-3/4):
 * relative to the result 2.1 / 2^24 (by two roots, a product and a division 3.6).
 */
#define FN_MATH FN_CAT(fn_math, FN_REAL)
#define FN_WORDS FN_CAT(fn_bits, FN_REAL)
#define FN_TAIL FN_N(fn_tail)
#define FN_COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
#define FN_UNROLL_ALL _Pragma("GCC unroll 32")

/* One value in all lanes. */
FN_INLINE FN_V
FN_N(v_set1)(FN_A a)
{
    return a - (FN_V){0}; /* a sum would lose the sign of -0 */
}

FN_INLINE FN_V
FN_N(v_larger)(FN_V a, FN_V b)
{
    return FN_CAT(fn_larger, FN_REAL)(a, b);
}

FN_INLINE FN_V
FN_N(v_smaller)(FN_V a, FN_V b)
{
    return FN_CAT(fn_smaller, FN_REAL)(a, b);
}

FN_INLINE FN_V
FN_N(v_select)(FN_VMASK mask, FN_V yes, FN_V no)
{
    return (FN_V)((mask & (FN_VMASK)yes) | (~mask & (FN_VMASK)no));
}

FN_INLINE FN_V
FN_N(v_abs)(FN_V x)
{
    return (FN_V)((FN_WORDS)x & ~FN_MATH.sign);
}

/* -|x| */
FN_INLINE FN_V
FN_N(v_minus_abs)(FN_V x)
{
    return (FN_V)((FN_WORDS)x | FN_MATH.sign);
}

/* c[0] + c[1] x + ..., even and odd powers side by side: half as long a chain as Horner's. */
FN_INLINE FN_V
FN_N(v_polynomial)(FN_V x, FN_V square, const FN_A *c, int count)
{
    FN_V last = FN_N(v_set1)(c[count - 1]), other = FN_N(v_set1)(c[count - 2]);
    FN_UNROLL_ALL
    for (int i = count - 3; i >= 0; i--) {
        const FN_V next = last * square + c[i];
        last = other;
        other = next;
    }
    return other + last * x;
}

/* e^(x + rest) - 1 without its power of two, n: r in [-ln(2) / 2, ln(2) / 2] and its e^r - 1. The lowest bits
 * of `power` are n and what was added to `whole`. rest is what rounding left of x, sum is x + rest. */
FN_INLINE FN_V
FN_N(v_expm1_reduced)(FN_V sum, FN_V x, FN_V rest, FN_A whole, FN_WORDS *power)
{
    const FN_V t = sum * FN_MATH.log2_e + whole, n = t - whole;
    const FN_V high = x - n * FN_MATH.ln2_hi, low = n * FN_MATH.ln2_lo - rest, r = high - low;
    const FN_V square = r * r;
    const FN_V more = FN_N(v_polynomial)(r, square, FN_MATH.exp, FN_COUNT(FN_MATH.exp));
    *power = (FN_WORDS)t;
    return high + (square * more - low);
}

/* x * 2^n, n the lowest bits of `power` (of whole_twice): 2^(n / 2), then the rest, rounded once. */
FN_INLINE FN_V
FN_N(v_scale)(FN_V x, FN_WORDS power)
{
    const FN_WORDS half = power << (FN_MATH.mantissa - 1) & FN_MATH.exponent;
    return x * (FN_V)half * (FN_V)((power << FN_MATH.mantissa) - half);
}

/* e^x for exp_least <= x <= exp_most, and NaN. */
FN_INLINE FN_V
FN_N(v_exp_within)(FN_V x)
{
    FN_WORDS power;
    const FN_V none = {0};
    const FN_V m = FN_N(v_expm1_reduced)(x, x, none, FN_MATH.whole_twice, &power);
    return FN_N(v_scale)(m + 1, power);
}

/* No less than exp_least: e^x is 0 from there on, and what is multiplied by it need not be infinite. */
FN_INLINE FN_V
FN_N(v_exp_floor)(FN_V x)
{
    return FN_N(v_larger)(FN_N(v_set1)(FN_MATH.exp_least), x);
}

FN_INLINE FN_V
FN_N(v_exp)(FN_V x)
{
    x = FN_N(v_smaller)(FN_N(v_set1)(FN_MATH.exp_most), FN_N(v_exp_floor)(x));
    return FN_N(v_exp_within)(x);
}

/* The sigmoid of x >= exp_least. */
FN_INLINE FN_V
FN_N(v_sigmoid_within)(FN_V x)
{
    x = FN_N(v_smaller)(FN_N(v_set1)(FN_MATH.logistic_most), x);
    const FN_V e = FN_N(v_exp_within)(x);
    return e / (e + 1);
}

FN_INLINE FN_V
FN_N(v_sigmoid)(FN_V x)
{
    return FN_N(v_sigmoid_within)(FN_N(v_exp_floor)(x));
}

FN_INLINE FN_V
FN_N(v_tanh)(FN_V x)
{
    FN_WORDS power;
    const FN_V none = {0};
    FN_V y = FN_N(v_abs)(x);
    y = FN_N(v_smaller)(FN_N(v_set1)(FN_MATH.tanh_most), y + y);
    const FN_V e = FN_N(v_expm1_reduced)(y, y, none, FN_MATH.whole, &power);
    const FN_V two_n = (FN_V)(power << FN_MATH.mantissa);
    const FN_V m = two_n * e + (two_n - 1);
    const FN_WORDS size = (FN_WORDS)(m / (m + 2));
    return (FN_V)(size | ((FN_WORDS)x & FN_MATH.sign));
}

/* The lower tail of the normal distribution, at -a: Phi is v_falls(tail, tail.ratio), its density
 * v_falls(tail, density). a = |x|, no more than where both are 0. */
typedef struct {
    FN_V a, ratio, m; /* e^(-a^2 / 2) = (1 + m) 2^n */
    FN_WORDS power;
} FN_TAIL;

FN_INLINE FN_TAIL
FN_N(v_tail)(FN_V x)
{
    FN_TAIL tail;
    const FN_A *c = FN_MATH.tail;
    const FN_V a = FN_N(v_smaller)(FN_N(v_set1)(FN_MATH.far), FN_N(v_abs)(x));

    const FN_V high = (FN_V)((FN_WORDS)a & FN_MATH.upper_half), exact = high * high * (FN_A)-0.5;
    const FN_V rest = (a - high) * (a + high) * (FN_A)-0.5;
    tail.m = FN_N(v_expm1_reduced)(exact + rest, exact, rest, FN_MATH.whole_twice, &tail.power);

    /* The ratio at `near`, where a + k has no rounding error; from there to a by its derivative. */
    const FN_V sum = a + FN_MATH.k, near = sum - FN_MATH.k, inverse = 1 / sum;
    const FN_V q = (near - FN_MATH.k) * inverse;
    /* The lowest powers one by one, for what is rounded there is not small. */
    const FN_V m = FN_N(v_polynomial)(q, q * q, c + 2, FN_COUNT(FN_MATH.tail) - 2);
    const FN_V ratio = ((m * q + c[1]) * q + c[0]) * inverse;
    tail.ratio = ratio + (a - near) * (a * ratio - FN_MATH.density);
    tail.a = a;
    return tail;
}

/* y e^(-a^2 / 2) */
FN_INLINE FN_V
FN_N(v_falls)(FN_TAIL tail, FN_V y)
{
    return FN_N(v_scale)(y + tail.m * y, tail.power);
}

/* f(x) of f(-|x|), where f(-x) = 1 - f(x). */
FN_INLINE FN_V
FN_N(v_unfold)(FN_V x, FN_V lower)
{
    return FN_N(v_select)(x > 0, 1 - lower, lower);
}

/* What y is to be increased by, as a part of it, where y^4 should be 1 - e times what it is. */
FN_INLINE FN_V
FN_N(v_fourth_step)(FN_V e)
{
    return e * (e * (FN_A)(5. / 32) + (FN_A)0.25);
}

/* x^(-3/4) of x in [2^-60, 2^60] (f64: 2^-500 to 2^500); NaN of NaN. */
FN_INLINE FN_V
FN_N(v_three_quarters)(FN_V x)
{
    FN_V y = (FN_V)(FN_MATH.fourth - ((FN_WORDS)x >> 2)); /* x^(-1/4) */
    FN_UNROLL
    for (int step = 0; step < (int)sizeof(FN_A) / 4; step++) {
        const FN_V square = y * y;
        y = y + y * FN_N(v_fourth_step)(1 - square * square * x);
    }
    const FN_V cube = y * y * y, product = cube * cube * x;
    return cube + cube * FN_N(v_fourth_step)(1 - product * product * x);
}
