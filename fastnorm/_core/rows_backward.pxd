# SPDX-License-Identifier: BSD-3-Clause
"""C-level entry of src/drivers/rows_backward.pyx."""

from fastnorm._core.call cimport fn_call


cdef int backward(fn_call *c) noexcept nogil
