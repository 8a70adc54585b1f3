# SPDX-License-Identifier: BSD-3-Clause
"""What runs become, rows layout, when their statistics are known: they normalized, the activation
of that, or its slope times dy. Parameters of a run enter with its statistics, those that are
vectors along it in the kernel.
"""

from fastnorm._core.call cimport (
    FN_BATCH, fn_call, fn_centre_of, fn_centre_rows, fn_gather, fn_rows, fn_run_buffer, fn_scatter,
    fn_span, fn_write,
)
from fastnorm._core.dispatch cimport FN_ROW_BLOCK, fn_centre, fn_each, fn_memory, fn_param
from fastnorm._core.plan cimport (
    FN_B, FN_DY, FN_NOPS, FN_S, FN_W, FN_X, FN_Y, fn_dim, fn_plan, fn_walk, fn_walk_start,
)


cdef fn_each repeated(fn_each of, size_t rows, size_t sharing, double *room) noexcept nogil:
    """The statistics of every one of some rows, where `sharing` rows have the same."""
    cdef size_t i, k
    for i in range(rows / sharing):
        for k in range(sharing):
            room[i * sharing + k] = (<const double *>of.p)[0]
        of.p = <const char *>of.p + of.step
    return fn_each(<const char *>room, sizeof(double))


cdef void write_rows(const fn_call *c, const Py_ssize_t *off, const fn_dim *along, size_t rows,
                     const fn_dim *down, Py_ssize_t statistics, size_t sharing, size_t j0,
                     size_t j1, Py_ssize_t ahead) noexcept nogil:
    """Values [j0, j1) of up to FN_BATCH runs that follow each other along an axis.

    off: where the first run lies. down: NULL, or the axis along which each has more runs, with the
    same statistics and parameters, all direct. statistics: bytes between those of two runs, or of
    `sharing` runs and the next. ahead: bytes to the runs that come after these.
    """
    cdef const fn_plan *p = c.plan
    cdef int inner = p.nouter + p.nred + p.split, ndims = p.nrun - p.split
    cdef size_t item = c.kernels.item, real = c.kernels.real, _i, j, take
    cdef bint vector = p.run_param
    cdef bint weighted = c.at[FN_W] != NULL, biased = c.at[FN_B] != NULL
    cdef bint direct = p.direct[FN_X] and p.direct[FN_Y] and (not vector or (
        (not weighted or p.direct[FN_W]) and (not biased or p.direct[FN_B]))) and (
            not c.slope or p.direct[FN_DY])
    cdef bint each
    cdef size_t _seg, segs = <size_t>down.len if down != NULL else 1
    cdef Py_ssize_t step_x = 0, step_y = 0, step_dy = 0, step_w = 0, step_b = 0
    cdef const char *weights = c.at[FN_W] + off[FN_W]
    cdef const char *biases = c.at[FN_B] + off[FN_B]
    cdef fn_each w = fn_each(NULL, 0), b = fn_each(NULL, 0), mean = fn_each(NULL, 0)
    cdef fn_each var = fn_each(c.var + off[FN_S], statistics)
    cdef double means[128]
    cdef double variances[128]
    cdef const char *x = c.at[FN_X] + off[FN_X]
    cdef const char *dy = NULL
    cdef const char *upstream
    cdef char *y = c.at[FN_Y] + off[FN_Y]
    cdef fn_run_buffer xs
    cdef fn_run_buffer dys
    cdef fn_run_buffer ys
    cdef fn_run_buffer ws
    cdef fn_run_buffer bs
    cdef fn_rows rows_of
    cdef fn_centre centre
    cdef fn_param param = fn_param(NULL, NULL, False)
    cdef fn_memory memory = fn_memory(c.stream and p.direct[FN_Y], ahead, 0)
    if c.slope:
        dy = c.at[FN_DY] + off[FN_DY]
    if along != NULL:
        step_x = along.stride[FN_X]
        step_y = along.stride[FN_Y]
        step_dy = along.stride[FN_DY]
    if not c.raw:
        mean = fn_each(c.at[FN_S] + off[FN_S], statistics)
        if sharing > 1:
            mean = repeated(mean, rows, sharing, means)
    if sharing > 1:
        var = repeated(var, rows, sharing, variances)
    if not vector:
        if weighted:
            w = fn_each(c.at[FN_W] + off[FN_W], along.stride[FN_W] if along != NULL else 0)
        if biased:
            b = fn_each(c.at[FN_B] + off[FN_B], along.stride[FN_B] if along != NULL else 0)
    elif along != NULL:  # from the vector of one run to that of the next
        step_w, step_b = along.stride[FN_W], along.stride[FN_B]
    each = statistics != 0 or w.step != 0 or b.step != 0
    fn_centre_rows(c, rows if each else 1, mean, var, w, b, &rows_of)
    centre = fn_centre_of(&rows_of, 1 if each else 0)
    if direct and step_w == 0 and step_b == 0:
        if vector and weighted:
            param.w = weights + j0 * real
        if vector and biased:
            param.b = biases + j0 * real
        if c.slope:
            dy += j0 * item
        for _seg in range(segs):
            fn_write(c, y + j0 * item, step_y, x + j0 * item, step_x, dy, step_dy, rows, j1 - j0,
                     &centre, &param, &memory)
            if down != NULL:
                x += down.stride[FN_X]
                y += down.stride[FN_Y]
                if c.slope:
                    dy += down.stride[FN_DY]
        return
    for _i in range(rows):
        j = j0
        while j < j1:
            take = j1 - j if direct else min(<size_t>FN_ROW_BLOCK, j1 - j)
            if vector and weighted:
                param.w = weights + j * real
                if not p.direct[FN_W]:
                    fn_gather(ws, weights, p.dims + inner, ndims, FN_W, j, take, real)
                    param.w = ws
            if vector and biased:
                param.b = biases + j * real
                if not p.direct[FN_B]:
                    fn_gather(bs, biases, p.dims + inner, ndims, FN_B, j, take, real)
                    param.b = bs
            if not p.direct[FN_X]:
                fn_gather(xs, x, p.dims + inner, ndims, FN_X, j, take, item)
            upstream = NULL
            if c.slope:
                upstream = dy + j * item
                if not p.direct[FN_DY]:
                    fn_gather(dys, dy, p.dims + inner, ndims, FN_DY, j, take, item)
                    upstream = dys
            fn_write(c, y + j * item if p.direct[FN_Y] else ys, 0,
                     x + j * item if p.direct[FN_X] else xs, 0, upstream, 0, 1, take, &centre,
                     &param, &memory)
            if not p.direct[FN_Y]:
                fn_scatter(ys, y, p.dims + inner, ndims, FN_Y, j, take, item)
            j += take
        x += step_x
        y += step_y
        weights += step_w
        biases += step_b
        if c.slope:
            dy += step_dy
        centre.hi = <const char *>centre.hi + centre.step * real
        centre.r = <const char *>centre.r + centre.step * real
        centre.m = <const char *>centre.m + centre.step * real


cdef void write_span(const fn_call *c, const Py_ssize_t *group, const fn_span *span,
                     Py_ssize_t ahead) noexcept nogil:
    """What a span of a group's runs becomes; ahead: bytes to the next group."""
    cdef const fn_plan *p = c.plan
    cdef int ndims = p.nred + p.split, op
    cdef const fn_dim *last = NULL
    cdef size_t seg = span.seg0, rows = 1
    cdef Py_ssize_t off[8]
    cdef fn_walk at
    if ndims:
        last = p.dims + p.nouter + ndims - 1
    while seg < span.seg1:
        for op in range(FN_NOPS):
            off[op] = group[op]
        if seg:
            fn_walk_start(&at, p.dims + p.nouter, ndims, seg)
            for op in range(FN_NOPS):
                off[op] += at.off[op]
        if ndims:  # runs along the last axis lie evenly
            rows = min(span.seg1 - seg, <size_t>last.len - seg % <size_t>last.len)
            rows = min(rows, <size_t>FN_BATCH)
        write_rows(c, off, last, rows, NULL, 0, 1, span.j0, span.j1, ahead)
        seg += rows
