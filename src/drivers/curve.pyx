# SPDX-License-Identifier: BSD-3-Clause
"""Pointwise functions whose coefficients broadcast against x, and their gradients: the entry.

The coefficients are written out along the axes that any of them has, as tables of one shape.
Values that share all coefficients are then a group as that of a statistic is, and the plan cuts x
into rows (the run shares them) or columns (they vary along it). The sums behind the gradients of
coefficients are added to tables of the same shape, and these, in order, to the sums of each
coefficient, whose axes are fewer.
"""

cimport numpy as cnp
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset
from numpy cimport ndarray

from fastnorm._core.call cimport fn_cut_rows, fn_gather, fn_scatter_add
from fastnorm._core.columns cimport fn_cut_cols
from fastnorm._core.curve_pieces cimport add_up, job, work
from fastnorm._core.dispatch cimport FN_F64, FN_FLOOR, FN_RATIO, FN_SWISH, FN_TANH, kernels
from fastnorm._core.entry cimport finish, storage_of
from fastnorm._core.plan cimport FN_DP, FN_DY, FN_ROWS, FN_W, FN_X, FN_Y, fn_dim, fn_plan
from fastnorm._core.threads cimport parallel_for, task_fn

cnp.import_array()

FLOOR = FN_FLOOR
RATIO = FN_RATIO
SWISH = FN_SWISH
TANH = FN_TANH

cdef enum:
    TASKS_PER_THREAD = 8

# The caller's arrays, and how they step along the axes of the tables; the "arrays" of a dim are
# the coefficients, or their sums.
ctypedef struct given:
    int axes
    fn_dim coef_axes[64]
    fn_dim sum_axes[64]
    const char *coef[5]
    char *sum[5]        # NULL: not wanted


cdef void run_tasks(job *t, size_t items, task_fn run) noexcept nogil:
    cdef size_t threads = <size_t>t.call.threads
    t.per_task = items if threads == 1 else max(<size_t>1, items / (threads * TASKS_PER_THREAD))
    parallel_for(<Py_ssize_t>((items + t.per_task - 1) / t.per_task), run, t, t.call.threads)


cdef void cut(job *t) noexcept nogil:
    """Cut a plan into places and pieces."""
    cdef const fn_plan *p = &t.plan
    if p.layout == FN_ROWS:
        t.cut = fn_cut_rows(p.segs, p.n)
        t.places = p.groups
        t.pieces = t.cut.count
        t.width = 1
        t.single = p.segs == 1 and t.pieces == 1
    else:
        t.grid = fn_cut_cols(p)
        t.places = p.groups * t.grid.tiles
        t.pieces = t.grid.pieces
        t.width = t.grid.width


cdef int drive(job *t, const given *own) noexcept nogil:
    """A call whose arrays are placed and whose plan is made; -1: no memory."""
    cdef size_t real = t.call.kernels.real, table = t.coefs * t.size
    cdef bint back = t.call.at[FN_DY] != NULL, ready
    cdef char *values
    cdef double *sums = NULL
    cdef int k
    cut(t)
    # A table of the very shape of its coefficient is that; what is not touched costs no memory.
    values = <char *>malloc(table * real)
    if back:
        sums = <double *>calloc(table, sizeof(double))
    if back and not t.single:
        t.parts = <double *>calloc(t.coefs * t.places * t.pieces * t.width, sizeof(double))
    ready = values != NULL and (not back or sums != NULL) and (
        not back or t.single or t.parts != NULL)
    if ready:
        for k in range(t.coefs):
            if t.coef[k] == NULL:
                t.coef[k] = values + k * t.size * real
                fn_gather(values + k * t.size * real, own.coef[k], own.coef_axes, own.axes, k, 0,
                          t.size, real)
            if own.sum[k] != NULL and t.sum[k] == NULL:
                t.sum[k] = <char *>(sums + k * t.size)
        run_tasks(t, t.places * t.pieces, work)
        if t.parts != NULL:
            run_tasks(t, t.places, add_up)
        for k in range(t.coefs):
            if own.sum[k] != t.sum[k]:
                fn_scatter_add(<double *>t.sum[k], 1, own.sum[k], own.sum_axes, own.axes, k, 0,
                               t.size)
    free(values)
    free(sums)
    free(t.parts)
    return 0 if ready else -1


cdef void place(job *t, int op, ndarray a) noexcept:
    """Where an array of the shape of x lies; None: nowhere."""
    cdef int i
    if a is not None:
        t.call.at[op] = <char *>cnp.PyArray_DATA(a)
        for i in range(cnp.PyArray_NDIM(a)):
            t.plan.dims[i].stride[op] = cnp.PyArray_STRIDE(a, i)


cdef void *place_each(fn_dim *axes, int k, ndarray a, const fn_dim *dims, int ndim) noexcept:
    """Where a coefficient, or its sums, lies; how it steps along the axes of the tables."""
    cdef int i, n = 0
    for i in range(ndim):
        if dims[i].kept:
            axes[n].len = dims[i].len
            axes[n].stride[k] = 0 if cnp.PyArray_DIM(a, i) == 1 else cnp.PyArray_STRIDE(a, i)
            n += 1
    return cnp.PyArray_DATA(a)


cdef bint as_table(ndarray a, size_t size) noexcept:
    """Whether an array lies as a table does."""
    return <size_t>cnp.PyArray_SIZE(a) == size and cnp.PyArray_IS_C_CONTIGUOUS(a)


cdef int run(int kind, ndarray x, ndarray y, ndarray dy, tuple coefs, tuple sums) except -1:
    """The whole call; dy None: forward."""
    cdef job t
    cdef given own
    cdef ndarray a
    cdef int stored = storage_of(x), i, k, status, ndim = cnp.PyArray_NDIM(x)
    if cnp.PyArray_SIZE(x) == 0:
        return 0
    memset(&t, 0, sizeof(job))
    memset(&own, 0, sizeof(given))
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
            own.axes += 1
    for k in range(t.coefs):
        a = coefs[k]
        own.coef[k] = <char *>place_each(own.coef_axes, k, a, t.plan.dims, ndim)
        if as_table(a, t.size):
            t.coef[k] = own.coef[k]
        if dy is not None and sums[k] is not None:
            a = sums[k]
            own.sum[k] = <char *>place_each(own.sum_axes, k, a, t.plan.dims, ndim)
            if as_table(a, t.size):
                t.sum[k] = own.sum[k]
    if finish(&t.call, &t.plan, ndim):
        status = drive(&t, &own)
    else:
        with nogil:
            status = drive(&t, &own)
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
