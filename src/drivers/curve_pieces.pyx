# SPDX-License-Identifier: BSD-3-Clause
"""A pointwise function and its gradient, piece by piece, and the sums of the pieces.

A place is what has sums of its own: a group of values that share all coefficients (rows), or a tile
of columns and all its rows. A piece of a place is a unit of work; how many there are follows from
the shape alone. Coefficients are read from tables, and sums are added to tables, whose axes are
the kept ones of the plan.
"""

from libc.string cimport memset

from fastnorm._core.call cimport (
    FN_BATCH, fn_call, fn_gather, fn_piece, fn_row_coef, fn_run_buffer, fn_scatter,
    fn_scatter_add, fn_span,
)
from fastnorm._core.cols_statistics cimport kept_dims
from fastnorm._core.columns cimport fn_columns_add, fn_columns_fold
from fastnorm._core.dispatch cimport FN_COL_BLOCK, FN_ROW_BLOCK, fn_curve, fn_memory
from fastnorm._core.plan cimport (
    FN_DP, FN_DY, FN_NOPS, FN_ROWS, FN_W, FN_X, FN_Y, fn_dim, fn_plan, fn_walk, fn_walk_start,
)


cdef inline double *sums_of(const job *t, int k, size_t unit) noexcept nogil:
    return t.parts + (k * t.places * t.pieces + unit) * t.width


cdef void sweep(const job *t, const Py_ssize_t *off, const Py_ssize_t *ld, size_t rows, size_t j,
                size_t n, const fn_curve *curve) noexcept nogil:
    """Values [j, j + n) of some rows: the first lies at `off`, the others `ld` further each.

    What is not contiguous goes by way of buffers, and so does a gradient that nobody wants.
    """
    cdef const fn_call *c = &t.call
    cdef const fn_plan *p = &t.plan
    cdef const fn_dim *run = p.dims + p.nouter + p.nred
    cdef size_t item = c.kernels.item, i = 0, at = 0, take = n, by_row, by_column
    cdef bint back = c.at[FN_DY] != NULL
    cdef bint near_x = p.direct[FN_X], near_dy = p.direct[FN_DY] or not back
    cdef bint near_y = p.direct[FN_Y] and c.at[FN_Y] != NULL
    cdef bint whole = near_x and near_dy and near_y
    cdef fn_memory memory = fn_memory(c.stream and near_y, 0, 0)
    cdef fn_curve part = curve[0]
    cdef fn_run_buffer xs
    cdef fn_run_buffer dys
    cdef fn_run_buffer ys
    cdef const char *x
    cdef const char *dy
    cdef char *y
    cdef int k
    while i < rows:
        x = c.at[FN_X] + off[FN_X] + <Py_ssize_t>i * ld[FN_X]
        dy = c.at[FN_DY] + off[FN_DY] + <Py_ssize_t>i * ld[FN_DY]
        y = c.at[FN_Y] + off[FN_Y] + <Py_ssize_t>i * ld[FN_Y]
        if not whole:
            take = min(<size_t>FN_ROW_BLOCK, n - at)
            by_row = i if curve.by_row else 0
            by_column = 0 if curve.by_row else at * c.kernels.real
            for k in range(t.coefs):
                part.coef[k] = curve.coef[k] + by_row * curve.step * c.kernels.real + by_column
                part.sum[k] = curve.sum[k] + by_row * sizeof(double) + by_column
        if not near_x:
            fn_gather(xs, x, run, p.nrun, FN_X, j + at, take, item)
        if not near_dy:
            fn_gather(dys, dy, run, p.nrun, FN_DY, j + at, take, item)
        x = x + (j + at) * item if near_x else xs
        dy = dy + (j + at) * item if near_dy else dys
        if back:
            c.kernels.curve_gradient(
                y + (j + at) * item if near_y else ys, ld[FN_Y], x, ld[FN_X], dy, ld[FN_DY],
                rows if whole else 1, take, &part, &memory)
        else:
            c.kernels.curve(y + (j + at) * item if near_y else ys, ld[FN_Y], x, ld[FN_X],
                            rows if whole else 1, take, &part, &memory)
        if c.at[FN_Y] != NULL and not near_y:
            fn_scatter(ys, y, run, p.nrun, FN_Y, j + at, take, item)
        at += take
        if at == n:
            at = 0
            i += rows if whole else 1


cdef size_t evenly(const fn_dim *dims, int ndims, size_t index, size_t stop, const Py_ssize_t *base,
                   Py_ssize_t *off, Py_ssize_t *ld) noexcept nogil:
    """Where an index of some dims lies; returns how many from there on lie evenly, to FN_BATCH."""
    cdef const fn_dim *last = dims + ndims - 1
    cdef int op
    cdef fn_walk at
    fn_walk_start(&at, dims, ndims, index)
    for op in range(FN_NOPS):
        off[op] = base[op] + at.off[op]
        ld[op] = last.stride[op] if ndims else 0
    if ndims == 0:
        return 1
    return min(min(stop - index, <size_t>last.len - index % <size_t>last.len), <size_t>FN_BATCH)


cdef void read_coefficients(const job *t, const fn_dim *dims, int ndims, Py_ssize_t at,
                            size_t index, size_t n, char *room, size_t apart,
                            fn_curve *curve) noexcept nogil:
    """n values of every coefficient, `apart` bytes between those of two."""
    cdef int k
    for k in range(t.coefs):
        curve.coef[k] = room + k * apart
        fn_gather(room + k * apart, t.coef[k] + at, dims, ndims, FN_W, index, n,
                  t.call.kernels.real)


cdef void pieces_of_rows(const job *t, size_t unit, size_t stop) noexcept nogil:
    """One unit, or where a group is a single run all units up to `stop`, side by side."""
    cdef const fn_plan *p = &t.plan
    cdef bint single = t.single
    cdef fn_span span = fn_piece(&t.cut, p.segs, p.n, unit % t.pieces)
    cdef size_t seg = unit if single else span.seg0, last = stop if single else span.seg1, rows, i
    cdef const fn_dim *dims = p.dims + (0 if single else p.nouter)
    cdef int ndims = p.nouter if single else p.nred, k
    cdef Py_ssize_t off[8]
    cdef Py_ssize_t ld[8]
    cdef fn_row_coef room[5]
    cdef double totals[5][128]
    cdef fn_curve curve
    cdef fn_walk outer
    fn_walk_start(&outer, p.dims, 0 if single else p.nouter, unit / t.pieces)
    curve.kind = t.kind
    curve.by_row = True
    curve.step = single
    for k in range(t.coefs):
        curve.sum[k] = <char *>totals[k]
    while seg < last:
        rows = evenly(dims, ndims, seg, last, outer.off, off, ld)
        if single or seg == span.seg0:
            read_coefficients(t, p.dims, p.nouter, 0, seg if single else unit / t.pieces,
                              rows if single else 1, <char *>room, sizeof(fn_row_coef), &curve)
        memset(totals, 0, sizeof(totals))
        sweep(t, off, ld, rows, span.j0, span.j1 - span.j0, &curve)
        for k in range(t.coefs):
            if single and t.sum[k] != NULL:
                fn_scatter_add(totals[k], 1, t.sum[k], dims, ndims, FN_DP, seg, rows)
            elif t.parts != NULL:
                for i in range(rows):
                    sums_of(t, k, unit)[0] += totals[k][i]
        seg += rows


cdef void piece_of_columns(const job *t, size_t unit) noexcept nogil:
    """Cols: some rows of a tile of columns, FN_ROW_BLOCK of these at a time."""
    cdef const fn_plan *p = &t.plan
    cdef const fn_dim *red = p.dims + p.nouter
    cdef size_t place = unit / t.pieces, first = unit % t.pieces * t.grid.rows
    cdef size_t last = min(first + t.grid.rows, p.segs), row, stop, rows, at = 0, take
    cdef size_t j = place % t.grid.tiles * t.width, width = min(t.width, p.n - j)
    cdef Py_ssize_t off[8]
    cdef Py_ssize_t ld[8]
    cdef fn_run_buffer room[5]
    cdef fn_run_buffer totals[5]
    cdef fn_curve curve
    cdef fn_walk outer
    cdef int k
    fn_walk_start(&outer, p.dims, p.nouter, place / t.grid.tiles)
    memset(totals, 0, sizeof(totals))  # and settled, they are zero again
    curve.kind = t.kind
    curve.by_row = False
    curve.step = 0
    for k in range(t.coefs):
        curve.sum[k] = <char *>totals[k]
    while at < width:
        take = min(<size_t>FN_ROW_BLOCK, width - at)
        read_coefficients(t, red + p.nred, p.nrun, outer.off[FN_W], j + at, take, <char *>room,
                          sizeof(fn_run_buffer), &curve)
        row = first
        while row < last:
            stop = min(row + FN_COL_BLOCK, last)
            while row < stop:
                rows = evenly(red, p.nred, row, stop, outer.off, off, ld)
                sweep(t, off, ld, rows, j + at, take, &curve)
                row += rows
            for k in range(t.coefs):
                if t.parts != NULL:
                    t.call.kernels.settle(take, totals[k], sums_of(t, k, unit) + at)
        at += take


cdef void work(void *context, Py_ssize_t task) noexcept nogil:
    """Some units."""
    cdef const job *t = <const job *>context
    cdef size_t unit = <size_t>task * t.per_task
    cdef size_t stop = min(unit + t.per_task, t.places * t.pieces)
    if t.single:
        pieces_of_rows(t, unit, stop)
        unit = stop
    while unit < stop:
        if t.plan.layout == FN_ROWS:
            pieces_of_rows(t, unit, stop)
        else:
            piece_of_columns(t, unit)
        unit += 1
    if t.call.stream:
        t.call.kernels.fence()


cdef void add_up(void *context, Py_ssize_t task) noexcept nogil:
    """The pieces of some places, in order, into the tables of the sums."""
    cdef const job *t = <const job *>context
    cdef const fn_plan *p = &t.plan
    cdef const fn_dim *run = p.dims + p.nouter + p.nred
    cdef size_t first = <size_t>task * t.per_task, stop = min(first + t.per_task, t.places)
    cdef size_t place, piece, j, width
    cdef double *total
    cdef fn_walk outer
    cdef int k
    for k in range(t.coefs):
        if t.sum[k] == NULL:
            continue
        for place in range(first, stop):
            total = sums_of(t, k, place * t.pieces)
            for piece in range(1, t.pieces):
                fn_columns_add(t.width, total + piece * t.width, total)
            if p.layout != FN_ROWS:
                j = place % t.grid.tiles * t.width
                width = min(t.width, p.n - j)
                fn_walk_start(&outer, p.dims, p.nouter, place / t.grid.tiles)
                fn_columns_fold(width, p.fold, p.fold, total)
                fn_scatter_add(total, 1, t.sum[k] + outer.off[FN_DP], run, kept_dims(p), FN_DP,
                               j / p.fold, width / p.fold)
        if p.layout == FN_ROWS:
            fn_scatter_add(sums_of(t, k, first * t.pieces), t.pieces, t.sum[k], p.dims, p.nouter,
                           FN_DP, first, stop - first)
