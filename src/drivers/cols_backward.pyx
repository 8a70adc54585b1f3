# SPDX-License-Identifier: BSD-3-Clause
"""Backward, cols layout: which task computes what.

over tiles    each task takes tiles of columns: both sums down all rows, then dx of the tile.
over pieces   fewer tiles than threads: pieces of rows of every tile are summed in parallel,
              added up in order, then dx is formed in parallel.

The gradients of the parameters are added up at the end, in order, from what the tiles left.
"""

from libc.stdlib cimport free, malloc
from libc.string cimport memset

from fastnorm._core.call cimport fn_call, fn_scatter_add_pairs
from fastnorm._core.cols_gradient cimport (
    block_sums, combine, element_gradients, fixed_rows, job, leave_sums, row_gradients, slopes,
)
from fastnorm._core.cols_statistics cimport (
    centre_columns, fold_param, kept_dims, scratch_bytes, tile_at, tile_t,
)
from fastnorm._core.cols_write cimport write_columns
from fastnorm._core.columns cimport fn_columns_add, fn_columns_add_product, fn_cut_cols
from fastnorm._core.plan cimport (
    FN_DP, FN_NOPS, FN_W, FN_Y, fn_plan, fn_walk, fn_walk_next, fn_walk_start,
)
from fastnorm._core.threads cimport parallel_for

cdef enum:
    TASKS_PER_THREAD = 8
    ROW_TASKS = 2  # a thread: each makes the coefficients of all columns again


cdef inline void columns_of(const job *t, size_t tile, size_t *j, size_t *width) noexcept nogil:
    j[0] = tile % t.grid.tiles * t.grid.width
    width[0] = min(t.grid.width, t.call.plan.n - j[0])


cdef void start_tile(const job *t, size_t n, Py_ssize_t *outer, size_t *j, size_t *width,
                     tile_t *tile) noexcept nogil:
    """Find tile n, and make its coefficients: all of them where the statistics are constants."""
    cdef const fn_call *c = t.call
    cdef int op
    cdef fn_walk at
    columns_of(t, n, j, width)
    fn_walk_start(&at, c.plan.dims, c.plan.nouter, n / t.grid.tiles)
    for op in range(FN_NOPS):
        outer[op] = at.off[op]
    centre_columns(c, outer, j[0], width[0], False, tile)
    memset(tile.s1, 0, width[0] * sizeof(double))
    memset(tile.s2, 0, width[0] * sizeof(double))
    if c.fixed:
        slopes(t, outer, j[0], width[0], tile)


cdef void add_piece(const job *t, const Py_ssize_t *outer, size_t piece, size_t j, size_t width,
                    tile_t *tile, double *s1, double *s2) noexcept nogil:
    """The sums of one piece of rows, set into s1 and s2; its dx too if that needs no sums.

    Where dy has yet to be multiplied by the slope of an activation, the piece is first.
    """
    cdef size_t row0 = piece * t.grid.rows, rows = min(t.grid.rows, t.call.plan.segs - row0)
    cdef tile_t room
    if t.call.slope:
        room = tile_at(<char *>tile.s1 + scratch_bytes(t.grid.width), t.grid.width)
        write_columns(t.call, outer, j, width, row0, row0 + rows, &room)
    memset(s1, 0, width * sizeof(double))
    memset(s2, 0, width * sizeof(double))
    if t.call.fixed:
        fixed_rows(t, outer, row0, rows, j, width, tile, s1, s2)
    else:
        block_sums(t, outer, row0, rows, j, width, tile, s1, s2)


cdef void finish_tile(const job *t, const Py_ssize_t *outer, size_t n, size_t j, size_t width,
                      bint leave, tile_t *tile) noexcept nogil:
    """With the sums of a tile complete: leave what the parameters need, and make a, b and c."""
    fn_columns_add_product(width, tile.low, tile.s1, tile.s2)
    if leave and t.column_sums != NULL:
        leave_sums(t, n, j, width, tile)
    if not t.call.fixed:
        slopes(t, outer, j, width, tile)


cdef void tile_task(void *context, Py_ssize_t task) noexcept nogil:
    """Over tiles: sums, then dx, tile after tile."""
    cdef job *t = <job *>context
    cdef const fn_call *c = t.call
    cdef size_t n = <size_t>task * t.per_task, stop = min(n + t.per_task, t.tiles)
    cdef size_t j, width, piece
    cdef tile_t tile = tile_at(t.scratch + <size_t>task * t.scratch_size, t.grid.width)
    cdef Py_ssize_t outer[8]
    while n < stop:
        start_tile(t, n, outer, &j, &width, &tile)
        for piece in range(t.grid.pieces if c.c0 == NULL else 0):
            add_piece(t, outer, piece, j, width, &tile, tile.piece_mean, tile.piece_m2)
            fn_columns_add(width, tile.piece_mean, tile.s1)
            fn_columns_add(width, tile.piece_m2, tile.s2)
        finish_tile(t, outer, n, j, width, True, &tile)
        if t.row_sums != NULL:
            row_gradients(t, outer, n, j, width, &tile)
        elif t.by_row:
            element_gradients(t, outer, j, width, &tile)
        if c.at[FN_Y] != NULL and not c.fixed:
            combine(t, outer, j, width, 0, c.plan.segs, &tile)
        n += 1
    if c.stream:
        c.kernels.fence()


cdef void pieces_task(void *context, Py_ssize_t task) noexcept nogil:
    """Over pieces, first region: the sums of some pieces of rows."""
    cdef job *t = <job *>context
    cdef size_t pieces = t.tiles * t.grid.pieces, wide = t.grid.width, j, width
    cdef size_t n = <size_t>task * pieces / t.piece_tasks
    cdef size_t stop = (<size_t>task + 1) * pieces / t.piece_tasks
    cdef double *out
    cdef tile_t tile = tile_at(t.scratch + <size_t>task * t.scratch_size, wide)
    cdef Py_ssize_t outer[8]
    while n < stop:
        start_tile(t, n / t.grid.pieces, outer, &j, &width, &tile)
        out = t.parts + 2 * n * wide
        add_piece(t, outer, n % t.grid.pieces, j, width, &tile, out, out + wide)
        n += 1
    if t.call.fixed and t.call.stream:
        t.call.kernels.fence()


cdef void combine_task(void *context, Py_ssize_t task) noexcept nogil:
    """Over pieces, second region: dx of some rows of one tile; the first task of a tile also leaves
    what the parameters need."""
    cdef job *t = <job *>context
    cdef const fn_call *c = t.call
    cdef size_t n = <size_t>task / t.row_tasks, part = <size_t>task % t.row_tasks, j, width, _piece
    cdef size_t wide = t.grid.width
    cdef const double *sums = t.parts + 2 * n * t.grid.pieces * wide
    cdef tile_t tile = tile_at(t.scratch + <size_t>task * t.scratch_size, wide)
    cdef Py_ssize_t outer[8]
    if c.fixed and part:
        return
    start_tile(t, n, outer, &j, &width, &tile)
    for _piece in range(t.grid.pieces if c.c0 == NULL else 0):
        fn_columns_add(width, sums, tile.s1)
        fn_columns_add(width, sums + wide, tile.s2)
        sums += 2 * wide
    finish_tile(t, outer, n, j, width, part == 0, &tile)
    if c.at[FN_Y] != NULL and not c.fixed:
        combine(t, outer, j, width, part * c.plan.segs / t.row_tasks,
                (part + 1) * c.plan.segs / t.row_tasks, &tile)
    if c.stream:
        c.kernels.fence()


cdef void column_totals(const job *t) noexcept nogil:
    """Parameters per column: add up the groups' sums, outer index after outer index."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef size_t _g, groups = p.n / t.share
    cdef int ndims = p.nrun if t.share == 1 else kept_dims(p)
    cdef const double *sums = t.column_sums
    cdef fn_walk outer
    fn_walk_start(&outer, p.dims, p.nouter, 0)
    for _g in range(p.groups):
        fn_scatter_add_pairs(sums, c.dbias, c.at[FN_DP], outer.off[FN_DP],
                             p.dims + p.nouter + p.nred, ndims, FN_DP, groups)
        sums += 2 * groups
        fn_walk_next(&outer)


cdef void row_totals(const job *t) noexcept nogil:
    """Parameters per row: add up the tiles' sums in order."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef size_t n
    cdef fn_walk outer
    for n in range(t.tiles):
        fn_walk_start(&outer, p.dims, p.nouter, n / t.grid.tiles)
        fn_scatter_add_pairs(t.row_sums + 2 * n * p.segs, c.dbias, c.at[FN_DP], outer.off[FN_DP],
                             p.dims + p.nouter, p.nred, FN_DP, p.segs)


cdef bint choose(job *t, bint wanted) noexcept nogil:
    """Set the sizes of tasks; returns whether to go over pieces."""
    cdef const fn_plan *p = t.call.plan
    cdef size_t threads = <size_t>t.call.threads, rounds
    t.per_task = t.tiles if threads == 1 else max(
        <size_t>1, t.tiles / (threads * TASKS_PER_THREAD))
    if threads == 1 or t.grid.pieces == 1 or (wanted and p.red_param):
        return False
    # Whole tiles leave threads idle when they do not fill the last round.
    rounds = (t.tiles + threads - 1) / threads
    t.piece_tasks = min(t.tiles * t.grid.pieces, threads * TASKS_PER_THREAD)
    t.row_tasks = min(p.segs, (threads * ROW_TASKS + t.tiles - 1) / t.tiles)
    return 3 * rounds * threads > 4 * t.tiles


cdef int backward(fn_call *c) noexcept nogil:
    """dx (unless there is none) and the parameters' gradients (where wanted); -1: no memory."""
    cdef const fn_plan *p = c.plan
    cdef job t
    cdef bint wanted = c.at[FN_DP] != NULL or c.dbias != NULL, over_pieces, ready
    cdef size_t tasks, sums = 0
    t.call = c
    t.grid = fn_cut_cols(p)
    t.tiles = p.groups * t.grid.tiles
    t.scratch_size = scratch_bytes(t.grid.width) * (2 if c.slope else 1)
    t.by_row = wanted and p.red_param
    t.share = 1 if fold_param(p) else p.fold
    t.weight_inside = c.at[FN_W] != NULL and not p.red_param and (
        (p.fold > 1 and t.share == 1) or c.c0 != NULL)
    t.parts = t.column_sums = t.row_sums = t.sums = NULL
    if t.by_row and p.run_param:
        c.threads = 1  # several tiles add to one gradient
    over_pieces = choose(&t, wanted)
    tasks = (t.tiles + t.per_task - 1) / t.per_task
    if over_pieces:
        tasks = max(t.piece_tasks, t.tiles * t.row_tasks)
        t.parts = <double *>malloc(2 * t.tiles * t.grid.pieces * t.grid.width * sizeof(double))
    if wanted and not p.red_param:
        sums = 2 * p.groups * p.n / t.share
    elif t.by_row and not p.run_param:
        sums = 2 * t.tiles * p.segs
    if sums:
        t.sums = <double *>malloc(sums * sizeof(double))
    t.scratch = <char *>malloc(t.scratch_size * tasks)
    ready = t.scratch != NULL and (sums == 0 or t.sums != NULL) and (
        not over_pieces or t.parts != NULL)
    if ready:
        if t.by_row:
            t.row_sums = t.sums
        else:
            t.column_sums = t.sums
        if over_pieces:
            if c.c0 == NULL:
                parallel_for(<Py_ssize_t>t.piece_tasks, pieces_task, &t, c.threads)
            parallel_for(<Py_ssize_t>(t.tiles * t.row_tasks), combine_task, &t, c.threads)
        else:
            parallel_for(<Py_ssize_t>tasks, tile_task, &t, c.threads)
        if t.column_sums != NULL:
            column_totals(&t)
        if t.row_sums != NULL:
            row_totals(&t)
    free(t.scratch)
    free(t.sums)
    free(t.parts)
    return 0 if ready else -1
