# SPDX-License-Identifier: BSD-3-Clause
"""Forward, rows layout: the reduced run is contiguous (layer, RMS, instance norm, batch norm NCHW).

A group is the values of one statistic: `segs` runs of `n`. It is summed piece by piece, the pieces
are merged in order, and then it is normalized while it still sits in cache.

Two strategies, chosen in `forward`; results are the same:

over groups   each task takes whole groups: one read of memory where a group fits L2.
over pieces   few large groups: all pieces of all groups are summed in parallel, then normalized in
              parallel; two parallel regions.
"""

from libc.math cimport NAN, isfinite
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from fastnorm._core.call cimport (
    fn_call, fn_cut, fn_cut_rows, fn_from_sums, fn_gather, fn_lane_sum, fn_merge, fn_moment,
    fn_out_of_range, fn_piece, fn_poor_shift, fn_real_at, fn_rstd, fn_run_buffer,
    fn_scatter, fn_span,
)
from fastnorm._core.dispatch cimport (
    FN_LANE_BYTES, FN_LANES_MAX, FN_ROW_BLOCK, fn_centre, fn_memory, fn_moments_rows_t, fn_param,
    l2_bytes,
)
from fastnorm._core.plan cimport (
    FN_B, FN_S, FN_W, FN_X, FN_Y, fn_dim, fn_plan, fn_walk, fn_walk_next, fn_walk_start,
)
from fastnorm._core.threads cimport effective, parallel_for

cdef enum:
    TASKS_PER_THREAD = 8

ctypedef struct job:
    fn_call *call
    fn_cut cut           # of the statistics: segs runs of n
    fn_cut apply_cut     # of the output: runs along which parameters are of one kind
    size_t apply_segs
    size_t apply_n
    size_t groups_per_task
    fn_moment *parts     # over pieces: one per piece


cdef double sums(const fn_call *c, const char *x, const fn_span *span, double shift,
                 fn_moments_rows_t kernel, Py_ssize_t ahead, double *square) noexcept nogil:
    """Sum of (x - shift) over a span, and of its square; ahead: bytes to the next group."""
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *run = p.dims + p.nouter + p.nred
    cdef double lanes[32]
    cdef double *s1 = lanes
    cdef double *s2 = lanes + FN_LANES_MAX
    cdef fn_run_buffer buffer
    cdef size_t item = c.kernels.item, _seg, j, take
    cdef fn_walk w
    memset(lanes, 0, sizeof(lanes))
    fn_walk_start(&w, p.dims + p.nouter, p.nred, span.seg0)
    for _seg in range(span.seg0, span.seg1):
        if p.whole:
            kernel(x + w.off[FN_X] + span.j0 * item, span.j1 - span.j0, shift, s1, s2,
                   ahead)
        else:
            j = span.j0
            while j < span.j1:
                take = min(<size_t>FN_ROW_BLOCK, span.j1 - j)
                fn_gather(buffer, x + w.off[FN_X], run, p.nrun, FN_X, j, take, item)
                kernel(buffer, take, shift, s1, s2, 0)
                j += take
        fn_walk_next(&w)
    square[0] = fn_lane_sum(s2)
    return fn_lane_sum(s1)


cdef double sample(const fn_call *c, const char *x, const fn_span *span) noexcept nogil:
    """A shift near the mean: the mean of four samples spread over the span."""
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *run = p.dims + p.nouter + p.nred
    cdef size_t item = c.kernels.item, length = span.j1 - span.j0
    cdef size_t w = min(length, <size_t>FN_LANE_BYTES / c.kernels.real), q, at
    cdef const void *where[4]
    cdef char buffer[4 * 128]
    cdef fn_walk seg
    seg.off[FN_X] = 0
    for q in range(4):
        if p.nred:
            fn_walk_start(&seg, p.dims + p.nouter, p.nred,
                          span.seg0 + q * (span.seg1 - span.seg0) / 4)
        at = span.j0 + q * (length - w) / 3
        if p.whole:
            where[q] = x + seg.off[FN_X] + at * item
        else:
            fn_gather(buffer + q * 128, x + seg.off[FN_X], run, p.nrun, FN_X, at, w, item)
            where[q] = buffer + q * 128
    return c.kernels.shift_rows(where, w)


cdef fn_moment piece_moments(const job *t, const char *x, size_t piece,
                             Py_ssize_t ahead) noexcept nogil:
    """count, mean and M2 of one piece of the group whose first value is at x."""
    cdef const fn_call *c = t.call
    cdef fn_span span = fn_piece(&t.cut, c.plan.segs, c.plan.n, piece)
    cdef double n = <double>((span.seg1 - span.seg0) * (span.j1 - span.j0))
    cdef double s1, s2, shift
    cdef fn_moment m
    if c.raw:
        s1 = sums(c, x, &span, 0, c.kernels.moments_rows, ahead, &s2)
        if fn_out_of_range(n, 0, s1, s2, c.single):
            sums(c, x, &span, 0, c.kernels.moments_rows_wide, 0, &s2)
        return fn_moment(n, 0, 0, s2)
    shift = sample(c, x, &span)
    s1 = sums(c, x, &span, shift, c.kernels.moments_rows, ahead, &s2)
    m = fn_from_sums(n, shift, s1, s2)
    if not fn_out_of_range(n, shift, s1, s2, c.single):
        if not fn_poor_shift(m, s1):
            return m
        shift = <double><float>m.mean if c.single else m.mean
        s1 = sums(c, x, &span, shift, c.kernels.moments_rows, 0, &s2)
        m = fn_from_sums(n, shift, s1, s2)
        if not fn_out_of_range(n, shift, s1, s2, c.single):
            return m
    shift = sums(c, x, &span, 0, c.kernels.moments_rows_wide, 0, &s2) / n
    if not isfinite(shift):
        return fn_moment(n, shift, 0, NAN)
    s1 = sums(c, x, &span, shift, c.kernels.moments_rows_wide, 0, &s2)
    return fn_from_sums(n, shift, s1, s2)


cdef void put_statistics(const fn_call *c, Py_ssize_t at, const fn_moment *m) noexcept nogil:
    if not c.raw:
        (<double *>(c.at[FN_S] + at))[0] = m.mean + m.low
    (<double *>(c.var + at))[0] = m.m2 / m.count


cdef void apply(const job *t, const Py_ssize_t *group, size_t piece,
                Py_ssize_t ahead) noexcept nogil:
    """Normalize one piece of a group by its statistics; ahead: bytes to the next group."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef int inner = p.nouter + p.nred + p.split, ndims = p.nrun - p.split
    cdef fn_span span = fn_piece(&t.apply_cut, t.apply_segs, t.apply_n, piece)
    cdef size_t item = c.kernels.item, real = c.kernels.real, _seg, j, take
    cdef const char *x
    cdef const char *w
    cdef const char *b
    cdef char *y
    cdef fn_run_buffer xs
    cdef fn_run_buffer ys
    cdef fn_run_buffer ws
    cdef fn_run_buffer bs
    cdef bint weighted = c.at[FN_W] != NULL, biased = c.at[FN_B] != NULL
    cdef bint direct = p.direct[FN_X] and p.direct[FN_Y] and (not p.run_param or (
        (not weighted or p.direct[FN_W]) and (not biased or p.direct[FN_B])))
    cdef fn_centre centre
    cdef fn_param param
    cdef fn_memory memory = fn_memory(c.stream and p.direct[FN_Y], ahead, 0)
    cdef fn_walk at
    memset(&centre, 0, sizeof(centre))
    memset(&param, 0, sizeof(param))
    param.w0 = 1
    if not c.raw:
        centre.mean = (<double *>(c.at[FN_S] + group[FN_S]))[0]
    centre.rstd = fn_rstd((<double *>(c.var + group[FN_S]))[0], c.eps)
    fn_walk_start(&at, p.dims + p.nouter, p.nred + p.split, span.seg0)
    for _seg in range(span.seg0, span.seg1):
        x = c.at[FN_X] + group[FN_X] + at.off[FN_X]
        y = c.at[FN_Y] + group[FN_Y] + at.off[FN_Y]
        w = c.at[FN_W] + group[FN_W] + at.off[FN_W] if weighted else NULL
        b = c.at[FN_B] + group[FN_B] + at.off[FN_B] if biased else NULL
        if not p.run_param:
            if weighted:
                param.w0 = fn_real_at(w, c.single)
            if biased:
                param.b0 = fn_real_at(b, c.single)
        j = span.j0
        while j < span.j1:
            take = span.j1 - j if direct else min(<size_t>FN_ROW_BLOCK, span.j1 - j)
            if p.run_param and weighted:
                param.w = w + j * real
                if not p.direct[FN_W]:
                    fn_gather(ws, w, p.dims + inner, ndims, FN_W, j, take, real)
                    param.w = ws
            if p.run_param and biased:
                param.b = b + j * real
                if not p.direct[FN_B]:
                    fn_gather(bs, b, p.dims + inner, ndims, FN_B, j, take, real)
                    param.b = bs
            if not p.direct[FN_X]:
                fn_gather(xs, x, p.dims + inner, ndims, FN_X, j, take, item)
            c.kernels.affine(
                y + j * item if p.direct[FN_Y] else ys, 0,
                x + j * item if p.direct[FN_X] else xs, 0,
                1, take, &centre, &param, &memory)
            if not p.direct[FN_Y]:
                fn_scatter(ys, y, p.dims + inner, ndims, FN_Y, j, take, item)
            j += take
        fn_walk_next(&at)


cdef void group_task(void *context, Py_ssize_t task) noexcept nogil:
    """Over groups: statistics of a group, then its output, group after group."""
    cdef job *t = <job *>context
    cdef const fn_call *c = t.call
    cdef size_t g = <size_t>task * t.groups_per_task, piece
    cdef size_t stop = min(g + t.groups_per_task, c.plan.groups)
    cdef bint near = 4 * c.plan.count * c.kernels.item <= l2_bytes()
    cdef Py_ssize_t ahead
    cdef fn_moment m
    cdef fn_walk at, following
    fn_walk_start(&at, c.plan.dims, c.plan.nouter, g)
    fn_walk_start(&following, c.plan.dims, c.plan.nouter, g)
    while g < stop:
        fn_walk_next(&following)
        # The next group is fetched while this one is worked on, if both fit L2.
        ahead = following.off[FN_X] - at.off[FN_X] if near and g + 1 < stop else 0
        if not c.given:
            m = fn_moment(0, 0, 0, 0)
            for piece in range(t.cut.count):
                fn_merge(&m, piece_moments(t, c.at[FN_X] + at.off[FN_X], piece, ahead))
            put_statistics(c, at.off[FN_S], &m)
        if c.at[FN_Y] != NULL:
            for piece in range(t.apply_cut.count):
                apply(t, at.off, piece, ahead)
        fn_walk_next(&at)
        g += 1
    if c.stream:
        c.kernels.fence()


cdef void moments_task(void *context, Py_ssize_t task) noexcept nogil:
    """Over pieces, first region: one piece's statistics."""
    cdef job *t = <job *>context
    cdef const fn_plan *p = t.call.plan
    cdef fn_walk at
    fn_walk_start(&at, p.dims, p.nouter, <size_t>task / t.cut.count)
    t.parts[task] = piece_moments(
        t, t.call.at[FN_X] + at.off[FN_X], <size_t>task % t.cut.count, 0)


cdef void apply_task(void *context, Py_ssize_t task) noexcept nogil:
    """Over pieces, second region: one piece's output."""
    cdef job *t = <job *>context
    cdef const fn_plan *p = t.call.plan
    cdef fn_walk at
    fn_walk_start(&at, p.dims, p.nouter, <size_t>task / t.apply_cut.count)
    apply(t, at.off, <size_t>task % t.apply_cut.count, 0)
    if t.call.stream:
        t.call.kernels.fence()


cdef int over_pieces(job *t) noexcept nogil:
    """Returns -1 when there is no memory for the parts."""
    cdef fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef size_t g, piece
    cdef fn_moment m
    cdef fn_walk at
    if not c.given:
        t.parts = <fn_moment *>malloc(p.groups * t.cut.count * sizeof(fn_moment))
        if t.parts == NULL:
            return -1
        parallel_for(<Py_ssize_t>(p.groups * t.cut.count), moments_task, t, c.threads)
        fn_walk_start(&at, p.dims, p.nouter, 0)
        for g in range(p.groups):
            m = fn_moment(0, 0, 0, 0)
            for piece in range(t.cut.count):
                fn_merge(&m, t.parts[g * t.cut.count + piece])
            put_statistics(c, at.off[FN_S], &m)
            fn_walk_next(&at)
        free(t.parts)
    if c.at[FN_Y] != NULL:
        parallel_for(<Py_ssize_t>(p.groups * t.apply_cut.count), apply_task, t, c.threads)
    return 0


cdef void forward(fn_call *c) noexcept nogil:
    """Statistics (unless given) and output (unless there is none) of a rows plan."""
    cdef const fn_plan *p = c.plan
    cdef job t
    cdef size_t i, threads, rounds
    t.call = c
    t.cut = fn_cut_rows(p.segs, p.n)
    t.apply_segs = p.segs
    t.apply_n = p.n
    for i in range(<size_t>p.split):
        t.apply_segs *= <size_t>p.dims[p.nouter + p.nred + <int>i].len
        t.apply_n /= <size_t>p.dims[p.nouter + p.nred + <int>i].len
    t.apply_cut = fn_cut_rows(t.apply_segs, t.apply_n)
    c.threads = effective(p.groups * p.segs * p.n)
    threads = <size_t>c.threads
    if threads > 1 and t.cut.count > 1:
        # Whole groups leave threads idle when they do not fill the last round.
        rounds = (p.groups + threads - 1) / threads
        if 3 * rounds * threads > 4 * p.groups and over_pieces(&t) == 0:
            return
    t.groups_per_task = p.groups if threads == 1 else max(
        <size_t>1, p.groups / (threads * TASKS_PER_THREAD))
    parallel_for(<Py_ssize_t>((p.groups + t.groups_per_task - 1) / t.groups_per_task),
                 group_task, &t, c.threads)
