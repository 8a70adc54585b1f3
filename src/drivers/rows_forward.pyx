# SPDX-License-Identifier: BSD-3-Clause
"""Forward, rows layout: the reduced run is contiguous (layer, RMS, instance norm, batch norm NCHW).

A group is the values of one statistic: `segs` runs of `n`. It is summed piece by piece, the pieces
are merged in order, and then it is normalized while it still sits in cache.

Three strategies, chosen in `forward`; results are the same:

in batches    groups of one contiguous run each, of runs that lie beside those of the next group
              (channels of an image), or of few runs with parameters of their own: some at once.
over groups   each task takes whole groups: one read of memory where a group fits L2.
over pieces   few large groups: all pieces of all groups are summed in parallel, then normalized in
              parallel; two parallel regions.
"""

from libc.stdlib cimport free, malloc

from fastnorm._core.call cimport (
    FN_BATCH, fn_ask_ahead, fn_batch, fn_batch_of_parts, fn_batch_of_runs, fn_call, fn_cut,
    fn_cut_rows, fn_merge, fn_moment, fn_piece, fn_span,
)
from fastnorm._core.dispatch cimport (
    FN_AHEAD, FN_ROW_BLOCK, fn_terms, from_memory, l2_bytes, streams,
)
from fastnorm._core.plan cimport (
    FN_S, FN_TERM, FN_X, FN_Y, fn_dim, fn_plan, fn_walk, fn_walk_next, fn_walk_start,
)
from fastnorm._core.rows_normalize cimport in_turn, normalize_rows
from fastnorm._core.rows_statistics cimport batch_moments, piece_moments, put_statistics
from fastnorm._core.rows_write cimport write_rows, write_span
from fastnorm._core.summands cimport add_piece, add_rows, terms_of
from fastnorm._core.threads cimport parallel_for

cdef enum:
    TASKS_PER_THREAD = 8
    RUN = 16384  # bytes of a run in memory that is so short that its neighbour is best read next
    NARROW = 512   # bytes of a run beside which others lie that had better be read with it
    BESIDE = 16  # rows that go the usual way beside one that must be summed in double

ctypedef struct job:
    fn_call *call
    fn_cut cut           # of the statistics: segs runs of n
    fn_cut apply_cut     # of the output: runs along which parameters are of one kind
    size_t apply_segs
    size_t apply_n
    size_t groups_per_task
    size_t batch         # groups taken at once; 0: not in batches
    bint sampled         # of a batch, a row is sampled just before its sums
    size_t tile          # groups along the last axis of which all others' come next; 0: all of them
    bint in_turn         # a row of a batch is written while the next is summed
    fn_moment *parts     # over pieces: one per piece


cdef void apply(const job *t, const Py_ssize_t *group, size_t piece,
                Py_ssize_t ahead) noexcept nogil:
    """Normalize one piece of a group by its statistics; ahead: bytes to the next group."""
    cdef fn_span span = fn_piece(&t.apply_cut, t.apply_segs, t.apply_n, piece)
    write_span(t.call, group, &span, ahead)


cdef size_t in_tiles(const job *t, size_t place, size_t *rows) noexcept nogil:
    """The group at a place in the order of tiles; rows: how many follow it along the last axis."""
    cdef const fn_plan *p = t.call.plan
    cdef size_t len = <size_t>p.dims[p.nouter - 1].len, others = p.groups / len
    cdef size_t first = place / (t.tile * others) * t.tile
    cdef size_t high = min(t.tile, len - first), inside = place - first * others
    rows[0] = high - inside % high
    return inside / high * len + first + inside % high


cdef void batch_task(void *context, Py_ssize_t task) noexcept nogil:
    """In batches: statistics of some groups, then their output, batch after batch."""
    cdef job *t = <job *>context
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *last = NULL
    cdef const fn_dim *along = NULL
    cdef const fn_dim *down = p.dims + p.nouter if p.nred else NULL
    cdef size_t parts = t.apply_segs if p.split else 1
    cdef size_t g = <size_t>task * t.groups_per_task, rows = 1, at_g = 0, follow = 0
    cdef size_t stop = min(g + t.groups_per_task, p.groups)
    cdef Py_ssize_t ahead = 0, step_s = 0, step_x = 0
    cdef size_t row_bytes = p.n * c.kernels.item, done
    cdef bint near = False, made
    cdef fn_terms terms
    cdef fn_walk at
    if p.nouter:
        last = p.dims + p.nouter - 1
        along = last + 1 if p.split else last
        step_s = last.stride[FN_S]
        step_x = last.stride[FN_X]
        near = p.nred == 0 and fn_ask_ahead(
            last.stride[FN_TERM] if c.summed else step_x, row_bytes, t.batch * row_bytes, c.stream,
            l2_bytes())
    while g < stop:
        at_g = g
        if t.tile:
            at_g = in_tiles(t, g, &follow)
        elif last != NULL:
            follow = <size_t>last.len - g % <size_t>last.len
        fn_walk_start(&at, p.dims, p.nouter, at_g)
        if last != NULL:
            rows = min(min(t.batch, stop - g), follow)
            if t.in_turn:
                done = normalize_rows(c, at.off, last, rows)
                g += done
                if done:
                    continue
                rows = min(rows, <size_t>BESIDE)
            # The next batch is fetched while this one is worked on, of a sum its first term; of
            # groups of short runs in memory the next run.
            ahead = 0
            if down != NULL and c.stream and row_bytes < <size_t>FN_AHEAD:
                ahead = down.stride[FN_X]
            if near and g + 2 * rows <= stop:
                ahead = <Py_ssize_t>rows * step_x
                if c.summed:
                    ahead = <Py_ssize_t>rows * last.stride[FN_TERM] + (
                        c.at[FN_TERM] + at.off[FN_TERM] - (c.at[FN_X] + at.off[FN_X]))
        made = c.summed and not c.given and terms_of(c, at.off, last, &terms)
        if c.summed and not made:
            add_rows(c, at.off, last, rows, 0, p.n)
        if not c.given:
            batch_moments(c, &t.cut, c.at[FN_X] + at.off[FN_X], step_x,
                          &terms if made else NULL, t.sampled, rows, at.off[FN_S],
                          step_s, ahead)
        if c.at[FN_Y] != NULL:
            write_rows(c, at.off, along, rows * parts, down, step_s, parts, 0, t.apply_n,
                       0 if p.nred else ahead)
        g += rows
    if c.stream:
        c.kernels.fence()


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
                if c.summed:
                    add_piece(c, at.off, &t.cut, piece)
                fn_merge(&m, piece_moments(c, &t.cut, c.at[FN_X] + at.off[FN_X], piece, ahead))
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
    if t.call.summed:
        add_piece(t.call, at.off, &t.cut, <size_t>task % t.cut.count)
    t.parts[task] = piece_moments(t.call, &t.cut, t.call.at[FN_X] + at.off[FN_X],
                                  <size_t>task % t.cut.count, 0)


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


cdef size_t bytes_of(const job *t) noexcept nogil:
    """Bytes of x and, where it is another array, y."""
    cdef const fn_call *c = t.call
    cdef size_t arrays = 1 if c.at[FN_Y] == NULL or c.at[FN_Y] == c.at[FN_X] else 2
    return arrays * c.plan.groups * c.plan.count * c.kernels.item


cdef size_t batch_of(const job *t) noexcept nogil:
    """Groups to take at once; 0: not in batches."""
    cdef const fn_plan *p = t.call.plan
    cdef size_t room = l2_bytes() / 2  # the other half is left to y
    cdef bint once
    if not p.whole:
        return 0
    if p.split:
        return 0 if t.cut.count > 1 else fn_batch_of_parts(
            t.call, t.apply_segs, 2 * p.n * t.call.kernels.item)
    if p.nred:
        if t.call.summed or t.cut.per_seg > 1 or not (
                t.call.at[FN_Y] == NULL or p.direct[FN_Y]):
            return 0
        # Memory is gone through in its order, where that is once, or no last level has it.
        once = t.call.given or t.call.at[FN_Y] == NULL
        if p.n * t.call.kernels.item <= <size_t>RUN and (once or from_memory(bytes_of(t))):
            room = <size_t>-1
        return fn_batch_of_runs(p, t.call.kernels.item, p.count * t.call.kernels.item, room)
    if t.cut.count > 1:
        return 0
    return fn_batch(p.n * t.call.kernels.item, l2_bytes())


cdef void forward(fn_call *c) noexcept nogil:
    """Statistics (unless given) and output (unless there is none) of a rows plan."""
    cdef const fn_plan *p = c.plan
    cdef job t
    cdef size_t i, threads, rounds
    cdef const fn_dim *last
    t.call = c
    t.cut = fn_cut_rows(p.segs, p.n)
    t.apply_segs = p.segs
    t.apply_n = p.n
    for i in range(<size_t>p.split):
        t.apply_segs *= <size_t>p.dims[p.nouter + p.nred + <int>i].len
        t.apply_n /= <size_t>p.dims[p.nouter + p.nred + <int>i].len
    t.apply_cut = fn_cut_rows(t.apply_segs, t.apply_n)
    t.batch = batch_of(&t)
    t.sampled = (p.nred == 0 and p.n <= <size_t>FN_ROW_BLOCK and
                 p.n * c.kernels.item >= <size_t>FN_AHEAD and
                 streams(bytes_of(&t), c.threads))
    t.tile = 0
    if t.batch and p.nouter > 1 and p.n * c.kernels.item < <size_t>NARROW:
        last = p.dims + p.nouter - 1
        t.tile = max(<size_t>BESIDE, l2_bytes() / 2
                     / (p.groups / <size_t>last.len * p.n * c.kernels.item))
        # Where the rows of the last axis follow each other, or are few, they go in their order.
        if last.stride[FN_X] == <Py_ssize_t>(p.n * c.kernels.item) or (
                t.tile >= <size_t>last.len):
            t.tile = 0
    t.in_turn = t.batch > 1 and in_turn(c)
    if t.in_turn:
        t.batch = FN_BATCH
    threads = <size_t>c.threads
    if threads > 1 and t.cut.count > 1:
        # Whole groups leave threads idle when they do not fill the last round.
        rounds = (p.groups + threads - 1) / threads
        if 3 * rounds * threads > 4 * p.groups and over_pieces(&t) == 0:
            return
    t.groups_per_task = p.groups if threads == 1 else max(
        <size_t>1, p.groups / (threads * TASKS_PER_THREAD))
    parallel_for(<Py_ssize_t>((p.groups + t.groups_per_task - 1) / t.groups_per_task),
                 batch_task if t.batch else group_task, &t, c.threads)
