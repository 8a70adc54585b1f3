# SPDX-License-Identifier: BSD-3-Clause
"""The compiled entry: NumPy arrays in, one plan, one driver.

Arguments are trusted here; every check lives in fastnorm/_args.py. The GIL is released while the
drivers work.
"""

cimport numpy as cnp
from libc.stdint cimport uintptr_t
from libc.string cimport memset

from fastnorm._core cimport cols_backward, cols_forward, rows_backward, rows_forward
from fastnorm._core.call cimport fn_call
from fastnorm._core.dispatch cimport FN_BF16, FN_F16, FN_F32, FN_F64, kernels, streams
from fastnorm._core.plan cimport (
    FN_B, FN_DP, FN_DY, FN_NOPS, FN_ROWS, FN_S, FN_W, FN_X, FN_Y, fn_plan, make,
)

cnp.import_array()

RAW = 1    # no centring: var holds the mean square
GIVEN = 2  # forward: the statistics are inputs
FIXED = 4  # backward: the statistics are constants

cdef int storage(cnp.ndarray x) except -1:
    """The kernel type of an array; 2-byte types that are not NumPy's are bfloat16."""
    cdef int num = cnp.PyArray_TYPE(x)
    if num == cnp.NPY_FLOAT32:
        return FN_F32
    if num == cnp.NPY_FLOAT64:
        return FN_F64
    if num == cnp.NPY_FLOAT16:
        return FN_F16
    if x.dtype.name == "bfloat16":
        return FN_BF16
    raise TypeError(f"no kernels for dtype {x.dtype}")


cdef void place(fn_call *c, fn_plan *plan, int op, cnp.ndarray a) noexcept:
    """Where `a` lies and how it steps along every axis of x; a broadcast axis does not step."""
    cdef int i
    c.at[op] = <char *>cnp.PyArray_DATA(a)
    for i in range(cnp.PyArray_NDIM(a)):
        if cnp.PyArray_DIM(a, i) != 1:
            plan.dims[i].stride[op] = cnp.PyArray_STRIDE(a, i)
            if op == FN_W or op == FN_B or op == FN_DP:
                plan.dims[i].param = True


cdef bint start(fn_call *c, fn_plan *plan, cnp.ndarray x, tuple axes, double eps,
                int flags) except -1:
    """Begin a call: its kernels, and every axis of x. Returns False when there is nothing to do."""
    cdef int i, op
    cdef bint some = True
    memset(c, 0, sizeof(fn_call))
    for i in range(cnp.PyArray_NDIM(x)):
        plan.dims[i].len = cnp.PyArray_DIM(x, i)
        plan.dims[i].kept = True
        plan.dims[i].param = False
        for op in range(FN_NOPS):
            plan.dims[i].stride[op] = 0
        some = some and plan.dims[i].len > 0
    for i in axes:
        plan.dims[i].kept = False
    i = storage(x)
    c.plan = plan
    c.kernels = kernels(i)
    c.single = i != FN_F64
    c.eps = eps
    c.raw = flags & 1
    c.given = flags & 2
    c.fixed = flags & 4
    place(c, plan, FN_X, x)
    return some


cdef void finish(fn_call *c, fn_plan *plan, int ndim) noexcept:
    """Make the plan, and decide how the output is stored."""
    cdef Py_ssize_t item[7]
    cdef int op
    for op in range(FN_NOPS):
        item[op] = c.kernels.item
    item[FN_W] = item[FN_B] = c.kernels.real
    item[FN_DP] = item[FN_S] = sizeof(double)
    make(plan, ndim, item)
    # An output in place is in the cache already; streamed lines must start at whole elements.
    c.stream = (c.at[FN_Y] != NULL and c.at[FN_Y] != c.at[FN_X] and c.at[FN_Y] != c.at[FN_DY]
                and <uintptr_t>c.at[FN_Y] % c.kernels.item == 0
                and streams(plan.groups * plan.segs * plan.n * c.kernels.item))


def forward(cnp.ndarray x not None, cnp.ndarray out, tuple axes not None, cnp.ndarray weight,
            cnp.ndarray bias, cnp.ndarray mean, cnp.ndarray var not None, double eps, int flags):
    """Statistics of x over `axes` (unless GIVEN), and out = (x - mean) / std * weight + bias.

    Parameters
    ----------
    x, out : ndarray
        float16, bfloat16, float32 or float64, one shape; out None: statistics only.
    axes : tuple of int
        The reduced axes, non-negative.
    weight, bias : ndarray or None
        Of the compute type, x.ndim axes, each 1 or that of x.
    mean, var : ndarray
        float64, C-contiguous, the shape of x with 1 for reduced axes; written, or read when GIVEN.
        RAW: var is the mean square and mean may be None.
    eps : float
        Added to var.
    flags : int
        RAW, GIVEN.
    """
    cdef fn_plan plan
    cdef fn_call call
    cdef int status = 0
    if not start(&call, &plan, x, axes, eps, flags):
        return
    if out is not None:
        place(&call, &plan, FN_Y, out)
        if weight is not None:
            place(&call, &plan, FN_W, weight)
        if bias is not None:
            place(&call, &plan, FN_B, bias)
    place(&call, &plan, FN_S, var)
    call.var = call.at[FN_S]
    call.at[FN_S] = NULL if mean is None else <char *>cnp.PyArray_DATA(mean)
    finish(&call, &plan, cnp.PyArray_NDIM(x))
    with nogil:
        if plan.layout == FN_ROWS:
            rows_forward.forward(&call)
        else:
            status = cols_forward.forward(&call)
    if status:
        raise MemoryError("no memory for the partial statistics")


def backward(cnp.ndarray dy not None, cnp.ndarray x not None, cnp.ndarray dx, tuple axes not None,
             cnp.ndarray weight, cnp.ndarray mean, cnp.ndarray var not None, double eps, int flags,
             cnp.ndarray dweight, cnp.ndarray dbias):
    """Gradients of `forward` for given statistics.

    Parameters
    ----------
    dy, x, dx : ndarray
        One shape and type; dx None: parameters only.
    axes, weight, mean, var, eps
        As in forward; the statistics are inputs.
    flags : int
        RAW; FIXED: the statistics are constants, dx = dy * weight / std.
    dweight, dbias : ndarray or None
        float64, zero, C-contiguous, of one shape: x.ndim axes, each 1 or that of x.
    """
    cdef fn_plan plan
    cdef fn_call call
    cdef int status = 0
    if not start(&call, &plan, x, axes, eps, flags):
        return
    place(&call, &plan, FN_DY, dy)
    if dx is not None:
        place(&call, &plan, FN_Y, dx)
    if weight is not None:
        place(&call, &plan, FN_W, weight)
    if dbias is not None:
        place(&call, &plan, FN_DP, dbias)
        call.dbias = call.at[FN_DP]
        call.at[FN_DP] = NULL
        call.dparam_size = cnp.PyArray_SIZE(dbias)
    if dweight is not None:
        place(&call, &plan, FN_DP, dweight)
        call.dparam_size = cnp.PyArray_SIZE(dweight)
    place(&call, &plan, FN_S, var)
    call.var = call.at[FN_S]
    call.at[FN_S] = NULL if mean is None else <char *>cnp.PyArray_DATA(mean)
    finish(&call, &plan, cnp.PyArray_NDIM(x))
    with nogil:
        if plan.layout == FN_ROWS:
            status = rows_backward.backward(&call)
        else:
            status = cols_backward.backward(&call)
    if status:
        raise MemoryError("no memory for the partial gradients")
