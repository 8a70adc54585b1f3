# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of the plan (src/include/fn_plan.h, src/plan/plan.pyx)."""

cdef extern from "fn_plan.h" nogil:
    int FN_MAXDIM
    int FN_ROWS, FN_COLS
    int FN_X, FN_Y, FN_DY, FN_W, FN_B, FN_DP, FN_S, FN_ON, FN_NOPS
    int FN_TERM, FN_OTHER

    ctypedef struct fn_dim:
        Py_ssize_t len
        Py_ssize_t stride[8]
        bint kept
        bint param

    ctypedef struct fn_plan:
        fn_dim dims[64]
        int layout
        int nouter, nred, nrun
        int split
        bint run_param
        bint red_param
        size_t groups
        size_t segs
        size_t n
        size_t fold
        size_t count
        bint direct[8]
        bint whole
        bint even

    ctypedef struct fn_walk:
        Py_ssize_t off[8]

    void fn_walk_start(fn_walk *w, const fn_dim *dims, int n, size_t index)
    void fn_walk_next(fn_walk *w)


cdef void make(fn_plan *plan, int ndim, const Py_ssize_t *item, bint backward) noexcept nogil
