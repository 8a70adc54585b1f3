# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of the column gradient (src/drivers/cols_gradient.pyx)."""

from fastnorm._core.call cimport fn_call
from fastnorm._core.cols_statistics cimport tile_t
from fastnorm._core.columns cimport fn_grid

ctypedef struct job:
    fn_call *call
    fn_grid grid
    size_t tiles
    size_t per_task
    size_t piece_tasks
    size_t row_tasks
    char *scratch
    size_t scratch_size
    double *parts          # over pieces: both sums of every piece of every tile
    bint weight_inside     # weights of columns differ within a group
    size_t share           # per column: columns that share a gradient
    double *column_sums    # per column: both sums of every group of `share` columns
    double *row_sums       # per row: both sums of every row of every tile
    double *sums           # the memory of either
    bint by_row            # gradients of parameters that vary along rows are wanted


cdef void block_sums(const job *t, const Py_ssize_t *outer, size_t row0, size_t rows, size_t j,
                     size_t width, tile_t *tile, double *s1, double *s2) noexcept nogil
cdef void leave_sums(const job *t, size_t n, size_t j, size_t width,
                     const tile_t *tile) noexcept nogil
cdef void slopes(const job *t, const Py_ssize_t *outer, size_t j, size_t width,
                 tile_t *tile) noexcept nogil
cdef void fixed_rows(const job *t, const Py_ssize_t *outer, size_t row0, size_t rows, size_t j,
                     size_t width, tile_t *tile, double *s1, double *s2) noexcept nogil
cdef void row_gradients(const job *t, const Py_ssize_t *outer, size_t n, size_t j, size_t width,
                        const tile_t *tile) noexcept nogil
cdef void element_gradients(const job *t, const Py_ssize_t *outer, size_t j, size_t width,
                            const tile_t *tile) noexcept nogil
cdef void combine(const job *t, const Py_ssize_t *outer, size_t j, size_t width, size_t row0,
                  size_t row1, const tile_t *tile) noexcept nogil
