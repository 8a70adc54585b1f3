# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of the thread room (src/drivers/threads.pyx)."""

ctypedef void (*task_fn)(void *context, Py_ssize_t task) noexcept nogil

cdef int effective(size_t work) noexcept nogil
cdef void parallel_for(Py_ssize_t tasks, task_fn run, void *context, int threads) noexcept nogil
