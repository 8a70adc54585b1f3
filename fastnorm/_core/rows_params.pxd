# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of the rows gradients of parameters (src/drivers/rows_params.pyx)."""

from fastnorm._core.rows_gradient cimport job


cdef void uniform_gradients(const job *t) noexcept nogil
cdef int vector_gradients(job *t) noexcept nogil
