# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of rows that are written in turn (src/drivers/rows_normalize.pyx)."""

from fastnorm._core.call cimport fn_call
from fastnorm._core.plan cimport fn_dim


cdef bint in_turn(const fn_call *c) noexcept nogil
cdef size_t normalize_rows(const fn_call *c, const Py_ssize_t *off, const fn_dim *along,
                           size_t rows) noexcept nogil
