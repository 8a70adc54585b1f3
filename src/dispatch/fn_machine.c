/* SPDX-License-Identifier: BSD-3-Clause */
#include "fn_machine.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

/* What src/kernels/isa was compiled to, in the order of the types in fn_kernels.h. */
#define FN_RUNG(isa)                                                                               \
    extern const fn_kernels fn_kernels_f16_##isa, fn_kernels_bf16_##isa, fn_kernels_f32_##isa,     \
        fn_kernels_f64_##isa;                                                                      \
    static const fn_table fn_table_##isa = {#isa,                                                  \
                                            {&fn_kernels_f16_##isa, &fn_kernels_bf16_##isa,        \
                                             &fn_kernels_f32_##isa, &fn_kernels_f64_##isa}};

#if defined(__x86_64__)
FN_RUNG(v4)
FN_RUNG(v3)
FN_RUNG(baseline)
const fn_table *const fn_tables[] = {&fn_table_v4, &fn_table_v3, &fn_table_baseline, NULL};
#elif defined(__aarch64__)
FN_RUNG(neon)
const fn_table *const fn_tables[] = {&fn_table_neon, NULL};
#else
FN_RUNG(baseline)
const fn_table *const fn_tables[] = {&fn_table_baseline, NULL};
#endif

const char *const fn_primitives[] = {
#define FN_PRIMITIVE(name) #name,
#include "../kernels/kernels.inc"
#undef FN_PRIMITIVE
    NULL,
};

int
fn_supports(const char *isa)
{
#if defined(__x86_64__)
    /* The builtin checks the registers' operating-system support (XCR0) too. */
    __builtin_cpu_init();
    const int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                   __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi2");
    if (!strcmp(isa, "v3")) {
        return v3;
    }
    if (!strcmp(isa, "v4")) {
        return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    }
#endif
    (void)isa;
    return 1;
}

static size_t
cache(int name, size_t fallback)
{
    const long bytes = name < 0 ? 0 : sysconf(name);
    return bytes > 0 ? (size_t)bytes : fallback;
}

size_t
fn_l2_bytes(void)
{
#ifdef _SC_LEVEL2_CACHE_SIZE
    return cache(_SC_LEVEL2_CACHE_SIZE, 1u << 20);
#else
    return cache(-1, 1u << 20);
#endif
}

/* What Linux knows of the cache of that index of the first CPU: in KiB; 0: there is none. In a virtual
 * machine it is the part that is ours, where sysconf adds up what the processor has in all. */
static size_t
kernel_cache(int index)
{
    char path[64];
    unsigned long kib = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", index);
    FILE *file = fopen(path, "r");
    if (file) {
        kib = fscanf(file, "%luK", &kib) == 1 ? kib : 0;
        fclose(file);
    }
    return (size_t)kib << 10;
}

size_t
fn_llc_bytes(void)
{
    size_t last = 0;
    for (int index = 0; index < 8; index++) {
        const size_t bytes = kernel_cache(index);
        last = bytes > last ? bytes : last;
    }
    if (last) {
        return last;
    }
#ifdef _SC_LEVEL3_CACHE_SIZE
    return cache(_SC_LEVEL3_CACHE_SIZE, 8u << 20);
#else
    return cache(-1, 8u << 20);
#endif
}

void
fn_copy_past_cache(void *to_, const void *from_, size_t bytes)
{
    char *to = to_;
    const char *from = from_;
#if defined(__x86_64__)
    const size_t head = -(uintptr_t)to & 63;
    if (head < bytes) {
        memcpy(to, from, head);
        to += head;
        from += head;
        bytes -= head;
        for (; bytes >= 64; bytes -= 64, to += 64, from += 64) {
            const __m128i *v = (const __m128i *)from;
            const __m128i a = _mm_loadu_si128(v), b = _mm_loadu_si128(v + 1);
            const __m128i c = _mm_loadu_si128(v + 2), d = _mm_loadu_si128(v + 3);
            _mm_stream_si128((__m128i *)to, a);
            _mm_stream_si128((__m128i *)to + 1, b);
            _mm_stream_si128((__m128i *)to + 2, c);
            _mm_stream_si128((__m128i *)to + 3, d);
        }
        _mm_sfence();
    }
#endif
    memcpy(to, from, bytes);
}
