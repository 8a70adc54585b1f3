# SPDX-License-Identifier: BSD-3-Clause
"""Single kernels of single tiers, for tests: every primitive on one block, without a driver.

Arrays are C-contiguous; `dtype` is one of f16, bf16, f32, f64 and says how the bytes of the stored
arrays are read; coefficients are of the compute type.
"""

cimport numpy as cnp

from fastnorm._core.dispatch cimport (
    FN_BF16, FN_F16, FN_F32, FN_F64, FN_FLOOR, FN_GELU, FN_GELU_TANH, FN_RATIO, FN_RELU, FN_SILU,
    FN_SWISH, FN_TANH, FN_WINDOW_ARRAYS, fn_centre, fn_coefs, fn_curve, fn_each, fn_kernels,
    fn_made, fn_memory, fn_own, fn_param, fn_slope, fn_terms, fn_window, fn_window_values,
    kernels_of,
)

import numpy as np

cnp.import_array()

cdef dict TYPES = {"f16": FN_F16, "bf16": FN_BF16, "f32": FN_F32, "f64": FN_F64}
cdef dict ACTIVATIONS = {
    "relu": FN_RELU, "silu": FN_SILU, "gelu": FN_GELU, "gelu_tanh": FN_GELU_TANH,
}
cdef dict CURVES = {"floor": FN_FLOOR, "ratio": FN_RATIO, "swish": FN_SWISH, "tanh": FN_TANH}


cdef void *data(cnp.ndarray a):
    return NULL if a is None else cnp.PyArray_DATA(a)


cdef class Probe:
    """The kernels of one tier for one storage type."""

    cdef const fn_kernels *k
    cdef readonly object real
    cdef readonly bint own

    def __init__(self, str isa, str dtype):
        self.k = kernels_of(isa, TYPES[dtype])
        self.real = np.float64 if dtype == "f64" else np.float32
        self.own = self.k.own

    cdef fn_centre centre(self, cnp.ndarray hi, cnp.ndarray r, cnp.ndarray m, bint by_row):
        """by_row: one value per row, or a single one for all."""
        return fn_centre(data(hi), data(r), data(m), by_row, 1 if hi.size > 1 else 0)

    def shift_rows(self, cnp.ndarray x not None):
        """x: (rows, n). Returns a shift for every row."""
        cdef cnp.ndarray shift = np.empty(x.shape[0])
        self.k.shift_rows(data(x), x.strides[0], x.shape[0], x.shape[1],
                          <double *>cnp.PyArray_DATA(shift))
        return shift

    def moments_rows(self, cnp.ndarray x not None, cnp.ndarray shift not None, bint wide=False,
                     bint raw=False):
        """x: (rows, n). Returns both sums of every row, or with a single shift of all rows; raw: of
        what is not shifted."""
        cdef cnp.ndarray s = np.zeros((2, shift.size))
        cdef double *p = <double *>cnp.PyArray_DATA(s)
        (self.k.moments_rows_wide if wide else self.k.moments_rows)(
            data(x), x.strides[0], x.shape[0], x.shape[1],
            NULL if raw else <double *>cnp.PyArray_DATA(shift), 1 if shift.size > 1 else 0, p,
            p + shift.size, 0)
        return s

    def sampled_rows(self, cnp.ndarray x not None):
        """x: (rows, n). Returns a shift and both sums of every row."""
        cdef size_t rows = x.shape[0]
        cdef cnp.ndarray s = np.zeros((3, rows))
        cdef double *p = <double *>cnp.PyArray_DATA(s)
        self.k.sampled_rows(data(x), x.strides[0], rows, x.shape[1], p, p + rows, p + 2 * rows, 0)
        return s

    def moments_sum(self, cnp.ndarray x not None, cnp.ndarray other not None,
                    cnp.ndarray shift not None, cnp.ndarray sums not None, bint raw=False,
                    bint sampled=False):
        """x, other: (rows, n). Returns their sum; both sums of every row of it go to `sums`.
        sampled: shifts go to `shift`."""
        cdef cnp.ndarray y = np.empty_like(x)
        cdef fn_terms terms = fn_terms(data(x), data(other), x.strides[0], other.strides[0])
        self.k.moments_sum(data(y), y.strides[0], &terms, x.shape[0], x.shape[1],
                           NULL if raw else <double *>data(shift), <double *>data(sums),
                           <double *>data(sums) + sums.strides[0] / sizeof(double), 0, sampled)
        return y

    def moments_cols(self, cnp.ndarray x not None, cnp.ndarray shift not None, bint wide=False,
                     bint raw=False):
        """x: (rows, n). Returns both sums of every column; raw: of what is not shifted."""
        cdef cnp.ndarray s = np.zeros((2, x.shape[1]))
        cdef double *p = <double *>cnp.PyArray_DATA(s)
        (self.k.moments_cols_wide if wide else self.k.moments_cols)(
            data(x), x.strides[0], x.shape[0], x.shape[1], NULL if raw else data(shift),
            p, p + x.shape[1])
        return s

    def affine(self, cnp.ndarray x not None, hi, r, m, bint by_row=False, w=None, b=None,
               bint param_by_row=False, bint stream=False):
        """x: (rows, n). Returns y."""
        cdef cnp.ndarray y = np.empty_like(x)
        cdef fn_centre centre = self.centre(hi, r, m, by_row)
        cdef fn_param param = fn_param(data(w), data(b), param_by_row)
        cdef fn_memory memory = fn_memory(stream, 0, 0)
        self.k.affine(data(y), y.strides[0], data(x), x.strides[0], x.shape[0], x.shape[1],
                      &centre, &param, &memory)
        self.k.fence()
        return y

    def activated(self, str activation, cnp.ndarray x not None, hi, r, m, bint by_row=False, w=None,
                  b=None, dy=None, bint stream=False):
        """x: (rows, n). Returns the activation of y, or with dy its slope times dy."""
        cdef cnp.ndarray y = np.empty_like(x)
        cdef fn_centre centre = self.centre(hi, r, m, by_row)
        cdef fn_param param = fn_param(data(w), data(b), False)
        cdef fn_memory memory = fn_memory(stream, 0, 0)
        self.k.activated(data(y), y.strides[0], data(x), x.strides[0], data(dy),
                         0 if dy is None else dy.strides[0], x.shape[0], x.shape[1], &centre,
                         &param, ACTIVATIONS[activation], &memory)
        self.k.fence()
        return y

    def normalize_rows(self, cnp.ndarray x not None, cnp.ndarray y not None, double eps,
                       bint raw=False, w=None, b=None, param_by_row=False, bint relu=False,
                       terms=None):
        """x, y: (rows, n), y is written, with terms x too. Returns how many rows were gone through,
        their mean and variance; None: this tier has no such kernel of this type."""
        cdef size_t rows = x.shape[0], done
        cdef cnp.ndarray s = np.zeros((2, rows))
        cdef double *p = <double *>cnp.PyArray_DATA(s)
        cdef fn_param param = fn_param(NULL, NULL, False)
        cdef fn_made made = fn_made(eps, raw, relu, fn_each(NULL, 0), fn_each(NULL, 0), p, p + rows)
        cdef fn_terms summands
        if self.k.normalize_rows == NULL:
            return None
        if terms is not None:
            a, b_ = terms
            summands = fn_terms(data(a), data(b_), a.strides[0], b_.strides[0])
        if param_by_row:
            made.w = self.each(w)
            made.b = self.each(b)
        else:
            param = fn_param(data(w), data(b), False)
        done = self.k.normalize_rows(data(y), data(x), x.strides[0],
                                     NULL if terms is None else &summands, rows, x.shape[1],
                                     &made, &param)
        self.k.fence()
        return done, s

    def grad_sums_rows(self, cnp.ndarray x not None, cnp.ndarray dy not None, hi, r, m,
                       bint by_row=False, w=None):
        """x, dy: (rows, n). Returns both sums of every row, or with a single centre of all rows."""
        cdef fn_centre centre = self.centre(hi, r, m, by_row)
        cdef size_t sums = x.shape[0] if centre.step or not by_row else 1
        cdef cnp.ndarray s = np.zeros((2, sums))
        cdef double *p = <double *>cnp.PyArray_DATA(s)
        cdef fn_memory memory = fn_memory(False, 0, 0)
        self.k.grad_sums_rows(data(x), x.strides[0], data(dy), dy.strides[0], x.shape[0],
                              x.shape[1], &centre, data(w), p, p + sums, &memory)
        return s

    def grad_sums_cols(self, cnp.ndarray x not None, cnp.ndarray dy not None, hi, r, m,
                       bint by_row=False, w=None, bint param_by_row=False):
        """x, dy: (rows, n). Returns both sums of every column."""
        cdef cnp.ndarray s = np.zeros((2, x.shape[1]))
        cdef double *p = <double *>cnp.PyArray_DATA(s)
        cdef fn_centre centre = self.centre(hi, r, m, by_row)
        cdef fn_param param = fn_param(data(w), NULL, param_by_row)
        self.k.grad_sums_cols(data(x), x.strides[0], data(dy), dy.strides[0], x.shape[0],
                              x.shape[1], &centre, &param, p, p + x.shape[1])
        return s

    def grad_combine(self, cnp.ndarray x not None, cnp.ndarray dy not None, hi, r, m, a, b, c,
                     bint by_row=False, w=None, bint param_by_row=False, dw=None, db=None,
                     on=None, bint stream=False):
        """x, dy, on: (rows, n). Returns dx; adds to dw and db."""
        cdef cnp.ndarray dx = np.empty_like(x)
        cdef fn_centre centre = self.centre(hi, r, m, by_row)
        cdef fn_param param = fn_param(data(w), NULL, param_by_row)
        cdef fn_slope slope = fn_slope(data(a), data(b), data(c), data(dw), data(db),
                                       data(on), 0 if on is None else on.strides[0], NULL)
        cdef fn_memory memory = fn_memory(stream, 0, 0)
        self.k.grad_combine(data(dx), dx.strides[0], data(x), x.strides[0], data(dy),
                            dy.strides[0], x.shape[0], x.shape[1], &centre, &param, &slope, &memory)
        self.k.fence()
        return dx

    def grad_own(self, cnp.ndarray x not None, cnp.ndarray dy not None, hi, r, m,
                 cnp.ndarray rstd not None, cnp.ndarray low not None, cnp.ndarray found not None,
                 double count, bint by_row=True, bint raw=False, w=None, bint param_by_row=False,
                 dw=None, db=None, dweight=None, dbias=None, on=None, bint stream=False):
        """grad_combine of rows that make their own sums, which go to found, two values a row. What
        dw and db receive goes on to dweight and dbias, doubles, if they are given."""
        cdef cnp.ndarray dx = np.empty_like(x)
        cdef fn_centre centre = self.centre(hi, r, m, by_row)
        cdef fn_own own = fn_own(<double *>data(rstd), <double *>data(low),
                                 self.each(w if param_by_row else None), count, raw,
                                 <double *>data(found), <double *>data(dweight),
                                 <double *>data(dbias))
        cdef fn_param param = fn_param(data(None if param_by_row else w), NULL, False)
        cdef fn_slope slope = fn_slope(NULL, NULL, NULL, data(dw), data(db),
                                       data(on), 0 if on is None else on.strides[0], &own)
        cdef fn_memory memory = fn_memory(stream, 0, 0)
        centre.step = 1  # also of a single row
        self.k.grad_combine(data(dx), dx.strides[0], data(x), x.strides[0], data(dy),
                            dy.strides[0], x.shape[0], x.shape[1], &centre, &param, &slope, &memory)
        self.k.fence()
        return dx

    def sum(self, cnp.ndarray x not None, cnp.ndarray other not None):
        """x, other: (rows, n). Returns their sum."""
        cdef cnp.ndarray y = np.empty_like(x)
        self.k.sum(data(y), y.strides[0], data(x), x.strides[0], data(other), other.strides[0],
                   x.shape[0], x.shape[1])
        return y

    cdef fn_curve curve_of(self, str which, tuple coefs, bint by_row, cnp.ndarray sums):
        """Coefficients: one value per column, or by_row per row or a single one for all."""
        cdef fn_curve curve
        cdef int k
        curve.kind = CURVES[which]
        curve.by_row = by_row
        curve.step = 1 if coefs[0].size > 1 else 0
        for k in range(5):
            curve.coef[k] = <char *>data(coefs[k])
            if sums is not None and k < sums.shape[0]:
                curve.sum[k] = <char *>cnp.PyArray_DATA(sums) + k * sums.strides[0]
        return curve

    def curve(self, cnp.ndarray x not None, str which, a, b, c, d=None, e=None,
              bint by_row=False, bint stream=False):
        """x: (rows, n). Returns y."""
        cdef cnp.ndarray y = np.empty_like(x)
        cdef fn_curve curve = self.curve_of(which, (a, b, c, d, e), by_row, None)
        cdef fn_memory memory = fn_memory(stream, 0, 0)
        self.k.curve(data(y), y.strides[0], data(x), x.strides[0], x.shape[0], x.shape[1], &curve,
                     &memory)
        self.k.fence()
        return y

    def curve_gradient(self, cnp.ndarray x not None, cnp.ndarray dy not None, str which, sums, a,
                       b, c, d=None, e=None, bint by_row=False, bint stream=False):
        """x, dy: (rows, n). Returns dx; adds to sums, (coefficients, rows) in float64 with by_row,
        else (coefficients, n) in the compute type."""
        cdef cnp.ndarray dx = np.empty_like(x)
        cdef fn_curve curve = self.curve_of(which, (a, b, c, d, e), by_row, sums)
        cdef fn_memory memory = fn_memory(stream, 0, 0)
        self.k.curve_gradient(data(dx), dx.strides[0], data(x), x.strides[0], data(dy),
                              dy.strides[0], x.shape[0], x.shape[1], &curve, &memory)
        self.k.fence()
        return dx

    def window(self, cnp.ndarray x not None, bint along, size_t before, size_t after, double scale,
               double beta, double k, double high, cnp.ndarray dy=None):
        """x: (rows, n), the axis along its rows or down them. Returns y, or with dy dx."""
        cdef cnp.ndarray y = np.empty_like(x)
        cdef fn_window window = fn_window(along, before, after, scale, beta, k, 1 / high, high)
        cdef size_t values = fn_window_values(&window, x.shape[0], x.shape[1])
        cdef cnp.ndarray room = np.zeros(FN_WINDOW_ARRAYS * values + 2 * x.size + 16)
        self.k.window(data(y), y.strides[0], data(x), x.strides[0], data(dy),
                      0 if dy is None else dy.strides[0], x.shape[0], x.shape[1], &window,
                      data(room))
        return y

    def statistics(self, double count, cnp.ndarray shift not None, cnp.ndarray s1 not None,
                   cnp.ndarray s2 not None, bint raw=False):
        """Sums of groups of `count` values. Returns mean, low, M2, and which to sum again."""
        cdef cnp.ndarray out = np.empty((3, s1.size)), again = np.zeros(s1.size, np.uint8)
        cdef double *p = <double *>data(out)
        some = self.k.statistics(s1.size, count, <double *>data(shift), <double *>data(s1),
                                 <double *>data(s2), raw, p, p + s1.size, p + 2 * s1.size,
                                 <unsigned char *>data(again))
        return *out, again if some else np.zeros_like(again)

    cdef fn_each each(self, cnp.ndarray a):
        """A value per group, or a single one for all."""
        return fn_each(<char *>data(a), a.strides[0] if a is not None and a.size > 1 else 0)

    def centres(self, cnp.ndarray var not None, double eps, mean=None, w=None, b=None):
        """One statistic, or one per group; w, b: (n,). Returns hi, r, m, rstd, low."""
        cdef size_t n = var.size if w is None else w.size
        cdef cnp.ndarray reals = np.empty((3, n), self.real), doubles = np.empty((2, n))
        cdef char *to = <char *>data(reals)
        cdef double *p = <double *>data(doubles)
        cdef fn_coefs coefs = fn_coefs(to, to + n * self.k.real, to + 2 * n * self.k.real, p, p + n)
        self.k.centres(n, self.each(mean), self.each(var), eps, self.each(w), self.each(b), &coefs)
        return *reals, *doubles

    def slopes(self, cnp.ndarray rstd not None, cnp.ndarray low not None, c0, c1, w=None):
        """rstd, low: (n,); c0, c1: one mean, or one per group. Returns a, b, c."""
        cdef size_t n = rstd.size
        cdef cnp.ndarray to = np.empty((3, n), self.real)
        cdef char *p = <char *>data(to)
        self.k.slopes(n, <double *>data(rstd), <double *>data(low), self.each(w), self.each(c0),
                      self.each(c1), p, p + n * self.k.real, p + 2 * n * self.k.real)
        return tuple(to)

    def settle(self, cnp.ndarray part not None, cnp.ndarray total not None):
        """Move part, of the compute type, on to total, float64."""
        self.k.settle(part.size, data(part), <double *>cnp.PyArray_DATA(total))

    def narrow(self, cnp.ndarray v not None):
        """v: (n,) float64. Returns it in the compute type."""
        cdef cnp.ndarray to = np.empty(v.size, self.real)
        self.k.narrow(v.size, <double *>cnp.PyArray_DATA(v), data(to))
        return to
