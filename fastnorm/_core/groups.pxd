# SPDX-License-Identifier: BSD-3-Clause
"""C-level declarations of the statistics groups (src/plan/groups.pyx)."""

from libc.stdint cimport uint64_t


cdef class Groups:
    cdef int ndim             # axes of x as the core sees them, with the split one as two
    cdef int channel          # the first of the two that are one axis of x; -1: none is split
    cdef Py_ssize_t lens[64]  # of those axes
    cdef uint64_t reduced     # which of them are reduced
    cdef uint64_t along       # which of them the parameters run along
    cdef Py_ssize_t values    # in a group
    cdef Py_ssize_t count     # of groups
    cdef readonly tuple axes
    cdef readonly tuple kept
    cdef readonly tuple free
    cdef readonly tuple shape
    cdef readonly tuple view
    cdef readonly tuple split
    cdef readonly object size
    cdef readonly str where

    cdef bint fit(self, int ndim, const Py_ssize_t *dims) noexcept


cdef class Asked:
    cdef object first
    cdef object second
    cdef object third
    cdef Groups groups


cdef class Recent:
    cdef object make
    cdef int keys
    cdef list slots

    cdef Groups find(self, object x, int ndim, const Py_ssize_t *dims, object first,
                     object second, object third)
