# SPDX-License-Identifier: BSD-3-Clause
"""Single kernels of single tiers, for tests: every primitive on one block, without a driver.

Arrays are C-contiguous; `dtype` is one of f16, bf16, f32, f64 and says how the bytes of the stored
arrays are read; coefficients are of the compute type.
"""

cimport numpy as cnp

from fastnorm._core.dispatch cimport (
    FN_BF16, FN_F16, FN_F32, FN_F64, FN_LANES_MAX, fn_centre, fn_kernels, fn_means, fn_memory,
    fn_param, kernels_of,
)

import numpy as np

cnp.import_array()

cdef dict TYPES = {"f16": FN_F16, "bf16": FN_BF16, "f32": FN_F32, "f64": FN_F64}


cdef void *data(cnp.ndarray a):
    return NULL if a is None else cnp.PyArray_DATA(a)


cdef class Probe:
    """The kernels of one tier for one storage type."""

    cdef const fn_kernels *k
    cdef readonly object real

    def __init__(self, str isa, str dtype):
        self.k = kernels_of(isa, TYPES[dtype])
        self.real = np.float64 if dtype == "f64" else np.float32

    cdef fn_centre centre(self, mean, rstd, cnp.ndarray hi, cnp.ndarray lo, cnp.ndarray r,
                          bint by_row):
        return fn_centre(data(hi), data(lo), data(r), mean, rstd, by_row)

    def shift_rows(self, cnp.ndarray samples not None):
        """samples: (4, w)."""
        cdef const void *x[4]
        cdef int q
        for q in range(4):
            x[q] = <char *>cnp.PyArray_DATA(samples) + q * samples.strides[0]
        return self.k.shift_rows(x, samples.shape[1])

    def moments_rows(self, cnp.ndarray x not None, double shift, bint wide=False):
        """x: (n,). Returns the lanes of both sums."""
        cdef cnp.ndarray s = np.zeros((2, FN_LANES_MAX))
        cdef double *p = <double *>cnp.PyArray_DATA(s)
        (self.k.moments_rows_wide if wide else self.k.moments_rows)(
            data(x), x.size, shift, p, p + FN_LANES_MAX, 0)
        return s

    def moments_cols(self, cnp.ndarray x not None, cnp.ndarray shift not None, bint wide=False):
        """x: (rows, n). Returns both sums of every column."""
        cdef cnp.ndarray s = np.zeros((2, x.shape[1]))
        cdef double *p = <double *>cnp.PyArray_DATA(s)
        (self.k.moments_cols_wide if wide else self.k.moments_cols)(
            data(x), x.strides[0], x.shape[0], x.shape[1], data(shift), p, p + x.shape[1])
        return s

    def affine(self, cnp.ndarray x not None, mean=0.0, rstd=1.0, hi=None, lo=None, r=None, w=None,
               b=None, w0=1.0, b0=0.0, bint stream=False):
        """x: (rows, n). Returns y."""
        cdef cnp.ndarray y = np.empty_like(x)
        cdef fn_centre centre = self.centre(mean, rstd, hi, lo, r, False)
        cdef fn_param param = fn_param(data(w), data(b), w0, b0)
        cdef fn_memory memory = fn_memory(stream, 0, 0)
        self.k.affine(data(y), y.strides[0], data(x), x.strides[0], x.shape[0], x.shape[1],
                      &centre, &param, &memory)
        self.k.fence()
        return y

    def grad_sums_rows(self, cnp.ndarray x not None, cnp.ndarray dy not None, mean=0.0, rstd=1.0,
                       hi=None, lo=None, r=None, w=None):
        """x, dy: (n,). Returns the lanes of both sums."""
        cdef cnp.ndarray s = np.zeros((2, FN_LANES_MAX))
        cdef double *p = <double *>cnp.PyArray_DATA(s)
        cdef fn_centre centre = self.centre(mean, rstd, hi, lo, r, False)
        cdef fn_memory memory = fn_memory(False, 0, 0)
        self.k.grad_sums_rows(data(x), data(dy), x.size, &centre, data(w), p, p + FN_LANES_MAX,
                              &memory)
        return s

    def grad_sums_cols(self, cnp.ndarray x not None, cnp.ndarray dy not None, hi, lo, r,
                       bint by_row=False, w=None, bint w_by_row=False):
        """x, dy: (rows, n). Returns both sums of every column."""
        cdef cnp.ndarray s = np.zeros((2, x.shape[1]))
        cdef double *p = <double *>cnp.PyArray_DATA(s)
        cdef fn_centre centre = self.centre(0, 0, hi, lo, r, by_row)
        self.k.grad_sums_cols(data(x), x.strides[0], data(dy), dy.strides[0], x.shape[0],
                              x.shape[1], &centre, data(w), w_by_row, p, p + x.shape[1])
        return s

    def grad_combine(self, cnp.ndarray x not None, cnp.ndarray dy not None, mean=0.0, rstd=1.0,
                     hi=None, lo=None, r=None, w=None, w0=1.0, c0=None, c1=None, c00=0.0, c10=0.0,
                     dw=None, db=None, bint stream=False):
        """x, dy: (rows, n). Returns dx; adds to dw and db."""
        cdef cnp.ndarray dx = np.empty_like(x)
        cdef fn_centre centre = self.centre(mean, rstd, hi, lo, r, False)
        cdef fn_param param = fn_param(data(w), NULL, w0, 0)
        cdef fn_means means = fn_means(data(c0), data(c1), c00, c10, data(dw), data(db))
        cdef fn_memory memory = fn_memory(stream, 0, 0)
        self.k.grad_combine(data(dx), dx.strides[0], data(x), x.strides[0], data(dy),
                            dy.strides[0], x.shape[0], x.shape[1], &centre, &param, &means, &memory)
        self.k.fence()
        return dx

    def settle(self, cnp.ndarray part not None, cnp.ndarray total not None):
        """Move part, of the compute type, on to total, float64."""
        self.k.settle(part.size, data(part), <double *>cnp.PyArray_DATA(total))

    def split(self, cnp.ndarray v not None):
        """v: (n,) float64. Returns hi, lo."""
        cdef cnp.ndarray hi = np.empty(v.size, self.real), lo = np.empty(v.size, self.real)
        self.k.split(v.size, <double *>cnp.PyArray_DATA(v), data(hi), data(lo))
        return hi, lo
