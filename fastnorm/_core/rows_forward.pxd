# SPDX-License-Identifier: BSD-3-Clause
"""C-level entry of src/drivers/rows_forward.pyx."""

from fastnorm._core.call cimport fn_call


cdef void forward(fn_call *c) noexcept nogil
