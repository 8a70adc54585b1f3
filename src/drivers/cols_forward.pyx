# SPDX-License-Identifier: BSD-3-Clause
"""Forward, cols layout: columns are kept, rows are reduced (channels last, axis=1, folded maps).

over tiles    each task takes a tile of columns: all its rows' statistics, then its output, which is
              one read of memory where the tile's rows fit L2.
over pieces   fewer tiles than threads: pieces of rows of every tile are summed in parallel,
              merged in order, then normalized in parallel.
"""

from libc.stdlib cimport free, malloc

from fastnorm._core.call cimport fn_call
from fastnorm._core.cols_statistics cimport (
    piece_moments, put_statistics, scratch_bytes, tile_at, tile_t,
)
from fastnorm._core.cols_write cimport write_columns
from fastnorm._core.columns cimport fn_columns_merge, fn_cut_cols, fn_grid
from fastnorm._core.plan cimport FN_X, FN_Y, fn_plan, fn_walk, fn_walk_start
from fastnorm._core.summands cimport add_block
from fastnorm._core.threads cimport parallel_for

cdef enum:
    TASKS_PER_THREAD = 8
    ROW_TASKS = 2  # a thread: each makes the coefficients of all columns again

ctypedef struct job:
    fn_call *call
    fn_grid grid
    size_t tiles           # of all outer indices
    size_t per_task        # tiles of a task
    size_t row_tasks       # over pieces: tasks that share a tile's rows in the second region
    char *scratch          # of every task
    size_t scratch_size
    size_t piece_tasks     # over pieces: tasks of the first region
    double *parts          # over pieces: means, lows and M2s of every piece of every tile


cdef inline void columns_of(const job *t, size_t tile, size_t *j, size_t *width) noexcept nogil:
    j[0] = tile % t.grid.tiles * t.grid.width
    width[0] = min(t.grid.width, t.call.plan.n - j[0])


cdef inline size_t rows_of(const job *t, size_t piece) noexcept nogil:
    return min(t.grid.rows, t.call.plan.segs - piece * t.grid.rows)


cdef void merge(const job *t, size_t piece, size_t width, const tile_t *tile, const double *mean,
                const double *low, const double *m2) noexcept nogil:
    """Fold the statistics of one piece into those of the pieces before it."""
    cdef size_t fold = t.call.plan.fold
    fn_columns_merge(width / fold, <double>(piece * t.grid.rows * fold),
                     <double>(rows_of(t, piece) * fold), tile.mean, tile.low, tile.m2, mean, low,
                     m2)


cdef void find_piece(const job *t, const Py_ssize_t *outer, size_t piece, size_t j, size_t width,
                     tile_t *tile) noexcept nogil:
    """The statistics of one piece of rows, whose x is made first where it is a sum."""
    cdef const fn_call *c = t.call
    cdef size_t row = piece * t.grid.rows
    if c.summed:
        add_block(c, outer, row, rows_of(t, piece), j, width)
    piece_moments(c, c.at[FN_X] + outer[FN_X], row, rows_of(t, piece), j, width, tile)


cdef void tile_task(void *context, Py_ssize_t task) noexcept nogil:
    """Over tiles: statistics of a tile, then its output."""
    cdef job *t = <job *>context
    cdef const fn_call *c = t.call
    cdef size_t n = <size_t>task * t.per_task, stop = min(n + t.per_task, t.tiles)
    cdef size_t j, width, piece
    cdef tile_t tile = tile_at(t.scratch + <size_t>task * t.scratch_size, t.grid.width), first
    cdef fn_walk outer
    while n < stop:
        columns_of(t, n, &j, &width)
        fn_walk_start(&outer, c.plan.dims, c.plan.nouter, n / t.grid.tiles)
        if not c.given:
            first = tile  # the first piece becomes the total
            first.piece_mean = tile.mean
            first.piece_low = tile.low
            first.piece_m2 = tile.m2
            find_piece(t, outer.off, 0, j, width, &first)
            for piece in range(1, t.grid.pieces):
                find_piece(t, outer.off, piece, j, width, &tile)
                merge(t, piece, width, &tile, tile.piece_mean, tile.piece_low, tile.piece_m2)
            put_statistics(c, outer.off, j, width, &tile)
        if c.at[FN_Y] != NULL:
            write_columns(c, outer.off, j, width, 0, c.plan.segs, &tile)
        n += 1
    if c.stream:
        c.kernels.fence()


cdef void pieces_task(void *context, Py_ssize_t task) noexcept nogil:
    """Over pieces, first region: the statistics of some pieces of rows, tile by tile."""
    cdef job *t = <job *>context
    cdef const fn_call *c = t.call
    cdef size_t pieces = t.tiles * t.grid.pieces, wide = t.grid.width, j, width, row
    cdef size_t n = <size_t>task * pieces / t.piece_tasks
    cdef size_t stop = (<size_t>task + 1) * pieces / t.piece_tasks
    cdef tile_t tile = tile_at(t.scratch + <size_t>task * t.scratch_size, wide)
    cdef fn_walk outer
    while n < stop:
        columns_of(t, n / t.grid.pieces, &j, &width)
        row = n % t.grid.pieces
        fn_walk_start(&outer, c.plan.dims, c.plan.nouter, n / t.grid.pieces / t.grid.tiles)
        tile.piece_mean = t.parts + 3 * n * wide
        tile.piece_low = tile.piece_mean + wide
        tile.piece_m2 = tile.piece_low + wide
        find_piece(t, outer.off, row, j, width, &tile)
        n += 1


cdef void merge_task(void *context, Py_ssize_t task) noexcept nogil:
    """Over pieces, in between: the pieces of one tile, merged in order."""
    cdef job *t = <job *>context
    cdef const fn_call *c = t.call
    cdef size_t wide = t.grid.width, piece, j, width
    cdef double *part = t.parts + 3 * <size_t>task * t.grid.pieces * wide
    cdef tile_t tile = tile_at(t.scratch + <size_t>task * t.scratch_size, wide)
    cdef fn_walk outer
    columns_of(t, <size_t>task, &j, &width)
    fn_walk_start(&outer, c.plan.dims, c.plan.nouter, <size_t>task / t.grid.tiles)
    tile.mean = part  # the first piece becomes the total
    tile.low = part + wide
    tile.m2 = part + 2 * wide
    for piece in range(1, t.grid.pieces):
        part += 3 * wide
        merge(t, piece, width, &tile, part, part + wide, part + 2 * wide)
    put_statistics(c, outer.off, j, width, &tile)


cdef void apply_task(void *context, Py_ssize_t task) noexcept nogil:
    """Over pieces, second region: the output of some rows of one tile."""
    cdef job *t = <job *>context
    cdef const fn_call *c = t.call
    cdef size_t n = <size_t>task / t.row_tasks, part = <size_t>task % t.row_tasks, j, width
    cdef tile_t tile = tile_at(t.scratch + <size_t>task * t.scratch_size, t.grid.width)
    cdef fn_walk outer
    columns_of(t, n, &j, &width)
    fn_walk_start(&outer, c.plan.dims, c.plan.nouter, n / t.grid.tiles)
    write_columns(c, outer.off, j, width, part * c.plan.segs / t.row_tasks,
                  (part + 1) * c.plan.segs / t.row_tasks, &tile)
    if c.stream:
        c.kernels.fence()


cdef int forward(fn_call *c) noexcept nogil:
    """Statistics (unless given) and output (unless there is none) of a cols plan; -1: no memory."""
    cdef const fn_plan *p = c.plan
    cdef job t
    cdef size_t threads, rounds, tasks, pieces
    cdef bint over_pieces = False
    t.call = c
    t.grid = fn_cut_cols(p)
    t.tiles = p.groups * t.grid.tiles
    t.scratch_size = scratch_bytes(t.grid.width)
    threads = <size_t>c.threads
    pieces = t.tiles * t.grid.pieces
    if threads > 1:
        # Whole tiles leave threads idle when they do not fill the last round.
        rounds = (t.tiles + threads - 1) / threads
        over_pieces = 3 * rounds * threads > 4 * t.tiles and pieces > t.tiles
    t.per_task = t.tiles if threads == 1 else max(
        <size_t>1, t.tiles / (threads * TASKS_PER_THREAD))
    tasks = (t.tiles + t.per_task - 1) / t.per_task
    t.parts = NULL
    if over_pieces:
        t.piece_tasks = min(pieces, threads * TASKS_PER_THREAD)
        t.row_tasks = min(p.segs, (threads * ROW_TASKS + t.tiles - 1) / t.tiles)
        tasks = max(t.piece_tasks, t.tiles * t.row_tasks)
        if not c.given:
            t.parts = <double *>malloc(3 * pieces * t.grid.width * sizeof(double))
    t.scratch = <char *>malloc(t.scratch_size * tasks)
    if t.scratch == NULL or (over_pieces and not c.given and t.parts == NULL):
        free(t.scratch)
        free(t.parts)
        return -1
    if over_pieces:
        if not c.given:
            parallel_for(<Py_ssize_t>t.piece_tasks, pieces_task, &t, c.threads)
            parallel_for(<Py_ssize_t>t.tiles, merge_task, &t, c.threads)
        if c.at[FN_Y] != NULL:
            parallel_for(<Py_ssize_t>(t.tiles * t.row_tasks), apply_task, &t, c.threads)
    else:
        parallel_for(<Py_ssize_t>tasks, tile_task, &t, c.threads)
    free(t.scratch)
    free(t.parts)
    return 0
