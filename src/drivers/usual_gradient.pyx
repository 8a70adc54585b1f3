# SPDX-License-Identifier: BSD-3-Clause
"""The gradient of the usual call, carried out in one go, as the call itself is in usual.pyx."""

cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE
from libc.math cimport INFINITY
from libc.stdint cimport uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset
from numpy cimport ndarray

from fastnorm._core.call cimport fn_call
from fastnorm._core.dispatch cimport FN_F64
from fastnorm._core.entry cimport (
    FN_ACTIVATED, FN_FIXED, FN_RAW, begin, begin_slope, place_packed, place_statistics,
    place_values, run_backward, storage,
)
from fastnorm._core.groups cimport Groups, Recent
from fastnorm._core.plan cimport FN_B, FN_DP, FN_DY, FN_ON, FN_W, FN_X, FN_Y, fn_plan
from fastnorm._core.recognize cimport (
    FN_MANY, FN_RUNNING, alike, apart, clear_of, usual, usual_number, usual_output, usual_parameter,
    usual_statistic, usual_values,
)
from fastnorm._core.usual cimport NEAR, doubles, find_statistics, groups_of, new_like, widen

cdef extern from "fn_round.h":
    int fn_round(size_t n, const double *total, float *to)

cnp.import_array()


cdef double *float64_of(ndarray a, double *room) noexcept:
    """The values of a contiguous array: where they are, or widened into `room`."""
    if cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT64:
        return <double *>cnp.PyArray_DATA(a)
    widen(a, room)
    return room


cdef object parameter_gradient(const double *total, ndarray like):
    """The sums behind the gradient of a parameter, in its shape and rounded to its type."""
    cdef int ndim = cnp.PyArray_NDIM(like)
    cdef bint beyond = False
    cdef cnp.npy_intp *dims = cnp.PyArray_DIMS(like)
    cdef ndarray result
    cdef Py_ssize_t n = cnp.PyArray_SIZE(like)
    if cnp.PyArray_TYPE(like) == cnp.NPY_FLOAT32:
        result = cnp.PyArray_EMPTY(ndim, dims, cnp.NPY_FLOAT32, 0)
        beyond = fn_round(n, total, <float *>cnp.PyArray_DATA(result))
        if not beyond:
            return result
    result = cnp.PyArray_EMPTY(ndim, dims, cnp.NPY_FLOAT64, 0)
    memcpy(cnp.PyArray_DATA(result), total, n * sizeof(double))
    # Beyond float32 it is NumPy that says so, in the way np.errstate asks for
    return result.astype(like.dtype) if beyond else result


def gradient(dy, x, weight, bias, mean, var, count, eps, out, int flags, Recent recent not None,
             first, second=None, running_mean=None, running_var=None, onward=None):
    """Gradients of `normalize` and `normalize_batch`.

    Parameters
    ----------
    dy : ndarray
        Gradient with respect to y.
    x, weight, bias, eps, out, recent, first, second
        As in normalize.
    mean, var, count : ndarray, int or None
        The statistics, as they were returned; var None: they are computed. RAW: var is the mean
        square, mean None.
    flags : int
        RAW, FIXED, MANY, AGAINST, RUNNING, one of ACTIVATIONS.
    running_mean, running_var : ndarray or None
        What was given beside `mean` and `var`, and is not read.
    onward : ndarray or None
        A gradient that came to x by another way, which is added.

    Returns
    -------
    tuple or None
        Gradients with respect to x, weight and, unless RAW, bias; None if an argument is not usual.
    """
    cdef Groups groups
    cdef int num
    cdef uint64_t weight_axes = 0, bias_axes = 0
    if (not usual_values(x) or not usual(dy) or not alike(<ndarray>dy, <ndarray>x)
            or not usual_number(eps, INFINITY) or not usual_output(out, <ndarray>x)
            or (out is not None and not clear_of(<ndarray>out, <ndarray>dy))):
        return None
    # With an activation the output holds the gradient before it, while x is still needed; where the
    # statistics are constants, that is a call of its own
    if flags >= FN_ACTIVATED and (flags & FN_FIXED or (
            out is not None and not apart(<ndarray>out, <ndarray>x))):
        return None
    if onward is not None and not (
            usual(onward) and alike(<ndarray>onward, <ndarray>x)
            and (out is None or apart(<ndarray>out, <ndarray>onward) or (
                flags < FN_ACTIVATED and clear_of(<ndarray>out, <ndarray>onward)))):
        return None
    groups = groups_of(<ndarray>x, recent, first, second, None)
    if groups is None or (flags & FN_MANY and groups.values < 2):
        return None
    num = cnp.NPY_FLOAT64 if storage(<ndarray>x) == FN_F64 else cnp.NPY_FLOAT32
    if (not usual_parameter(weight, groups, num, out, flags, &weight_axes)
            or not usual_parameter(bias, groups, num, out, flags, &bias_axes)):
        return None
    # Where they broadcast in two ways, the sums are of a third shape
    if weight is not None and bias is not None and not alike(<ndarray>weight, <ndarray>bias):
        return None
    if var is None:
        if mean is not None or flags & FN_FIXED:
            return None
    elif not (type(count) is int and count == (0 if flags & FN_FIXED else groups.size)
              and usual_statistic(var, groups, out, flags)
              and (flags & FN_RAW or usual_statistic(mean, groups, out, flags))):
        return None
    for running in (running_mean, running_var):
        if running is not None and not usual_statistic(running, groups, out, FN_RUNNING):
            return None
    return gradients(<ndarray>dy, <ndarray>x, weight, bias, mean, var, PyFloat_AS_DOUBLE(eps), out,
                     groups, flags, weight_axes | bias_axes, onward)


cdef tuple gradients(ndarray dy, ndarray x, object weight, object bias, object mean, object var,
                     double eps, object out, Groups groups, int flags, uint64_t along,
                     object onward):
    """`gradient` of arguments that are usual, with parameters along these axes."""
    cdef fn_plan plan
    cdef fn_call call
    cdef double near[NEAR]
    cdef double *room = near
    cdef double *means
    cdef double *variances
    cdef double *weight_sums
    cdef double *bias_sums
    cdef int stored = storage(x)
    cdef Py_ssize_t size = 0
    cdef ndarray dx, dweight = None, dbias = None
    if weight is not None:
        size = cnp.PyArray_SIZE(<ndarray>weight)
    elif bias is not None:
        size = cnp.PyArray_SIZE(<ndarray>bias)
    dx = <ndarray>out if out is not None else new_like(x)
    room = doubles(near, 2 * groups.count + 2 * size)
    try:
        means = NULL if flags & FN_RAW else room
        variances = room + groups.count
        bias_sums = weight_sums = room + 2 * groups.count
        if weight is not None and bias is not None:
            bias_sums += size
        memset(weight_sums, 0, (bias_sums - weight_sums + size) * sizeof(double))
        if var is None:
            find_statistics(x, groups, eps, flags, means, variances)
        else:
            variances = float64_of(<ndarray>var, variances)
            if means != NULL:
                means = float64_of(<ndarray>mean, means)
        begin(&call, &plan, groups, stored, eps, flags)
        place_values(&plan, &call, groups, FN_X, x)
        place_values(&plan, &call, groups, FN_DY, dy)
        place_values(&plan, &call, groups, FN_Y, dx)
        if onward is not None:
            place_values(&plan, &call, groups, FN_ON, <ndarray>onward)
        if weight is not None:
            place_packed(&plan, &call, groups, FN_W, cnp.PyArray_DATA(<ndarray>weight), along,
                         call.kernels.real)
        if call.activation:
            begin_slope(&call)
            if bias is not None:
                place_packed(&plan, &call, groups, FN_B, cnp.PyArray_DATA(<ndarray>bias), along,
                             call.kernels.real)
        if size:
            place_packed(&plan, &call, groups, FN_DP, weight_sums, along, sizeof(double))
            call.at[FN_DP] = NULL if weight is None else <char *>weight_sums
            call.dbias = NULL if bias is None else <char *>bias_sums
            call.dparam_size = size
        place_statistics(&plan, &call, groups, means, variances)
        run_backward(&call, &plan, groups.ndim)
        if weight is not None:
            dweight = parameter_gradient(weight_sums, <ndarray>weight)
        if bias is not None:
            dbias = parameter_gradient(bias_sums, <ndarray>bias)
    finally:
        if room != near:
            free(room)
    return (dx, dweight) if flags & FN_RAW else (dx, dweight, dbias)
