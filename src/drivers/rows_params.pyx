# SPDX-License-Identifier: BSD-3-Clause
"""The gradients of the parameters, rows layout: dweight = sum(dy * xh), dbias = sum(dy).

uniform  one value per run: the sums the group needed anyway, added up in order at the end.
vector   varying along the run (layer norm): a sum down the rows. Rows that share the parameters are
         taken one after the other: the row's sums, then dx, and dy * xh and dy are added to a row
         of partials on the way. A block of a few rows is summed in the compute type, then added
         in double. Chunks of blocks, cut by the shape alone, have partial gradients of their
         own, merged in order. Where there is one chunk only (few long rows), tasks are tiles of
         columns instead, after a first region for the sums.
"""

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from fastnorm._core.call cimport (
    FN_BATCH, FN_GATHER, fn_behind, fn_block_buffer, fn_call, fn_centre_of, fn_centre_rows,
    fn_gather, fn_rows, fn_scatter_add, fn_scatter_add_pairs,
)
from fastnorm._core.dispatch cimport (
    FN_COL_BLOCK, FN_PAGE, fn_centre, fn_each, fn_ld, fn_memory, fn_param,
)
from fastnorm._core.plan cimport (
    FN_DP, FN_S, FN_W, FN_X, FN_Y, fn_dim, fn_plan, fn_walk, fn_walk_next, fn_walk_start,
)
from fastnorm._core.rows_gradient cimport batch_gradient, combine, combine_runs
from fastnorm._core.rows_sums cimport (
    APART, centre_of, group_means, job, partials, piece_sums, sums_t, whole_group,
)
from fastnorm._core.threads cimport parallel_for

cdef enum:
    BLOCK_VALUES = 131072  # values of a block of rows: where it is gone through thrice, it fits L2
    CHUNKS = 64            # partial gradients at most
    SHORT = 128            # values of a row below which rows of other vectors are read beside it
    VECTORS = 8            # vectors of parameters from which on no two chunks share one
    WIDE_TILE = 4096       # columns of a task where rows are few


cdef void uniform_gradients(const job *t) noexcept nogil:
    """dweight and dbias from the slots of all groups, in order."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef size_t g, slot, cuts = t.cut.per_seg
    cdef int ndims = p.nred + p.split
    cdef const sums_t *s
    cdef fn_walk group, seg
    fn_walk_start(&group, p.dims, p.nouter, 0)
    if t.slots == 1 and p.nouter == 1:  # one sum per group, groups along one axis
        fn_scatter_add_pairs(&t.sums.g, c.dbias, c.at[FN_DP], 0, p.dims, 1, FN_DP, p.groups)
        return
    for g in range(p.groups):
        s = t.sums + g * t.slots
        if t.per_seg and cuts == 1:
            fn_scatter_add_pairs(&s.g, c.dbias, c.at[FN_DP], group.off[FN_DP], p.dims + p.nouter,
                                 ndims, FN_DP, t.slots)
        else:
            fn_walk_start(&seg, p.dims + p.nouter, ndims, 0)
            for slot in range(t.slots):
                fn_scatter_add_pairs(&s[slot].g, c.dbias, c.at[FN_DP],
                                     group.off[FN_DP] + seg.off[FN_DP], NULL, 0, FN_DP, 1)
                if t.per_seg and (slot + 1) % cuts == 0:
                    fn_walk_next(&seg)
        fn_walk_next(&group)


cdef void gather_rows(const job *t, size_t g, size_t rows, size_t seg, size_t j, size_t take,
                      char *xs, char *dys) noexcept nogil:
    """Columns [j, j + take) of run `seg` of `rows` groups from g on, side by side."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef int inner = p.nouter + p.nred + p.split, ndims = p.nrun - p.split
    cdef size_t item = c.kernels.item, i
    cdef fn_walk group, at
    fn_walk_start(&at, p.dims + p.nouter, p.nred + p.split, seg)
    fn_walk_start(&group, p.dims, p.nouter, g)
    for i in range(rows):
        fn_gather(xs + i * FN_GATHER * item, c.at[FN_X] + group.off[FN_X] + at.off[FN_X],
                  p.dims + inner, ndims, FN_X, j, take, item)
        fn_gather(dys + i * FN_GATHER * item, c.at[c.dz] + group.off[c.dz] + at.off[c.dz],
                  p.dims + inner, ndims, c.dz, j, take, item)
        fn_walk_next(&group)


cdef void block_gradients(const job *t, size_t g, size_t rows, size_t seg, size_t j0, size_t j1,
                          char *dweight, char *dbias) noexcept nogil:
    """Add run `seg` of `rows` groups that share the parameters to columns [j0, j1) of them."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef int inner = p.nouter + p.nred + p.split, ndims = p.nrun - p.split, last = p.nouter - 1
    cdef size_t item = c.kernels.item, i, j, take
    cdef fn_each none = fn_each(NULL, 0)
    cdef fn_rows rows_of
    cdef double mean[128]
    cdef double var[128]
    cdef double dw[256]
    cdef double db[256]
    cdef fn_block_buffer xs
    cdef fn_block_buffer dys
    cdef fn_centre centre
    cdef fn_param param = fn_param(NULL, NULL, False)
    cdef fn_walk group, at
    cdef fn_ld ldx = 0, lddy = 0
    cdef bint direct = p.direct[FN_X] and p.direct[c.dz]
    fn_walk_start(&at, p.dims + p.nouter, p.nred + p.split, seg)
    fn_walk_start(&group, p.dims, p.nouter, g)
    dweight += group.off[FN_DP] + at.off[FN_DP]
    dbias += group.off[FN_DP] + at.off[FN_DP]
    if rows > 1:  # evenly spaced when they lie along one axis
        direct = direct and g % <size_t>p.dims[last].len + rows <= <size_t>p.dims[last].len
        ldx = p.dims[last].stride[FN_X]
        lddy = p.dims[last].stride[c.dz]
    cdef const char *x = c.at[FN_X] + group.off[FN_X] + at.off[FN_X]
    cdef const char *dy = c.at[c.dz] + group.off[c.dz] + at.off[c.dz]
    for i in range(rows):
        mean[i] = 0 if c.raw else (<double *>(c.at[FN_S] + group.off[FN_S]))[0]
        var[i] = (<double *>(c.var + group.off[FN_S]))[0]
        fn_walk_next(&group)
    fn_centre_rows(c, rows, fn_each(<const char *>mean, sizeof(double)),
                   fn_each(<const char *>var, sizeof(double)), none, none, &rows_of)
    centre = fn_centre_of(&rows_of, 1)
    if direct and p.direct[FN_DP]:
        c.kernels.grad_sums_cols(x + j0 * item, ldx, dy + j0 * item, lddy, rows, j1 - j0, &centre,
                                 &param, <double *>dbias + j0, <double *>dweight + j0)
        return
    j = j0
    while j < j1:
        take = min(<size_t>FN_GATHER, j1 - j)
        memset(dw, 0, sizeof(dw))
        memset(db, 0, sizeof(db))
        gather_rows(t, g, rows, seg, j, take, xs, dys)
        c.kernels.grad_sums_cols(xs, FN_GATHER * item, dys, FN_GATHER * item, rows, take, &centre,
                                 &param, db, dw)
        fn_scatter_add(dw, 1, dweight, p.dims + inner, ndims, FN_DP, j, take)
        fn_scatter_add(db, 1, dbias, p.dims + inner, ndims, FN_DP, j, take)
        j += take


cdef void rows_of_blocks(const job *t, size_t block, size_t count, size_t *first,
                         size_t *rows) noexcept nogil:
    """Which groups a block holds and those that follow it in its trail."""
    cdef size_t trails = t.blocks / t.blocks_per_trail
    cdef size_t trail = block % trails if t.across else block / t.blocks_per_trail
    cdef size_t start = (block / trails if t.across else block % t.blocks_per_trail) * t.block
    first[0] = trail * t.trail + start
    rows[0] = min(count * t.block, t.trail - start)


cdef void fused_blocks(const job *t, size_t first, size_t rows, bint more, sums_t *slots,
                       const partials *sums) noexcept nogil:
    """Sums and dx of contiguous rows, some at once; dy * xh and dy are added up on the way."""
    cdef const fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef size_t g = first, stop = first + rows, some = 1
    cdef sums_t means
    cdef sums_t batch[128]
    cdef fn_memory memory = fn_memory(c.stream and p.direct[FN_Y], 0, 0)
    cdef fn_rows row
    cdef fn_walk at
    while g < stop:
        fn_walk_start(&at, p.dims, p.nouter, g)
        if t.batch:
            if p.nouter:
                some = min(min(t.batch, stop - g), <size_t>p.dims[p.nouter - 1].len
                           - g % <size_t>p.dims[p.nouter - 1].len)
            batch_gradient(t, at.off, some, more or g + 2 * some <= stop, batch, sums)
        else:
            centre_of(c, at.off[FN_S], 0, 1, &row)
            means = whole_group(t, at.off, &row, &memory, slots)
            combine_runs(t, at.off, NULL, 1, NULL, 0, &means, 0, t.n, sums, &memory, &row, NULL)
        g += some


cdef void plain_block(const job *t, size_t first, size_t rows, sums_t *slots, char *dweight,
                      char *dbias) noexcept nogil:
    """The same in three steps, for rows that must be gathered, or whose dx is not wanted."""
    cdef const fn_call *c = t.call
    cdef sums_t means[128]
    cdef size_t i, seg
    cdef fn_memory memory = fn_memory(False, 0, 0)
    cdef fn_rows row
    cdef fn_walk at
    fn_walk_start(&at, c.plan.dims, c.plan.nouter, first)
    for i in range(rows):
        centre_of(c, at.off[FN_S], 0, 1, &row)
        means[i] = whole_group(t, at.off, &row, &memory, NULL if c.fixed else slots)
        fn_walk_next(&at)
    for seg in range(t.segs):
        block_gradients(t, first, rows, seg, 0, t.n, dweight, dbias)
    if c.at[FN_Y] == NULL:
        return
    memory.stream = c.stream and c.plan.direct[FN_Y]
    fn_walk_start(&at, c.plan.dims, c.plan.nouter, first)
    for i in range(rows):
        centre_of(c, at.off[FN_S], 0, 1, &row)
        combine(t, at.off, &row, &memory, means[i], 0, t.segs, 0, t.n)
        fn_walk_next(&at)


cdef inline bint whole_pages(const job *t) noexcept nogil:
    """Whether rows of x, dy and partials are: then they agree modulo a page all along, or not."""
    return t.n * t.call.kernels.item % FN_PAGE == 0 and t.call.kernels.item == t.call.kernels.real


cdef inline size_t row_bytes(const job *t) noexcept nogil:
    """A row of partials, whole pages or to the end of a line and one more: no two tasks write to
    one line."""
    cdef size_t bytes = t.n * t.call.kernels.real
    return bytes if whole_pages(t) else (bytes + 127) / 64 * 64


cdef void chunk_task(void *context, Py_ssize_t task) noexcept nogil:
    """The blocks of one chunk. Both ways to go through a block give the same bits: the partial sums
    of at most FN_COL_BLOCK rows in the compute type, row after row, then added in double."""
    cdef job *t = <job *>context
    cdef const fn_call *c = t.call
    cdef size_t least = t.blocks_per_trail if t.own_gradients else 1
    cdef size_t block = <size_t>task * (t.blocks / least) / t.chunks * least
    cdef size_t stop = (<size_t>task + 1) * (t.blocks / least) / t.chunks * least
    cdef size_t first, rows, count
    cdef char *dweight = c.at[FN_DP]
    cdef char *dbias = c.dbias
    cdef char *dw = t.rows + <size_t>task * 2 * row_bytes(t)
    cdef partials sums = partials(dw, NULL, NULL, NULL)
    cdef sums_t *slots = t.sums + <size_t>task * (t.slots + APART)
    cdef fn_walk at
    if t.bias_wanted:
        sums.db = dw + row_bytes(t)
    if t.partial != NULL:
        dweight = <char *>(t.partial + <size_t>task * 2 * c.dparam_size)
        dbias = dweight + c.dparam_size * sizeof(double)
    while block < stop:
        count = 1 if t.across else min(min(t.at_once, stop - block),
                                       t.blocks_per_trail - block % t.blocks_per_trail)
        rows_of_blocks(t, block, count, &first, &rows)
        block += count
        if t.rows == NULL:
            plain_block(t, first, rows, slots, dweight, dbias)
            continue
        fn_walk_start(&at, c.plan.dims, c.plan.nouter, first)
        if t.at_once > 1:
            sums.dweight = <double *>(dweight + at.off[FN_DP])
            sums.dbias = <double *>(dbias + at.off[FN_DP])
        fused_blocks(t, first, rows, block < stop, slots, &sums)
        if t.at_once == 1:
            c.kernels.settle(t.n, sums.dw, <double *>(dweight + at.off[FN_DP]))
            if t.bias_wanted:
                c.kernels.settle(t.n, sums.db, <double *>(dbias + at.off[FN_DP]))
    if c.stream:
        c.kernels.fence()


cdef void merge_task(void *context, Py_ssize_t task) noexcept nogil:
    """Add up one tile of the chunks' gradients, in order."""
    cdef job *t = <job *>context
    cdef size_t size = t.call.dparam_size, chunk, j
    cdef size_t start = <size_t>task * WIDE_TILE, stop = min(start + WIDE_TILE, size)
    cdef double *dweight = <double *>t.call.at[FN_DP]
    cdef double *dbias = <double *>t.call.dbias
    cdef const double *part
    for chunk in range(t.chunks):
        part = t.partial + chunk * 2 * size
        for j in range(start, stop):
            dweight[j] += part[j]
            dbias[j] += part[size + j]


cdef void tile_task(void *context, Py_ssize_t task) noexcept nogil:
    """Few long rows: all blocks of one tile of columns; sums are known."""
    cdef job *t = <job *>context
    cdef const fn_call *c = t.call
    cdef size_t j0 = <size_t>task * WIDE_TILE, j1 = min(j0 + WIDE_TILE, t.n)
    cdef size_t block, first, rows, i, seg
    cdef sums_t means = sums_t(0, 0)
    cdef fn_memory memory = fn_memory(c.stream and c.plan.direct[FN_Y], 0, 0)
    cdef fn_rows row
    cdef fn_walk at
    for block in range(t.blocks):
        rows_of_blocks(t, block, 1, &first, &rows)
        for seg in range(t.segs):
            block_gradients(t, first, rows, seg, j0, j1, c.at[FN_DP], c.dbias)
        if c.at[FN_Y] == NULL:
            continue
        fn_walk_start(&at, c.plan.dims, c.plan.nouter, first)
        for i in range(rows):
            if not c.fixed:
                means = group_means(t, at.off, t.sums + (first + i) * t.slots)
            centre_of(c, at.off[FN_S], 0, 1, &row)
            combine(t, at.off, &row, &memory, means, 0, t.segs, j0, j1)
            fn_walk_next(&at)
    if c.stream:
        c.kernels.fence()


cdef void slots_task(void *context, Py_ssize_t task) noexcept nogil:
    """The slots of one piece, before the tiles."""
    cdef job *t = <job *>context
    cdef size_t g = <size_t>task / t.cut.count
    cdef fn_memory memory = fn_memory(False, 0, 0)
    cdef fn_rows row
    cdef fn_walk at
    fn_walk_start(&at, t.call.plan.dims, t.call.plan.nouter, g)
    centre_of(t.call, at.off[FN_S], 0, 1, &row)
    piece_sums(t, at.off, &row, &memory, <size_t>task % t.cut.count, t.sums + g * t.slots)


cdef int vector_gradients(job *t) noexcept nogil:
    """dx, dweight and dbias of parameters that vary along the run; -1: no memory."""
    cdef fn_call *c = t.call
    cdef const fn_plan *p = c.plan
    cdef int k = p.nouter
    cdef bint tiles
    cdef int result = -1
    cdef const fn_dim *last = p.dims + p.nouter - 1
    cdef char *room = NULL
    cdef double *unwanted = NULL  # room for the other gradient: most ways sum both
    t.trail = 1
    while k > 0 and not p.dims[k - 1].param:
        k -= 1
        t.trail *= <size_t>p.dims[k].len
    t.block = max(<size_t>4, min(<size_t>FN_COL_BLOCK, <size_t>BLOCK_VALUES / t.n))
    t.blocks_per_trail = (t.trail + t.block - 1) / t.block
    t.blocks = p.groups / t.trail * t.blocks_per_trail
    # Vectors of parameters that are many are cut between: each has its gradients from one chunk.
    # Short rows of many groups lie beside those of other vectors, and are best read with these.
    t.across = t.blocks_per_trail > 1 and t.blocks > t.blocks_per_trail and t.n < <size_t>SHORT
    t.own_gradients = not t.across and p.groups / t.trail >= <size_t>VECTORS
    t.chunks = min(<size_t>CHUNKS, p.groups / t.trail if t.own_gradients else min(
        t.blocks, max(<size_t>1, p.groups * t.segs * t.n / (8 * c.dparam_size))))
    # Which of the two is taken does not change a bit: one chunk adds up its blocks in order too.
    # Tiles must not share a gradient, so each of their columns has its own.
    tiles = t.chunks == 1 and c.threads > 1 and t.n > WIDE_TILE and p.direct[FN_DP]
    t.partial = NULL
    t.rows = NULL
    t.bias_wanted = c.dbias != NULL
    if c.at[FN_DP] == NULL or c.dbias == NULL:
        unwanted = <double *>malloc(c.dparam_size * sizeof(double))
        if unwanted == NULL:
            return -1
        if c.dbias == NULL:
            c.dbias = <char *>unwanted
        else:
            c.at[FN_DP] = <char *>unwanted
    t.sums = <sums_t *>malloc(
        (p.groups * t.slots if tiles else t.chunks * (t.slots + APART)) * sizeof(sums_t))
    if t.chunks > 1 and not t.own_gradients:
        t.partial = <double *>calloc(t.chunks * 2 * c.dparam_size, sizeof(double))
    if not tiles and t.segs == 1 and not c.fixed and c.at[FN_Y] != NULL and (
            p.direct[FN_X] and p.direct[c.dz] and p.direct[FN_DP]):
        room = <char *>calloc(t.chunks * 2 * row_bytes(t) + FN_PAGE + 64, 1)
    if room != NULL:  # without it: plain blocks
        # From a line on: partials are added to beside dx, and an access across two lines is two.
        t.rows = <char *>((<size_t>room + 63) / 64 * 64)
        if whole_pages(t):
            t.rows = fn_behind(t.rows, c.at[FN_X], c.at[c.dz], c.at[FN_W])
    # Whose dx follows its sums goes by in long calls, which add up their blocks themselves; they
    # begin with a block where rows lie along one axis, or along axes of whole blocks.
    t.at_once = 1
    if t.rows != NULL and not t.across and t.in_turn and t.batch and t.block == FN_COL_BLOCK and (
            p.nouter == 0 or t.trail <= <size_t>last.len or last.len % FN_COL_BLOCK == 0):
        t.at_once = FN_BATCH / FN_COL_BLOCK
    if t.sums != NULL and (t.chunks == 1 or t.own_gradients or t.partial != NULL):
        result = 0
        if tiles:
            if not c.fixed:
                parallel_for(<Py_ssize_t>(p.groups * t.cut.count), slots_task, t, c.threads)
            parallel_for(<Py_ssize_t>((t.n + WIDE_TILE - 1) / WIDE_TILE), tile_task, t, c.threads)
        else:
            parallel_for(<Py_ssize_t>t.chunks, chunk_task, t, c.threads)
        if t.partial != NULL:
            parallel_for(<Py_ssize_t>((c.dparam_size + WIDE_TILE - 1) / WIDE_TILE), merge_task, t,
                         c.threads)
    free(t.sums)
    free(t.partial)
    free(room)
    free(unwanted)
    return result
