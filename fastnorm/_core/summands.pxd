# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of x as a sum (src/drivers/summands.pyx)."""

from fastnorm._core.call cimport fn_call, fn_cut
from fastnorm._core.dispatch cimport fn_terms
from fastnorm._core.plan cimport fn_dim, fn_plan


cdef bint direct(const fn_plan *p) noexcept nogil
cdef bint terms_of(const fn_call *c, const Py_ssize_t *off, const fn_dim *along,
                   fn_terms *terms) noexcept nogil
cdef void shift_of_sums(const fn_call *c, const fn_terms *terms, size_t rows, size_t n,
                        double *shift) noexcept nogil
cdef void add_rows(const fn_call *c, const Py_ssize_t *off, const fn_dim *along, size_t rows,
                   size_t j, size_t n) noexcept nogil
cdef void add_piece(const fn_call *c, const Py_ssize_t *group, const fn_cut *cut,
                    size_t piece) noexcept nogil
cdef void add_block(const fn_call *c, const Py_ssize_t *outer, size_t row, size_t rows, size_t j,
                    size_t n) noexcept nogil
