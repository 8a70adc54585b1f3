# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of the pieces of a pointwise function (src/drivers/curve_pieces.pyx)."""

from fastnorm._core.call cimport fn_call, fn_cut
from fastnorm._core.columns cimport fn_grid
from fastnorm._core.plan cimport fn_plan

ctypedef struct job:
    fn_call call
    fn_plan plan          # its W and DP are the tables
    int kind
    int coefs
    size_t size           # values of a table
    const char *coef[5]   # tables of the coefficients
    char *sum[5]          # tables of their sums; NULL: not wanted
    fn_cut cut            # rows
    fn_grid grid          # cols
    size_t places         # groups, or tiles of columns
    size_t pieces         # of a place: units of work
    size_t width          # sums of a unit, for each coefficient
    bint single           # a group is one piece of one run, whose sums are final
    double *parts         # the sums of all units; NULL: forward, or single
    size_t per_task       # units; places where pieces are added up

cdef void work(void *context, Py_ssize_t task) noexcept nogil
cdef void add_up(void *context, Py_ssize_t task) noexcept nogil
