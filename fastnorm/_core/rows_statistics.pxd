# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of the row statistics (src/drivers/rows_statistics.pyx)."""

from fastnorm._core.call cimport fn_call, fn_cut, fn_moment
from fastnorm._core.dispatch cimport fn_terms


cdef fn_moment piece_moments(const fn_call *c, const fn_cut *cut, const char *x, size_t piece,
                             Py_ssize_t ahead) noexcept nogil
cdef void put_statistics(const fn_call *c, Py_ssize_t at, const fn_moment *m) noexcept nogil
cdef void batch_moments(const fn_call *c, const fn_cut *cut, char *x, Py_ssize_t ldx,
                        const fn_terms *terms, bint sampled, size_t rows, Py_ssize_t at,
                        Py_ssize_t step, Py_ssize_t ahead) noexcept nogil
