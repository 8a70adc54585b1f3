/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     Activation functions and their slopes: of a vector in registers (lv_activate), and of some
 *          vectors in memory, for kernels that must not grow by all of them (lv_activate_some,
 *          lv_activate_slope_some).
 * Method   silu, gelu: no infinity meets a 0; what lies beyond where act or act' has its limit counts as
 *          the place where it has it. Their slopes are 1 - slope(-z) on the other side, so all is
 *          computed at -|z|, where nothing cancels but what does in the slope itself (near z = -1).
 *          gelu's tanh form is z sigmoid(2 u), u = sqrt(2 / pi) (z + 0.044715 z^3).
 * Errors   Largest measured, in units of the last place: values of silu 3.1, gelu 4.3, of gelu's tanh form
 *          2.8, and 0.5 |2 u| more below z = -1; slopes within 2 of 1, and 5 for z > -0.5. Where e^-|z|
 *          or Phi are subnormal, so many of them.
 * Source   D. Hendrycks and K. Gimpel, "Gaussian error linear units" (2016), also for silu.
 * Needs    functions.tmpl.h.
 */

/* 2 u(z) / z, z^2 given */
FN_INLINE FN_V
FN_N(v_cubic)(FN_V square)
{
    return square * FN_MATH.cubic_3 + FN_MATH.cubic_1;
}

/* The slope of z sigmoid(2 u) at y <= 0, from w = 2 u(y) >= exp_least and t = y dw/dy. */
FN_INLINE FN_V
FN_N(v_gated_slope)(FN_V w, FN_V t)
{
    const FN_V e = FN_N(v_exp_within)(w), q = 1 / (e + 1);
    return e * q * (t * q + 1);
}

FN_INLINE FN_V
FN_N(v_activate)(int kind, FN_V z)
{
    const FN_V none = {0};
    switch (kind) {
    case FN_RELU:
        return FN_N(v_larger)(none, z);
    case FN_SILU:
        z = FN_N(v_exp_floor)(z);
        return z * FN_N(v_sigmoid_within)(z);
    case FN_GELU: {
        const FN_TAIL tail = FN_N(v_tail)(z);
        return FN_N(v_larger)(none, z) - tail.a * FN_N(v_falls)(tail, tail.ratio);
    }
    case FN_GELU_TANH:
        z = FN_N(v_larger)(FN_N(v_set1)(-FN_MATH.cubic_far), z);
        return z * FN_N(v_sigmoid)(z * FN_N(v_cubic)(z * z));
    default:
        return z;
    }
}

FN_INLINE FN_V
FN_N(v_activate_slope)(int kind, FN_V z)
{
    const FN_V none = {0}, one = FN_N(v_set1)(1);
    switch (kind) {
    case FN_RELU:
        return FN_N(v_select)(z == z, FN_N(v_select)(z > 0, one, none), z);
    case FN_SILU: {
        const FN_V y = FN_N(v_exp_floor)(FN_N(v_minus_abs)(z));
        return FN_N(v_unfold)(z, FN_N(v_gated_slope)(y, y));
    }
    case FN_GELU: {
        const FN_TAIL tail = FN_N(v_tail)(z);
        const FN_V lower = tail.ratio - tail.a * FN_MATH.density;
        return FN_N(v_unfold)(z, FN_N(v_falls)(tail, lower));
    }
    case FN_GELU_TANH: {
        const FN_V y = FN_N(v_larger)(FN_N(v_set1)(-FN_MATH.cubic_far), FN_N(v_minus_abs)(z));
        const FN_V square = y * y, cubic = square * (2 * FN_MATH.cubic_3);
        const FN_V w = FN_N(v_exp_floor)(y * FN_N(v_cubic)(square));
        return FN_N(v_unfold)(z, FN_N(v_gated_slope)(w, w + y * cubic));
    }
    default:
        return one;
    }
}

FN_INLINE FN_LV
FN_N(lv_activate)(int kind, FN_LV z)
{
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        z.v[k] = FN_N(v_activate)(kind, z.v[k]);
    }
    return z;
}

FN_INLINE FN_LV
FN_N(lv_activate_slope)(int kind, FN_LV z)
{
    FN_UNROLL
    for (int k = 0; k < FN_NATIVE; k++) {
        z.v[k] = FN_N(v_activate_slope)(kind, z.v[k]);
    }
    return z;
}

/* `count` vectors, in place. A copy of the loop per function, of one native vector: the processor itself
 * computes several side by side. */
#define FN_SOME(function)                                                                          \
    FN_NOINLINE void FN_N(lv_##function##_some)(FN_LV * z, int count, int kind)                    \
    {                                                                                              \
        FN_V *v = (FN_V *)z;                                                                       \
        const int natives = count * FN_NATIVE;                                                     \
        switch (kind) {                                                                            \
            FN_CASE(function, FN_RELU)                                                             \
            FN_CASE(function, FN_SILU)                                                             \
            FN_CASE(function, FN_GELU)                                                             \
            FN_CASE(function, FN_GELU_TANH)                                                        \
        }                                                                                          \
    }
#define FN_CASE(function, kind)                                                                    \
    case kind:                                                                                     \
        _Pragma("GCC unroll 1") for (int i = 0; i < natives; i++)                                  \
        {                                                                                          \
            v[i] = FN_N(v_##function)(kind, v[i]);                                                 \
        }                                                                                          \
        break;

FN_SOME(activate)
FN_SOME(activate_slope)
#undef FN_CASE
#undef FN_SOME
