# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of a tile of columns, piece of rows by piece of rows, and what is made of them.

A group is one column or, where a short reduced run lies innermost, `fold` neighbours, which have
one shift, so that their sums are added up before anything else is done with them.

Columns are independent of each other, so the width of a tile changes no result; the pieces do, and
follow from the shape alone.
"""

from libc.math cimport NAN, isfinite
from libc.string cimport memset

from fastnorm._core.call cimport (
    FN_GATHER, fn_block_buffer, fn_call, fn_from_sums, fn_gather, fn_moment, fn_scatter,
)
from fastnorm._core.columns cimport (
    fn_columns_fill, fn_columns_fold, fn_columns_spread, fn_columns_spread_reals, fn_columns_widen,
)
from fastnorm._core.dispatch cimport FN_COL_BLOCK, fn_coefs, fn_each, fn_moments_cols_t
from fastnorm._core.plan cimport (
    FN_B, FN_S, FN_W, FN_X, fn_dim, fn_plan, fn_walk, fn_walk_next, fn_walk_start,
)

cdef enum:
    SAMPLES = 8  # rows whose mean is the shift


cdef size_t scratch_bytes(size_t width) noexcept nogil:
    """16 vectors of double and one of bytes; aligned to a line."""
    return (width * (16 * sizeof(double) + 1) + 63) / 64 * 64


cdef tile_t tile_at(char *scratch, size_t width) noexcept nogil:
    """Lay the vectors of a tile out in its scratch."""
    cdef tile_t t
    cdef double *d = <double *>scratch
    t.s1 = d
    t.s2 = d + width
    t.mean = d + 2 * width
    t.m2 = d + 3 * width
    t.shift = d + 4 * width
    t.piece_mean = d + 5 * width
    t.piece_m2 = d + 6 * width
    t.hi = <char *>(d + 7 * width)
    t.r = <char *>(d + 8 * width)
    t.m = <char *>(d + 9 * width)
    t.a = <char *>(d + 10 * width)
    t.b = <char *>(d + 11 * width)
    t.c = <char *>(d + 12 * width)
    t.w = <char *>(d + 13 * width)
    t.weight = d + 4 * width  # no shift is wanted where weights are,
    t.wide = d + 10 * width   # and no gradient where statistics are
    t.low = d + 14 * width
    t.piece_low = d + 15 * width
    t.again = <unsigned char *>(d + 16 * width)
    return t


cdef void sums(const fn_call *c, const char *x, size_t row0, size_t step, size_t rows, size_t j,
               size_t width, fn_moments_cols_t kernel, const char *shift, size_t shift_item,
               double *s1, double *s2) noexcept nogil:
    """Sums of `rows` rows, every step-th from row0 on, of `width` columns, added to s1 and s2."""
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *red = p.dims + p.nouter
    cdef size_t item = c.kernels.item, start, block, at, take, i
    cdef fn_block_buffer buffer
    cdef Py_ssize_t ld
    cdef fn_walk w
    if p.even and p.direct[FN_X]:
        ld = red.stride[FN_X] if p.nred else 0
        kernel(x + <Py_ssize_t>row0 * ld + <Py_ssize_t>(j * item), ld * <Py_ssize_t>step, rows,
               width, shift, s1, s2)
        return
    at = 0
    while at < width:
        take = min(<size_t>FN_GATHER, width - at)
        fn_walk_start(&w, red, p.nred, row0)
        start = 0
        while start < rows:
            block = min(<size_t>FN_COL_BLOCK, rows - start)
            for i in range(block):
                fn_gather(buffer + i * FN_GATHER * item, x + w.off[FN_X], red + p.nred, p.nrun,
                          FN_X, j + at, take, item)
                if step == 1:
                    fn_walk_next(&w)
                else:
                    fn_walk_start(&w, red, p.nred, row0 + (start + i + 1) * step)
            kernel(buffer, FN_GATHER * item, block, take,
                   NULL if shift == NULL else shift + at * shift_item, s1 + at, s2 + at)
            start += block
        at += take


cdef void shifts(const fn_call *c, const char *x, size_t row0, size_t rows, size_t j, size_t width,
                 tile_t *t) noexcept nogil:
    """t.shift of every group and, rounded, t.hi of its columns: the mean of a few rows."""
    cdef size_t samples = SAMPLES, some = 1, q
    while samples > rows:  # powers of two: the mean of equal values is exactly that value
        samples /= 2
    while 2 * some <= c.plan.fold:
        some *= 2
    fn_columns_fill(width, 0, t.shift)
    if c.raw:
        return
    memset(t.hi, 0, width * c.kernels.real)
    memset(t.s2, 0, width * sizeof(double))
    sums(c, x, row0, rows / samples, samples, j, width, c.kernels.moments_cols, t.hi,
         c.kernels.real, t.shift, t.s2)
    fn_columns_fold(width, c.plan.fold, some, t.shift)
    for q in range(width / c.plan.fold):
        t.shift[q] /= <double>(samples * some)
    round_shift(c, width, t)


cdef void group_sums(const fn_call *c, const char *x, size_t row0, size_t rows, size_t j,
                     size_t width, fn_moments_cols_t kernel, const char *shift, size_t shift_item,
                     tile_t *t) noexcept nogil:
    """t.s1 and t.s2 of every group of columns, about the shifts of these columns (raw: 0, t.s2)."""
    memset(t.s1, 0, width * sizeof(double))
    memset(t.s2, 0, width * sizeof(double))
    sums(c, x, row0, 1, rows, j, width, kernel, NULL if c.raw else shift, shift_item, t.s1, t.s2)
    fn_columns_fold(width, c.plan.fold, c.plan.fold, t.s1)
    fn_columns_fold(width, c.plan.fold, c.plan.fold, t.s2)


cdef void round_shift(const fn_call *c, size_t width, tile_t *t) noexcept nogil:
    """Make t.shift what the kernel subtracts: t.hi, a number of the compute type."""
    cdef size_t q
    if c.single:
        for q in range(width / c.plan.fold):
            t.shift[q] = <double><float>t.shift[q]
    fn_columns_spread(width, c.plan.fold, t.shift, t.s1)
    c.kernels.narrow(width, t.s1, t.hi)


cdef void wide_sums(const fn_call *c, const char *x, size_t row0, size_t rows, size_t j,
                    size_t width, tile_t *t) noexcept nogil:
    """As group_sums, in double, about t.shift."""
    fn_columns_spread(width, c.plan.fold, t.shift, t.wide)
    group_sums(c, x, row0, rows, j, width, c.kernels.moments_cols_wide, <char *>t.wide,
               sizeof(double), t)


cdef void again(const fn_call *c, const char *x, size_t row0, size_t rows, size_t j, size_t width,
                int which, tile_t *t) noexcept nogil:
    """Replace the groups that were summed about a poor shift (which & 1) or out of range (& 2)."""
    cdef double n = <double>(rows * c.plan.fold)
    cdef size_t q, groups = width / c.plan.fold
    cdef fn_moment m
    if which & 1:
        for q in range(groups):
            t.shift[q] = t.piece_mean[q] if isfinite(t.piece_mean[q]) else 0
        round_shift(c, width, t)
        group_sums(c, x, row0, rows, j, width, c.kernels.moments_cols, t.hi, c.kernels.real, t)
        for q in range(groups):
            if t.again[q] == 1:
                m = fn_from_sums(n, t.shift[q], t.s1[q], t.s2[q])
                t.piece_mean[q] = m.mean
                t.piece_low[q] = m.low
                t.piece_m2[q] = m.m2
                if not (isfinite(t.s1[q]) and isfinite(t.s2[q])):
                    t.again[q] = 2
                    which |= 2
    if which & 2:
        fn_columns_fill(groups, 0, t.shift)
        wide_sums(c, x, row0, rows, j, width, t)
        if not c.raw:
            for q in range(groups):
                t.shift[q] = t.s1[q] / n
            wide_sums(c, x, row0, rows, j, width, t)
        for q in range(groups):
            if t.again[q] == 2:
                m = fn_moment(n, 0, 0, t.s2[q])
                if not c.raw:
                    m = fn_from_sums(n, t.shift[q], t.s1[q], t.s2[q])
                    if not isfinite(t.shift[q]):
                        m = fn_moment(n, t.shift[q], 0, NAN)
                t.piece_mean[q] = m.mean
                t.piece_low[q] = m.low
                t.piece_m2[q] = m.m2


cdef void piece_moments(const fn_call *c, const char *x, size_t row0, size_t rows, size_t j,
                        size_t width, tile_t *t) noexcept nogil:
    """t.piece_mean, t.piece_low and t.piece_m2 of every group, of rows [row0, row0 + rows)."""
    cdef int which
    shifts(c, x, row0, rows, j, width, t)
    group_sums(c, x, row0, rows, j, width, c.kernels.moments_cols, t.hi, c.kernels.real, t)
    which = c.kernels.statistics(width / c.plan.fold, <double>(rows * c.plan.fold), t.shift, t.s1,
                                 t.s2, c.raw, t.piece_mean, t.piece_low, t.piece_m2, t.again)
    if which:
        again(c, x, row0, rows, j, width, which, t)


cdef int kept_dims(const fn_plan *p) noexcept nogil:
    """How many axes of the run are kept; the folded ones come after them."""
    cdef int n = 0
    while n < p.nrun and p.dims[p.nouter + p.nred + n].kept:
        n += 1
    return n


cdef void put_statistics(const fn_call *c, const Py_ssize_t *outer, size_t j, size_t width,
                         const tile_t *t) noexcept nogil:
    """Write the statistics of a tile's groups."""
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *run = p.dims + p.nouter + p.nred
    cdef size_t q, groups = width / p.fold, first = j / p.fold
    cdef double share = 1 / <double>p.count
    for q in range(groups):
        t.s1[q] = t.mean[q] + t.low[q]
        t.s2[q] = t.m2[q] * share
    if not c.raw:
        fn_scatter(t.s1, c.at[FN_S] + outer[FN_S], run, kept_dims(p), FN_S, first, groups,
                   sizeof(double))
    fn_scatter(t.s2, c.var + outer[FN_S], run, kept_dims(p), FN_S, first, groups, sizeof(double))


cdef void read_params(const fn_call *c, const Py_ssize_t *outer, int op, size_t first, size_t n,
                      void *out) noexcept nogil:
    """A parameter of n groups, or of n columns where it varies within groups, as it is stored."""
    cdef const fn_plan *p = c.plan
    fn_gather(out, c.at[op] + outer[op], p.dims + p.nouter + p.nred,
              p.nrun if fold_param(p) else kept_dims(p), op, first, n, c.kernels.real)


cdef void read_columns(const fn_call *c, const Py_ssize_t *outer, int op, size_t j, size_t width,
                       double *room, double *out) noexcept nogil:
    """A parameter's value for every column; `room` is overwritten."""
    cdef size_t share = 1 if fold_param(c.plan) else c.plan.fold
    read_params(c, outer, op, j / share, width / share, room)
    fn_columns_widen(width / share, room, c.single)
    fn_columns_spread(width, share, room, out)


cdef void read_statistic(const fn_call *c, const Py_ssize_t *outer, const char *values, size_t j,
                         size_t width, double *room, double *out) noexcept nogil:
    """The value for every column of what has one per group; `room` is overwritten."""
    cdef const fn_plan *p = c.plan
    fn_gather(room, values + outer[FN_S], p.dims + p.nouter + p.nred, kept_dims(p), FN_S,
              j / p.fold, width / p.fold, sizeof(double))
    fn_columns_spread(width, p.fold, room, out)


cdef void centre_columns(const fn_call *c, const Py_ssize_t *outer, size_t j, size_t width,
                         bint fold_params, tile_t *t) noexcept nogil:
    """hi, r, m of every column from the written statistics; rstd in t.m2, m of no weight in t.low.

    fold_params: weight and bias, which belong to the columns, are in r and m. What is the same for
    all columns of a group is done once a group. t.s1, t.s2, t.mean, t.shift, t.w and the room of
    the slopes are overwritten.
    """
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *run = p.dims + p.nouter + p.nred
    cdef size_t fold = p.fold, groups = width / fold, real = c.kernels.real
    cdef size_t share = 1 if fold_params and fold_param(p) else fold, some = width / share
    cdef double *variances = t.s2 if fold == 1 else t.m2
    cdef fn_each mean = fn_each(NULL, 0), var = fn_each(<char *>variances, sizeof(double))
    cdef fn_each w = mean, b = mean
    cdef fn_coefs to = fn_coefs(t.hi, t.r, t.m, t.m2, t.low)
    if not c.raw:
        fn_gather(t.s1, c.at[FN_S] + outer[FN_S], run, kept_dims(p), FN_S, j / fold, groups,
                  sizeof(double))
        mean = fn_each(<char *>t.s1, sizeof(double))
    fn_gather(variances, c.var + outer[FN_S], run, kept_dims(p), FN_S, j / fold, groups,
              sizeof(double))
    if share < fold:  # what goes in is spread
        fn_columns_spread(width, fold, t.m2, t.s2)
        var.p = <char *>t.s2
        if not c.raw:
            fn_columns_spread(width, fold, t.s1, t.mean)
            mean.p = <char *>t.mean
    if fold_params and c.at[FN_W] != NULL:
        read_params(c, outer, FN_W, j / share, some, t.w)
        w = fn_each(t.w, real)
    if fold_params and c.at[FN_B] != NULL:
        read_params(c, outer, FN_B, j / share, some, t.shift)
        b = fn_each(<char *>t.shift, real)
    if share > 1:
        to = fn_coefs(t.a, t.b, t.c, t.s2, t.mean)
    c.kernels.centres(some, mean, var, c.eps, w, b, &to)
    if share > 1:  # what comes out
        fn_columns_spread_reals(width, share, real, t.a, t.hi)
        fn_columns_spread_reals(width, share, real, t.b, t.r)
        fn_columns_spread_reals(width, share, real, t.c, t.m)
        fn_columns_spread(width, share, t.s2, t.m2)
        fn_columns_spread(width, share, t.mean, t.low)


cdef void read_rows(const fn_call *c, const Py_ssize_t *outer, int op, size_t row, size_t rows,
                    double none, char *out) noexcept nogil:
    """A parameter's value for every row, in the compute type; `none` where there is none."""
    cdef const fn_plan *p = c.plan
    cdef double same[32]
    cdef size_t q = 0
    if c.at[op] != NULL:
        fn_gather(out, c.at[op] + outer[op], p.dims + p.nouter, p.nred, op, row, rows,
                  c.kernels.real)
        return
    fn_columns_fill(32, none, same)
    while q < rows:
        c.kernels.narrow(min(<size_t>32, rows - q), same, out + q * c.kernels.real)
        q += 32


cdef bint fold_param(const fn_plan *p) noexcept nogil:
    """Whether parameters vary between the columns of a fold."""
    cdef int i
    for i in range(p.nouter + p.nred + kept_dims(p), p.nouter + p.nred + p.nrun):
        if p.dims[i].param:
            return True
    return False
