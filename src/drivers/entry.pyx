# SPDX-License-Identifier: BSD-3-Clause
"""The compiled entry: NumPy arrays in, one plan, one driver.

A call is begun, its arrays are placed one by one, and it is run: by `forward` and `backward` here,
whose arguments were checked in fastnorm/_args.py, and by usual.pyx, which recognizes those that
need no check. The GIL is released while the drivers work.
"""

cimport numpy as cnp
from libc.stdint cimport uint64_t, uintptr_t
from libc.string cimport memset
from numpy cimport ndarray

from fastnorm._core cimport cols_backward, cols_forward, rows_backward, rows_forward
from fastnorm._core.call cimport fn_call
from fastnorm._core.dispatch cimport (
    FN_BF16, FN_F16, FN_F32, FN_F64, FN_GELU, FN_GELU_TANH, FN_PAGE, FN_RELU, FN_SILU,
    kernels, streams,
)
from fastnorm._core.groups cimport Groups
from fastnorm._core.plan cimport (
    FN_B, FN_COLS, FN_DP, FN_DY, FN_NOPS, FN_ON, FN_OTHER, FN_ROWS, FN_S, FN_TERM, FN_W, FN_X, FN_Y,
    fn_plan, make,
)
from fastnorm._core.threads cimport effective

cdef extern from "numpy/arrayobject.h":
    int NPY_USERDEF

cdef extern from "fn_lay.h" nogil:
    ctypedef struct fn_laid:
        char *room
    void fn_lay_out(fn_call *c, fn_plan *plan, fn_laid *laid)
    void fn_take_up(fn_laid *laid)

cnp.import_array()

RAW = FN_RAW
GIVEN = FN_GIVEN
FIXED = FN_FIXED
ACTIVATED = FN_ACTIVATED
# What an activation adds to the flags.
ACTIVATIONS = {
    "relu": FN_RELU * FN_ACTIVATED, "silu": FN_SILU * FN_ACTIVATED,
    "gelu": FN_GELU * FN_ACTIVATED, "gelu_tanh": FN_GELU_TANH * FN_ACTIVATED,
}

cdef enum:
    BRIEF = 4096  # values below which giving the GIL away and taking it back would be felt
    SHORT = 1024  # bytes of a run

# The number NumPy gave to bfloat16 of the package ml_dtypes; 0 until such an array was seen. There
# is one for the whole process, so it does not matter which thread finds it.
cdef int bfloat16 = 0


cdef int storage(ndarray x) noexcept:
    """The kernel type of an array in native byte order; -1: none that is known so far."""
    cdef int num = cnp.PyArray_TYPE(x)
    if num == cnp.NPY_FLOAT32:
        return FN_F32
    if num == cnp.NPY_FLOAT64:
        return FN_F64
    if num == cnp.NPY_FLOAT16:
        return FN_F16
    return FN_BF16 if num == bfloat16 and num != 0 else -1


cdef int storage_of(ndarray x) except -1:
    """The kernel type of an array; a type of that name is bfloat16."""
    global bfloat16
    cdef int stored = storage(x)
    if stored < 0:
        if x.dtype.name != "bfloat16":
            raise TypeError(f"no kernels for dtype {x.dtype}")
        if cnp.PyArray_TYPE(x) >= NPY_USERDEF:  # else the type has no number of its own
            bfloat16 = cnp.PyArray_TYPE(x)
        stored = FN_BF16
    return stored


cdef void begin(fn_call *c, fn_plan *plan, Groups groups, int stored, double eps,
                int flags) noexcept:
    """Begin a call: its kernels, and every axis of x; no array is placed yet."""
    cdef int i
    memset(c, 0, sizeof(fn_call))
    memset(plan.dims, 0, groups.ndim * sizeof(plan.dims[0]))
    for i in range(groups.ndim):
        plan.dims[i].len = groups.lens[i]
        plan.dims[i].kept = not groups.reduced >> i & 1
    c.plan = plan
    c.kernels = kernels(stored)
    c.single = stored != FN_F64
    c.eps = eps
    c.raw = flags & FN_RAW
    c.given = flags & FN_GIVEN
    c.fixed = flags & FN_FIXED
    c.activation = flags / FN_ACTIVATED
    c.dz = FN_DY


cdef void begin_slope(fn_call *c) noexcept:
    """Of a backward call with an activation: dx receives its slope times dy first, piece by piece
    where the sums are about to read it."""
    c.slope = True
    c.dz = FN_Y


cdef void place_values(fn_plan *plan, fn_call *c, Groups groups, int op, ndarray a) noexcept:
    """Where an array of the shape of x lies, and how it steps; a split axis is two axes of it."""
    cdef const Py_ssize_t *strides = <const Py_ssize_t *>cnp.PyArray_STRIDES(a)
    cdef int i, k = 0
    c.at[op] = <char *>cnp.PyArray_DATA(a)
    for i in range(groups.ndim):
        if i == groups.channel:
            plan.dims[i].stride[op] = strides[k] * groups.lens[i + 1]
        else:
            plan.dims[i].stride[op] = strides[k]
            k += 1


cdef void place_packed(fn_plan *plan, fn_call *c, Groups groups, int op, void *data,
                       uint64_t axes, Py_ssize_t item) noexcept:
    """Where a C-contiguous array along some axes lies; along the others it does not step."""
    cdef int i
    c.at[op] = <char *>data
    for i in range(groups.ndim - 1, -1, -1):
        if axes >> i & 1:
            plan.dims[i].stride[op] = item
            plan.dims[i].param = plan.dims[i].param or op != FN_S
            item *= groups.lens[i]


cdef void place_against(fn_plan *plan, fn_call *c, Groups groups, int op, ndarray a) noexcept:
    """Where a parameter that broadcasts against x lies."""
    cdef int i, ahead = groups.ndim - cnp.PyArray_NDIM(a)
    c.at[op] = <char *>cnp.PyArray_DATA(a)
    for i in range(cnp.PyArray_NDIM(a)):
        if cnp.PyArray_DIM(a, i) != 1:
            plan.dims[ahead + i].stride[op] = cnp.PyArray_STRIDE(a, i)
            plan.dims[ahead + i].param = True


cdef void place_statistics(fn_plan *plan, fn_call *c, Groups groups, void *mean,
                           void *var) noexcept:
    """Where the statistics lie: float64, C-contiguous, one for each group."""
    place_packed(plan, c, groups, FN_S, mean, ~groups.reduced, sizeof(double))
    c.var = <char *>var


cdef bint pages_apart(const fn_plan *plan) noexcept nogil:
    """Whether rows lie a multiple of 4096 bytes apart."""
    cdef int row = plan.nouter - 1 if plan.layout == FN_ROWS else plan.nouter + plan.nred - 1
    return row >= 0 and plan.dims[row].stride[FN_X] % FN_PAGE == 0


cdef bint in_short_runs(const fn_plan *plan, size_t item) noexcept nogil:
    """Whether a group is many short runs, far apart: those of a channel of small maps."""
    return plan.layout == FN_ROWS and plan.nred > 0 and plan.n * item <= SHORT


cdef bint finish(fn_call *c, fn_plan *plan, int ndim) noexcept:
    """Make the plan, and decide how the output is stored. Whether the call is a brief one."""
    cdef Py_ssize_t item[8]
    cdef size_t values, arrays
    cdef int op, sharing
    for op in range(FN_NOPS):
        item[op] = c.kernels.item
    item[FN_W] = item[FN_B] = c.kernels.real
    item[FN_S] = item[FN_DP] = sizeof(double)
    make(plan, ndim, item, c.at[FN_DY] != NULL)
    values = plan.groups * plan.segs * plan.n
    c.threads = effective(values if c.at[FN_DY] == NULL else 2 * values)
    # An output in place is in the cache already; streamed lines must start at whole elements.
    arrays = 2 + (c.at[FN_DY] != NULL) + (c.at[FN_ON] != NULL) + 2 * c.summed
    sharing = c.threads
    if c.at[FN_DY] != NULL:
        if pages_apart(plan):  # loads would wait for ordinary stores
            arrays *= 2
        if in_short_runs(plan, c.kernels.item):
            sharing = 1  # the last level does not keep them beside each other
    c.stream = (c.at[FN_Y] != NULL and c.at[FN_Y] != c.at[FN_X] and c.at[FN_Y] != c.at[c.dz]
                and c.at[FN_Y] != c.at[FN_ON] and <uintptr_t>c.at[FN_Y] % c.kernels.item == 0
                and streams(arrays * values * c.kernels.item, sharing))
    return values < BRIEF


cdef int drive_forward(fn_call *c, fn_plan *plan) noexcept nogil:
    cdef fn_laid laid
    if plan.layout == FN_COLS:
        return cols_forward.forward(c)
    fn_lay_out(c, plan, &laid)
    rows_forward.forward(c)
    fn_take_up(&laid)
    return 0


cdef int drive_backward(fn_call *c, fn_plan *plan) noexcept nogil:
    cdef fn_laid laid
    cdef int status
    if plan.layout == FN_COLS:
        return cols_backward.backward(c)
    fn_lay_out(c, plan, &laid)
    status = rows_backward.backward(c)
    fn_take_up(&laid)
    return status


cdef int run_forward(fn_call *c, fn_plan *plan, int ndim) except -1:
    """Run a forward call whose arrays are all placed."""
    cdef int status
    if finish(c, plan, ndim):
        status = drive_forward(c, plan)
    else:
        with nogil:
            status = drive_forward(c, plan)
    if status:
        raise MemoryError("no memory for the partial statistics")
    return 0


cdef int run_backward(fn_call *c, fn_plan *plan, int ndim) except -1:
    """Run a backward call whose arrays are all placed."""
    cdef int status
    if finish(c, plan, ndim):
        status = drive_backward(c, plan)
    else:
        with nogil:
            status = drive_backward(c, plan)
    if status:
        raise MemoryError("no memory for the partial gradients")
    return 0


cdef void *data_of(ndarray a) noexcept:
    return NULL if a is None else cnp.PyArray_DATA(a)


def forward(ndarray x not None, ndarray out, Groups groups not None, ndarray weight, ndarray bias,
            ndarray mean, ndarray var not None, double eps, int flags, ndarray term=None,
            ndarray other=None):
    """Statistics of the groups of x (unless GIVEN), and out = (x - mean) / std * weight + bias.

    Parameters
    ----------
    x, out : ndarray
        float16, bfloat16, float32 or float64, one shape; out None: statistics only.
    groups : Groups
        How x falls into groups.
    weight, bias : ndarray or None
        Of the compute type; they broadcast against `groups.split`.
    mean, var : ndarray
        float64, C-contiguous, an entry for each group; written, or read when GIVEN.
        RAW: var is the mean square and mean may be None.
    eps : float
        Added to var.
    flags : int
        RAW, GIVEN, and one of ACTIVATIONS, which is applied to the result.
    term, other : ndarray, optional
        Of x's shape and type: x = term + other is made first. x may be either of them.
    """
    cdef fn_plan plan
    cdef fn_call call
    cdef int stored = storage_of(x)
    if cnp.PyArray_SIZE(x) == 0:
        return
    begin(&call, &plan, groups, stored, eps, flags)
    place_values(&plan, &call, groups, FN_X, x)
    if term is not None:
        call.summed = True
        place_values(&plan, &call, groups, FN_TERM, term)
        place_values(&plan, &call, groups, FN_OTHER, other)
    if out is not None:
        place_values(&plan, &call, groups, FN_Y, out)
        if weight is not None:
            place_against(&plan, &call, groups, FN_W, weight)
        if bias is not None:
            place_against(&plan, &call, groups, FN_B, bias)
    place_statistics(&plan, &call, groups, data_of(mean), data_of(var))
    run_forward(&call, &plan, groups.ndim)


def slope(ndarray dy not None, ndarray x not None, ndarray dx not None, Groups groups not None,
          ndarray weight, ndarray bias, ndarray mean, ndarray var not None, double eps, int flags):
    """dx = the gradient before the activation that `forward` with these arguments ends with.

    Parameters
    ----------
    dy, x, dx, groups, weight, bias, mean, var, eps, flags
        As in backward.
    """
    cdef fn_plan plan
    cdef fn_call call
    begin(&call, &plan, groups, storage_of(x), eps, flags | FN_GIVEN)
    call.slope = True
    place_values(&plan, &call, groups, FN_X, x)
    place_values(&plan, &call, groups, FN_DY, dy)
    place_values(&plan, &call, groups, FN_Y, dx)
    if weight is not None:
        place_against(&plan, &call, groups, FN_W, weight)
    if bias is not None:
        place_against(&plan, &call, groups, FN_B, bias)
    place_statistics(&plan, &call, groups, data_of(mean), data_of(var))
    run_forward(&call, &plan, groups.ndim)


def backward(ndarray dy not None, ndarray x not None, ndarray dx, Groups groups not None,
             ndarray weight, ndarray mean, ndarray var not None, double eps, int flags,
             ndarray dweight, ndarray dbias, ndarray means=None, ndarray bias=None,
             ndarray onward=None):
    """Gradients of `forward` for given statistics.

    Where an activation followed, dx first receives the gradient before it, which is dy to all that
    comes after; dx is needed then.

    Parameters
    ----------
    dy, x, dx : ndarray
        One shape and type; dx None: parameters only.
    groups, weight, mean, var, eps
        As in forward; the statistics are inputs.
    flags : int
        RAW; FIXED: the statistics are constants, dx = dy * weight / std; one of ACTIVATIONS.
    dweight, dbias : ndarray or None
        float64, zero, C-contiguous, of one shape that broadcasts against `groups.split`.
    means : ndarray, optional
        float64, C-contiguous, an entry for each group twice: the means of dy * weight and of
        dy * weight * xh to take for those of the groups, of which no sums are made then. Neither
        `dweight` nor `dbias` can be wanted.
    bias : ndarray or None
        As in forward; read where there is an activation.
    onward : ndarray, optional
        Of the shape and type of x: a gradient that comes to x by another way, which is added to dx
        before that is rounded. It may be dx, but not with one of ACTIVATIONS. Not with FIXED.
    """
    cdef fn_plan plan
    cdef fn_call call
    cdef ndarray either = dbias if dweight is None else dweight
    cdef int stored = storage_of(x)
    if cnp.PyArray_SIZE(x) == 0:
        return
    if flags >= FN_ACTIVATED and (flags & FN_FIXED or means is not None):  # there will be no sums
        slope(dy, x, dx, groups, weight, bias, mean, var, eps, flags)
        dy = dx
        flags %= FN_ACTIVATED
    begin(&call, &plan, groups, stored, eps, flags)
    place_values(&plan, &call, groups, FN_X, x)
    place_values(&plan, &call, groups, FN_DY, dy)
    if dx is not None:
        place_values(&plan, &call, groups, FN_Y, dx)
    if weight is not None:
        place_against(&plan, &call, groups, FN_W, weight)
    if call.activation:
        begin_slope(&call)
        if bias is not None:
            place_against(&plan, &call, groups, FN_B, bias)
    if onward is not None:
        place_values(&plan, &call, groups, FN_ON, onward)
    if either is not None:
        place_against(&plan, &call, groups, FN_DP, either)
        call.at[FN_DP] = <char *>data_of(dweight)
        call.dbias = <char *>data_of(dbias)
        call.dparam_size = cnp.PyArray_SIZE(either)
    place_statistics(&plan, &call, groups, data_of(mean), data_of(var))
    if means is not None:
        call.c0 = <char *>cnp.PyArray_DATA(means)
        call.c1 = call.c0 + groups.count * sizeof(double)
    run_backward(&call, &plan, groups.ndim)
