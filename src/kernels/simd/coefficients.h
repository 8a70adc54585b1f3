/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What    The constants of simd/functions.tmpl.h for float and for double.
 * Method  e^r = 1 + r + r^2 E(r) on |r| <= ln(2) / 2, and Phi(-a) = e^(-a^2 / 2) / (a + k) M(q) with
 *         q = (a - k) / (a + k), for 0 <= a <= far, where a Phi'(a) is less than half of the smallest
 *         subnormal. E and M are weighted least squares fits at 200 Chebyshev nodes in 50 digits, coefficients
 *         rounded one after another, lowest first, and the others fitted again. Their largest relative
 *         errors in ulp/2 (2^-24, 2^-53): E 0.25 of e^r - 1 for both types, M 0.53 (degree 8) for float
 *         and 0.23 (degree 21) for double.
 * Source  Fits of our own. Mapping [0, inf) to [-1, 1) by (a - k) / (a + k): M. Shepherd and J. Laframboise,
 *         "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x", Math. Comp. 36 (1981). The reduction in
 *         two parts: W. Cody and W. Waite, "Software manual for the elementary functions" (1980).
 * Needs   fn_common.h.
 */

/* The magic numbers: what is added to them is rounded to a whole number, and that plus a multiple of the
 * exponent's bias lies in the lowest bits. e^x needs twice the bias: 2^n is made in two factors, so that
 * it may overflow and underflow. */
#define FN_CONSTANTS(tag, real, word, degree_exp, degree_tail)                                     \
    typedef struct {                                                                               \
        int mantissa; /* bits */                                                                   \
        word sign, exponent, upper_half;                                                           \
        word fourth;             /* less a quarter of the bits of x: about those of x^(-1/4) */    \
        real whole, whole_twice; /* magic, plus the bias, plus twice the bias */                   \
        real log2_e, ln2_hi, ln2_lo; /* products of ln2_hi and n have no rounding error */         \
        real exp_least, exp_most;    /* e^x is 0, infinity */                                      \
        real logistic_most;          /* 1 / (1 + e^-x) is 1 from before here */                    \
        real tanh_most;              /* tanh(x / 2) is 1 from before here */                       \
        real far, k, density;        /* density: 1 / sqrt(2 pi) */                                 \
        real cubic_far;              /* 2 u(z) of GELU's tanh form is beyond exp_least */          \
        real cubic_1, cubic_3;       /* 2 u(z) = cubic_1 z + cubic_3 z^3 */                        \
        real exp[(degree_exp) + 1], tail[(degree_tail) + 1];                                       \
    } fn_constants_##tag;

FN_CONSTANTS(f32, float, uint32_t, 4, 9)
FN_CONSTANTS(f64, double, uint64_t, 9, 22)

static const fn_constants_f32 fn_math_f32 = {
    .mantissa = 23,
    .sign = 0x80000000u,
    .exponent = 0x7f800000u,
    .upper_half = 0xfffff000u,
    .fourth = 0x4f585ee0u,
    .whole = 0x1.8p23f + 127,
    .whole_twice = 0x1.8p23f + 254,
    .log2_e = 0x1.715476p+0f,
    .ln2_hi = 0x1.62e4p-1f,
    .ln2_lo = 0x1.7f7d1cp-20f,
    .exp_least = -104,
    .exp_most = 89,
    .logistic_most = 30,
    .tanh_most = 20,
    .far = 14.6f,
    .k = 3.375f,
    .density = 0x1.988454p-2f,
    .cubic_far = 11,
    .cubic_1 = 0x1.988454p+0f,
    .cubic_3 = 0x1.2444f2p-4f,
    .exp = {0.5f, 0x1.5554aep-3f, 0x1.55557cp-5f, 0x1.1228e8p-7f, 0x1.6c9d48p-10f},
    .tail = {0x1.7b6eep-1f, -0x1.1b21ccp-1f, 0x1.2e77p-2f, -0x1.92fb7p-4f, 0x1.1dbc56p-7f,
             0x1.00676cp-7f, -0x1.27624cp-9f, -0x1.bdcfc6p-11f, 0x1.4743aap-12f, 0x1.1e7e0ap-13f},
};

static const fn_constants_f64 fn_math_f64 = {
    .mantissa = 52,
    .sign = 0x8000000000000000u,
    .exponent = 0x7ff0000000000000u,
    .upper_half = 0xfffffffff8000000u,
    .fourth = 0x4feb0bdc00000000u,
    .whole = 0x1.8p52 + 1023,
    .whole_twice = 0x1.8p52 + 2046,
    .log2_e = 0x1.71547652b82fep+0,
    .ln2_hi = 0x1.62e42fefa3p-1,
    .ln2_lo = 0x1.3de6af278ece6p-42,
    .exp_least = -746,
    .exp_most = 710,
    .logistic_most = 50,
    .tanh_most = 40,
    .far = 38.8,
    .k = 3.75,
    .density = 0x1.9884533d43651p-2,
    .cubic_far = 22,
    .cubic_1 = 0x1.9884533d43651p+0,
    .cubic_3 = 0x1.2444f2a4d8b4bp-4,
    .exp = {0.5, 0x1.5555555555529p-3, 0x1.55555555539fbp-5, 0x1.111111111e5b7p-7,
            0x1.6c16c17a564e4p-10, 0x1.a01a0152bcc8ep-13, 0x1.a019b286ecb5fp-16,
            0x1.71deddc9539f5p-19, 0x1.28987d1f7481p-22, 0x1.add89dbe59707p-26},
    .tail = {0x1.80268b6d87866p-1,   -0x1.2d270844fc507p-1,  0x1.696910e54b017p-2,
             -0x1.364e796e67c9p-3,   0x1.331cd053e93e5p-5,   0x1.3246c5fb15316p-10,
             -0x1.10d156feef9f1p-8,  0x1.3fc4db2bdf8e5p-11,  0x1.eca55f4906208p-12,
             -0x1.eb9d98692db58p-14, -0x1.25eb2e4b52662p-14, 0x1.1e579cfcaff17p-16,
             0x1.be8ed619b6c86p-17,  -0x1.ba456f82b91a1p-20, -0x1.72e0dba515a28p-19,
             -0x1.592c718788f6dp-23, 0x1.1c7abffd2f9f4p-21,  0x1.473a4f99cf218p-23,
             -0x1.3831c23c2831ep-24, -0x1.98c91cb6117d9p-25, 0x1.45c0461411283p-30,
             0x1.e7a81bce888d8p-28,  0x1.ac85d0978f4a6p-30},
};
