# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of the rows gradient (src/drivers/rows_gradient.pyx)."""

from fastnorm._core.call cimport fn_rows
from fastnorm._core.dispatch cimport fn_memory
from fastnorm._core.plan cimport fn_dim
from fastnorm._core.rows_sums cimport job, partials, sums_t


cdef void combine_runs(const job *t, const Py_ssize_t *off, const fn_dim *along, size_t rows,
                       const fn_dim *down, Py_ssize_t statistics, const sums_t *means, size_t j0,
                       size_t j1, const partials *sums, const fn_memory *memory,
                       fn_rows *rows_of, sums_t *made) noexcept nogil
cdef void combine(const job *t, const Py_ssize_t *group, fn_rows *row, const fn_memory *memory,
                  sums_t means, size_t seg0, size_t seg1, size_t j0, size_t j1) noexcept nogil
cdef void batch_gradient(const job *t, const Py_ssize_t *off, size_t rows, bint more,
                         sums_t *slots, const partials *sums) noexcept nogil
cdef void gradient_beside(const job *t, const Py_ssize_t *group, size_t rows,
                          sums_t *slots) noexcept nogil
cdef bint runs_in_turn(const job *t) noexcept nogil
