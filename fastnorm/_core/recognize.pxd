# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of what is usual (src/drivers/recognize.pyx)."""

from libc.stdint cimport uint64_t
from numpy cimport ndarray

from fastnorm._core.groups cimport Groups

cdef enum:
    FN_STATS = 8      # return the statistics too
    FN_MANY = 16      # groups of a single value are not usual
    FN_AGAINST = 32   # the parameters broadcast against x
    FN_RUNNING = 64   # the statistics given have the shape of the parameters


cdef bint usual(object a) noexcept
cdef bint usual_values(object x) noexcept
cdef bint usual_number(object value, double most) noexcept
cdef bint alike(ndarray a, ndarray b) noexcept
cdef bint apart(ndarray a, ndarray b) noexcept
cdef bint clear_of(ndarray out, ndarray source) noexcept
cdef bint usual_output(object out, ndarray x) noexcept
cdef bint usual_parameter(object value, Groups groups, int num, object out, int flags,
                          uint64_t *axes) noexcept
cdef bint usual_statistic(object value, Groups groups, object out, int flags) noexcept
