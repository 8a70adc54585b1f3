# SPDX-License-Identifier: BSD-3-Clause
"""x as a sum that is made on the way: a residual added before a normalization.

Rows that are one contiguous run each are added up in the registers of their sums (`terms_of`,
`shift_of_sums`). All else is added up just before the statistics read it, and is still in cache.
"""

from fastnorm._core.call cimport (
    fn_call, fn_cut, fn_gather, fn_piece, fn_run_buffer, fn_scatter, fn_span,
)
from fastnorm._core.dispatch cimport FN_LANE_BYTES, FN_ROW_BLOCK, fn_samples_end, fn_terms
from fastnorm._core.plan cimport (
    FN_NOPS, FN_OTHER, FN_TERM, FN_X, fn_dim, fn_plan, fn_walk, fn_walk_next, fn_walk_start,
)


cdef bint direct(const fn_plan *p) noexcept nogil:
    """Whether a run is contiguous in all three arrays."""
    return p.split == 0 and p.direct[FN_X] and p.direct[FN_TERM] and p.direct[FN_OTHER]


cdef bint terms_of(const fn_call *c, const Py_ssize_t *off, const fn_dim *along,
                   fn_terms *terms) noexcept nogil:
    """What x of some runs along an axis is made of; false where it is not for a kernel to make."""
    if not direct(c.plan):
        return False
    terms.a = c.at[FN_TERM] + off[FN_TERM]
    terms.b = c.at[FN_OTHER] + off[FN_OTHER]
    terms.lda = along.stride[FN_TERM] if along != NULL else 0
    terms.ldb = along.stride[FN_OTHER] if along != NULL else 0
    return True


cdef void shift_of_sums(const fn_call *c, const fn_terms *terms, size_t rows, size_t n,
                        double *shift) noexcept nogil:
    """shift_rows of up to FN_BATCH rows that are not yet made: of their samples alone."""
    cdef size_t item = c.kernels.item, lanes = <size_t>FN_LANE_BYTES / c.kernels.real
    cdef size_t take = min(n, lanes), wide = take if take < lanes else 4 * lanes, k, at
    cdef size_t last = fn_samples_end(n, take)
    cdef char samples[128 * 4 * 64]
    for k in range(wide / take):
        at = k * last / 3 * item
        c.kernels.sum(samples + k * take * item, <Py_ssize_t>(wide * item),
                      <const char *>terms.a + at, terms.lda, <const char *>terms.b + at,
                      terms.ldb, rows, take)
    c.kernels.shift_rows(samples, <Py_ssize_t>(wide * item), rows, wide, shift)


cdef void add_values(const fn_call *c, const Py_ssize_t *off, size_t j, size_t n) noexcept nogil:
    """x of n values of one run, which may lie anywhere."""
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *run = p.dims + p.nouter + p.nred
    cdef size_t item = c.kernels.item, take
    cdef fn_run_buffer a
    cdef fn_run_buffer b
    while n:
        take = min(<size_t>FN_ROW_BLOCK, n)
        fn_gather(a, c.at[FN_TERM] + off[FN_TERM], run, p.nrun, FN_TERM, j, take, item)
        fn_gather(b, c.at[FN_OTHER] + off[FN_OTHER], run, p.nrun, FN_OTHER, j, take, item)
        c.kernels.sum(a, 0, a, 0, b, 0, 1, take)
        fn_scatter(a, c.at[FN_X] + off[FN_X], run, p.nrun, FN_X, j, take, item)
        j += take
        n -= take


cdef void add_rows(const fn_call *c, const Py_ssize_t *off, const fn_dim *along, size_t rows,
                   size_t j, size_t n) noexcept nogil:
    """x of n values from j on of each of some runs, which follow each other along an axis."""
    cdef Py_ssize_t at[8]
    cdef Py_ssize_t step[8]
    cdef size_t _row, shift = j * c.kernels.item
    cdef int op
    for op in range(FN_NOPS):
        at[op] = off[op]
        step[op] = along.stride[op] if along != NULL else 0
    if direct(c.plan):
        c.kernels.sum(c.at[FN_X] + at[FN_X] + shift, step[FN_X],
                      c.at[FN_TERM] + at[FN_TERM] + shift, step[FN_TERM],
                      c.at[FN_OTHER] + at[FN_OTHER] + shift, step[FN_OTHER], rows, n)
        return
    for _row in range(rows):
        add_values(c, at, j, n)
        for op in range(FN_NOPS):
            at[op] += step[op]


cdef void add_piece(const fn_call *c, const Py_ssize_t *group, const fn_cut *cut,
                    size_t piece) noexcept nogil:
    """x of one piece of a group, rows layout."""
    cdef const fn_plan *p = c.plan
    cdef fn_span span = fn_piece(cut, p.segs, p.n, piece)
    add_block(c, group, span.seg0, span.seg1 - span.seg0, span.j0, span.j1 - span.j0)


cdef void add_block(const fn_call *c, const Py_ssize_t *outer, size_t row, size_t rows, size_t j,
                    size_t n) noexcept nogil:
    """x of n values from j on of `rows` runs from `row` on."""
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *red = p.dims + p.nouter
    cdef Py_ssize_t off[8]
    cdef size_t _row
    cdef int op
    cdef fn_walk at
    fn_walk_start(&at, red, p.nred, row)
    for _row in range(1 if p.nred <= 1 else rows):
        for op in range(FN_NOPS):
            off[op] = outer[op] + at.off[op]
        add_rows(c, off, red if p.nred == 1 else NULL, rows if p.nred <= 1 else 1, j, n)
        fn_walk_next(&at)
