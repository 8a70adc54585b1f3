# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of a rows gradient and its sums (src/drivers/rows_sums.pyx)."""

from fastnorm._core.call cimport fn_call, fn_cut, fn_rows
from fastnorm._core.dispatch cimport fn_memory
from fastnorm._core.plan cimport fn_dim, fn_plan

cdef enum:
    APART = 8  # sums between those of two tasks: no cache line is written by both

ctypedef struct sums_t:
    double g   # sum of dy * weight, or of dy where the weight is uniform
    double gx  # the same times xh

ctypedef struct job:
    fn_call *call
    fn_cut cut             # runs along which parameters are of one kind, into pieces
    size_t segs
    size_t n
    size_t slots           # sums of a group: one per piece, or per run where the weight changes
    bint per_seg
    sums_t *sums           # slots of all groups; NULL: a task has those of one group, in spare
    sums_t *spare
    size_t groups_per_task
    size_t batch           # groups taken at once; 0: not in batches
    bint in_turn           # each makes its own sums just before its dx
    # vector parameters whose gradients are wanted
    bint bias_wanted       # or the weight's alone
    size_t trail           # consecutive groups that share the parameters
    size_t block           # rows of a block
    size_t blocks_per_trail
    size_t blocks
    size_t at_once         # blocks that one call of a kernel goes through and adds up
    size_t chunks
    bint across            # the first blocks of all trails, then their second ones ...
    bint own_gradients     # of whole trails: no other chunk adds to the same gradients
    char *rows             # dweight and dbias of a block of rows, in the compute type, per chunk
    double *partial        # 2 * dparam_size per chunk; NULL: straight into the result

ctypedef struct partials:
    char *dw         # NULL, or what dy * xh and dy of contiguous runs are added to, in the
    char *db         # compute type; db NULL: not wanted
    double *dweight  # NULL, or where these go from block to block, if runs make their own sums
    double *dbias


cdef inline bint needs_sums(const fn_call *c) noexcept nogil:
    """Whether dx waits for the sums of its group."""
    return not c.fixed and c.c0 == NULL


cdef void centre_of(const fn_call *c, Py_ssize_t at, Py_ssize_t step, size_t rows,
                    fn_rows *out) noexcept nogil
cdef void add_sums(const job *t, const Py_ssize_t *off, const fn_dim *along, size_t rows,
                   const fn_dim *down, size_t j0, size_t j1, const fn_memory *memory,
                   const fn_rows *rows_of, double *s1, double *s2) noexcept nogil
cdef void sums_of_each(const job *t, const Py_ssize_t *off, const fn_dim *along, size_t rows,
                       size_t j0, size_t j1, const fn_memory *memory, const fn_rows *rows_of,
                       sums_t *out) noexcept nogil
cdef size_t runs_along(const job *t, size_t seg, size_t stop, const fn_dim **along) noexcept nogil
cdef void at_run(const fn_plan *p, const Py_ssize_t *group, size_t seg,
                 Py_ssize_t *off) noexcept nogil
cdef void piece_sums(const job *t, const Py_ssize_t *group, fn_rows *row, const fn_memory *memory,
                     size_t piece, sums_t *out) noexcept nogil
cdef sums_t group_means(const job *t, const Py_ssize_t *group,
                        const sums_t *slots) noexcept nogil
cdef void means_beside(const job *t, const Py_ssize_t *off, size_t groups, const sums_t *slots,
                       sums_t *means) noexcept nogil
cdef sums_t given_means(const fn_call *c, Py_ssize_t at) noexcept nogil
cdef sums_t whole_group(const job *t, const Py_ssize_t *group, fn_rows *row,
                        const fn_memory *memory, sums_t *slots) noexcept nogil
