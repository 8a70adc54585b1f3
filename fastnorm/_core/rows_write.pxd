# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of what runs become (src/drivers/rows_write.pyx)."""

from fastnorm._core.call cimport fn_call, fn_span
from fastnorm._core.plan cimport fn_dim


cdef void write_rows(const fn_call *c, const Py_ssize_t *off, const fn_dim *along, size_t rows,
                     const fn_dim *down, Py_ssize_t statistics, size_t sharing, size_t j0,
                     size_t j1, Py_ssize_t ahead) noexcept nogil
cdef void write_span(const fn_call *c, const Py_ssize_t *group, const fn_span *span,
                     Py_ssize_t ahead) noexcept nogil
