# SPDX-License-Identifier: BSD-3-Clause
"""Pointwise functions whose coefficients broadcast against x, and their gradients.

The coefficients are first written out along the axes that any of them has: one table each, of one
shape. Then values that share all coefficients are a group as that of a statistic is, and the plan
cuts x into rows (the run shares them) or columns (they vary along it). The sums behind the
gradients of coefficients are those of groups: taken piece by piece, added up in order into tables
of the same shape, and these into the sums of each coefficient, whose axes are fewer.

A unit of work is a piece of a place: of a group (rows), or of a tile of columns and all its rows.
"""

cimport numpy as cnp
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset
from numpy cimport ndarray

from fastnorm._core.call cimport (
    FN_BATCH, fn_call, fn_cut, fn_cut_rows, fn_gather, fn_piece, fn_row_coef, fn_run_buffer,
    fn_scatter, fn_scatter_add, fn_span,
)
from fastnorm._core.cols_statistics cimport kept_dims
from fastnorm._core.columns cimport fn_columns_add, fn_columns_fold, fn_cut_cols, fn_grid
from fastnorm._core.dispatch cimport (
    FN_COL_BLOCK, FN_F64, FN_FLOOR, FN_RATIO, FN_ROW_BLOCK, FN_SWISH, FN_TANH, fn_curve,
    fn_memory, kernels,
)
from fastnorm._core.entry cimport finish, storage_of
from fastnorm._core.plan cimport (
    FN_DP, FN_DY, FN_NOPS, FN_ROWS, FN_W, FN_X, FN_Y, fn_dim, fn_plan, fn_walk, fn_walk_start,
)
from fastnorm._core.threads cimport effective, parallel_for

cnp.import_array()

FLOOR = FN_FLOOR
RATIO = FN_RATIO
SWISH = FN_SWISH
TANH = FN_TANH

cdef enum:
    TASKS_PER_THREAD = 8

ctypedef struct job:
    fn_call call
    fn_plan plan
    int kind
    int coefs
    size_t size         # values of a table; at[FN_W], at[FN_DP]: the coefficients' and the sums'
    int axes            # of a table, and how the coefficients, and their sums, step along them
    fn_dim coef_axes[64]
    fn_dim sum_axes[64]
    const char *coef[5]
    char *sum[5]        # NULL: not wanted
    fn_cut cut          # rows
    fn_grid grid        # cols
    size_t places
    size_t pieces       # of a place
    size_t width        # sums of a unit, for each coefficient
    double *parts       # the sums of all units; NULL: forward
    size_t per_task     # units; places where pieces are added up


cdef inline double *sums_of(const job *t, int k, size_t unit) noexcept nogil:
    if t.parts == NULL:
        return NULL
    return t.parts + (k * t.places * t.pieces + unit) * t.width


cdef void sweep(const job *t, const Py_ssize_t *off, const Py_ssize_t *ld, size_t rows, size_t j,
                size_t n, const fn_curve *curve) noexcept nogil:
    """Values [j, j + n) of some rows: the first lies at `off`, and the others `ld` further each."""
    cdef const fn_call *c = &t.call
    cdef const fn_plan *p = &t.plan
    cdef const fn_dim *run = p.dims + p.nouter + p.nred
    cdef size_t item = c.kernels.item, real = c.kernels.real, i, at, take
    cdef bint back = c.at[FN_DY] != NULL, there = c.at[FN_Y] != NULL
    cdef bint direct_x = p.direct[FN_X], direct_dy = p.direct[FN_DY]
    cdef bint direct_y = p.direct[FN_Y] and there
    cdef bint direct = direct_x and direct_y and (direct_dy or not back)
    cdef const char *x = c.at[FN_X] + off[FN_X]
    cdef const char *dy = c.at[FN_DY] + off[FN_DY]
    cdef char *y = c.at[FN_Y] + off[FN_Y]
    cdef fn_memory memory = fn_memory(c.stream and direct_y, 0, 0)
    cdef fn_curve part = curve[0]
    cdef fn_run_buffer xs
    cdef fn_run_buffer dys
    cdef fn_run_buffer ys
    cdef int k
    if direct:
        if back:
            c.kernels.curve_gradient(y + j * item, ld[FN_Y], x + j * item, ld[FN_X], dy + j * item,
                                     ld[FN_DY], rows, n, curve, &memory)
        else:
            c.kernels.curve(y + j * item, ld[FN_Y], x + j * item, ld[FN_X], rows, n, curve,
                            &memory)
        return
    for i in range(rows):
        at = 0
        while at < n:
            take = min(<size_t>FN_ROW_BLOCK, n - at)
            for k in range(t.coefs):
                part.coef[k] = <const char *>curve.coef[k] + (
                    i * curve.step if curve.by_row else at) * real
                part.sum[k] = <char *>curve.sum[k] + (
                    i * sizeof(double) if curve.by_row else at * real)
            if not direct_x:
                fn_gather(xs, x, run, p.nrun, FN_X, j + at, take, item)
            if back and not direct_dy:
                fn_gather(dys, dy, run, p.nrun, FN_DY, j + at, take, item)
            if back:
                c.kernels.curve_gradient(
                    y + (j + at) * item if direct_y else ys, 0,
                    x + (j + at) * item if direct_x else xs, 0,
                    dy + (j + at) * item if direct_dy else dys, 0, 1, take, &part, &memory)
            else:
                c.kernels.curve(y + (j + at) * item if direct_y else ys, 0,
                                x + (j + at) * item if direct_x else xs, 0, 1, take, &part,
                                &memory)
            if there and not direct_y:
                fn_scatter(ys, y, run, p.nrun, FN_Y, j + at, take, item)
            at += take
        x += ld[FN_X]
        dy += ld[FN_DY]
        y += ld[FN_Y]


cdef size_t evenly(const fn_dim *dims, int ndims, size_t index, size_t stop, const Py_ssize_t *base,
                   Py_ssize_t *off, Py_ssize_t *ld) noexcept nogil:
    """Where an index of some dims lies; returns how many from there on, up to FN_BATCH, lie evenly."""
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
    cdef size_t real = t.call.kernels.real
    cdef int k
    for k in range(t.coefs):
        curve.coef[k] = room + k * apart
        fn_gather(room + k * apart, t.call.at[FN_W] + k * t.size * real + at, dims, ndims, FN_W,
                  index, n, real)


cdef size_t some_groups(const job *t, size_t unit, size_t stop) noexcept nogil:
    """Rows, where a group is one run: some groups side by side; returns how many."""
    cdef const fn_plan *p = &t.plan
    cdef Py_ssize_t base[7]
    cdef Py_ssize_t off[7]
    cdef Py_ssize_t ld[7]
    cdef fn_row_coef room[5]
    cdef fn_curve curve
    cdef int k
    memset(base, 0, sizeof(base))
    cdef size_t rows = evenly(p.dims, p.nouter, unit, stop, base, off, ld)
    read_coefficients(t, p.dims, p.nouter, 0, unit, rows, <char *>room, sizeof(fn_row_coef),
                      &curve)
    curve.kind = t.kind
    curve.by_row = True
    curve.step = 1
    for k in range(t.coefs):
        curve.sum[k] = sums_of(t, k, unit)
    sweep(t, off, ld, rows, 0, p.n, &curve)
    return rows


cdef void piece_of_group(const job *t, size_t unit) noexcept nogil:
    """Rows, where a group is more than one run, or a long one."""
    cdef const fn_plan *p = &t.plan
    cdef fn_span span = fn_piece(&t.cut, p.segs, p.n, unit % t.pieces)
    cdef size_t group = unit / t.pieces, seg = span.seg0, rows, i
    cdef Py_ssize_t off[7]
    cdef Py_ssize_t ld[7]
    cdef fn_row_coef room[5]
    cdef double totals[5][32]
    cdef fn_curve curve
    cdef fn_walk outer
    cdef int k
    fn_walk_start(&outer, p.dims, p.nouter, group)
    read_coefficients(t, p.dims, p.nouter, 0, group, 1, <char *>room, sizeof(fn_row_coef), &curve)
    curve.kind = t.kind
    curve.by_row = True
    curve.step = 0
    while seg < span.seg1:
        rows = evenly(p.dims + p.nouter, p.nred, seg, span.seg1, outer.off, off, ld)
        memset(totals, 0, sizeof(totals))
        for k in range(t.coefs):
            curve.sum[k] = totals[k]
        sweep(t, off, ld, rows, span.j0, span.j1 - span.j0, &curve)
        if t.parts != NULL:
            for k in range(t.coefs):
                for i in range(rows):
                    sums_of(t, k, unit)[0] += totals[k][i]
        seg += rows


cdef void piece_of_tile(const job *t, size_t unit) noexcept nogil:
    """Cols: some rows of a tile of columns, FN_ROW_BLOCK of these at a time."""
    cdef const fn_plan *p = &t.plan
    cdef const fn_dim *red = p.dims + p.nouter
    cdef size_t place = unit / t.pieces, first = unit % t.pieces * t.grid.rows
    cdef size_t last = min(first + t.grid.rows, p.segs), row, stop, rows, at = 0, take
    cdef size_t j = place % t.grid.tiles * t.width, width = min(t.width, p.n - j)
    cdef Py_ssize_t off[7]
    cdef Py_ssize_t ld[7]
    cdef fn_run_buffer room[5]
    cdef fn_run_buffer totals[5]
    cdef fn_curve curve
    cdef fn_walk outer
    cdef int k
    fn_walk_start(&outer, p.dims, p.nouter, place / t.grid.tiles)
    curve.kind = t.kind
    curve.by_row = False
    curve.step = 0
    memset(totals, 0, sizeof(totals))  # and settled, they are zero again
    for k in range(t.coefs):
        curve.sum[k] = totals[k]
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
            if t.parts != NULL:
                for k in range(t.coefs):
                    t.call.kernels.settle(take, totals[k], sums_of(t, k, unit) + at)
        at += take


cdef void work(void *context, Py_ssize_t task) noexcept nogil:
    """Some units."""
    cdef const job *t = <const job *>context
    cdef size_t unit = <size_t>task * t.per_task
    cdef size_t stop = min(unit + t.per_task, t.places * t.pieces)
    while unit < stop:
        if t.plan.layout != FN_ROWS:
            piece_of_tile(t, unit)
        elif t.plan.segs > 1 or t.pieces > 1:
            piece_of_group(t, unit)
        else:
            unit += some_groups(t, unit, stop) - 1
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
    cdef char *table
    cdef fn_walk outer
    cdef int k
    for k in range(t.coefs):
        table = t.call.at[FN_DP] + k * t.size * sizeof(double)
        for place in range(first, stop):
            total = sums_of(t, k, place * t.pieces)
            for piece in range(1, t.pieces):
                fn_columns_add(t.width, total + piece * t.width, total)
            if p.layout != FN_ROWS:
                j = place % t.grid.tiles * t.width
                width = min(t.width, p.n - j)
                fn_walk_start(&outer, p.dims, p.nouter, place / t.grid.tiles)
                fn_columns_fold(width, p.fold, p.fold, total)
                fn_scatter_add(total, 1, table + outer.off[FN_DP], run, kept_dims(p), FN_DP,
                               j / p.fold, width / p.fold)
        if p.layout == FN_ROWS:
            fn_scatter_add(sums_of(t, k, first * t.pieces), t.pieces, table, p.dims, p.nouter,
                           FN_DP, first, stop - first)


cdef void share(job *t, size_t items) noexcept nogil:
    """So many items to a task."""
    cdef size_t threads = <size_t>t.call.threads
    t.per_task = items if threads == 1 else max(<size_t>1, items / (threads * TASKS_PER_THREAD))


cdef int drive(job *t) noexcept nogil:
    """A call whose arrays are placed and whose plan is made; -1: no memory."""
    cdef const fn_plan *p = &t.plan
    cdef fn_call *c = &t.call
    cdef size_t real = c.kernels.real, units
    cdef bint back = c.at[FN_DY] != NULL
    cdef int k
    if p.layout == FN_ROWS:
        t.cut = fn_cut_rows(p.segs, p.n)
        t.places = p.groups
        t.pieces = t.cut.count
        t.width = 1
    else:
        t.grid = fn_cut_cols(p)
        t.places = p.groups * t.grid.tiles
        t.pieces = t.grid.pieces
        t.width = t.grid.width
    units = t.places * t.pieces
    c.threads = effective((2 if back else 1) * p.groups * p.segs * p.n)
    c.at[FN_W] = <char *>malloc(t.coefs * t.size * real)
    if back:
        c.at[FN_DP] = <char *>calloc(t.coefs * t.size, sizeof(double))
        t.parts = <double *>calloc(t.coefs * units * t.width, sizeof(double))
    cdef bint ready = c.at[FN_W] != NULL and (
        not back or (c.at[FN_DP] != NULL and t.parts != NULL))
    if ready:
        for k in range(t.coefs):
            fn_gather(c.at[FN_W] + k * t.size * real, t.coef[k], t.coef_axes, t.axes, k, 0, t.size,
                      real)
        share(t, units)
        parallel_for(<Py_ssize_t>((units + t.per_task - 1) / t.per_task), work, t, c.threads)
    if ready and back:
        share(t, t.places)
        parallel_for(<Py_ssize_t>((t.places + t.per_task - 1) / t.per_task), add_up, t, c.threads)
        for k in range(t.coefs):
            if t.sum[k] != NULL:
                fn_scatter_add(<double *>c.at[FN_DP] + k * t.size, 1, t.sum[k], t.sum_axes, t.axes,
                               k, 0, t.size)
    free(c.at[FN_W])
    free(c.at[FN_DP])
    free(t.parts)
    return 0 if ready else -1


cdef void place(job *t, int op, ndarray a) noexcept:
    """Where an array of the shape of x lies; None: nowhere."""
    cdef int i
    if a is not None:
        t.call.at[op] = <char *>cnp.PyArray_DATA(a)
        for i in range(cnp.PyArray_NDIM(a)):
            t.plan.dims[i].stride[op] = cnp.PyArray_STRIDE(a, i)


cdef void place_each(fn_dim *axes, int k, ndarray a, ndarray x, const fn_dim *dims) noexcept:
    """How a coefficient, or its sums, steps along the axes of the tables."""
    cdef int i, n = 0
    for i in range(cnp.PyArray_NDIM(x)):
        if dims[i].kept:
            axes[n].len = dims[i].len
            axes[n].stride[k] = 0 if cnp.PyArray_DIM(a, i) == 1 else cnp.PyArray_STRIDE(a, i)
            n += 1


cdef int run(int kind, ndarray x, ndarray y, ndarray dy, tuple coefs, tuple sums) except -1:
    """The whole call; dy None: forward."""
    cdef job t
    cdef ndarray a
    cdef int stored = storage_of(x), i, k, status, ndim = cnp.PyArray_NDIM(x)
    if cnp.PyArray_SIZE(x) == 0:
        return 0
    memset(&t, 0, sizeof(job))
    t.kind = kind
    t.coefs = len(coefs)
    t.call.plan = &t.plan
    t.call.kernels = kernels(stored)
    t.call.single = stored != FN_F64
    place(&t, FN_X, x)
    place(&t, FN_Y, y)
    place(&t, FN_DY, dy)
    t.size = 1
    for i in range(ndim - 1, -1, -1):
        t.plan.dims[i].len = cnp.PyArray_DIM(x, i)
        for a in coefs:
            t.plan.dims[i].kept |= cnp.PyArray_DIM(a, i) != 1
        if t.plan.dims[i].kept:
            t.plan.dims[i].param = True
            t.plan.dims[i].stride[FN_W] = t.size * t.call.kernels.real
            t.plan.dims[i].stride[FN_DP] = t.size * sizeof(double)
            t.size *= <size_t>t.plan.dims[i].len
            t.axes += 1
    for k in range(t.coefs):
        a = coefs[k]
        t.coef[k] = <char *>cnp.PyArray_DATA(a)
        place_each(t.coef_axes, k, a, x, t.plan.dims)
        if dy is not None and sums[k] is not None:
            a = sums[k]
            t.sum[k] = <char *>cnp.PyArray_DATA(a)
            place_each(t.sum_axes, k, a, x, t.plan.dims)
    if finish(&t.call, &t.plan, ndim):
        status = drive(&t)
    else:
        with nogil:
            status = drive(&t)
    if status:
        raise MemoryError("no memory for the coefficients and their sums")
    return 0


def curve(int kind, ndarray x not None, ndarray out not None, tuple coefs not None):
    """out = f(x; a, b, c, d, e), a pointwise function of one of four kinds.

    Parameters
    ----------
    kind : int
        FLOOR: max(a x + b, c). RATIO: x / max(a, b x + c) * d + e.
        SWISH: x sigmoid(a x) b + c. TANH: tanh(a x) b + c.
    x, out : ndarray
        float16, bfloat16, float32 or float64, one shape; they may be the same.
    coefs : tuple of ndarray
        a, b, c and so on, of the compute type, with as many axes as x: of its length, or 1.
    """
    run(kind, x, out, None, coefs, None)


def curve_gradient(int kind, ndarray dy not None, ndarray x not None, ndarray dx,
                   tuple coefs not None, tuple sums not None):
    """Gradients of `curve`: dx = dy * f'(x), and sums of dy * df/dc for every coefficient c.

    Parameters
    ----------
    kind, coefs
        As in `curve`.
    dy, x, dx : ndarray
        One shape and type; dx may be dy or x; None: not wanted.
    sums : tuple of ndarray or None
        For every coefficient zeros in float64, C-contiguous, of its shape; None: not wanted.

    The derivative of max(a, b) is that of the b that is larger, else of the a; here the a are: c of
    FLOOR, a of RATIO.
    """
    run(kind, x, dx, dy, coefs, sums)
