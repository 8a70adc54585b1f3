/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What    The native vectors of one ISA tier: whole and partial loads and stores, and what the
 *         compiler's vector types cannot say: masks, float16 conversion, streaming stores.
 * Needs   FN_VBYTES, the width in bytes of the tier's registers (16, 32, 64).
 *
 * Types wider than a register are lowered badly by GCC 12, so every type here is native-width;
 * lanes.tmpl.h groups them into logical vectors of 64 bytes.
 */
#ifndef FN_VBYTES
#error "vectors.h: define FN_VBYTES"
#endif

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

typedef float fn_vf __attribute__((vector_size(FN_VBYTES)));
typedef double fn_vd __attribute__((vector_size(FN_VBYTES)));
typedef uint32_t fn_vu __attribute__((vector_size(FN_VBYTES)));
typedef int32_t fn_vi __attribute__((vector_size(FN_VBYTES)));
typedef int64_t fn_vl __attribute__((vector_size(FN_VBYTES)));
typedef uint64_t fn_vq __attribute__((vector_size(FN_VBYTES)));
typedef uint16_t fn_vh __attribute__((vector_size(FN_VBYTES / 2)));
typedef uint16_t fn_vw __attribute__((vector_size(FN_VBYTES)));
typedef fn_vu fn_bits_f32; /* of a vector of float, double */
typedef fn_vq fn_bits_f64;

#define FN_NATIVE (FN_LANE_BYTES / FN_VBYTES) /* native vectors in a logical one */

/* Over the native vectors, where the body is long: four copies of it would be no faster. */
#if FN_VBYTES == 16
#define FN_UNROLL_SOME _Pragma("GCC unroll 1")
#else
#define FN_UNROLL_SOME FN_UNROLL
#endif

/* v stays in a register: GCC would fetch what it knows to be in memory again for every use. */
#if defined(__AVX512F__) && FN_VBYTES == 64
#define FN_HOLD(v) __asm__("" : "+v"(v))
#elif defined(__SSE2__)
#define FN_HOLD(v) __asm__("" : "+x"(v))
#elif defined(__ARM_NEON)
#define FN_HOLD(v) __asm__("" : "+w"(v))
#else
#define FN_HOLD(v)
#endif

/* Loads and stores at any alignment; the _n forms move the first n <= lanes values, a load fills the
 * rest with zeros. Memory beyond them is not touched. */
#define FN_MEMORY(tag, type, vector)                                                               \
    FN_INLINE vector fn_read_##tag(const type *p)                                                  \
    {                                                                                              \
        vector v;                                                                                  \
        memcpy(&v, p, sizeof v);                                                                   \
        return v;                                                                                  \
    }                                                                                              \
    FN_INLINE void fn_write_##tag(type *p, vector v)                                               \
    {                                                                                              \
        memcpy(p, &v, sizeof v);                                                                   \
    }

#define FN_PARTIAL(tag, type, vector)                                                              \
    FN_INLINE vector fn_read_n_##tag(const type *p, size_t n)                                      \
    {                                                                                              \
        vector v = {0};                                                                            \
        memcpy(&v, p, n * sizeof *p);                                                              \
        return v;                                                                                  \
    }                                                                                              \
    FN_INLINE void fn_write_n_##tag(type *p, vector v, size_t n)                                   \
    {                                                                                              \
        memcpy(p, &v, n * sizeof *p);                                                              \
    }

FN_MEMORY(f32, float, fn_vf)
FN_MEMORY(f64, double, fn_vd)
FN_MEMORY(u16, uint16_t, fn_vh)

#if defined(__AVX512BW__) && defined(__AVX512VL__) && FN_VBYTES == 64
#define FN_MASK(n) ((1u << (n)) - 1)
FN_INLINE fn_vf
fn_read_n_f32(const float *p, size_t n)
{
    return (fn_vf)_mm512_maskz_loadu_ps((__mmask16)FN_MASK(n), p);
}
FN_INLINE void
fn_write_n_f32(float *p, fn_vf v, size_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)FN_MASK(n), (__m512)v);
}
FN_INLINE fn_vd
fn_read_n_f64(const double *p, size_t n)
{
    return (fn_vd)_mm512_maskz_loadu_pd((__mmask8)FN_MASK(n), p);
}
FN_INLINE void
fn_write_n_f64(double *p, fn_vd v, size_t n)
{
    _mm512_mask_storeu_pd(p, (__mmask8)FN_MASK(n), (__m512d)v);
}
FN_INLINE fn_vh
fn_read_n_u16(const uint16_t *p, size_t n)
{
    return (fn_vh)_mm256_maskz_loadu_epi16((__mmask16)FN_MASK(n), p);
}
FN_INLINE void
fn_write_n_u16(uint16_t *p, fn_vh v, size_t n)
{
    _mm256_mask_storeu_epi16(p, (__mmask16)FN_MASK(n), (__m256i)v);
}
#elif defined(__AVX2__) && FN_VBYTES == 32
FN_INLINE __m256i
fn_mask_32(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FN_INLINE __m256i
fn_mask_64(size_t n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)n), _mm256_setr_epi64x(0, 1, 2, 3));
}
FN_INLINE fn_vf
fn_read_n_f32(const float *p, size_t n)
{
    return (fn_vf)_mm256_maskload_ps(p, fn_mask_32(n));
}
FN_INLINE void
fn_write_n_f32(float *p, fn_vf v, size_t n)
{
    _mm256_maskstore_ps(p, fn_mask_32(n), (__m256)v);
}
FN_INLINE fn_vd
fn_read_n_f64(const double *p, size_t n)
{
    return (fn_vd)_mm256_maskload_pd(p, fn_mask_64(n));
}
FN_INLINE void
fn_write_n_f64(double *p, fn_vd v, size_t n)
{
    _mm256_maskstore_pd(p, fn_mask_64(n), (__m256d)v);
}
FN_PARTIAL(u16, uint16_t, fn_vh)
#else
FN_PARTIAL(f32, float, fn_vf)
FN_PARTIAL(f64, double, fn_vd)
FN_PARTIAL(u16, uint16_t, fn_vh)
#endif

static const int32_t fn_lane_numbers_f32[32] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
};
static const int64_t fn_lane_numbers_f64[16] = {
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
};
static const uint16_t fn_lane_numbers_u16[64] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
    22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
    44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
};

/* larger: a > b ? a : b, smaller: a < b ? a : b; so b where they are equal, and where either is NaN. x86
 * has instructions for just that, which compilers do not find. */
#if defined(__AVX512F__) && FN_VBYTES == 64
#define FN_PICK(name, vector, mask, op) return _mm512_##name(a, b);
#elif defined(__AVX__) && FN_VBYTES == 32
#define FN_PICK(name, vector, mask, op) return _mm256_##name(a, b);
#elif defined(__SSE2__) && FN_VBYTES == 16
#define FN_PICK(name, vector, mask, op) return _mm_##name(a, b);
#else
#define FN_PICK(name, vector, mask, op)                                                            \
    const mask yes = a op b;                                                                       \
    return (vector)((yes & (mask)a) | (~yes & (mask)b));
#endif
FN_INLINE fn_vf
fn_larger_f32(fn_vf a, fn_vf b){FN_PICK(max_ps, fn_vf, fn_vi, >)} FN_INLINE fn_vf
    fn_smaller_f32(fn_vf a, fn_vf b){FN_PICK(min_ps, fn_vf, fn_vi, <)} FN_INLINE fn_vd
    fn_larger_f64(fn_vd a, fn_vd b){FN_PICK(max_pd, fn_vd, fn_vl, >)} FN_INLINE fn_vd
    fn_smaller_f64(fn_vd a, fn_vd b)
{
    FN_PICK(min_pd, fn_vd, fn_vl, <)
}

/* What is stored of a native vector. Units: as many bytes of that as a native vector has, and numbers of their lanes. */
typedef fn_vf fn_native_f32;
typedef fn_vd fn_native_f64;
typedef fn_vh fn_native_u16;
typedef fn_vf fn_unit_f32;
typedef fn_vi fn_unit_lanes_f32;
typedef fn_vd fn_unit_f64;
typedef fn_vl fn_unit_lanes_f64;
typedef fn_vw fn_unit_u16, fn_unit_lanes_u16;

FN_INLINE fn_vf
fn_unit_of_f32(const fn_native_f32 *v)
{
    return *v;
}
FN_INLINE fn_vd
fn_unit_of_f64(const fn_native_f64 *v)
{
    return *v;
}
FN_INLINE fn_vw
fn_unit_of_u16(const fn_native_u16 *v)
{
#if defined(__AVX512BW__) && FN_VBYTES == 64
    return (fn_vw)_mm512_inserti64x4(_mm512_castsi256_si512((__m256i)v[0]), (__m256i)v[1], 1);
#else
    fn_vw unit;
    memcpy(&unit, v, sizeof unit);
    return unit;
#endif
}

/* Lanes of a, and from their number on of b. FN_JOINS: in one instruction. */
#if defined(__AVX512BW__) && FN_VBYTES == 64
#define FN_JOINS 1
#define FN_JOIN(suffix, cast)                                                                      \
    return (__typeof__(a))_mm512_permutex2var_##suffix((cast)a, (__m512i)from, (cast)b);
#else
#define FN_JOINS 0
#define FN_JOIN(suffix, cast)                                                                      \
    const int lanes = sizeof a / sizeof a[0];                                                      \
    __typeof__(a) out = a;                                                                         \
    for (int i = 0; i < lanes; i++) {                                                              \
        out[i] = from[i] < lanes ? a[from[i]] : b[from[i] - lanes];                                \
    }                                                                                              \
    return out;
#endif
FN_INLINE fn_vf
fn_join_f32(fn_vf a, fn_vi from, fn_vf b){FN_JOIN(ps, __m512)} FN_INLINE fn_vd
    fn_join_f64(fn_vd a, fn_vl from, fn_vd b){FN_JOIN(pd, __m512d)} FN_INLINE fn_vw
    fn_join_u16(fn_vw a, fn_vw from, fn_vw b){FN_JOIN(epi16, __m512i)}

#if defined(__AVX512F__) && FN_VBYTES == 64
#define FN_ROOT(suffix, function) return _mm512_##suffix(a);
#elif defined(__AVX__) && FN_VBYTES == 32
#define FN_ROOT(suffix, function) return _mm256_##suffix(a);
#elif defined(__SSE2__) && FN_VBYTES == 16
#define FN_ROOT(suffix, function) return _mm_##suffix(a);
#else
#define FN_ROOT(suffix, function)                                                                  \
    for (size_t i = 0; i < sizeof a / sizeof a[0]; i++) {                                          \
        a[i] = function(a[i]);                                                                     \
    }                                                                                              \
    return a;
#endif
FN_INLINE fn_vf fn_root_f32(fn_vf a){FN_ROOT(sqrt_ps, sqrtf)} FN_INLINE fn_vd
    fn_root_f64(fn_vd a){FN_ROOT(sqrt_pd, sqrt)}

FN_INLINE fn_vu fn_select(fn_vi mask, fn_vu yes, fn_vu no)
{
    return ((fn_vu)mask & yes) | (~(fn_vu)mask & no);
}

/* Where the hardware converts, inline; in software one copy a tier, or every kernel carries dozens. */
#if (defined(__AVX512F__) && FN_VBYTES == 64) || (defined(__F16C__) && FN_VBYTES == 32)
#define FN_CONVERSION FN_INLINE
#else
#define FN_CONVERSION FN_NOINLINE __attribute__((unused)) /* by the other storage types */
#endif

/* float16 -> float32, exact. Zero and subnormals by integer conversion, so that a process that
 * flushes subnormals gets the same bits. Signalling NaN becomes quiet, as the hardware does. */
FN_CONVERSION fn_vf
fn_widen_f16(fn_vh stored)
{
#if defined(__AVX512F__) && FN_VBYTES == 64
    return (fn_vf)_mm512_cvtph_ps((__m256i)stored);
#elif defined(__F16C__) && FN_VBYTES == 32
    return (fn_vf)_mm256_cvtph_ps((__m128i)stored);
#else
    fn_vu h = __builtin_convertvector(stored, fn_vu);
    fn_vu sign = (h & 0x8000u) << 16, em = h & 0x7fffu;
    fn_vu normal = (em << 13) + ((127u - 15u) << 23);
    fn_vu subnormal = (fn_vu)(__builtin_convertvector((fn_vi)em, fn_vf) * 0x1p-24f);
    fn_vu special = (em << 13) | 0x7f800000u | ((fn_vu)(em > 0x7c00u) & 0x400000u);
    fn_vu bits = fn_select((fn_vi)(em < 0x400u), subnormal, normal);
    bits = fn_select((fn_vi)(em >= 0x7c00u), special, bits);
    return (fn_vf)(bits | sign);
#endif
}

/* float32 -> float16, to nearest even. */
FN_CONVERSION fn_vh
fn_narrow_f16(fn_vf value)
{
#if defined(__AVX512F__) && FN_VBYTES == 64
    return (fn_vh)_mm512_cvtps_ph((__m512)value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__F16C__) && FN_VBYTES == 32
    return (fn_vh)_mm256_cvtps_ph((__m256)value, _MM_FROUND_TO_NEAREST_INT);
#else
    fn_vu u = (fn_vu)value, sign = (u >> 16) & 0x8000u;
    u &= 0x7fffffffu;
    fn_vu normal = (u - ((127u - 15u) << 23) + 0xfffu + ((u >> 13) & 1u)) >> 13;
    fn_vu subnormal = (fn_vu)((fn_vf)u + 0.5f) - 0x3f000000u; /* one ulp of 0.5 is 2^-24 */
    fn_vu nan = 0x7e00u | ((u >> 13) & 0x3ffu);
    fn_vu bits = fn_select((fn_vi)(u < 0x38800000u), subnormal, normal);
    bits = fn_select((fn_vi)(u >= 0x47800000u), (fn_vu){0} + 0x7c00u, bits);
    bits = fn_select((fn_vi)(u > 0x7f800000u), nan, bits);
    return __builtin_convertvector(bits | sign, fn_vh);
#endif
}

/* bfloat16 is the upper half of a float32. */
FN_INLINE fn_vf
fn_widen_bf16(fn_vh stored)
{
#if defined(__AVX512F__) && FN_VBYTES == 64
    return (fn_vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)stored), 16);
#else
    return (fn_vf)(__builtin_convertvector(stored, fn_vu) << 16);
#endif
}

/* float32 -> bfloat16, to nearest even; NaN stays NaN. */
FN_INLINE fn_vh
fn_narrow_bf16(fn_vf value)
{
#if defined(__AVX512F__) && FN_VBYTES == 64
    const __m512i u = (__m512i)value, upper = _mm512_srli_epi32(u, 16);
    const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
    const __mmask16 nan = _mm512_cmp_ps_mask((__m512)value, (__m512)value, _CMP_UNORD_Q);
    const __m512i bits =
        _mm512_mask_or_epi32(_mm512_srli_epi32(sum, 16), nan, upper, _mm512_set1_epi32(0x40));
    return (fn_vh)_mm512_cvtepi32_epi16(bits);
#else
    fn_vu u = (fn_vu)value;
    fn_vu rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    fn_vu nan = (u >> 16) | 0x40u;
    fn_vu bits = fn_select((fn_vi)((u & 0x7fffffffu) > 0x7f800000u), nan, rounded);
    return __builtin_convertvector(bits, fn_vh);
#endif
}

/* Store bytes past the cache: 64, or 32, 16 or 8 that are part of a line all of which is stored so, at an
 * address that is a multiple of their number. They come from anywhere. */
FN_INLINE void
fn_stream_bytes(void *to_, const void *from_, size_t bytes)
{
    char *to = to_;
    const char *from = from_;
#if defined(__AVX512F__) && FN_VBYTES == 64
    for (; bytes >= 64; bytes -= 64, to += 64, from += 64) {
        _mm512_stream_si512((__m512i *)to, _mm512_loadu_si512(from));
    }
#endif
#if defined(__AVX__) && FN_VBYTES >= 32
    for (; bytes >= 32; bytes -= 32, to += 32, from += 32) {
        _mm256_stream_si256((__m256i *)to, _mm256_loadu_si256((const __m256i *)from));
    }
#endif
#if defined(__SSE2__)
    for (; bytes >= 16; bytes -= 16, to += 16, from += 16) {
        _mm_stream_si128((__m128i *)to, _mm_loadu_si128((const __m128i *)from));
    }
#endif
#if defined(__x86_64__)
    if (bytes) {
        long long held;
        memcpy(&held, from, sizeof held);
        _mm_stream_si64((long long *)to, held);
    }
#else
    memcpy(to, from, bytes); /* no streaming store that would pay: an ordinary one */
#endif
}

FN_INLINE void
fn_stream_line(void *line, const void *from)
{
    fn_stream_bytes(line, from, 64);
}

FN_INLINE void
fn_stream_fence(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}
