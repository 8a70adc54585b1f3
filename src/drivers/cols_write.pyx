# SPDX-License-Identifier: BSD-3-Clause
"""What columns become when their statistics are known, as in rows_write.pyx. Parameters of columns
enter with their statistics, those of rows in the kernel.
"""

from fastnorm._core.call cimport (
    FN_GATHER, fn_call, fn_gather, fn_run_buffer, fn_scatter, fn_write,
)
from fastnorm._core.cols_statistics cimport centre_columns, read_rows, tile_t
from fastnorm._core.dispatch cimport FN_ROW_BLOCK, fn_centre, fn_memory, fn_param
from fastnorm._core.plan cimport (
    FN_B, FN_DY, FN_W, FN_X, FN_Y, fn_dim, fn_plan, fn_walk, fn_walk_start,
)


cdef void write_columns(const fn_call *c, const Py_ssize_t *outer, size_t j, size_t width,
                        size_t row0, size_t row1, tile_t *tile) noexcept nogil:
    """What rows [row0, row1) of a tile become; tile: room, its statistics are read once more."""
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *red = p.dims + p.nouter
    cdef const fn_dim *run = red + p.nred
    cdef size_t item = c.kernels.item, real = c.kernels.real, row = row0, rows, at, take
    cdef bint by_row = p.red_param and (c.at[FN_W] != NULL or c.at[FN_B] != NULL)
    cdef bint both = by_row and p.run_param
    cdef bint even = p.even and p.direct[FN_X] and p.direct[FN_Y] and (
        not c.slope or p.direct[FN_DY])
    cdef fn_run_buffer xs
    cdef fn_run_buffer dys
    cdef fn_run_buffer ys
    cdef fn_run_buffer ws
    cdef fn_run_buffer bs
    cdef const char *x = c.at[FN_X] + outer[FN_X]
    cdef const char *dy = NULL
    cdef char *y = c.at[FN_Y] + outer[FN_Y]
    cdef Py_ssize_t step_x = 0, step_y = 0, step_dy = 0
    cdef fn_centre centre = fn_centre(tile.hi, tile.r, tile.m, False, 0)
    cdef fn_param param = fn_param(NULL, NULL, by_row and not both)
    cdef fn_memory memory = fn_memory(c.stream and p.direct[FN_Y], 0, 0)
    cdef fn_walk walk
    centre_columns(c, outer, j, width, not by_row, tile)
    if even and p.nred:
        step_x = red.stride[FN_X]
        step_y = red.stride[FN_Y]
        step_dy = red.stride[FN_DY]
    fn_walk_start(&walk, red, p.nred, row0)
    while row < row1:
        rows = 1
        if even and not both:  # rows in one call, as many as parameters of rows fit their buffer
            rows = min(row1 - row, <size_t>FN_ROW_BLOCK) if by_row else row1 - row
        if param.by_row:
            read_rows(c, outer, FN_W, row, rows, 1, ws)
            read_rows(c, outer, FN_B, row, rows, 0, bs)
            param.w = ws
            param.b = bs
        at = 0
        while at < width:
            take = width - at if even and not both else min(<size_t>FN_GATHER, width - at)
            centre.hi = tile.hi + at * real
            centre.r = tile.r + at * real
            centre.m = tile.m + at * real
            if both and c.at[FN_W] != NULL:
                fn_gather(ws, c.at[FN_W] + outer[FN_W] + walk.off[FN_W], run, p.nrun, FN_W, j + at,
                          take, real)
                param.w = ws
            if both and c.at[FN_B] != NULL:
                fn_gather(bs, c.at[FN_B] + outer[FN_B] + walk.off[FN_B], run, p.nrun, FN_B, j + at,
                          take, real)
                param.b = bs
            if not p.direct[FN_X]:
                fn_gather(xs, x + walk.off[FN_X], run, p.nrun, FN_X, j + at, take, item)
            if c.slope:
                dy = c.at[FN_DY] + outer[FN_DY] + walk.off[FN_DY] + (j + at) * item
                if not p.direct[FN_DY]:
                    fn_gather(dys, c.at[FN_DY] + outer[FN_DY] + walk.off[FN_DY], run, p.nrun, FN_DY,
                              j + at, take, item)
                    dy = dys
            fn_write(c, y + walk.off[FN_Y] + (j + at) * item if p.direct[FN_Y] else ys, step_y,
                     x + walk.off[FN_X] + (j + at) * item if p.direct[FN_X] else xs, step_x, dy,
                     step_dy, rows, take, &centre, &param, &memory)
            if not p.direct[FN_Y]:
                fn_scatter(ys, y + walk.off[FN_Y], run, p.nrun, FN_Y, j + at, take, item)
            at += take
        row += rows
        if row < row1:
            fn_walk_start(&walk, red, p.nred, row)
