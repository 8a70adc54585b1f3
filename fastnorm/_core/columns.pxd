# SPDX-License-Identifier: BSD-3-Clause
"""The column loops and the grid of a cols plan (src/drivers/fn_columns.h)."""

from fastnorm._core.plan cimport fn_plan

cdef extern from "fn_columns.h" nogil:
    ctypedef struct fn_grid:
        size_t width
        size_t tiles
        size_t rows
        size_t pieces

    fn_grid fn_cut_cols(const fn_plan *p)
    void fn_columns_merge(size_t width, double na, double nb, double *mean, double *low,
                          double *m2, const double *mean_b, const double *low_b,
                          const double *m2_b)
    void fn_columns_average(size_t width, size_t fold, double count, double *v)
    void fn_columns_pairs(size_t width, size_t share, const double *s1, const double *s2,
                          double *out)
    void fn_columns_fold(size_t width, size_t fold, size_t some, double *v)
    void fn_columns_widen(size_t n, double *v, bint single)
    void fn_columns_spread(size_t width, size_t fold, const double *v, double *to)
    void fn_columns_spread_reals(size_t width, size_t fold, size_t real, const char *v, char *to)
    void fn_columns_fill(size_t n, double value, double *out)
    void fn_columns_add(size_t n, const double *source, double *to)
    void fn_columns_multiply(size_t n, const double *by, double *what)
    void fn_columns_add_product(size_t n, const double *a, const double *b, double *to)
