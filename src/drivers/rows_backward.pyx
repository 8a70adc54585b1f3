# SPDX-License-Identifier: BSD-3-Clause
"""Backward, rows layout: which task computes what.

in batches    groups of one contiguous run each, of runs that lie beside those of the next group, or
              of few runs with parameters of their own: some at once.
over groups   each task takes whole groups: sums, then dx while the group sits in cache.
over pieces   few large groups: the sums of all pieces in parallel, then dx of all pieces.
vector        parameters that vary along the run and whose gradients are wanted: rows_params.pyx.
"""

from libc.stdlib cimport free, malloc

from fastnorm._core.call cimport (
    FN_BATCH, fn_batch, fn_batch_of_parts, fn_batch_of_runs, fn_call, fn_cut_rows, fn_pick_row,
    fn_piece, fn_rows, fn_span,
)
from fastnorm._core.dispatch cimport fn_memory, from_memory, l2_bytes
from fastnorm._core.plan cimport (
    FN_B, FN_DP, FN_DY, FN_ON, FN_S, FN_W, FN_X, FN_Y, fn_dim, fn_plan, fn_walk, fn_walk_next,
    fn_walk_start,
)
from fastnorm._core.rows_gradient cimport (
    batch_gradient, combine, gradient_beside, runs_in_turn,
)
from fastnorm._core.rows_params cimport uniform_gradients, vector_gradients
from fastnorm._core.rows_sums cimport (
    APART, centre_of, given_means, group_means, job, needs_sums, partials, piece_sums, sums_t,
    whole_group,
)
from fastnorm._core.threads cimport parallel_for

cdef enum:
    TASKS_PER_THREAD = 8
    RUN = 4096  # bytes of a run in memory that is so short that its neighbour is best read next


cdef void batch_task(void *context, Py_ssize_t task) noexcept nogil:
    """In batches: sums of some groups, then their dx, batch after batch."""
    cdef job *t = <job *>context
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef size_t g = <size_t>task * t.groups_per_task, rows = 1
    cdef size_t stop = min(g + t.groups_per_task, p.groups)
    cdef sums_t slots[128]
    cdef partials none = partials(NULL, NULL, NULL, NULL)
    cdef fn_walk at
    while g < stop:
        fn_walk_start(&at, p.dims, p.nouter, g)
        if p.nouter:
            rows = min(min(t.batch, stop - g), <size_t>p.dims[p.nouter - 1].len
                       - g % <size_t>p.dims[p.nouter - 1].len)
        if p.nred:
            gradient_beside(t, at.off, rows, NULL if t.sums == NULL else t.sums + g * t.slots)
        elif t.sums != NULL:
            batch_gradient(t, at.off, rows, g + 2 * rows <= stop, t.sums + g * t.slots, &none)
        else:
            batch_gradient(t, at.off, rows, g + 2 * rows <= stop,
                           slots if needs_sums(c) else NULL, &none)
        g += rows
    if c.stream:
        c.kernels.fence()


cdef void group_task(void *context, Py_ssize_t task) noexcept nogil:
    """Over groups: sums of a group, then its dx, group after group. Their centres are made before,
    those of some groups side by side."""
    cdef job *t = <job *>context
    cdef const fn_call *c = t.call
    cdef const fn_dim *last = c.plan.dims + c.plan.nouter - 1
    cdef size_t i = 0, centres = 0
    cdef fn_rows some
    cdef fn_rows row
    cdef size_t g = <size_t>task * t.groups_per_task
    cdef size_t stop = min(g + t.groups_per_task, c.plan.groups)
    cdef sums_t *slots = t.spare + <size_t>task * (t.slots + APART)
    cdef sums_t means
    cdef size_t group_bytes = c.plan.count * c.kernels.item
    # Two groups of x and dy fit, and not all of them.
    cdef bint near = 8 * group_bytes <= l2_bytes() < c.plan.groups * group_bytes
    cdef fn_memory memory = fn_memory(c.stream and c.plan.direct[FN_Y], 0, 0)
    cdef fn_walk at, following
    fn_walk_start(&at, c.plan.dims, c.plan.nouter, g)
    fn_walk_start(&following, c.plan.dims, c.plan.nouter, g)
    while g < stop:
        fn_walk_next(&following)
        if i == centres:
            i = 0
            if c.plan.nouter:
                centres = min(min(stop - g, <size_t>FN_BATCH),
                              <size_t>last.len - g % <size_t>last.len)
                centre_of(c, at.off[FN_S], last.stride[FN_S], centres, &some)
            else:
                centres = 1
                centre_of(c, at.off[FN_S], 0, 1, &some)
        fn_pick_row(&some, i, c.kernels.real, &row)
        memory.ahead_x = memory.ahead_dy = 0
        if near and g + 1 < stop:  # fetched while this one is worked on
            memory.ahead_x = following.off[FN_X] - at.off[FN_X]
            memory.ahead_dy = following.off[FN_DY] - at.off[FN_DY]
        if t.sums != NULL:
            slots = t.sums + g * t.slots
        means = whole_group(t, at.off, &row, &memory,
                            slots if t.sums != NULL or needs_sums(c) else NULL)
        if c.at[FN_Y] != NULL:
            combine(t, at.off, &row, &memory, means, 0, t.segs, 0, t.n)
        fn_walk_next(&at)
        g += 1
        i += 1
    if c.stream:
        c.kernels.fence()


cdef void sums_task(void *context, Py_ssize_t task) noexcept nogil:
    """Over pieces, first region: the slots of one piece."""
    cdef job *t = <job *>context
    cdef const fn_plan *p = t.call.plan
    cdef size_t g = <size_t>task / t.cut.count
    cdef fn_memory memory = fn_memory(False, 0, 0)
    cdef fn_rows row
    cdef fn_walk at
    fn_walk_start(&at, p.dims, p.nouter, g)
    centre_of(t.call, at.off[FN_S], 0, 1, &row)
    piece_sums(t, at.off, &row, &memory, <size_t>task % t.cut.count, t.sums + g * t.slots)


cdef void combine_task(void *context, Py_ssize_t task) noexcept nogil:
    """Over pieces, second region: dx of one piece."""
    cdef job *t = <job *>context
    cdef const fn_plan *p = t.call.plan
    cdef size_t g = <size_t>task / t.cut.count
    cdef fn_span span = fn_piece(&t.cut, t.segs, t.n, <size_t>task % t.cut.count)
    cdef fn_memory memory = fn_memory(t.call.stream and p.direct[FN_Y], 0, 0)
    cdef sums_t means
    cdef fn_rows row
    cdef fn_walk at
    fn_walk_start(&at, p.dims, p.nouter, g)
    centre_of(t.call, at.off[FN_S], 0, 1, &row)
    if t.call.c0 != NULL:
        means = given_means(t.call, at.off[FN_S])
    else:
        means = group_means(t, at.off, t.sums + g * t.slots)
    combine(t, at.off, &row, &memory, means, span.seg0, span.seg1, span.j0, span.j1)
    if t.call.stream:
        t.call.kernels.fence()


cdef size_t batch_of_runs(const job *t) noexcept nogil:
    """Groups of several runs to take at once; 0: not in batches."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef size_t item = c.kernels.item, values = t.n
    if t.cut.per_seg > 1 or not (
            p.direct[FN_X] and p.direct[FN_DY] and (c.at[FN_Y] == NULL or p.direct[FN_Y])
            and (c.at[FN_ON] == NULL or p.direct[FN_ON])):
        return 0
    # dx that waits for sums finds what these read in second-level cache; only of short runs of what
    # no last level holds, memory had better be gone through in its order, twice.
    if c.at[FN_Y] != NULL and needs_sums(c) and not (
            t.n * item <= <size_t>RUN and from_memory(p.groups * p.count * item)):
        values = p.count
    return fn_batch_of_runs(p, item, 2 * values * item, l2_bytes() / 2)  # half is left to dx


cdef size_t batch_of(const job *t) noexcept nogil:
    """Groups to take at once; 0: not in batches."""
    cdef const fn_plan *p = t.call.plan
    cdef const fn_dim *last = p.dims + p.nouter - 1
    if p.nred and not p.split:
        return batch_of_runs(t)
    if t.cut.count > 1:
        return 0
    if p.split:
        return fn_batch_of_parts(t.call, t.segs, 3 * p.n * t.call.kernels.item)
    if p.nouter and p.run_param and (last.stride[FN_W] or last.stride[FN_B]):
        return 1  # each group has a vector of parameters
    if t.in_turn:
        return FN_BATCH
    return fn_batch(2 * t.n * t.call.kernels.item, l2_bytes())


cdef int backward(fn_call *c) noexcept nogil:
    """dx (unless there is none) and the parameters' gradients (where wanted); -1: no memory."""
    cdef const fn_plan *p = c.plan
    cdef job t
    cdef size_t tasks, threads, rounds, pieces
    cdef bint wanted = c.at[FN_DP] != NULL or c.dbias != NULL, over_pieces = False
    cdef int k
    t.call = c
    t.segs = p.segs
    t.n = p.n
    for k in range(p.nouter + p.nred, p.nouter + p.nred + p.split):
        t.segs *= <size_t>p.dims[k].len
        t.n /= <size_t>p.dims[k].len
    t.cut = fn_cut_rows(t.segs, t.n)
    t.per_seg = not p.run_param and (p.split > 0 or p.red_param)
    t.slots = t.segs * t.cut.per_seg if t.per_seg else t.cut.count
    t.in_turn = runs_in_turn(&t)
    t.batch = batch_of(&t)
    if wanted and p.run_param:
        return vector_gradients(&t)

    threads = <size_t>c.threads
    pieces = p.groups * t.cut.count
    if threads > 1 and t.cut.count > 1:
        # Whole groups leave threads idle when they do not fill the last round.
        rounds = (p.groups + threads - 1) / threads
        over_pieces = 3 * rounds * threads > 4 * p.groups
    t.groups_per_task = p.groups if threads == 1 else max(
        <size_t>1, p.groups / (threads * TASKS_PER_THREAD))
    tasks = (p.groups + t.groups_per_task - 1) / t.groups_per_task
    t.sums = NULL
    t.spare = <sums_t *>malloc(
        (p.groups * t.slots if wanted or over_pieces else tasks * (t.slots + APART))
        * sizeof(sums_t))
    if t.spare == NULL:
        return -1
    if wanted or over_pieces:
        t.sums = t.spare
    if over_pieces:
        if wanted or needs_sums(c):
            parallel_for(<Py_ssize_t>pieces, sums_task, &t, c.threads)
        if c.at[FN_Y] != NULL:
            parallel_for(<Py_ssize_t>pieces, combine_task, &t, c.threads)
    else:
        parallel_for(<Py_ssize_t>tasks, batch_task if t.batch else group_task, &t, c.threads)
    if wanted:
        uniform_gradients(&t)
    free(t.spare)
    return 0
