/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What     to = a + b, rounded to the stored type: the residual that is added before a normalization.
 * Layouts  rows.
 * Aliasing to may be a or b.
 * Needs    lanes.tmpl.h.
 */

FN_NOINLINE void
FN_N(fn_sum)(void *to_, fn_ld ldt, const void *a_, fn_ld lda, const void *b_, fn_ld ldb,
             size_t rows, size_t n)
{
    for (size_t i = 0; i < rows; i++) {
        FN_T *to = (FN_T *)((char *)to_ + (fn_ld)i * ldt);
        const FN_T *a = (const FN_T *)((const char *)a_ + (fn_ld)i * lda);
        const FN_T *b = (const FN_T *)((const char *)b_ + (fn_ld)i * ldb);
        size_t j = 0;
        for (; j + FN_LANES <= n; j += FN_LANES) {
            FN_N(lv_store)(to + j, FN_N(lv_add)(FN_N(lv_load)(a + j), FN_N(lv_load)(b + j)));
        }
        if (j < n) {
            const FN_LV zero = FN_N(lv_set1)(0);
            const FN_LV left = FN_N(lv_load_n)(a + j, n - j, zero);
            FN_N(lv_store_n)(to + j, FN_N(lv_add)(left, FN_N(lv_load_n)(b + j, n - j, zero)),
                             n - j);
        }
    }
}
