# SPDX-License-Identifier: BSD-3-Clause
"""The gradient of one tile of columns: its sums, their means, its share of dweight and dbias, dx.

Parameters are of one of three kinds:

per column  (channels last): the sums of dy serve both, the weight is applied to them afterwards.
per row     (layer norm of axis=1): the weight multiplies dy in the column sums; dweight and dbias
            are sums along the rows of a tile.
both        a parameter over reduced and kept axes at once: row by row.
"""

from libc.string cimport memset

from fastnorm._core.call cimport (
    FN_GATHER, fn_block_buffer, fn_call, fn_gather, fn_run_buffer, fn_scatter, fn_scatter_add,
    fn_whole_dot,
)
from fastnorm._core.cols_statistics cimport read_columns, read_rows, read_statistic, tile_t
from fastnorm._core.columns cimport fn_columns_average, fn_columns_multiply, fn_columns_pairs
from fastnorm._core.dispatch cimport (
    FN_COL_BLOCK, FN_ROW_BLOCK, fn_centre, fn_each, fn_memory, fn_param, fn_slope,
)
from fastnorm._core.plan cimport (
    FN_DP, FN_ON, FN_W, FN_X, FN_Y, fn_dim, fn_plan, fn_walk, fn_walk_next, fn_walk_start,
)

cdef enum:
    ROWS_AT_ONCE = 64
    BAND_BYTES = 262144  # of dy, which is read twice, the second time from second-level cache
    ROW_WEIGHTS = 512  # weights of rows gathered at a time: fit a run buffer, multiple of the block


cdef void block_sums(const job *t, const Py_ssize_t *outer, size_t row0, size_t rows, size_t j,
                     size_t width, tile_t *tile, double *s1, double *s2) noexcept nogil:
    """Column sums of g and g * xh over rows [row0, row0 + rows), added to s1 and s2."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *red = p.dims + p.nouter
    cdef const fn_dim *run = red + p.nred
    cdef size_t item = c.kernels.item, real = c.kernels.real, at, take, start, block, i
    cdef fn_block_buffer xs
    cdef fn_block_buffer dys
    cdef fn_run_buffer ws
    cdef const char *x = c.at[FN_X] + outer[FN_X]
    cdef const char *dy = c.at[c.dz] + outer[c.dz]
    cdef const char *w = NULL
    cdef bint by_row = p.red_param and c.at[FN_W] != NULL, both = by_row and p.run_param
    cdef size_t step = 1 if both else FN_COL_BLOCK
    cdef Py_ssize_t ldx = 0, lddy = 0
    cdef fn_centre centre = fn_centre(tile.hi, tile.r, tile.m, False, 0)
    cdef fn_param param = fn_param(NULL, NULL, not both)
    cdef fn_walk walk
    if by_row:
        w = c.at[FN_W] + outer[FN_W]
        param.w = ws
    if p.even and p.direct[FN_X] and p.direct[c.dz] and not both:
        if p.nred:
            ldx = red.stride[FN_X]
            lddy = red.stride[c.dz]
        start = 0
        while start < rows:
            block = min(<size_t>ROW_WEIGHTS, rows - start) if by_row else rows
            if by_row:
                fn_gather(ws, w, red, p.nred, FN_W, row0 + start, block, real)
            c.kernels.grad_sums_cols(
                x + <Py_ssize_t>(row0 + start) * ldx + <Py_ssize_t>(j * item), ldx,
                dy + <Py_ssize_t>(row0 + start) * lddy + <Py_ssize_t>(j * item), lddy, block, width,
                &centre, &param, s1, s2)
            start += block
        return
    at = 0
    while at < width:
        take = min(<size_t>FN_GATHER, width - at)
        centre.hi = tile.hi + at * real
        centre.r = tile.r + at * real
        fn_walk_start(&walk, red, p.nred, row0)
        start = 0
        while start < rows:
            block = min(step, rows - start)
            if both:
                fn_gather(ws, w + walk.off[FN_W], run, p.nrun, FN_W, j + at, take, real)
            elif by_row:
                fn_gather(ws, w, red, p.nred, FN_W, row0 + start, block, real)
            for i in range(block):
                fn_gather(xs + i * FN_GATHER * item, x + walk.off[FN_X], run, p.nrun, FN_X, j + at,
                          take, item)
                fn_gather(dys + i * FN_GATHER * item, dy + walk.off[c.dz], run, p.nrun, c.dz,
                          j + at, take, item)
                fn_walk_next(&walk)
            c.kernels.grad_sums_cols(
                xs, FN_GATHER * item, dys, FN_GATHER * item, block, take, &centre, &param, s1 + at,
                s2 + at)
            start += block
        at += take


cdef void leave_sums(const job *t, size_t n, size_t j, size_t width,
                     const tile_t *tile) noexcept nogil:
    """What the parameters need of a tile's column sums; n: the number of the tile."""
    fn_columns_pairs(width, t.share, tile.s1, tile.s2,
                     t.column_sums + 2 * ((n / t.grid.tiles * t.call.plan.n + j) / t.share))


cdef void slopes(const job *t, const Py_ssize_t *outer, size_t j, size_t width,
                 tile_t *tile) noexcept nogil:
    """a, b and c from a tile's column sums, which are zero where the statistics are constants, or
    from the means where these are given."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    if c.at[FN_W] != NULL and not p.red_param:
        read_columns(c, outer, FN_W, j, width, tile.mean, tile.weight)
        if t.weight_inside:  # and in the means that are given
            fn_columns_multiply(width, tile.weight, tile.s1)
            fn_columns_multiply(width, tile.weight, tile.s2)
            c.kernels.narrow(width, tile.weight, tile.w)
        else:
            fn_columns_multiply(width, tile.weight, tile.m2)
    if c.c0 != NULL:
        read_statistic(c, outer, c.c0, j, width, tile.mean, tile.s1)
        read_statistic(c, outer, c.c1, j, width, tile.mean, tile.s2)
    else:
        fn_columns_average(width, p.fold, <double>p.count, tile.s1)
        fn_columns_average(width, p.fold, <double>p.count, tile.s2)
        if c.raw:
            memset(tile.s1, 0, width * sizeof(double))
    c.kernels.slopes(width, tile.m2, tile.low, fn_each(NULL, 0),
                     fn_each(<char *>tile.s1, sizeof(double)),
                     fn_each(<char *>tile.s2, sizeof(double)), tile.a, tile.b, tile.c)


cdef void fixed_rows(const job *t, const Py_ssize_t *outer, size_t row0, size_t rows, size_t j,
                     size_t width, tile_t *tile, double *s1, double *s2) noexcept nogil:
    """Both sums and dx of some rows where dx does not wait for the sums: dy is read once.

    The statistics are constants, and a, b, c are set. Some rows at a time, in whole blocks of the
    kernel, so that the sums are those of `block_sums`.
    """
    cdef const fn_call *c = t.call
    cdef size_t stop = row0 + rows, band
    cdef size_t most = BAND_BYTES / (width * c.kernels.item) / FN_COL_BLOCK * FN_COL_BLOCK
    while row0 < stop:
        band = min(max(most, <size_t>FN_COL_BLOCK), stop - row0)
        if t.column_sums != NULL:
            block_sums(t, outer, row0, band, j, width, tile, s1, s2)
        if c.at[FN_Y] != NULL:
            combine(t, outer, j, width, row0, row0 + band, tile)
        row0 += band


cdef void row_gradients(const job *t, const Py_ssize_t *outer, size_t n, size_t j, size_t width,
                        const tile_t *tile) noexcept nogil:
    """Per row: sums of dy and dy * xh along a tile, for every row."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *red = p.dims + p.nouter
    cdef const fn_dim *run = red + p.nred
    cdef size_t item = c.kernels.item, real = c.kernels.real, row = 0, rows = 1, at, take, q
    cdef bint direct = p.direct[FN_X] and p.direct[c.dz], even = direct and p.even
    cdef Py_ssize_t ldx = 0, lddy = 0
    cdef fn_run_buffer xs
    cdef fn_run_buffer dys
    cdef double s1[64]
    cdef double s2[64]
    cdef const char *x
    cdef const char *dy
    cdef double *out = t.row_sums + 2 * n * p.segs
    cdef fn_memory memory = fn_memory(False, 0, 0)
    cdef fn_centre centre
    cdef fn_walk walk
    if even and p.nred:
        ldx = red.stride[FN_X]
        lddy = red.stride[c.dz]
    while row < p.segs:
        rows = min(p.segs - row, <size_t>ROWS_AT_ONCE) if even else 1
        memset(s1, 0, rows * sizeof(double))
        memset(s2, 0, rows * sizeof(double))
        fn_walk_start(&walk, red, p.nred, row)
        x = c.at[FN_X] + outer[FN_X] + walk.off[FN_X]
        dy = c.at[c.dz] + outer[c.dz] + walk.off[c.dz]
        at = 0
        while at < width:  # gathered blocks are those the kernel makes of a direct run
            take = width - at if direct else min(<size_t>FN_ROW_BLOCK, width - at)
            if not p.direct[FN_X]:
                fn_gather(xs, x, run, p.nrun, FN_X, j + at, take, item)
            if not p.direct[c.dz]:
                fn_gather(dys, dy, run, p.nrun, c.dz, j + at, take, item)
            centre = fn_centre(tile.hi + at * real, tile.r + at * real, tile.m + at * real, False,
                               0)
            c.kernels.grad_sums_rows(
                x + (j + at) * item if p.direct[FN_X] else xs, ldx,
                dy + (j + at) * item if p.direct[c.dz] else dys, lddy, rows, take, &centre, NULL,
                s1, s2, &memory)
            at += take
        for q in range(rows):
            out[0] = s1[q]
            out[1] = s2[q]
            out += 2
        row += rows


cdef void element_gradients(const job *t, const Py_ssize_t *outer, size_t j, size_t width,
                            const tile_t *tile) noexcept nogil:
    """Both: dy and dy * xh of every value of a tile, added into the result."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *red = p.dims + p.nouter
    cdef const fn_dim *run = red + p.nred
    cdef size_t item = c.kernels.item, real = c.kernels.real, _row, at, take, q
    cdef fn_run_buffer xs
    cdef fn_run_buffer dys
    cdef double s1[256]
    cdef double s2[256]
    cdef const char *x
    cdef const char *dy
    cdef fn_centre centre
    cdef fn_param param = fn_param(NULL, NULL, False)
    cdef fn_walk walk
    fn_walk_start(&walk, red, p.nred, 0)
    for _row in range(p.segs):
        x = c.at[FN_X] + outer[FN_X] + walk.off[FN_X]
        dy = c.at[c.dz] + outer[c.dz] + walk.off[c.dz]
        at = 0
        while at < width:
            take = min(<size_t>FN_GATHER, width - at)
            memset(s1, 0, take * sizeof(double))
            memset(s2, 0, take * sizeof(double))
            if not p.direct[FN_X]:
                fn_gather(xs, x, run, p.nrun, FN_X, j + at, take, item)
            if not p.direct[c.dz]:
                fn_gather(dys, dy, run, p.nrun, c.dz, j + at, take, item)
            centre = fn_centre(tile.hi + at * real, tile.r + at * real, NULL, False, 0)
            c.kernels.grad_sums_cols(
                x + (j + at) * item if p.direct[FN_X] else xs, 0,
                dy + (j + at) * item if p.direct[c.dz] else dys, 0, 1, take, &centre, &param, s1,
                s2)
            for q in range(take):
                s2[q] = fn_whole_dot(s1[q], s2[q], tile.low[at + q])
            if c.dbias != NULL:
                fn_scatter_add(s1, 1, c.dbias + outer[FN_DP] + walk.off[FN_DP], run, p.nrun,
                               FN_DP, j + at, take)
            if c.at[FN_DP] != NULL:
                fn_scatter_add(s2, 1, c.at[FN_DP] + outer[FN_DP] + walk.off[FN_DP], run, p.nrun,
                               FN_DP, j + at, take)
            at += take
        fn_walk_next(&walk)


cdef void combine(const job *t, const Py_ssize_t *outer, size_t j, size_t width, size_t row0,
                  size_t row1, const tile_t *tile) noexcept nogil:
    """dx of rows [row0, row1) of a tile, from hi, r, m, a, b, c."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *red = p.dims + p.nouter
    cdef const fn_dim *run = red + p.nred
    cdef size_t item = c.kernels.item, real = c.kernels.real, row = row0, rows, at, take
    cdef bint by_row = c.at[FN_W] != NULL and p.red_param, both = by_row and p.run_param
    cdef bint even = p.even and p.direct[FN_X] and p.direct[c.dz] and p.direct[FN_Y] and (
        c.at[FN_ON] == NULL or p.direct[FN_ON])
    cdef fn_run_buffer xs
    cdef fn_run_buffer dys
    cdef fn_run_buffer dxs
    cdef fn_run_buffer extras
    cdef fn_run_buffer ws
    cdef fn_run_buffer bs
    cdef const char *x
    cdef const char *dy
    cdef char *dx
    cdef const void *from_x
    cdef const void *from_dy
    cdef const char *on = NULL
    cdef void *to
    cdef Py_ssize_t ld_dx = 0, ld_x = 0, ld_dy = 0, ld_on = 0
    cdef fn_centre centre = fn_centre(tile.hi, tile.r, tile.m, False, 0)
    cdef fn_param param = fn_param(NULL, NULL, by_row and not both)
    cdef fn_slope slope = fn_slope(tile.a, tile.b, tile.c, NULL, NULL, NULL, 0, NULL)
    cdef fn_memory memory = fn_memory(c.stream and p.direct[FN_Y], 0, 0)
    cdef fn_walk walk
    if even and p.nred:
        ld_dx = red.stride[FN_Y]
        ld_x = red.stride[FN_X]
        ld_dy = red.stride[c.dz]
        ld_on = red.stride[FN_ON]
    while row < row1:
        rows = 1
        if even and not both:  # rows in one call, as many as weights of rows fit their buffer
            rows = min(row1 - row, <size_t>FN_ROW_BLOCK) if by_row else row1 - row
        if param.by_row:
            read_rows(c, outer, FN_W, row, rows, 1, ws)
            param.w = ws
            if c.fixed:  # the bias that goes with it in affine
                memset(bs, 0, rows * real)
                param.b = bs
        fn_walk_start(&walk, red, p.nred, row)
        x = c.at[FN_X] + outer[FN_X] + walk.off[FN_X]
        dy = c.at[c.dz] + outer[c.dz] + walk.off[c.dz]
        dx = c.at[FN_Y] + outer[FN_Y] + walk.off[FN_Y]
        if c.at[FN_ON] != NULL:
            on = c.at[FN_ON] + outer[FN_ON] + walk.off[FN_ON]
        at = 0
        while at < width:
            take = width - at if even and not both else min(<size_t>FN_GATHER, width - at)
            centre.hi = tile.hi + at * real
            centre.r = tile.r + at * real
            centre.m = tile.m + at * real
            slope.a = tile.a + at * real
            slope.b = tile.b + at * real
            slope.c = tile.c + at * real
            if t.weight_inside:
                param.w = tile.w + at * real
            if both:
                fn_gather(ws, c.at[FN_W] + outer[FN_W] + walk.off[FN_W], run, p.nrun, FN_W, j + at,
                          take, real)
                param.w = ws
            to = dx + (j + at) * item if p.direct[FN_Y] else dxs
            from_dy = dy + (j + at) * item
            if not p.direct[c.dz]:
                fn_gather(dys, dy, run, p.nrun, c.dz, j + at, take, item)
                from_dy = dys
            if c.fixed:  # b and c are zeros: dx = dy * w * a, whatever x is
                centre.hi = slope.b
                centre.r = slope.a
                centre.m = slope.c
                c.kernels.affine(to, ld_dx, from_dy, ld_dy, rows, take, &centre, &param, &memory)
            else:
                from_x = x + (j + at) * item
                if not p.direct[FN_X]:
                    fn_gather(xs, x, run, p.nrun, FN_X, j + at, take, item)
                    from_x = xs
                if on != NULL:
                    slope.on = on + (j + at) * item
                    slope.ldon = ld_on
                    if not p.direct[FN_ON]:
                        fn_gather(extras, on, run, p.nrun, FN_ON, j + at, take, item)
                        slope.on = extras
                c.kernels.grad_combine(to, ld_dx, from_x, ld_x, from_dy, ld_dy, rows, take, &centre,
                                       &param, &slope, &memory)
            if not p.direct[FN_Y]:
                fn_scatter(dxs, dx, run, p.nrun, FN_Y, j + at, take, item)
            at += take
        row += rows
