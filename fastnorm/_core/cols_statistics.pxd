# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of the column statistics (src/drivers/cols_statistics.pyx)."""

from fastnorm._core.call cimport fn_call
from fastnorm._core.plan cimport fn_plan

# One tile's vectors, a value per column; mean, low, m2, shift, piece_* and again one per group.
# hi, r, m, a, b, c, w are of the compute type.
ctypedef struct tile_t:
    double *s1
    double *s2
    double *mean
    double *low
    double *m2
    double *shift
    double *piece_mean
    double *piece_low
    double *piece_m2
    char *hi
    char *r
    char *m
    char *a
    char *b
    char *c
    char *w
    double *weight
    double *wide
    unsigned char *again


cdef size_t scratch_bytes(size_t width) noexcept nogil
cdef tile_t tile_at(char *scratch, size_t width) noexcept nogil
cdef void piece_moments(const fn_call *c, const char *x, size_t row0, size_t rows, size_t j,
                        size_t width, tile_t *t) noexcept nogil
cdef int kept_dims(const fn_plan *p) noexcept nogil
cdef void put_statistics(const fn_call *c, const Py_ssize_t *outer, size_t j, size_t width,
                         const tile_t *t) noexcept nogil
cdef void centre_columns(const fn_call *c, const Py_ssize_t *outer, size_t j, size_t width,
                         bint fold_params, tile_t *t) noexcept nogil
cdef void read_statistic(const fn_call *c, const Py_ssize_t *outer, const char *values, size_t j,
                         size_t width, double *room, double *out) noexcept nogil
cdef void read_columns(const fn_call *c, const Py_ssize_t *outer, int op, size_t j, size_t width,
                       double *room, double *out) noexcept nogil
cdef void read_rows(const fn_call *c, const Py_ssize_t *outer, int op, size_t row, size_t rows,
                    double none, char *out) noexcept nogil
cdef bint fold_param(const fn_plan *p) noexcept nogil
