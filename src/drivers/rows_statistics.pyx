# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of groups in the rows layout: piece by piece, or of many short groups at once.

A piece is summed about one shift, sampled from it; a shift that turned out poor is replaced by the
mean just found, and a piece whose squares leave the range of float32 is summed in double.
"""

from libc.math cimport NAN, isfinite
from libc.string cimport memcpy, memset

from fastnorm._core.call cimport (
    fn_call, fn_cut, fn_from_sums, fn_gather, fn_merge, fn_moment, fn_out_of_range, fn_piece,
    fn_poor_shift, fn_run_buffer, fn_span,
)
from fastnorm._core.dispatch cimport (
    FN_LANE_BYTES, FN_ROW_BLOCK, fn_moments_rows_t, fn_samples_end, fn_terms,
)
from fastnorm._core.plan cimport FN_S, FN_X, fn_dim, fn_plan, fn_walk, fn_walk_next, fn_walk_start
from fastnorm._core.summands cimport shift_of_sums


cdef enum:
    SAMPLED = 16  # groups whose samples are gathered at a time


cdef double sums(const fn_call *c, const char *x, const fn_span *span, double shift,
                 fn_moments_rows_t kernel, Py_ssize_t ahead, double *square) noexcept nogil:
    """Sum of x - shift over a span (raw: 0), and of its square; ahead: bytes to the next group."""
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *run = p.dims + p.nouter + p.nred
    cdef double s1 = 0, s2 = 0
    cdef fn_run_buffer buffer
    cdef size_t item = c.kernels.item, n = span.j1 - span.j0, seg = span.seg0, j, take
    cdef const double *about = NULL if c.raw else &shift
    cdef Py_ssize_t ld
    cdef fn_walk w
    if p.whole and p.nred <= 1:
        ld = p.dims[p.nouter].stride[FN_X] if p.nred else 0
        kernel(x + <Py_ssize_t>seg * ld + <Py_ssize_t>(span.j0 * item), ld, span.seg1 - seg, n,
               about, 0, &s1, &s2, ahead)
        square[0] = s2
        return s1
    fn_walk_start(&w, p.dims + p.nouter, p.nred, seg)
    while seg < span.seg1:
        j = span.j0
        while j < span.j1:
            take = span.j1 - j if p.whole else min(<size_t>FN_ROW_BLOCK, span.j1 - j)
            if p.whole:
                kernel(x + w.off[FN_X] + j * item, 0, 1, take, about, 0, &s1, &s2, ahead)
            else:
                fn_gather(buffer, x + w.off[FN_X], run, p.nrun, FN_X, j, take, item)
                kernel(buffer, 0, 1, take, about, 0, &s1, &s2, 0)
            j += take
        fn_walk_next(&w)
        seg += 1
    square[0] = s2
    return s1


cdef void sample(const fn_call *c, const char *x, Py_ssize_t ldx, size_t rows, const fn_span *span,
                 double *shift) noexcept nogil:
    """A shift near the mean of each of some groups, ldx apart: that of a few samples spread over
    the span."""
    cdef const fn_plan *p = c.plan
    cdef const fn_dim *run = p.dims + p.nouter + p.nred
    cdef size_t item = c.kernels.item, length = span.j1 - span.j0, segs = span.seg1 - span.seg0
    cdef size_t vector = <size_t>FN_LANE_BYTES / c.kernels.real, w = min(length, vector)
    cdef size_t q, i, first = 0, some, last = fn_samples_end(length, w) if segs == 1 else length - w
    # A single run too short for a vector is its own sample, four times over.
    cdef size_t each = 4 * w * item, count = w if segs == 1 and length < vector else 4 * w
    cdef Py_ssize_t at[4]
    cdef size_t of_run[4]
    cdef char buffer[SAMPLED * 4 * 64]  # FN_LANE_BYTES
    cdef fn_walk seg
    for q in range(4):
        fn_walk_start(&seg, p.dims + p.nouter, p.nred, span.seg0 + q * segs / 4)
        at[q] = seg.off[FN_X]
        of_run[q] = span.j0 + q * last / 3
    if p.whole and segs == 1:
        c.kernels.shift_rows(x + at[0] + span.j0 * item, ldx, rows, length, shift)
        return
    while first < rows:
        some = min(<size_t>SAMPLED, rows - first)
        for q in range(4):
            for i in range(some):
                if not p.whole:
                    fn_gather(buffer + i * each + q * w * item, x + <Py_ssize_t>i * ldx + at[q],
                              run, p.nrun, FN_X, of_run[q], w, item)
                elif w * item == <size_t>FN_LANE_BYTES:  # of a length that the compiler knows
                    memcpy(buffer + i * each + q * FN_LANE_BYTES,
                           x + <Py_ssize_t>i * ldx + at[q] + of_run[q] * item, FN_LANE_BYTES)
                else:
                    memcpy(buffer + i * each + q * w * item,
                           x + <Py_ssize_t>i * ldx + at[q] + of_run[q] * item, w * item)
        c.kernels.shift_rows(buffer, <Py_ssize_t>each, some, count, shift + first)
        x += <Py_ssize_t>some * ldx
        first += some


cdef fn_moment piece_moments(const fn_call *c, const fn_cut *cut, const char *x, size_t piece,
                             Py_ssize_t ahead) noexcept nogil:
    """count, mean and M2 of one piece of the group whose first value is at x."""
    cdef fn_span span = fn_piece(cut, c.plan.segs, c.plan.n, piece)
    cdef double n = <double>((span.seg1 - span.seg0) * (span.j1 - span.j0))
    cdef double s1, s2, shift
    cdef fn_moment m
    if c.raw:
        s1 = sums(c, x, &span, 0, c.kernels.moments_rows, ahead, &s2)
        if fn_out_of_range(n, 0, s1, s2, c.single):
            sums(c, x, &span, 0, c.kernels.moments_rows_wide, 0, &s2)
        return fn_moment(n, 0, 0, s2)
    sample(c, x, 0, 1, &span, &shift)
    s1 = sums(c, x, &span, shift, c.kernels.moments_rows, ahead, &s2)
    m = fn_from_sums(n, shift, s1, s2)
    if not fn_out_of_range(n, shift, s1, s2, c.single):
        if not fn_poor_shift(m, s1):
            return m
        shift = <double><float>m.mean if c.single else m.mean
        s1 = sums(c, x, &span, shift, c.kernels.moments_rows, 0, &s2)
        m = fn_from_sums(n, shift, s1, s2)
        if not fn_out_of_range(n, shift, s1, s2, c.single):
            return m
    shift = sums(c, x, &span, 0, c.kernels.moments_rows_wide, 0, &s2) / n
    if not isfinite(shift):
        return fn_moment(n, shift, 0, NAN)
    s1 = sums(c, x, &span, shift, c.kernels.moments_rows_wide, 0, &s2)
    return fn_from_sums(n, shift, s1, s2)


cdef void put_statistics(const fn_call *c, Py_ssize_t at, const fn_moment *m) noexcept nogil:
    if not c.raw:
        (<double *>(c.at[FN_S] + at))[0] = m.mean + m.low
    (<double *>(c.var + at))[0] = m.m2 / m.count


cdef double batch_piece(const fn_call *c, const fn_cut *cut, size_t piece, char *x, Py_ssize_t ldx,
                        const fn_terms *terms, bint sampled, size_t rows, Py_ssize_t ahead,
                        double *mean, double *low, double *m2) noexcept nogil:
    """`piece_moments` of one piece, of whole runs, of up to FN_BATCH groups; returns its count."""
    cdef double shift[128]
    cdef double s1[128]
    cdef double s2[128]
    cdef unsigned char again[128]
    cdef size_t n = c.plan.n, i, _seg
    cdef fn_span span = fn_piece(cut, c.plan.segs, n, piece)
    cdef double count = <double>((span.seg1 - span.seg0) * n)
    cdef const char *run = x
    cdef bint some
    cdef fn_moment m
    if c.plan.nred:
        run += <Py_ssize_t>span.seg0 * c.plan.dims[c.plan.nouter].stride[FN_X]
    if c.raw:
        memset(shift, 0, rows * sizeof(double))
    elif sampled:
        pass
    elif terms != NULL:
        shift_of_sums(c, terms, rows, n, shift)
    elif c.plan.nred:
        sample(c, x, ldx, rows, &span, shift)
    else:
        c.kernels.shift_rows(x, ldx, rows, n, shift)
    memset(s1, 0, rows * sizeof(double))
    memset(s2, 0, rows * sizeof(double))
    if terms != NULL:
        c.kernels.moments_sum(x, ldx, terms, rows, n, NULL if c.raw else shift, s1, s2,
                              <Py_ssize_t>rows * terms.lda if ahead else 0, sampled)
    elif sampled and not c.raw:
        c.kernels.sampled_rows(x, ldx, rows, n, shift, s1, s2, ahead)
    else:
        for _seg in range(span.seg0, span.seg1):
            c.kernels.moments_rows(run, ldx, rows, n, NULL if c.raw else shift, 1, s1, s2, ahead)
            if c.plan.nred:
                run += c.plan.dims[c.plan.nouter].stride[FN_X]
    some = c.kernels.statistics(rows, count, shift, s1, s2, c.raw, mean, low, m2, again)
    if some:
        for i in range(rows):
            if again[i]:
                m = piece_moments(c, cut, x + <Py_ssize_t>i * ldx, piece, 0)
                mean[i] = m.mean
                low[i] = m.low
                m2[i] = m.m2
    return count


cdef void batch_moments(const fn_call *c, const fn_cut *cut, char *x, Py_ssize_t ldx,
                        const fn_terms *terms, bint sampled, size_t rows, Py_ssize_t at,
                        Py_ssize_t step, Py_ssize_t ahead) noexcept nogil:
    """Write the statistics of up to FN_BATCH groups that follow each other.

    What happens from group to group here happens to all at once, so that the latencies overlap; the
    values are those of `piece_moments`. A group is a run, or runs along an axis: the first of all,
    the second of all, as they lie in memory. terms: what x is to be made of, NULL: it is there.
    sampled: each run is sampled just before its sums, because it comes from memory then. at, step:
    where the statistics go.
    """
    cdef double mean[128]
    cdef double low[128]
    cdef double m2[128]
    cdef fn_moment total[128]
    cdef double count = 0
    cdef size_t piece, i
    for piece in range(cut.count):
        count = batch_piece(c, cut, piece, x, ldx, terms, sampled, rows, ahead, mean, low, m2)
        if cut.count == 1:
            break
        for i in range(rows):
            if piece == 0:
                total[i] = fn_moment(0, 0, 0, 0)
            fn_merge(&total[i], fn_moment(count, mean[i], low[i], m2[i]))
    if cut.count > 1:
        count = <double>c.plan.count
        for i in range(rows):
            mean[i] = total[i].mean
            low[i] = total[i].low
            m2[i] = total[i].m2
    for i in range(rows):
        mean[i] += low[i]
        m2[i] /= count
    for i in range(rows):
        if not c.raw:
            (<double *>(c.at[FN_S] + at + <Py_ssize_t>i * step))[0] = mean[i]
        (<double *>(c.var + at + <Py_ssize_t>i * step))[0] = m2[i]
