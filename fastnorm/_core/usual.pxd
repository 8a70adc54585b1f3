# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of what the usual call shares with its gradient (src/drivers/usual.pyx)."""

from numpy cimport ndarray

from fastnorm._core.groups cimport Groups, Recent

cdef enum:
    NEAR = 2048  # doubles that are kept on the stack

cdef double *doubles(double *near, Py_ssize_t n) except? NULL
cdef ndarray new_like(ndarray x)
cdef void widen(ndarray a, double *to) noexcept
cdef int find_statistics(ndarray x, Groups groups, double eps, int flags, double *mean,
                         double *var) except -1
cdef Groups groups_of(ndarray x, Recent recent, object first, object second, object third)
