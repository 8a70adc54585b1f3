# SPDX-License-Identifier: BSD-3-Clause
"""What the drivers share: a call, its cut into pieces, its numerics (headers in src/drivers
and src/include)."""

from fastnorm._core.dispatch cimport (
    fn_centre, fn_each, fn_kernels, fn_memory, fn_param, fn_slope,
)
from fastnorm._core.plan cimport fn_dim, fn_plan

cdef extern from "fn_call.h" nogil:
    ctypedef struct fn_call:
        const fn_plan *plan
        const fn_kernels *kernels
        char *at[8]
        char *var
        char *dbias
        char *c0
        char *c1
        size_t dparam_size
        double eps
        bint raw
        bint given
        bint fixed
        bint stream
        int activation
        bint summed
        bint slope
        int dz
        bint single
        int threads

    int FN_GATHER
    ctypedef char fn_run_buffer[8192]
    ctypedef char fn_block_buffer[65536]
    ctypedef double fn_row_buffer[32]

    ctypedef struct fn_cut:
        size_t count
        size_t per_seg
        size_t length
        size_t segs

    ctypedef struct fn_span:
        size_t seg0
        size_t seg1
        size_t j0
        size_t j1

    fn_cut fn_cut_rows(size_t segs, size_t n)
    fn_span fn_piece(const fn_cut *cut, size_t segs, size_t n, size_t piece)
    void fn_write(const fn_call *c, void *y, Py_ssize_t ldy, const void *x, Py_ssize_t ldx,
                  const void *dy, Py_ssize_t lddy, size_t rows, size_t n, const fn_centre *centre,
                  const fn_param *param, const fn_memory *memory)

cdef extern from "fn_numerics.h" nogil:
    ctypedef struct fn_moment:
        double count
        double mean
        double low
        double m2

    fn_moment fn_from_sums(double n, double shift, double s1, double s2)
    bint fn_out_of_range(double n, double shift, double s1, double s2, bint single)
    bint fn_poor_shift(fn_moment m, double s1)
    double fn_whole_dot(double s1, double s2, double low)
    void fn_means(double count, bint raw, double g, double gx, double *c0, double *c1)
    void fn_merge(fn_moment *a, fn_moment b)

cdef extern from "fn_strided.h" nogil:
    void fn_gather(void *buffer, const void *array, const fn_dim *dims, int ndims, int op,
                   size_t start, size_t n, size_t item)
    void fn_scatter(const void *buffer, void *array, const fn_dim *dims, int ndims, int op,
                    size_t start, size_t n, size_t item)
    void fn_scatter_add(const double *source, size_t step, char *array, const fn_dim *dims,
                        int ndims, int op, size_t start, size_t n)
    void fn_scatter_add_pairs(const double *pairs, char *first, char *second, Py_ssize_t at,
                              const fn_dim *dims, int ndims, int op, size_t n)

cdef extern from "fn_rows.h" nogil:
    int FN_BATCH
    ctypedef char fn_row_coef[1024]

    ctypedef struct fn_rows:
        fn_row_coef hi
        fn_row_coef r
        fn_row_coef m
        fn_row_coef a
        fn_row_coef b
        fn_row_coef c
        double rstd[128]
        double low[128]

    void fn_centre_rows(const fn_call *c, size_t rows, fn_each mean, fn_each var, fn_each w,
                        fn_each b, fn_rows *out)
    void fn_pick_row(const fn_rows *rows, size_t i, size_t real, fn_rows *out)
    void fn_spread_rows(fn_rows *rows, size_t some, size_t each, size_t real)
    void fn_weigh(const double *pairs, size_t runs, size_t cuts, const char *w, Py_ssize_t step,
                  bint single, double *g, double *gx)
    void fn_slope_rows(const fn_call *c, size_t rows, fn_each w, fn_each c0, fn_each c1,
                       fn_rows *out)
    fn_centre fn_centre_of(const fn_rows *rows, size_t step)
    fn_centre fn_scale_of(const fn_rows *rows, size_t step)
    fn_slope fn_slope_of(const fn_rows *rows, void *dw, void *db)
    size_t fn_batch(size_t row_bytes, size_t l2)
    size_t fn_batch_of_runs(const fn_plan *p, size_t item, size_t bytes, size_t l2)
    size_t fn_batch_of_parts(const fn_call *c, size_t parts, size_t group_bytes)
    bint fn_ask_ahead(Py_ssize_t ld, size_t row_bytes, size_t batch_bytes, bint stream, size_t l2)
    char *fn_behind(char *first, const char *a, const char *b, const char *c)
