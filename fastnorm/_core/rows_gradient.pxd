# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of the rows gradient (src/drivers/rows_gradient.pyx)."""

from fastnorm._core.call cimport fn_call, fn_centre_row, fn_cut, fn_rows
from fastnorm._core.dispatch cimport fn_memory
from fastnorm._core.plan cimport FN_S, fn_dim

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
    size_t batch           # groups of one contiguous run each taken at once; 0: not in batches
    # vector parameters whose gradients are wanted
    size_t trail           # consecutive groups that share the parameters
    size_t block           # rows of a block
    size_t blocks_per_trail
    size_t blocks
    size_t chunks
    char *rows             # dweight and dbias of a block of rows, in the compute type, per chunk
    double *partial        # 2 * dparam_size per chunk; NULL: straight into the result


cdef inline void centre_of_row(const fn_call *c, size_t i, Py_ssize_t at,
                               fn_rows *out) noexcept nogil:
    """The centre of row i, whose statistics are at `at`."""
    fn_centre_row(i, 0 if c.raw else (<double *>(c.at[FN_S] + at))[0], (<double *>(c.var + at))[0],
                  c.eps, 1, 0, c.single, out)


cdef void piece_sums(const job *t, const Py_ssize_t *group, const fn_memory *memory, size_t piece,
                     sums_t *out) noexcept nogil
cdef sums_t group_means(const job *t, const Py_ssize_t *group,
                        const sums_t *slots) noexcept nogil
cdef sums_t whole_group(const job *t, const Py_ssize_t *group, const fn_memory *memory,
                        sums_t *slots) noexcept nogil
cdef void combine_runs(const job *t, const Py_ssize_t *off, const fn_dim *along, size_t rows,
                       Py_ssize_t statistics, const sums_t *means, size_t j0, size_t j1, char *dw,
                       char *db, const fn_memory *memory, fn_rows *ready) noexcept nogil
cdef void combine(const job *t, const Py_ssize_t *group, const fn_memory *memory, sums_t means,
                  size_t seg0, size_t seg1, size_t j0, size_t j1) noexcept nogil
cdef void batch_gradient(const job *t, const Py_ssize_t *off, size_t rows, bint more,
                         sums_t *slots, char *dw, char *db) noexcept nogil
