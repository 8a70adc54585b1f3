# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of the compiled entry (src/drivers/entry.pyx): a call, piece by piece."""

from libc.stdint cimport uint64_t
from numpy cimport ndarray

from fastnorm._core.call cimport fn_call
from fastnorm._core.groups cimport Groups
from fastnorm._core.plan cimport fn_plan

cdef enum:
    FN_RAW = 1    # no centring: var holds the mean square
    FN_GIVEN = 2  # forward: the statistics are inputs
    FN_FIXED = 4  # backward: the statistics are constants
    # ... 128: of usual calls, see recognize.pxd
    FN_ACTIVATED = 256  # times the number of an activation


cdef int storage(ndarray x) noexcept
cdef int storage_of(ndarray x) except -1
cdef void begin(fn_call *c, fn_plan *plan, Groups groups, int stored, double eps,
                int flags) noexcept
cdef void begin_slope(fn_call *c) noexcept
cdef void place_values(fn_plan *plan, fn_call *c, Groups groups, int op, ndarray a) noexcept
cdef void place_packed(fn_plan *plan, fn_call *c, Groups groups, int op, void *data,
                       uint64_t axes, Py_ssize_t item) noexcept
cdef void place_against(fn_plan *plan, fn_call *c, Groups groups, int op, ndarray a) noexcept
cdef void place_statistics(fn_plan *plan, fn_call *c, Groups groups, void *mean,
                           void *var) noexcept
cdef bint finish(fn_call *c, fn_plan *plan, int ndim) noexcept
cdef int run_forward(fn_call *c, fn_plan *plan, int ndim) except -1
cdef int run_backward(fn_call *c, fn_plan *plan, int ndim) except -1
