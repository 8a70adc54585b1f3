# SPDX-License-Identifier: BSD-3-Clause
"""What is usual: arguments that need no conversion, no copy and no error text.

Arrays that are ndarrays themselves, in native byte order, none of them empty; parameters
C-contiguous, of the type the core computes in and of the very shape; an output apart from every
input, or one of them as it is. What passes here is a part of what fastnorm/_args.py lets pass.
"""

cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from libc.math cimport INFINITY
from libc.stdint cimport uint64_t, uintptr_t
from libc.string cimport memcmp
from numpy cimport ndarray

from fastnorm._core.entry cimport storage
from fastnorm._core.groups cimport Groups

cnp.import_array()


cdef bint usual(object a) noexcept:
    return cnp.PyArray_CheckExact(a) and cnp.PyArray_ISNOTSWAPPED(<ndarray>a)


cdef bint usual_values(object x) noexcept:
    return usual(x) and storage(<ndarray>x) >= 0 and cnp.PyArray_SIZE(<ndarray>x) > 0


cdef bint usual_number(object value, double most) noexcept:
    """Whether a float is finite and from 0 to `most`."""
    return PyFloat_CheckExact(value) and 0 <= PyFloat_AS_DOUBLE(value) <= most and (
        PyFloat_AS_DOUBLE(value) < INFINITY)


cdef bint alike(ndarray a, ndarray b) noexcept:
    """Whether two arrays have one shape and type."""
    cdef int ndim = cnp.PyArray_NDIM(a)
    return (cnp.PyArray_TYPE(a) == cnp.PyArray_TYPE(b) and ndim == cnp.PyArray_NDIM(b)
            and memcmp(cnp.PyArray_DIMS(a), cnp.PyArray_DIMS(b), ndim * sizeof(Py_ssize_t)) == 0)


cdef void extent(ndarray a, uintptr_t *first, uintptr_t *last) noexcept:
    """The bytes an array, not an empty one, reaches over."""
    cdef Py_ssize_t reach
    cdef int i
    first[0] = last[0] = <uintptr_t>cnp.PyArray_DATA(a)
    last[0] += cnp.PyArray_ITEMSIZE(a)
    for i in range(cnp.PyArray_NDIM(a)):
        reach = (cnp.PyArray_DIM(a, i) - 1) * cnp.PyArray_STRIDE(a, i)
        if reach < 0:
            first[0] += <uintptr_t>reach
        else:
            last[0] += <uintptr_t>reach


cdef bint apart(ndarray a, ndarray b) noexcept:
    cdef uintptr_t a0, a1, b0, b1
    extent(a, &a0, &a1)
    extent(b, &b0, &b1)
    return a1 <= b0 or b1 <= a0


cdef bint clear_of(ndarray out, ndarray source) noexcept:
    """Whether an output may be written while an array of its shape is read."""
    return apart(out, source) or (
        cnp.PyArray_DATA(out) == cnp.PyArray_DATA(source)
        and memcmp(cnp.PyArray_STRIDES(out), cnp.PyArray_STRIDES(source),
                   cnp.PyArray_NDIM(out) * sizeof(Py_ssize_t)) == 0)


cdef bint usual_output(object out, ndarray x) noexcept:
    return out is None or (usual(out) and alike(<ndarray>out, x)
                           and cnp.PyArray_ISWRITEABLE(<ndarray>out) and clear_of(<ndarray>out, x))


cdef bint runs_along(ndarray a, Groups groups, uint64_t axes) noexcept:
    """Whether an array has the lengths of these axes, and of no others."""
    cdef int i, k = 0
    for i in range(groups.ndim):
        if axes >> i & 1:
            if k == cnp.PyArray_NDIM(a) or cnp.PyArray_DIM(a, k) != groups.lens[i]:
                return False
            k += 1
    return k == cnp.PyArray_NDIM(a)


cdef bint parameter_shaped(ndarray a, Groups groups) noexcept:
    if groups.channel < 0:
        return runs_along(a, groups, groups.along)
    return cnp.PyArray_NDIM(a) == 1 and (
        cnp.PyArray_DIM(a, 0) == groups.lens[groups.channel] * groups.lens[groups.channel + 1])


cdef bint statistic_shaped(ndarray a, Groups groups) noexcept:
    """Whether an array has an entry for each group, without or with the reduced axes."""
    cdef int i
    if runs_along(a, groups, ~groups.reduced):
        return True
    if cnp.PyArray_NDIM(a) != groups.ndim:
        return False
    for i in range(groups.ndim):
        if cnp.PyArray_DIM(a, i) != (1 if groups.reduced >> i & 1 else groups.lens[i]):
            return False
    return True


cdef bint usual_parameter(object value, Groups groups, int num, object out, int flags,
                          uint64_t *axes) noexcept:
    """Whether a parameter, of the type number `num`, can be read as it is; axes it runs along."""
    cdef ndarray a
    cdef int i, ahead
    if value is None:
        return True
    if not usual(value):
        return False
    a = <ndarray>value
    if (cnp.PyArray_TYPE(a) != num or not cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_CARRAY_RO)
            or (out is not None and not apart(a, <ndarray>out))):
        return False
    if not flags & FN_AGAINST:
        axes[0] = groups.along
        return parameter_shaped(a, groups)
    ahead = groups.ndim - cnp.PyArray_NDIM(a)
    if ahead < 0:
        return False
    axes[0] = 0
    for i in range(cnp.PyArray_NDIM(a)):
        if cnp.PyArray_DIM(a, i) != 1:
            if cnp.PyArray_DIM(a, i) != groups.lens[ahead + i]:
                return False
            axes[0] |= <uint64_t>1 << (ahead + i)
    return True


cdef bint usual_statistic(object value, Groups groups, object out, int flags) noexcept:
    """Whether a statistic that is given can be read as it is: float64, or float32 to be widened."""
    cdef ndarray a
    cdef int num
    if not usual(value):
        return False
    a = <ndarray>value
    num = cnp.PyArray_TYPE(a)
    return ((num == cnp.NPY_FLOAT64 or num == cnp.NPY_FLOAT32)
            and cnp.PyArray_CHKFLAGS(a, cnp.NPY_ARRAY_CARRAY_RO)
            and (parameter_shaped(a, groups) if flags & FN_RUNNING else statistic_shaped(a, groups))
            and (out is None or apart(a, <ndarray>out)))
