# SPDX-License-Identifier: BSD-3-Clause
"""The gradient of groups, rows layout: dx from the means that rows_sums.pyx found.

A weight of one value per run enters here, with rstd where the group has one, else run by run. A
vector weight multiplies dy in the kernel.
"""

from libc.string cimport memset

from fastnorm._core.call cimport (
    fn_ask_ahead, fn_call, fn_centre_of, fn_gather, fn_means, fn_piece, fn_rows, fn_run_buffer,
    fn_scale_of, fn_scatter, fn_slope_of, fn_slope_rows, fn_span, fn_spread_rows, fn_whole_dot,
)
from fastnorm._core.dispatch cimport (
    FN_ROW_BLOCK, fn_centre, fn_each, fn_in_lines, fn_memory, fn_own, fn_param, fn_slope,
    l2_bytes,
)
from fastnorm._core.plan cimport (
    FN_DP, FN_DY, FN_ON, FN_S, FN_W, FN_X, FN_Y, fn_dim, fn_plan,
)
from fastnorm._core.rows_sums cimport (
    add_sums, at_run, centre_of, given_means, job, means_beside, needs_sums, partials, runs_along,
    sums_of_each, sums_t,
)
from fastnorm._core.rows_write cimport write_rows

cdef enum:  # bytes of a run whose dx follows its sums
    LEAST = 128
    LEAST_WITH_SUMS = 384
    MOST = 8192
    MOST_STREAMED = 32768
    MOST_WITH_SUMS = 16384
    LEAST_CONVERTED = 640  # of values that are, past the cache


cdef void combine_runs(const job *t, const Py_ssize_t *off, const fn_dim *along, size_t rows,
                       const fn_dim *down, Py_ssize_t statistics, const sums_t *means, size_t j0,
                       size_t j1, const partials *sums, const fn_memory *memory,
                       fn_rows *rows_of, sums_t *made) noexcept nogil:
    """dx of values [j0, j1) of up to FN_BATCH runs that follow each other along an axis.

    down: NULL, or the axis along which each has more runs, with the same statistics and parameters,
    all direct. means and rows_of: the means and centres of every run, or where statistics is 0 one
    for all. made: NULL, or where the sums of each run go, which are taken on the way: there are no
    means then.
    """
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef int inner = p.nouter + p.nred + p.split, ndims = p.nrun - p.split
    cdef size_t item = c.kernels.item, real = c.kernels.real, _i, j, take, sets
    cdef size_t _seg, segs = <size_t>down.len if down != NULL else 1
    cdef bint vector = p.run_param and c.at[FN_W] != NULL
    cdef bint direct = p.direct[FN_X] and p.direct[c.dz] and p.direct[FN_Y] and (
        not vector or p.direct[FN_W]) and (c.at[FN_ON] == NULL or p.direct[FN_ON])
    cdef Py_ssize_t step_x = 0, step_dy = 0, step_dx = 0, step_on = 0
    cdef fn_each none = fn_each(NULL, 0), w = none
    cdef double zero = 0
    cdef fn_each c0 = fn_each(<const char *>&zero, 0), c1 = c0
    cdef Py_ssize_t apart = sizeof(sums_t) if statistics else 0
    cdef fn_run_buffer xs
    cdef fn_run_buffer dys
    cdef fn_run_buffer dxs
    cdef fn_run_buffer extras
    cdef fn_run_buffer ws
    cdef const char *x = c.at[FN_X] + off[FN_X]
    cdef const char *dy = c.at[c.dz] + off[c.dz]
    cdef const char *on = NULL
    cdef char *dx = c.at[FN_Y] + off[FN_Y]
    cdef const void *from_x
    cdef const void *from_dy
    cdef void *to
    cdef fn_centre centre
    cdef fn_param param = fn_param(NULL, NULL, False)
    cdef fn_slope slope
    cdef fn_own own
    cdef fn_dim evenly
    if along != NULL:
        step_x = along.stride[FN_X]
        step_dy = along.stride[c.dz]
        step_dx = along.stride[FN_Y]
        step_on = along.stride[FN_ON]
    if c.at[FN_ON] != NULL:
        on = c.at[FN_ON] + off[FN_ON]
    if c.at[FN_W] != NULL and not vector:
        w = fn_each(c.at[FN_W] + off[FN_W], along.stride[FN_W] if along != NULL else 0)
    if (t.per_seg or c.c0 != NULL) and w.p != NULL and not c.fixed:
        param.w = w.p
        param.by_row = True
        if w.step != <Py_ssize_t>real and rows > 1:
            evenly = along[0]
            evenly.len = <Py_ssize_t>rows  # those of groups beside each other, too
            fn_gather(ws, w.p, &evenly, 1, FN_W, 0, rows, real)
            param.w = ws
        w = none
    sets = rows if statistics or w.step else 1
    if not statistics:
        fn_spread_rows(rows_of, 1, sets, real)
    if not c.fixed and made == NULL:
        c0 = fn_each(<const char *>&means.g, apart)
        c1 = fn_each(<const char *>&means.gx, apart)
    if made == NULL:
        fn_slope_rows(c, sets, w, c0, c1, rows_of)
    centre = fn_centre_of(rows_of, 1 if sets > 1 else 0)
    if c.fixed:  # b and c are zeros: dx = dy * w * a, whatever x is
        centre = fn_scale_of(rows_of, 1 if sets > 1 else 0)
    slope = fn_slope_of(rows_of, sums.dw, sums.db)
    if made != NULL:
        own = fn_own(&rows_of.rstd[0], &rows_of.low[0], w, <double>p.count, c.raw, <double *>made,
                     sums.dweight, sums.dbias)
        slope.own = &own
    if direct:
        if vector:
            param.w = c.at[FN_W] + off[FN_W] + <Py_ssize_t>(j0 * real)
        for _seg in range(segs):
            if c.fixed:
                c.kernels.affine(dx + j0 * item, step_dx, dy + j0 * item, step_dy, rows, j1 - j0,
                                 &centre, &param, memory)
            else:
                if on != NULL:
                    slope.on = on + j0 * item
                    slope.ldon = step_on
                c.kernels.grad_combine(dx + j0 * item, step_dx, x + j0 * item, step_x,
                                       dy + j0 * item, step_dy, rows, j1 - j0, &centre, &param,
                                       &slope, memory)
            if down != NULL:
                x += down.stride[FN_X]
                dy += down.stride[c.dz]
                dx += down.stride[FN_Y]
                on += down.stride[FN_ON]
        return
    for _i in range(rows):
        j = j0
        while j < j1:
            take = min(<size_t>FN_ROW_BLOCK, j1 - j)
            if vector:
                fn_gather(ws, c.at[FN_W] + off[FN_W], p.dims + inner, ndims, FN_W, j, take, real)
                param.w = ws
            from_dy = dy + j * item
            if not p.direct[c.dz]:
                fn_gather(dys, dy, p.dims + inner, ndims, c.dz, j, take, item)
                from_dy = dys
            to = dx + j * item if p.direct[FN_Y] else dxs
            if c.fixed:
                c.kernels.affine(to, 0, from_dy, 0, 1, take, &centre, &param, memory)
            else:
                from_x = x + j * item
                if not p.direct[FN_X]:
                    fn_gather(xs, x, p.dims + inner, ndims, FN_X, j, take, item)
                    from_x = xs
                if sums.dw != NULL:
                    slope.dw = sums.dw + j * real
                if sums.db != NULL:
                    slope.db = sums.db + j * real
                if on != NULL:
                    slope.on = on + j * item
                    if not p.direct[FN_ON]:
                        fn_gather(extras, on, p.dims + inner, ndims, FN_ON, j, take, item)
                        slope.on = extras
                c.kernels.grad_combine(to, 0, from_x, 0, from_dy, 0, 1, take, &centre, &param,
                                       &slope, memory)
            if not p.direct[FN_Y]:
                fn_scatter(dxs, dx, p.dims + inner, ndims, FN_Y, j, take, item)
            j += take
        x += step_x
        dy += step_dy
        dx += step_dx
        on += step_on
        if param.by_row:
            param.w = <const char *>param.w + real
        if sets > 1:
            centre.hi = <const char *>centre.hi + real
            centre.r = <const char *>centre.r + real
            centre.m = <const char *>centre.m + real
            slope.a = <const char *>slope.a + real
            slope.b = <const char *>slope.b + real
            slope.c = <const char *>slope.c + real


cdef void combine(const job *t, const Py_ssize_t *group, fn_rows *row, const fn_memory *memory,
                  sums_t means, size_t seg0, size_t seg1, size_t j0, size_t j1) noexcept nogil:
    """dx of runs [seg0, seg1) of a group, values [j0, j1) of each; row: the centre of the group."""
    cdef size_t seg = seg0, rows
    cdef const fn_dim *along
    cdef Py_ssize_t off[8]
    cdef partials none = partials(NULL, NULL, NULL, NULL)
    while seg < seg1:
        rows = runs_along(t, seg, seg1, &along)
        at_run(t.call.plan, group, seg, off)
        combine_runs(t, off, along, rows, NULL, 0, &means, j0, j1, &none, memory, row, NULL)
        seg += rows


cdef bint runs_in_turn(const job *t) noexcept nogil:
    """Whether dx of a run waits for its sums, and is best made just after them, while first-level
    cache has it."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef size_t bytes = t.n * c.kernels.item
    cdef Py_ssize_t step = p.dims[p.nouter - 1].stride[FN_Y] if p.nouter else 0
    cdef bint sums = p.run_param and (c.at[FN_DP] != NULL or c.dbias != NULL)
    cdef bint converted = c.kernels.item < c.kernels.real  # in both sweeps
    if c.stream:
        if bytes > (MOST_WITH_SUMS if sums else MOST_STREAMED) or (
                converted and bytes < LEAST_CONVERTED) or not c.kernels.lines or (
                t.n % c.kernels.lines) or not fn_in_lines(
                c.kernels.lines, c.at[FN_Y], step, t.n, c.kernels.item):
            return False
    elif converted or bytes < (LEAST_WITH_SUMS if sums else LEAST) or bytes > MOST:
        return False
    return (c.kernels.own and not c.fixed and c.c0 == NULL and
            (c.at[FN_W] != NULL or not sums) and p.nred == 0 and p.split == 0 and
            c.at[FN_Y] != NULL and p.direct[FN_X] and p.direct[c.dz] and p.direct[FN_Y] and
            (c.at[FN_ON] == NULL or p.direct[FN_ON]) and
            (not p.run_param or c.at[FN_W] == NULL or p.direct[FN_W]))


cdef void batch_gradient(const job *t, const Py_ssize_t *off, size_t rows, bint more,
                         sums_t *slots, const partials *sums) noexcept nogil:
    """Sums and dx of groups that follow each other along an axis, of one run each or of runs with
    parameters of their own, up to FN_BATCH runs in all.

    more: as many come after them, and may be fetched meanwhile. slots: NULL where the means need no
    sums, and the parameters want none.
    """
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *last = NULL
    cdef const fn_dim *along = NULL
    cdef sums_t means[128]
    cdef size_t i, row_bytes = p.n * c.kernels.item, parts = t.segs if p.split else 1
    cdef double n = <double>p.count
    cdef fn_memory memory = fn_memory(c.stream and p.direct[FN_Y], 0, 0)
    cdef Py_ssize_t statistics = 0
    cdef fn_rows rows_of
    if p.nouter:
        last = p.dims + p.nouter - 1
        along = last + 1 if p.split else last
        statistics = last.stride[FN_S]
    if more and last != NULL and fn_ask_ahead(
            last.stride[FN_X], row_bytes, 2 * rows * row_bytes, c.stream, l2_bytes()):
        memory.ahead_x = <Py_ssize_t>rows * last.stride[FN_X]
        memory.ahead_dy = (<Py_ssize_t>rows * last.stride[FN_DY]  # dy as it comes, from where dz is
                           + (c.at[FN_DY] + off[FN_DY] - (c.at[c.dz] + off[c.dz])))
    centre_of(c, off[FN_S], statistics, rows, &rows_of)
    fn_spread_rows(&rows_of, rows, parts, c.kernels.real)
    if slots == NULL:
        for i in range(rows * parts):
            means[i] = given_means(c, off[FN_S] + <Py_ssize_t>(i / parts) * statistics)
    else:
        if c.slope:
            write_rows(c, off, along, rows * parts, NULL, statistics, parts, 0, t.n, 0)
        if t.in_turn:
            memory.ahead_x = memory.ahead_dy = 0
            combine_runs(t, off, last, rows, NULL, statistics, NULL, 0, t.n, sums, &memory,
                         &rows_of, slots)
            return
        sums_of_each(t, off, along, rows * parts, 0, t.n, &memory, &rows_of, slots)
        if p.split:
            means_beside(t, off, rows, slots, means)
        else:
            for i in range(rows):
                fn_means(n, c.raw, slots[i].g, slots[i].gx, &means[i].g, &means[i].gx)
    if c.at[FN_Y] != NULL:
        combine_runs(t, off, along, rows * parts, NULL, statistics, means, 0, t.n, sums, &memory,
                     &rows_of, NULL)


cdef void gradient_beside(const job *t, const Py_ssize_t *group, size_t rows,
                          sums_t *slots) noexcept nogil:
    """Sums and dx of up to FN_BATCH groups of several runs that lie beside each other: some runs of
    all of them, then the next, in the order of memory.

    dx that needs no sums is made of what second-level cache still holds, other dx after all sums.
    slots: t.slots of each group; NULL: the parameters want none.
    """
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *last = p.dims + p.nouter - 1
    cdef const fn_dim *down = p.dims + p.nouter
    cdef fn_dim some = down[0]
    cdef sums_t means[128]
    cdef double s1[128]
    cdef double s2[128]
    cdef size_t piece, seg, i
    cdef size_t at_once = max(<size_t>1, l2_bytes() / 4 / (rows * t.n * c.kernels.item))
    cdef bint later = needs_sums(c) and c.at[FN_Y] != NULL
    cdef fn_memory memory = fn_memory(c.stream and p.direct[FN_Y], 0, 0), ahead = memory
    cdef partials none = partials(NULL, NULL, NULL, NULL)
    cdef Py_ssize_t off[8]
    cdef fn_span span
    cdef fn_rows rows_of
    cdef sums_t own
    centre_of(c, group[FN_S], last.stride[FN_S], rows, &rows_of)
    memset(means, 0, rows * sizeof(sums_t))
    for i in range(rows if c.c0 != NULL else 0):
        means[i] = given_means(c, group[FN_S] + <Py_ssize_t>i * last.stride[FN_S])
    if c.stream and later:  # the next run is fetched while sums are taken
        ahead.ahead_x = down.stride[FN_X]
        ahead.ahead_dy = down.stride[c.dz]
    for piece in range(t.cut.count):
        span = fn_piece(&t.cut, t.segs, t.n, piece)
        memset(s1, 0, rows * sizeof(double))
        memset(s2, 0, rows * sizeof(double))
        seg = span.seg0
        while seg < span.seg1:
            some.len = <Py_ssize_t>min(at_once, span.seg1 - seg)
            at_run(p, group, seg, off)
            if c.slope:
                write_rows(c, off, last, rows, &some, last.stride[FN_S], 1, 0, t.n, 0)
            if later or slots != NULL:
                add_sums(t, off, last, rows, &some, 0, t.n, &ahead, &rows_of, s1, s2)
            if c.at[FN_Y] != NULL and not later:
                combine_runs(t, off, last, rows, &some, last.stride[FN_S], means, 0, t.n, &none,
                             &memory, &rows_of, NULL)
            seg += <size_t>some.len
        for i in range(rows if later or slots != NULL else 0):
            own = sums_t(s1[i], fn_whole_dot(s1[i], s2[i], rows_of.low[i]))
            if later:  # as yet the sums of all pieces
                means[i].g += own.g
                means[i].gx += own.gx
            if slots != NULL:
                slots[i * t.slots + piece] = own
    if later:
        for i in range(rows):
            fn_means(<double>p.count, c.raw, means[i].g, means[i].gx, &means[i].g, &means[i].gx)
        combine_runs(t, group, last, rows, down, last.stride[FN_S], means, 0, t.n, &none, &memory,
                     &rows_of, NULL)
