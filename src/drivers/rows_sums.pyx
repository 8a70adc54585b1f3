# SPDX-License-Identifier: BSD-3-Clause
"""The two sums behind the gradient of groups, rows layout, and their means.

With g = dy * weight and xh = (x - mean) * rstd over a group of m values:

    c0 = sum(g) / m,  c1 = sum(g * xh) / m,  dx = (g - c0 - xh * c1) * rstd

A weight of one value per run is not in g while sums are taken, so that the same sums are the run's
share of the parameters' gradients; it enters afterwards. A vector weight multiplies dy in the
kernel.
"""

from libc.string cimport memset

from fastnorm._core.call cimport (
    FN_BATCH, fn_call, fn_centre_of, fn_centre_rows, fn_gather, fn_means, fn_piece, fn_rows,
    fn_run_buffer, fn_span, fn_spread_rows, fn_weigh, fn_whole_dot,
)
from fastnorm._core.dispatch cimport FN_ROW_BLOCK, fn_centre, fn_each, fn_memory
from fastnorm._core.plan cimport (
    FN_NOPS, FN_S, FN_W, FN_X, fn_dim, fn_plan, fn_walk, fn_walk_next, fn_walk_start,
)

from fastnorm._core.rows_write cimport write_span


cdef void centre_of(const fn_call *c, Py_ssize_t at, Py_ssize_t step, size_t rows,
                    fn_rows *out) noexcept nogil:
    """Centres of runs whose statistics lie `step` bytes apart from `at` on."""
    cdef fn_each none = fn_each(NULL, 0), means = none
    if not c.raw:
        means = fn_each(c.at[FN_S] + at, step)
    fn_centre_rows(c, rows, means, fn_each(c.var + at, step), none, none, out)


cdef void gather_both(const fn_call *c, const char *x, const char *dy, size_t j, size_t take,
                      char *xs, char *dys) noexcept nogil:
    """Values [j, j + take) of one run of x and of dy."""
    cdef const fn_plan *p = c.plan
    cdef size_t item = c.kernels.item
    cdef int inner = p.nouter + p.nred + p.split, ndims = p.nrun - p.split
    fn_gather(xs, x, p.dims + inner, ndims, FN_X, j, take, item)
    fn_gather(dys, dy, p.dims + inner, ndims, c.dz, j, take, item)


cdef void run_sums(const fn_call *c, const char *x, const char *dy, const char *w, size_t j0,
                   size_t j1, const fn_centre *centre, const fn_memory *memory, double *s1,
                   double *s2) noexcept nogil:
    """Add the sums over values [j0, j1) of one run; w: NULL, or its vector of weights."""
    cdef const fn_plan *p = c.plan
    cdef int inner = p.nouter + p.nred + p.split, ndims = p.nrun - p.split
    cdef size_t item = c.kernels.item, real = c.kernels.real, j = j0, take
    cdef fn_run_buffer xs
    cdef fn_run_buffer dys
    cdef fn_run_buffer ws
    if p.direct[FN_X] and p.direct[c.dz] and (w == NULL or p.direct[FN_W]):
        if w != NULL:
            w += j0 * real
        c.kernels.grad_sums_rows(x + j0 * item, 0, dy + j0 * item, 0, 1, j1 - j0, centre, w, s1, s2,
                                 memory)
        return
    while j < j1:
        take = min(<size_t>FN_ROW_BLOCK, j1 - j)
        gather_both(c, x, dy, j, take, xs, dys)
        if w != NULL:
            fn_gather(ws, w, p.dims + inner, ndims, FN_W, j, take, real)
        c.kernels.grad_sums_rows(xs, 0, dys, 0, 1, take, centre, NULL if w == NULL else ws, s1, s2,
                                 memory)
        j += take


cdef void add_sums(const job *t, const Py_ssize_t *off, const fn_dim *along, size_t rows,
                   const fn_dim *down, size_t j0, size_t j1, const fn_memory *memory,
                   const fn_rows *rows_of, double *s1, double *s2) noexcept nogil:
    """Add the sums of up to FN_BATCH runs along an axis, each its own, of g and g * (xh - m), to s1
    and s2; rows_of: their centres.

    down: NULL, or the axis along which each has more runs, all direct.
    """
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef size_t item = c.kernels.item, real = c.kernels.real, i
    cdef size_t _seg, segs = <size_t>down.len if down != NULL else 1
    cdef bint vector = p.run_param and c.at[FN_W] != NULL
    cdef Py_ssize_t step_x = 0, step_dy = 0
    cdef const char *x = c.at[FN_X] + off[FN_X]
    cdef const char *dy = c.at[c.dz] + off[c.dz]
    cdef const char *w = c.at[FN_W] + off[FN_W] if vector else NULL
    cdef fn_centre centre
    if along != NULL:
        step_x = along.stride[FN_X]
        step_dy = along.stride[c.dz]
    centre = fn_centre_of(rows_of, 1)
    if p.direct[FN_X] and p.direct[c.dz] and (not vector or p.direct[FN_W]):
        if vector:
            w += j0 * real
        for _seg in range(segs):
            c.kernels.grad_sums_rows(x + j0 * item, step_x, dy + j0 * item, step_dy, rows, j1 - j0,
                                     &centre, w, s1, s2, memory)
            if down != NULL:
                x += down.stride[FN_X]
                dy += down.stride[c.dz]
    else:
        for i in range(rows):
            run_sums(c, x, dy, w, j0, j1, &centre, memory, s1 + i, s2 + i)
            x += step_x
            dy += step_dy
            centre.hi = <const char *>centre.hi + real
            centre.r = <const char *>centre.r + real


cdef void sums_of_each(const job *t, const Py_ssize_t *off, const fn_dim *along, size_t rows,
                       size_t j0, size_t j1, const fn_memory *memory, const fn_rows *rows_of,
                       sums_t *out) noexcept nogil:
    """The sums of up to FN_BATCH runs along an axis, each its own; see `add_sums`."""
    cdef double s1[128]
    cdef double s2[128]
    cdef size_t i
    memset(s1, 0, rows * sizeof(double))
    memset(s2, 0, rows * sizeof(double))
    add_sums(t, off, along, rows, NULL, j0, j1, memory, rows_of, s1, s2)
    for i in range(rows):
        out[i] = sums_t(s1[i], fn_whole_dot(s1[i], s2[i], rows_of.low[i]))


cdef sums_t sums_of_all(const job *t, const Py_ssize_t *group, const fn_rows *row,
                        const fn_span *span, const fn_memory *memory) noexcept nogil:
    """The sums over all runs of a span together; row: the centre of the group."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *walked = p.dims + p.nouter
    cdef int ndims = p.nred + p.split
    cdef size_t item = c.kernels.item, _seg
    cdef bint vector = p.run_param and c.at[FN_W] != NULL
    cdef double s1 = 0, s2 = 0
    cdef const char *x
    cdef const char *dy
    cdef fn_centre centre = fn_centre_of(row, 0)
    cdef fn_walk at
    fn_walk_start(&at, walked, ndims, span.seg0)
    if not vector and ndims <= 1 and p.direct[FN_X] and p.direct[c.dz]:
        c.kernels.grad_sums_rows(
            c.at[FN_X] + group[FN_X] + at.off[FN_X] + span.j0 * item,
            walked.stride[FN_X] if ndims else 0,
            c.at[c.dz] + group[c.dz] + at.off[c.dz] + span.j0 * item,
            walked.stride[c.dz] if ndims else 0, span.seg1 - span.seg0, span.j1 - span.j0,
            &centre, NULL, &s1, &s2, memory)
        return sums_t(s1, fn_whole_dot(s1, s2, row.low[0]))
    for _seg in range(span.seg0, span.seg1):
        x = c.at[FN_X] + group[FN_X] + at.off[FN_X]
        dy = c.at[c.dz] + group[c.dz] + at.off[c.dz]
        run_sums(c, x, dy, c.at[FN_W] + group[FN_W] + at.off[FN_W] if vector else NULL, span.j0,
                 span.j1, &centre, memory, &s1, &s2)
        fn_walk_next(&at)
    return sums_t(s1, fn_whole_dot(s1, s2, row.low[0]))


cdef size_t runs_along(const job *t, size_t seg, size_t stop, const fn_dim **along) noexcept nogil:
    """How many runs from `seg` on follow each other along an axis, with parameters of one kind."""
    cdef const fn_plan *p = t.call.plan
    cdef int ndims = p.nred + p.split
    cdef const fn_dim *last = p.dims + p.nouter + ndims - 1
    cdef size_t rows
    if ndims == 0:
        along[0] = NULL
        return 1
    along[0] = last
    rows = min(stop - seg, <size_t>last.len - seg % <size_t>last.len)
    if p.run_param and last.stride[FN_W]:
        return 1
    return min(rows, <size_t>FN_BATCH)


cdef void at_run(const fn_plan *p, const Py_ssize_t *group, size_t seg,
                 Py_ssize_t *off) noexcept nogil:
    """Where run `seg` of a group lies."""
    cdef int op
    cdef fn_walk at
    for op in range(FN_NOPS):
        off[op] = group[op]
    if seg:
        fn_walk_start(&at, p.dims + p.nouter, p.nred + p.split, seg)
        for op in range(FN_NOPS):
            off[op] += at.off[op]


cdef void piece_sums(const job *t, const Py_ssize_t *group, fn_rows *row, const fn_memory *memory,
                     size_t piece, sums_t *out) noexcept nogil:
    """Fill the slots of one piece; row is the centre of the group, out its first slot.

    Where dy has yet to be multiplied by the slope of an activation, the piece is first.
    """
    cdef fn_span span = fn_piece(&t.cut, t.segs, t.n, piece)
    cdef size_t seg = span.seg0, rows
    cdef const fn_dim *along
    cdef Py_ssize_t off[8]
    if t.call.slope:
        write_span(t.call, group, &span, 0)
    if not t.per_seg:
        out[piece] = sums_of_all(t, group, row, &span, memory)
        return
    fn_spread_rows(row, 1, min(span.seg1 - seg, <size_t>FN_BATCH), t.call.kernels.real)
    while seg < span.seg1:
        rows = runs_along(t, seg, span.seg1, &along)
        at_run(t.call.plan, group, seg, off)
        sums_of_each(t, off, along, rows, span.j0, span.j1, memory, row,
                     out + (seg if t.cut.per_seg == 1 else piece))
        seg += rows


cdef sums_t group_means(const job *t, const Py_ssize_t *group,
                        const sums_t *slots) noexcept nogil:
    """c0 and c1 of a group from its slots, with weights that differ between its runs applied."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef sums_t total = sums_t(0, 0)
    cdef size_t slot = 0, cuts = t.cut.per_seg, seg, rows
    cdef const fn_dim *along
    cdef Py_ssize_t off[8]
    cdef Py_ssize_t step
    if c.at[FN_W] == NULL or not t.per_seg:
        for slot in range(t.slots):
            total.g += slots[slot].g
            total.gx += slots[slot].gx
    else:
        seg = 0
        while seg < t.segs:
            rows = runs_along(t, seg, t.segs, &along)
            at_run(p, group, seg, off)
            step = along.stride[FN_W] if along != NULL else 0
            fn_weigh(&slots[seg * cuts].g, rows, cuts, c.at[FN_W] + off[FN_W], step, c.single,
                     &total.g, &total.gx)
            seg += rows
    fn_means(<double>p.count, c.raw, total.g, total.gx, &total.g, &total.gx)
    return total


cdef void means_beside(const job *t, const Py_ssize_t *off, size_t groups, const sums_t *slots,
                       sums_t *means) noexcept nogil:
    """`group_means` of groups beside each other, each with a slot for every one of its runs, and
    for every one of them in `means`.
    """
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *last = p.dims + p.nouter - 1
    cdef const char *w = c.at[FN_W]
    cdef size_t i, slot
    cdef sums_t total
    for i in range(groups):
        total = sums_t(0, 0)
        if w == NULL:
            for slot in range(t.slots):
                total.g += slots[slot].g
                total.gx += slots[slot].gx
        else:
            fn_weigh(&slots.g, t.slots, 1, w + off[FN_W] + <Py_ssize_t>i * last.stride[FN_W],
                     (last + 1).stride[FN_W], c.single, &total.g, &total.gx)
        fn_means(<double>p.count, c.raw, total.g, total.gx, &total.g, &total.gx)
        for slot in range(t.slots):
            means[slot] = total
        slots += t.slots
        means += t.slots


cdef sums_t given_means(const fn_call *c, Py_ssize_t at) noexcept nogil:
    """c0 and c1 where they need no sums: zeros where the statistics are constants."""
    if c.c0 == NULL:
        return sums_t(0, 0)
    return sums_t((<double *>(c.c0 + at))[0], (<double *>(c.c1 + at))[0])


cdef sums_t whole_group(const job *t, const Py_ssize_t *group, fn_rows *row,
                        const fn_memory *memory, sums_t *slots) noexcept nogil:
    """The slots and means of a group, piece after piece; row: its centre. slots NULL: the means
    need no sums.
    """
    cdef size_t piece
    if slots == NULL:
        return given_means(t.call, group[FN_S])
    for piece in range(t.cut.count):
        piece_sums(t, group, row, memory, piece, slots)
    return group_means(t, group, slots)
