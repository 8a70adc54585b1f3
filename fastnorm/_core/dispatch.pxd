# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of the kernel table (src/include/fn_kernels.h, src/dispatch)."""

cdef extern from "fn_kernels.h" nogil:
    ctypedef struct fn_centre:
        const void *hi
        const void *r
        const void *m
        bint by_row
        size_t step

    ctypedef struct fn_param:
        const void *w
        const void *b
        bint by_row

    ctypedef struct fn_each:
        const char *p
        Py_ssize_t step

    ctypedef struct fn_coefs:
        void *hi
        void *r
        void *m
        double *rstd
        double *low

    ctypedef struct fn_made:
        double eps
        bint raw
        bint relu
        fn_each w
        fn_each b
        double *mean
        double *var

    ctypedef struct fn_terms:
        const void *a
        const void *b
        Py_ssize_t lda
        Py_ssize_t ldb

    ctypedef struct fn_own:
        const double *rstd
        const double *low
        fn_each w
        double count
        int raw
        double *sums
        double *dw
        double *db

    ctypedef struct fn_slope:
        const void *a
        const void *b
        const void *c
        void *dw
        void *db
        const void *on
        Py_ssize_t ldon
        const fn_own *own

    ctypedef struct fn_curve:
        int kind
        bint by_row
        size_t step
        const char *coef[5]
        char *sum[5]

    ctypedef struct fn_window:
        bint along
        size_t before
        size_t after
        double scale
        double beta
        double k
        double low
        double high

    int FN_WINDOW_ARRAYS
    size_t fn_window_values(const fn_window *w, size_t rows, size_t n)

    ctypedef struct fn_memory:
        bint stream
        Py_ssize_t ahead_x
        Py_ssize_t ahead_dy

    size_t fn_samples_end(size_t n, size_t lanes)

    ctypedef Py_ssize_t fn_ld
    ctypedef void (*fn_moments_rows_t)(
        const void *, fn_ld, size_t, size_t, const double *, size_t, double *, double *,
        Py_ssize_t) noexcept nogil
    ctypedef void (*fn_moments_cols_t)(
        const void *, fn_ld, size_t, size_t, const void *, double *, double *) noexcept nogil

    ctypedef struct fn_kernels:
        void shift_rows(const void *x, fn_ld ldx, size_t rows, size_t n,
                        double *shift) noexcept nogil
        fn_moments_rows_t moments_rows
        void sampled_rows(const void *x, fn_ld ldx, size_t rows, size_t n, double *shift,
                          double *s1, double *s2, Py_ssize_t ahead) noexcept nogil
        fn_moments_rows_t moments_rows_wide
        void moments_sum(void *x, fn_ld ldx, const fn_terms *terms, size_t rows, size_t n,
                         double *shift, double *s1, double *s2, Py_ssize_t ahead,
                         bint sampled) noexcept nogil
        fn_moments_cols_t moments_cols
        fn_moments_cols_t moments_cols_wide
        void activated(void *y, fn_ld ldy, const void *x, fn_ld ldx, const void *dy, fn_ld lddy,
                       size_t rows, size_t n, const fn_centre *centre, const fn_param *param,
                       int kind, const fn_memory *memory) noexcept nogil
        void affine(void *y, fn_ld ldy, const void *x, fn_ld ldx, size_t rows, size_t n,
                    const fn_centre *centre, const fn_param *param,
                    const fn_memory *memory) noexcept nogil
        size_t normalize_rows(void *y, void *x, fn_ld ldx, const fn_terms *terms, size_t rows,
                              size_t n, const fn_made *made,
                              const fn_param *param) noexcept nogil
        void grad_sums_rows(const void *x, fn_ld ldx, const void *dy, fn_ld lddy, size_t rows,
                            size_t n, const fn_centre *centre, const void *w, double *s1,
                            double *s2, const fn_memory *memory) noexcept nogil
        void grad_sums_cols(const void *x, fn_ld ldx, const void *dy, fn_ld lddy, size_t rows,
                            size_t n, const fn_centre *centre, const fn_param *param, double *s1,
                            double *s2) noexcept nogil
        void grad_combine(void *dx, fn_ld lddx, const void *x, fn_ld ldx, const void *dy,
                          fn_ld lddy, size_t rows, size_t n, const fn_centre *centre,
                          const fn_param *param, const fn_slope *slope,
                          const fn_memory *memory) noexcept nogil
        void sum(void *to, fn_ld ldt, const void *a, fn_ld lda, const void *b, fn_ld ldb,
                 size_t rows, size_t n) noexcept nogil
        void curve(void *y, fn_ld ldy, const void *x, fn_ld ldx, size_t rows, size_t n,
                   const fn_curve *curve, const fn_memory *memory) noexcept nogil
        void curve_gradient(void *dx, fn_ld lddx, const void *x, fn_ld ldx, const void *dy,
                            fn_ld lddy, size_t rows, size_t n, const fn_curve *curve,
                            const fn_memory *memory) noexcept nogil
        void window(void *y, fn_ld ldy, const void *x, fn_ld ldx, const void *dy, fn_ld lddy,
                    size_t rows, size_t n, const fn_window *window, void *room) noexcept nogil
        int statistics(size_t n, double count, const double *shift, const double *s1,
                       const double *s2, bint raw, double *mean, double *low, double *m2,
                       unsigned char *again) noexcept nogil
        void centres(size_t n, fn_each mean, fn_each var, double eps, fn_each w, fn_each b,
                     const fn_coefs *to) noexcept nogil
        void slopes(size_t n, const double *rstd, const double *low, fn_each w, fn_each c0,
                    fn_each c1, void *a, void *b, void *c) noexcept nogil
        void settle(size_t n, void *part, double *total) noexcept nogil
        void narrow(size_t n, const double *v, void *to) noexcept nogil
        void fence() noexcept nogil
        size_t item
        size_t real
        int own
        size_t lines

    bint fn_in_lines(size_t lines, const void *dx, fn_ld lddx, size_t n, size_t item)

    ctypedef struct fn_table:
        const char *isa
        const fn_kernels *type[4]

    int FN_F16, FN_BF16, FN_F32, FN_F64, FN_NTYPES
    int FN_RELU, FN_SILU, FN_GELU, FN_GELU_TANH
    int FN_FLOOR, FN_RATIO, FN_SWISH, FN_TANH
    int FN_AHEAD, FN_PAGE, FN_LANES_MAX, FN_ROW_BLOCK, FN_COL_BLOCK, FN_LANE_BYTES


cdef const fn_kernels *kernels(int dtype) noexcept nogil
cdef const fn_kernels *kernels_of(str name, int dtype) except NULL
cdef size_t l2_bytes() noexcept nogil
cdef bint streams(size_t bytes, int threads) noexcept nogil
cdef bint from_memory(size_t bytes) noexcept nogil
