# SPDX-License-Identifier: BSD-3-Clause
"""The usual call, carried out in one go: what a small call costs is decided here.

What is not usual (recognize.pyx) is answered with None, before anything is written, and the caller
takes the way through fastnorm/_args.py, which converts, copies and refuses. The results have the
same bits. Its gradient is in usual_gradient.pyx.
"""

cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE
from libc.math cimport INFINITY
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from numpy cimport ndarray

from fastnorm._core.call cimport fn_call
from fastnorm._core.dispatch cimport FN_F64
from fastnorm._core.entry cimport (
    FN_GIVEN, FN_RAW, begin, place_packed, place_statistics, place_values, run_forward, storage,
)
from fastnorm._core.groups cimport Groups, Recent
from fastnorm._core.plan cimport FN_B, FN_OTHER, FN_TERM, FN_W, FN_X, FN_Y, fn_plan
from fastnorm._core.recognize cimport (
    FN_AGAINST, FN_MANY, FN_RUNNING, FN_STATS, alike, apart, usual, usual_number, usual_output,
    usual_parameter, usual_statistic, usual_values,
)

cdef extern from "numpy/arrayobject.h":
    object PyArray_NewLikeArray(ndarray like, cnp.NPY_ORDER order, void *dtype, int subok)

cnp.import_array()

STATS = FN_STATS
MANY = FN_MANY
AGAINST = FN_AGAINST
RUNNING = FN_RUNNING

# ---- memory --------------------------------------------------------------------------------------


cdef double *doubles(double *near, Py_ssize_t n) except? NULL:
    """Room for n values: `near`, which has NEAR of them, or new memory."""
    cdef double *room = near
    if n > NEAR:
        room = <double *>malloc(n * sizeof(double))
        if room == NULL:
            raise MemoryError("no memory for the statistics")
    return room


cdef ndarray new_like(ndarray x):
    """A new array of the shape, the type and, but for padding, the memory order of x."""
    return <ndarray>PyArray_NewLikeArray(x, cnp.NPY_KEEPORDER, NULL, 0)


cdef ndarray new_statistic(Groups groups, bint kept):
    cdef cnp.npy_intp dims[64]
    cdef int i, n = 0
    for i in range(groups.ndim):
        if not groups.reduced >> i & 1:
            dims[n] = groups.lens[i]
            n += 1
        elif kept:
            dims[n] = 1
            n += 1
    return cnp.PyArray_EMPTY(n, dims, cnp.NPY_FLOAT64, 0)


cdef void widen(ndarray a, double *to) noexcept:
    """Copy a contiguous array of float32 or float64."""
    cdef Py_ssize_t i, n = cnp.PyArray_SIZE(a)
    cdef const float *single = <const float *>cnp.PyArray_DATA(a)
    if cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT64:
        memcpy(to, cnp.PyArray_DATA(a), n * sizeof(double))
    else:
        for i in range(n):
            to[i] = single[i]


# ---- forward -------------------------------------------------------------------------------------


cdef int find_statistics(ndarray x, Groups groups, double eps, int flags, double *mean,
                         double *var) except -1:
    cdef fn_plan plan
    cdef fn_call call
    begin(&call, &plan, groups, storage(x), eps, flags & FN_RAW)
    place_values(&plan, &call, groups, FN_X, x)
    place_statistics(&plan, &call, groups, mean, var)
    return run_forward(&call, &plan, groups.ndim)


cdef void fold_in(ndarray running, const double *batch, double correction,
                  double momentum) noexcept:
    """Move a running statistic towards that of a batch: RunningStatistics.fold_in, in its order."""
    cdef Py_ssize_t i
    cdef float *single = <float *>cnp.PyArray_DATA(running)
    cdef double *wide = <double *>cnp.PyArray_DATA(running)
    if cnp.PyArray_TYPE(running) == cnp.NPY_FLOAT64:
        for i in range(cnp.PyArray_SIZE(running)):
            wide[i] = (1 - momentum) * wide[i] + momentum * (batch[i] * correction)
    else:
        for i in range(cnp.PyArray_SIZE(running)):
            single[i] = <float>((1 - momentum) * single[i] + momentum * (batch[i] * correction))


cdef object normalized(ndarray x, object weight, object bias, object running_mean,
                       object running_var, double momentum, double eps, object out, Groups groups,
                       int flags, ndarray term=None, ndarray other=None):
    """y, or (y, mean, var, groups), of an x and an output that are usual; None if the rest is not.

    The running statistics are usual, if there are any. With `term` and `other`, which are, too, x
    is their sum, and made first.
    """
    cdef fn_plan plan
    cdef fn_call call
    cdef double near[NEAR]
    cdef double *room = near
    cdef double *mean = NULL
    cdef double *var
    cdef double values = <double>groups.values
    cdef ndarray y, means = None, variances = None
    cdef int stored = storage(x)
    cdef int num = cnp.NPY_FLOAT64 if stored == FN_F64 else cnp.NPY_FLOAT32
    cdef uint64_t weight_axes = 0, bias_axes = 0
    if flags & FN_MANY and groups.values < 2:
        return None
    if not usual_parameter(weight, groups, num, out, flags, &weight_axes):
        return None
    if not usual_parameter(bias, groups, num, out, flags, &bias_axes):
        return None
    y = <ndarray>out if out is not None else new_like(x if term is None else term)
    if flags & FN_STATS:
        variances = new_statistic(groups, False)
        var = <double *>cnp.PyArray_DATA(variances)
        if not flags & FN_RAW:
            means = new_statistic(groups, False)
            mean = <double *>cnp.PyArray_DATA(means)
    else:
        room = doubles(near, 2 * groups.count)
        mean, var = NULL if flags & FN_RAW else room, room + groups.count
    try:
        begin(&call, &plan, groups, stored, eps, flags)
        place_values(&plan, &call, groups, FN_X, x)
        place_values(&plan, &call, groups, FN_Y, y)
        if term is not None:
            call.summed = True
            place_values(&plan, &call, groups, FN_TERM, term)
            place_values(&plan, &call, groups, FN_OTHER, other)
        if weight is not None:
            place_packed(&plan, &call, groups, FN_W, cnp.PyArray_DATA(<ndarray>weight),
                         weight_axes, call.kernels.real)
        if bias is not None:
            place_packed(&plan, &call, groups, FN_B, cnp.PyArray_DATA(<ndarray>bias), bias_axes,
                         call.kernels.real)
        if flags & FN_GIVEN:
            widen(<ndarray>running_mean, mean)
            widen(<ndarray>running_var, var)
        place_statistics(&plan, &call, groups, mean, var)
        run_forward(&call, &plan, groups.ndim)
        if not flags & FN_GIVEN:
            if running_mean is not None:
                fold_in(<ndarray>running_mean, mean, 1, momentum)
            if running_var is not None:
                fold_in(<ndarray>running_var, var, values / (values - 1), momentum)
    finally:
        if room != near:
            free(room)
    return (y, means, variances, groups) if flags & FN_STATS else y


cdef Groups groups_of(ndarray x, Recent recent, object first, object second, object third):
    return recent.find(x, cnp.PyArray_NDIM(x), <const Py_ssize_t *>cnp.PyArray_DIMS(x), first,
                       second, third)


def normalize(x, weight, bias, eps, out, int flags, Recent recent not None, first, second=None,
              third=None):
    """Normalize by the statistics of x.

    Parameters
    ----------
    x, weight, bias, eps, out
        As the families take them.
    flags : int
        RAW, STATS, AGAINST.
    recent : Recent
        Gives the groups of x for the keys `first`, `second`, `third`.

    Returns
    -------
    ndarray or tuple or None
        y; with STATS (y, mean, var, groups); None if an argument is not usual. RAW: var is the mean
        square.
    """
    cdef Groups groups
    if (not usual_values(x) or not usual_number(eps, INFINITY)
            or not usual_output(out, <ndarray>x)):
        return None
    groups = groups_of(<ndarray>x, recent, first, second, third)
    if groups is None:
        return None
    return normalized(<ndarray>x, weight, bias, None, None, 0, PyFloat_AS_DOUBLE(eps), out, groups,
                      flags)


def normalize_sum(x, residual, weight, bias, eps, out, residual_out, int flags,
                  Recent recent not None, first, second=None):
    """Normalize x + residual by its statistics.

    Parameters
    ----------
    x, residual, weight, bias, eps, out, residual_out
        As the families take them.
    flags, recent, first, second
        As in normalize.

    Returns
    -------
    tuple or None
        y and the sum, which is `residual_out` if that is given; with STATS (y, sum, mean, var,
        groups); None if an argument is not usual.
    """
    cdef Groups groups
    cdef ndarray total
    if (not usual_values(x) or not usual_values(residual)
            or not alike(<ndarray>residual, <ndarray>x) or not usual_number(eps, INFINITY)):
        return None
    for result in (out, residual_out):
        if not usual_output(result, <ndarray>x) or not usual_output(result, <ndarray>residual):
            return None
    if residual_out is not None:
        if out is not None and not apart(<ndarray>out, <ndarray>residual_out):
            return None
        for value in (weight, bias):
            if usual(value) and not apart(<ndarray>value, <ndarray>residual_out):
                return None
    groups = groups_of(<ndarray>x, recent, first, second, None)
    if groups is None:
        return None
    total = <ndarray>residual_out if residual_out is not None else new_like(<ndarray>x)
    result = normalized(total, weight, bias, None, None, 0, PyFloat_AS_DOUBLE(eps), out, groups,
                        flags, <ndarray>x, <ndarray>residual)
    if result is None:
        return None
    return (result[0], total, *result[1:]) if flags & FN_STATS else (result, total)


def normalize_batch(x, weight, bias, mean, var, momentum, eps, out, int flags,
                    Recent recent not None, first, second=None):
    """Normalize by the statistics of x and update running ones; with GIVEN, normalize by these.

    Parameters
    ----------
    x, weight, bias, eps, out, recent, first, second
        As in normalize.
    mean, var : ndarray or None
        The running statistics.
    momentum : float
        Weight of the batch in them.
    flags : int
        GIVEN, STATS, MANY.

    Returns
    -------
    ndarray or tuple or None
        As from normalize.
    """
    cdef Groups groups
    cdef bint given = flags & FN_GIVEN != 0
    if (not usual_values(x) or not usual_number(eps, INFINITY) or not usual_number(momentum, 1)
            or not usual_output(out, <ndarray>x)):
        return None
    groups = groups_of(<ndarray>x, recent, first, second, None)
    if groups is None:
        return None
    for running in (mean, var):
        if running is None:
            if given:
                return None
        elif not usual_statistic(running, groups, out, FN_RUNNING) or not (
                given or cnp.PyArray_ISWRITEABLE(<ndarray>running)):
            return None
    if not given and mean is not None and var is not None and not apart(
            <ndarray>mean, <ndarray>var):
        return None
    return normalized(<ndarray>x, weight, bias, mean, var, PyFloat_AS_DOUBLE(momentum),
                      PyFloat_AS_DOUBLE(eps), out, groups, flags)


def measure(x, Recent recent not None, first, bint keepdims):
    """(mean, var, groups) of x, with `keepdims` in the shape `groups.kept`; None if not usual."""
    cdef Groups groups
    cdef ndarray mean, var
    if not usual_values(x):
        return None
    groups = groups_of(<ndarray>x, recent, first, None, None)
    if groups is None:
        return None
    mean, var = new_statistic(groups, keepdims), new_statistic(groups, keepdims)
    find_statistics(<ndarray>x, groups, 0, 0, <double *>cnp.PyArray_DATA(mean),
                    <double *>cnp.PyArray_DATA(var))
    return mean, var, groups
