# SPDX-License-Identifier: BSD-3-Clause
"""The gradient of one group, rows layout: its two sums, their means, and dx.

With g = dy * weight and xh = (x - mean) * rstd over a group of m values:

    c0 = sum(g) / m,  c1 = sum(g * xh) / m,  dx = (g - c0 - xh * c1) * rstd

A uniform weight (one value per run) is applied to the sums of dy afterwards, so that the same sums
are the run's share of the parameters' gradients; a vector weight multiplies dy in the kernel.
"""

from libc.string cimport memset

from fastnorm._core.call cimport (
    fn_call, fn_gather, fn_lane_sum, fn_piece, fn_real_at, fn_run_buffer, fn_scatter,
    fn_span,
)
from fastnorm._core.dispatch cimport FN_ROW_BLOCK, fn_centre, fn_means, fn_memory, fn_param
from fastnorm._core.plan cimport (
    FN_DY, FN_S, FN_W, FN_X, FN_Y, fn_plan, fn_walk, fn_walk_next, fn_walk_start,
)

cdef void piece_sums(const job *t, const Py_ssize_t *group, const Py_ssize_t *following,
                     size_t piece, sums_t *out) noexcept nogil:
    """Fill the slots of one piece; out is the first slot of the group."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef int inner = p.nouter + p.nred + p.split, ndims = p.nrun - p.split
    cdef fn_span span = fn_piece(&t.cut, t.segs, t.n, piece)
    cdef size_t item = c.kernels.item, real = c.kernels.real, seg, j, take, slot = piece
    cdef bint vector = p.run_param and c.at[FN_W] != NULL
    cdef bint direct = p.direct[FN_X] and p.direct[FN_DY] and (not vector or p.direct[FN_W])
    cdef double s1[16]
    cdef double s2[16]
    cdef fn_run_buffer xs
    cdef fn_run_buffer dys
    cdef fn_run_buffer ws
    cdef const char *x
    cdef const char *dy
    cdef const void *w
    cdef fn_centre centre
    cdef fn_memory memory = fn_memory(False, 0, 0)
    cdef fn_walk at
    if following != NULL and direct:
        memory.ahead_x = following[FN_X] - group[FN_X]
        memory.ahead_dy = following[FN_DY] - group[FN_DY]
    memset(&centre, 0, sizeof(centre))
    centre.mean = mean_of(c, group[FN_S])
    centre.rstd = rstd_of(c, group[FN_S])
    memset(s1, 0, sizeof(s1))
    memset(s2, 0, sizeof(s2))
    fn_walk_start(&at, p.dims + p.nouter, p.nred + p.split, span.seg0)
    for seg in range(span.seg0, span.seg1):
        x = c.at[FN_X] + group[FN_X] + at.off[FN_X]
        dy = c.at[FN_DY] + group[FN_DY] + at.off[FN_DY]
        j = span.j0
        while j < span.j1:
            take = span.j1 - j if direct else min(<size_t>FN_ROW_BLOCK, span.j1 - j)
            w = NULL
            if vector:
                w = c.at[FN_W] + group[FN_W] + at.off[FN_W] + <Py_ssize_t>(j * real)
                if not p.direct[FN_W]:
                    fn_gather(ws, c.at[FN_W] + group[FN_W] + at.off[FN_W], p.dims + inner, ndims,
                              FN_W, j, take, real)
                    w = ws
            if not p.direct[FN_X]:
                fn_gather(xs, x, p.dims + inner, ndims, FN_X, j, take, item)
            if not p.direct[FN_DY]:
                fn_gather(dys, dy, p.dims + inner, ndims, FN_DY, j, take, item)
            c.kernels.grad_sums_rows(
                x + j * item if p.direct[FN_X] else xs,
                dy + j * item if p.direct[FN_DY] else dys, take, &centre, w, s1, s2,
                &memory)
            j += take
        if t.per_seg:
            slot = seg if t.cut.per_seg == 1 else piece
            out[slot] = sums_t(fn_lane_sum(s1), fn_lane_sum(s2))
            memset(s1, 0, sizeof(s1))
            memset(s2, 0, sizeof(s2))
        fn_walk_next(&at)
    if not t.per_seg:
        out[piece] = sums_t(fn_lane_sum(s1), fn_lane_sum(s2))


cdef sums_t group_means(const job *t, const Py_ssize_t *group,
                        const sums_t *slots) noexcept nogil:
    """c0 and c1 of a group from its slots, with a uniform weight applied."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef sums_t total = sums_t(0, 0)
    cdef bint uniform = c.at[FN_W] != NULL and not p.run_param
    cdef size_t slot, cuts = t.cut.per_seg
    cdef double w = 1
    cdef fn_walk at
    fn_walk_start(&at, p.dims + p.nouter, p.nred + p.split, 0)
    for slot in range(t.slots):
        if uniform:
            w = fn_real_at(c.at[FN_W] + group[FN_W] + at.off[FN_W], c.single)
        total.g += w * slots[slot].g
        total.gx += w * slots[slot].gx
        if t.per_seg and (cuts == 1 or (slot + 1) % cuts == 0):
            fn_walk_next(&at)
    total.g = 0 if c.raw else total.g / <double>p.count
    total.gx /= <double>p.count
    return total


cdef sums_t whole_group(const job *t, const Py_ssize_t *group, const Py_ssize_t *following,
                        sums_t *slots) noexcept nogil:
    """The slots and means of a group, piece after piece; nothing where statistics are constants."""
    cdef size_t piece
    if slots == NULL:
        return sums_t(0, 0)
    for piece in range(t.cut.count):
        piece_sums(t, group, following, piece, slots)
    return group_means(t, group, slots)


cdef void combine(const job *t, const Py_ssize_t *group, const Py_ssize_t *following, sums_t means,
                  size_t seg0, size_t seg1, size_t j0, size_t j1, char *dw,
                  char *db) noexcept nogil:
    """dx of runs [seg0, seg1), values [j0, j1) of each; following: the group to fetch meanwhile.

    dw, db: NULL, or what dy * xh and dy of a contiguous run are added to, in the compute type.
    """
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef int inner = p.nouter + p.nred + p.split, ndims = p.nrun - p.split
    cdef size_t item = c.kernels.item, real = c.kernels.real, _seg, j, take
    cdef bint weighted = c.at[FN_W] != NULL, vector = weighted and p.run_param
    cdef bint direct = p.direct[FN_X] and p.direct[FN_DY] and p.direct[FN_Y] and (
        not vector or p.direct[FN_W])
    cdef fn_run_buffer xs
    cdef fn_run_buffer dys
    cdef fn_run_buffer dxs
    cdef fn_run_buffer ws
    cdef const char *x
    cdef const char *dy
    cdef const char *w
    cdef char *dx
    cdef const void *from_dy
    cdef void *to
    cdef fn_centre centre
    cdef fn_param param
    cdef fn_means mean
    cdef fn_memory memory = fn_memory(c.stream and p.direct[FN_Y], 0, 0)
    cdef fn_walk at
    memset(&centre, 0, sizeof(centre))
    memset(&param, 0, sizeof(param))
    memset(&mean, 0, sizeof(mean))
    param.w0 = 1
    if following != NULL:
        memory.ahead_x = following[FN_X] - group[FN_X]
        memory.ahead_dy = following[FN_DY] - group[FN_DY]
    centre.rstd = rstd_of(c, group[FN_S])
    if not c.fixed:
        centre.mean = mean_of(c, group[FN_S])
        mean.c00 = means.g
        mean.c10 = means.gx
    fn_walk_start(&at, p.dims + p.nouter, p.nred + p.split, seg0)
    for _seg in range(seg0, seg1):
        x = c.at[FN_X] + group[FN_X] + at.off[FN_X]
        dy = c.at[FN_DY] + group[FN_DY] + at.off[FN_DY]
        dx = c.at[FN_Y] + group[FN_Y] + at.off[FN_Y]
        w = c.at[FN_W] + group[FN_W] + at.off[FN_W] if weighted else NULL
        if weighted and not vector:
            param.w0 = fn_real_at(w, c.single)
        j = j0
        while j < j1:
            take = j1 - j if direct else min(<size_t>FN_ROW_BLOCK, j1 - j)
            if vector:
                param.w = w + j * real
                if not p.direct[FN_W]:
                    fn_gather(ws, w, p.dims + inner, ndims, FN_W, j, take, real)
                    param.w = ws
            from_dy = dy + j * item
            if not p.direct[FN_DY]:
                fn_gather(dys, dy, p.dims + inner, ndims, FN_DY, j, take, item)
                from_dy = dys
            to = dx + j * item if p.direct[FN_Y] else dxs
            if c.fixed:
                c.kernels.affine(to, 0, from_dy, 0, 1, take, &centre, &param, &memory)
            else:
                if not p.direct[FN_X]:
                    fn_gather(xs, x, p.dims + inner, ndims, FN_X, j, take, item)
                if dw != NULL:
                    mean.dw = dw + j * real
                    mean.db = db + j * real
                c.kernels.grad_combine(to, 0, x + j * item if p.direct[FN_X] else xs, 0, from_dy, 0,
                                       1, take, &centre, &param, &mean, &memory)
            if not p.direct[FN_Y]:
                fn_scatter(dxs, dx, p.dims + inner, ndims, FN_Y, j, take, item)
            j += take
        fn_walk_next(&at)
