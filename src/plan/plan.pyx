# SPDX-License-Identifier: BSD-3-Clause
"""(shape, strides, axes) -> loops. Pure: it touches no data and calls nothing.

`make` orders the axes by the memory order of x, drops those of length 1, and sorts the rest into
the three parts of `fn_plan.h`:

=============================  ========================================  =======
x, reduced axes marked *       example                                   layout
=============================  ========================================  =======
K R*                           layer norm; instance, group norm (NCHW)   rows
R* K R*                        batch norm (NCHW)                         rows
R* K R*, short last run        batch norm of many 7x7 maps               cols, fold = 49
R* K                           batch norm (channels last)                cols
K R* K                         instance norm (channels last), axis=1     cols
K R* K R*, short last run      group norm (channels last)                cols, fold = C/G
=============================  ========================================  =======
"""

cdef enum:
    SHORT_RUN = 256  # an innermost reduced run below this is folded into columns ...
    FOLD_ROWS = 16  # ... when so many rows share the columns, and half as many as it is long
    # Parameter runs below this, and below twice the groups that share them, are read as vectors.
    SHORT_PARAM = 16
    SHORT_GRADIENT = 32  # backward: sums of vectors cost less than those of each run


cdef void swap(fn_dim *a, fn_dim *b) noexcept nogil:
    cdef fn_dim held = a[0]
    a[0] = b[0]
    b[0] = held


cdef bint before(const fn_dim *a, const fn_dim *b) noexcept nogil:
    """Whether a lies inside b in memory and must come after it; strides of 0 say nothing."""
    cdef Py_ssize_t sa = a.stride[FN_X], sb = b.stride[FN_X]
    sa = -sa if sa < 0 else sa
    sb = -sb if sb < 0 else sb
    return sa != 0 and sb != 0 and sa < sb


cdef int order(fn_dim *dims, int ndim) noexcept nogil:
    """Drop axes of length 1 and sort by x's strides, outermost first; returns how many are left."""
    cdef int i, j, place, n = 0
    for i in range(ndim):
        if dims[i].len != 1:
            if n != i:
                dims[n] = dims[i]
            n += 1
    # Insertion that passes over axes of stride 0: they keep their place among the others.
    for i in range(1, n):
        place = i
        j = i - 1
        while j >= 0:
            if before(&dims[j], &dims[i]):
                place = j
            elif before(&dims[i], &dims[j]):
                break
            j -= 1
        j = i
        while j > place:
            swap(&dims[j], &dims[j - 1])
            j -= 1
    return n


cdef int coalesce(fn_dim *dims, int ndim) noexcept nogil:
    """Merge neighbours of one kind that are one axis in every array."""
    cdef int i, op, n = 0
    cdef bint same
    for i in range(ndim):
        if n > 0:
            same = dims[n - 1].kept == dims[i].kept and dims[n - 1].param == dims[i].param
            for op in range(FN_NOPS):
                same = same and dims[n - 1].stride[op] == dims[i].stride[op] * dims[i].len
            if same:
                dims[i].len *= dims[n - 1].len
                n -= 1
        if n != i:
            dims[n] = dims[i]
        n += 1
    return n


cdef size_t product(const fn_dim *dims, int n) noexcept nogil:
    cdef size_t total = 1
    cdef int i
    for i in range(n):
        total *= <size_t>dims[i].len
    return total


cdef void partition(fn_plan *plan, int n, int run) noexcept nogil:
    """Stable partition of dims[:run] into kept (outer), then reduced (red)."""
    cdef int i, j, kept = 0
    for i in range(run):
        if plan.dims[i].kept:
            j = i
            while j > kept:
                swap(&plan.dims[j], &plan.dims[j - 1])
                j -= 1
            kept += 1
    plan.nouter = kept
    plan.nred = run - kept
    plan.nrun = n - run


cdef void vectors_first(fn_plan *plan) noexcept nogil:
    """Of the outer dims those first along which parameters change: groups that share a vector
    follow each other."""
    cdef int i, j, changing = 0
    for i in range(plan.nouter):
        if plan.dims[i].param:
            for j in range(i, changing, -1):
                swap(&plan.dims[j], &plan.dims[j - 1])
            changing += 1


cdef int choose(fn_plan *plan, int n) noexcept nogil:
    """Set the layout and fold; returns the index at which the run starts."""
    cdef fn_dim *dims = plan.dims
    cdef int kept, run = n
    cdef size_t length, rows
    if n == 0 or dims[n - 1].kept:
        plan.layout = FN_COLS
        while run > 0 and dims[run - 1].kept:
            run -= 1
        return run
    while run > 0 and not dims[run - 1].kept:
        run -= 1
    length = product(dims + run, n - run)
    kept = run
    while kept > 0 and dims[kept - 1].kept:
        kept -= 1
    rows = 1
    for i in range(kept):
        if not dims[i].kept:
            rows *= <size_t>dims[i].len
    if length < SHORT_RUN and rows >= FOLD_ROWS and 2 * rows >= length:
        plan.layout = FN_COLS
        plan.fold = length
        return kept
    plan.layout = FN_ROWS
    return run


cdef void make(fn_plan *plan, int ndim, const Py_ssize_t *item, bint backward) noexcept nogil:
    """Finish a plan whose dims[:ndim] hold every axis as the caller has it; item: bytes per array.

    No axis may have length 0.
    """
    cdef int n = coalesce(plan.dims, order(plan.dims, ndim))
    cdef int i, k, op, run
    cdef fn_dim *first
    cdef size_t length, sharing = 1, brief = SHORT_GRADIENT if backward else SHORT_PARAM
    plan.fold = 1
    run = choose(plan, n)
    partition(plan, n, run)
    first = plan.dims + plan.nouter + plan.nred

    plan.groups = product(plan.dims, plan.nouter)
    plan.segs = product(plan.dims + plan.nouter, plan.nred)
    plan.n = product(first, plan.nrun)
    plan.count = plan.segs * (plan.n if plan.layout == FN_ROWS else plan.fold)
    plan.even = plan.nred <= 1
    plan.red_param = False
    for i in range(plan.nouter, plan.nouter + plan.nred):
        plan.red_param = plan.red_param or plan.dims[i].param

    plan.split = 0
    plan.run_param = False
    for i in range(plan.nrun):
        plan.run_param = plan.run_param or first[i].param
    if plan.layout == FN_ROWS and plan.nrun > 0:
        k = plan.nrun - 1
        while k > 0 and first[k - 1].param == first[k].param:
            k -= 1
        length = product(first + k, plan.nrun - k)
        for i in range(plan.nouter):
            sharing *= 1 if plan.dims[i].param else <size_t>plan.dims[i].len
        if length >= min(brief, 2 * sharing):
            plan.split = k
            plan.run_param = first[plan.nrun - 1].param
        if plan.run_param:
            vectors_first(plan)

    for op in range(FN_NOPS):
        plan.direct[op] = True
        k = plan.nrun - 1
        length = 1
        while k >= plan.split:
            if first[k].stride[op] != item[op] * <Py_ssize_t>length:
                plan.direct[op] = False
            length *= <size_t>first[k].len
            k -= 1
    plan.whole = plan.direct[FN_X]
    while k >= 0:
        plan.whole = plan.whole and first[k].stride[FN_X] == item[FN_X] * <Py_ssize_t>length
        length *= <size_t>first[k].len
        k -= 1


PARTS = ("outer", "red", "run")


def describe(shape, strides, axes, param_axes=(), backward=False):
    """The plan of one array as a dict, for tests.

    Parameters
    ----------
    shape, strides : tuple of int
        Lengths (none 0) and strides in elements, axis by axis.
    axes, param_axes : tuple of int
        Reduced axes, and axes along which a parameter varies.
    backward : bool
        Whether it is the plan of the gradient.

    Returns
    -------
    dict
        layout, the lengths in outer, red and run, and split, fold, count, direct, even.
    """
    cdef fn_plan plan
    cdef Py_ssize_t item[8]
    cdef int i, op, ndim = len(shape)
    if ndim > FN_MAXDIM:
        raise ValueError(f"shape has {ndim} axes, the limit is {FN_MAXDIM}")
    for i in range(ndim):
        plan.dims[i].len = shape[i]
        plan.dims[i].kept = i not in axes
        plan.dims[i].param = i in param_axes
        for op in range(FN_NOPS):
            plan.dims[i].stride[op] = strides[i]
    for op in range(FN_NOPS):
        item[op] = 1
    make(&plan, ndim, item, backward)
    ends = (0, plan.nouter, plan.nouter + plan.nred, plan.nouter + plan.nred + plan.nrun)
    out = {"layout": "rows" if plan.layout == FN_ROWS else "cols"}
    for part, start, stop in zip(PARTS, ends[:3], ends[1:], strict=True):
        out[part] = tuple(plan.dims[i].len for i in range(start, stop))
    out.update(
        split=plan.split, fold=plan.fold, count=plan.count, direct=bool(plan.direct[FN_X]),
        even=bool(plan.even), run_param=bool(plan.run_param), red_param=bool(plan.red_param),
    )
    return out
