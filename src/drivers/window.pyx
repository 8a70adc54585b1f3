# SPDX-License-Identifier: BSD-3-Clause
"""Responses within a window that slides along one axis, and their gradient: the entry and the cut.

Places along the other axes do not know of each other: a block is some of them, with all entries of
the axis. The plan takes the axis for the reduced one, so that it runs along rows (blocks of rows)
or down them (tiles of columns).
"""

cimport numpy as cnp
from libc.math cimport exp2
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from numpy cimport ndarray

from fastnorm._core.call cimport fn_call, fn_gather, fn_scatter
from fastnorm._core.dispatch cimport (
    FN_F64, FN_LANES_MAX, FN_WINDOW_ARRAYS, fn_window, fn_window_values, kernels,
)
from fastnorm._core.entry cimport finish, storage_of
from fastnorm._core.plan cimport (
    FN_DY, FN_NOPS, FN_ROWS, FN_X, FN_Y, fn_dim, fn_plan, fn_walk, fn_walk_start,
)
from fastnorm._core.threads cimport effective, parallel_for

cnp.import_array()

cdef enum:
    TASKS_PER_THREAD = 4
    LINES = 32  # rows of a block where windows lie along them, at most
    # Values of a block, neighbours counted: 64 KB of float32 for each flat array. With half as many
    # tiles get so narrow that their edges are felt; twice as many gain nothing.
    BLOCK = 16384
    LINE = 64  # bytes
    WORK = 4  # roots and divisions: a value counts as so many of a normalization

# D**(beta + 1) stays between 2 to the power of this and its reciprocal; what is outside of that is
# computed in double. Products with the data then have room within the type.
cdef double RANGE_SINGLE = 100.0, RANGE_DOUBLE = 900.0

ctypedef struct job:
    fn_call call
    fn_plan plan
    fn_window window
    size_t width        # cols: columns of a tile
    size_t tiles        # cols: of an outer index
    size_t lines        # rows: in a block, at most
    size_t units        # blocks, or rows
    size_t per_task
    char *scratch       # of every task; begins a line
    size_t scratch_size
    size_t dense        # bytes of a block of x: where it is put together, or y taken apart


cdef void block(const job *t, const Py_ssize_t *off, const Py_ssize_t *ld, size_t rows, size_t j,
                size_t n, char *room) noexcept nogil:
    """Columns [j, j + n) of some rows: the first lies at `off`, the others `ld` further each."""
    cdef const fn_call *c = &t.call
    cdef const fn_plan *p = &t.plan
    cdef const fn_dim *run = p.dims + p.nouter + p.nred
    cdef size_t item = c.kernels.item, i
    cdef int ops[3]
    cdef char *at[8]
    cdef Py_ssize_t step[8]
    cdef char *dense = room + t.scratch_size - 3 * t.dense
    cdef int k, op
    ops[0], ops[1], ops[2] = FN_X, FN_DY, FN_Y
    for k in range(3):
        op = ops[k]
        at[op] = c.at[op]
        if at[op] == NULL:
            continue
        at[op] += off[op] + <Py_ssize_t>(j * item)
        step[op] = ld[op]
        if not p.direct[op]:
            at[op] = dense + k * t.dense
            step[op] = <Py_ssize_t>(n * item)
            for i in range(rows if op != FN_Y else 0):
                fn_gather(at[op] + i * n * item, c.at[op] + off[op] + <Py_ssize_t>i * ld[op], run,
                          p.nrun, op, j, n, item)
    c.kernels.window(at[FN_Y], step[FN_Y], at[FN_X], step[FN_X], at[FN_DY], step[FN_DY], rows, n,
                     &t.window, room)
    for i in range(rows if not p.direct[FN_Y] else 0):
        fn_scatter(at[FN_Y] + i * n * item, c.at[FN_Y] + off[FN_Y] + <Py_ssize_t>i * ld[FN_Y], run,
                   p.nrun, FN_Y, j, n, item)


cdef void work(void *context, Py_ssize_t task) noexcept nogil:
    """Some tiles of columns, or some rows."""
    cdef const job *t = <const job *>context
    cdef const fn_plan *p = &t.plan
    cdef const fn_dim *along = p.dims + p.nouter - 1
    cdef char *room = t.scratch + <size_t>task * t.scratch_size
    cdef size_t unit = <size_t>task * t.per_task, stop = min(unit + t.per_task, t.units)
    cdef size_t rows = p.segs, j = 0, width = p.n, taken = 1
    cdef Py_ssize_t ld[8]
    cdef fn_walk outer
    cdef int op
    if p.layout != FN_ROWS:
        along = p.dims + p.nouter  # the axis itself, unless its length is 1
    for op in range(FN_NOPS):
        ld[op] = along.stride[op] if (p.nouter if p.layout == FN_ROWS else p.nred) else 0
    while unit < stop:
        if p.layout == FN_ROWS:  # rows that lie evenly
            if p.nouter:
                taken = min(min(t.lines, stop - unit),
                            <size_t>along.len - unit % <size_t>along.len)
            rows = taken
            fn_walk_start(&outer, p.dims, p.nouter, unit)
        else:
            j = unit % t.tiles * t.width
            width = min(t.width, p.n - j)
            fn_walk_start(&outer, p.dims, p.nouter, unit / t.tiles)
        block(t, outer.off, ld, rows, j, width, room)
        unit += taken


cdef int drive(job *t) noexcept nogil:
    """A call whose arrays are placed and whose plan is made; -1: no memory."""
    cdef const fn_plan *p = &t.plan
    cdef size_t length, reach = t.window.before + t.window.after, values, threads, tasks, rows, n
    cdef char *memory
    t.window.along = p.layout == FN_ROWS
    length = p.n if t.window.along else p.segs
    if t.window.along:
        t.lines = max(<size_t>1, min(BLOCK / (length + reach), <size_t>LINES))
        t.units = p.groups
        rows = t.lines
        n = length
    else:
        t.width = max(<size_t>FN_LANES_MAX, BLOCK / (length + reach) / FN_LANES_MAX * FN_LANES_MAX)
        t.width = min(t.width, p.n)
        t.tiles = (p.n + t.width - 1) / t.width
        t.units = p.groups * t.tiles
        rows = length
        n = t.width
    values = fn_window_values(&t.window, rows, n)
    if not (p.direct[FN_X] and p.direct[FN_Y] and (p.direct[FN_DY] or t.call.at[FN_DY] == NULL)):
        t.dense = values * t.call.kernels.item
    t.scratch_size = (FN_WINDOW_ARRAYS * values * t.call.kernels.real + 3 * t.dense
                      + 2 * (length + FN_LANES_MAX) * sizeof(double))
    t.scratch_size = (t.scratch_size + LINE - 1) / LINE * LINE
    t.call.threads = effective(WORK * p.groups * p.segs * p.n)
    threads = <size_t>t.call.threads
    t.per_task = t.units if threads == 1 else max(
        <size_t>1, (t.units + threads * TASKS_PER_THREAD - 1) / (threads * TASKS_PER_THREAD))
    tasks = (t.units + t.per_task - 1) / t.per_task
    memory = <char *>calloc(tasks * t.scratch_size + LINE, 1)
    if memory == NULL:
        return -1
    t.scratch = memory + (LINE - <uintptr_t>memory % LINE) % LINE
    parallel_for(<Py_ssize_t>tasks, work, t, t.call.threads)
    free(memory)
    return 0


def window(ndarray x not None, ndarray out not None, ndarray dy, int axis, size_t before,
           size_t after, double scale, double beta, double k):
    """out = x / D**beta, D = k + the sum of (scale x)**2 over a window along an axis; or, with dy,
    the gradient.

    Parameters
    ----------
    x, out, dy : ndarray
        float16, bfloat16, float32 or float64, one shape and type; out may be one of the others. dy
        None: forward.
    axis : int
        From 0 on.
    before, after : int
        Entries of the window before and after the one that it is about, fewer than there are.
    scale, beta, k : float
        None of them negative.
    """
    cdef job t
    cdef ndarray a
    cdef int ndim = cnp.PyArray_NDIM(x), stored = storage_of(x), i, op, status
    if cnp.PyArray_SIZE(x) == 0:
        return
    memset(&t, 0, sizeof(job))
    t.window.before = before
    t.window.after = after
    t.window.scale = scale
    t.window.beta = beta
    t.window.k = k
    t.window.high = exp2((RANGE_DOUBLE if stored == FN_F64 else RANGE_SINGLE) / (beta + 1.0))
    t.window.low = 1.0 / t.window.high
    t.call.plan = &t.plan
    t.call.kernels = kernels(stored)
    t.call.single = stored != FN_F64
    t.call.dz = FN_DY
    for i in range(ndim):
        t.plan.dims[i].len = cnp.PyArray_DIM(x, i)
        t.plan.dims[i].kept = i != axis
    for op, a in ((FN_X, x), (FN_Y, out), (FN_DY, dy)):
        if a is not None:
            t.call.at[op] = <char *>cnp.PyArray_DATA(a)
            for i in range(ndim):
                t.plan.dims[i].stride[op] = cnp.PyArray_STRIDE(a, i)
    if finish(&t.call, &t.plan, ndim):
        status = drive(&t)
    else:
        with nogil:
            status = drive(&t)
    if status:
        raise MemoryError("no memory for the windows")
