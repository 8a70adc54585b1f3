# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of what columns become (src/drivers/cols_write.pyx)."""

from fastnorm._core.call cimport fn_call
from fastnorm._core.cols_statistics cimport tile_t


cdef void write_columns(const fn_call *c, const Py_ssize_t *outer, size_t j, size_t width,
                        size_t row0, size_t row1, tile_t *tile) noexcept nogil
