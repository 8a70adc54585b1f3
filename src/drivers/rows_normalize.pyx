# SPDX-License-Identifier: BSD-3-Clause
"""Rows of memory, each written while the next is summed: statistics and output in one kernel."""

from fastnorm._core.call cimport fn_call
from fastnorm._core.dispatch cimport FN_RELU, FN_ROW_BLOCK, fn_each, fn_made, fn_param, fn_terms
from fastnorm._core.plan cimport FN_B, FN_S, FN_W, FN_X, FN_Y, fn_dim, fn_plan
from fastnorm._core.summands cimport direct, terms_of

cdef enum:
    LEAST = 1024  # bytes of a row
    MOST = 4096


cdef bint in_turn(const fn_call *c) noexcept nogil:
    """Whether each run is best written while the next is summed: what comes from memory and goes
    there, in short rows.
    """
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *along = p.dims + p.nouter - 1
    cdef size_t item = c.kernels.item, bytes = p.n * item
    cdef bint weighted = c.at[FN_W] != NULL, biased = c.at[FN_B] != NULL
    if p.nouter == 0:  # a single row
        return False
    if c.summed and not (direct(p) and along.stride[FN_X] == <Py_ssize_t>bytes and
                         <size_t>c.at[FN_X] % item == 0):  # stored as y is
        return False
    return (c.kernels.normalize_rows != NULL and c.stream and c.at[FN_Y] != NULL and
            not c.given and (c.activation == 0 or c.activation == FN_RELU) and
            p.nred == 0 and p.split == 0 and p.whole and p.direct[FN_Y] and
            p.n <= <size_t>FN_ROW_BLOCK and LEAST <= bytes and bytes <= MOST and
            along.stride[FN_Y] == <Py_ssize_t>bytes and <size_t>c.at[FN_Y] % item == 0 and
            (not p.run_param or ((weighted or not biased) and
                                 along.stride[FN_W] == 0 and along.stride[FN_B] == 0 and
                                 (not weighted or p.direct[FN_W]) and
                                 (not biased or p.direct[FN_B]))))


cdef size_t normalize_rows(const fn_call *c, const Py_ssize_t *off, const fn_dim *along,
                           size_t rows) noexcept nogil:
    """Statistics and values of up to FN_BATCH runs that follow each other along an axis.

    Returns how many: all, or those before some that must be summed in double.
    """
    cdef bint weighted = c.at[FN_W] != NULL, biased = c.at[FN_B] != NULL
    cdef fn_terms terms
    cdef bint summed = c.summed and terms_of(c, off, along, &terms)
    cdef double mean[128]
    cdef double var[128]
    cdef size_t done, i
    cdef Py_ssize_t at = off[FN_S]
    cdef fn_param param = fn_param(NULL, NULL, False)
    cdef fn_made made = fn_made(c.eps, c.raw, c.activation == FN_RELU, fn_each(NULL, 0),
                                fn_each(NULL, 0), &mean[0], &var[0])
    if c.plan.run_param:
        param.w = c.at[FN_W] + off[FN_W] if weighted else NULL
        param.b = c.at[FN_B] + off[FN_B] if biased else NULL
    else:
        if weighted:
            made.w = fn_each(c.at[FN_W] + off[FN_W], along.stride[FN_W])
        if biased:
            made.b = fn_each(c.at[FN_B] + off[FN_B], along.stride[FN_B])
    done = c.kernels.normalize_rows(c.at[FN_Y] + off[FN_Y], c.at[FN_X] + off[FN_X],
                                    along.stride[FN_X], &terms if summed else NULL, rows,
                                    c.plan.n, &made, &param)
    for i in range(done):
        if not c.raw:
            (<double *>(c.at[FN_S] + at))[0] = mean[i]
        (<double *>(c.var + at))[0] = var[i]
        at += along.stride[FN_S]
    return done
