# SPDX-License-Identifier: BSD-3-Clause
"""How an array falls into statistics groups, as the compiled entry and as Python read it.

fastnorm/_groups.py checks `axis`, `channel_axis` and `num_groups` and makes the groups; what is
refused here is too many axes, no more. Groups never change once made, so threads share them.
"""

import math

cimport cython
from libc.stdint cimport uintptr_t

from fastnorm._core.plan cimport FN_MAXDIM

cdef enum:
    SLOTS = 64  # of a memo, a power of two: more shapes than a network has of one family


cdef class Groups:
    """How an array falls into statistics groups, and how its parameters lie along it.

    Parameters
    ----------
    split : tuple of int
        The shape of x as the core sees it: that of x, or with its channels split into groups.
    axes, along : tuple of int
        Axes of `split`, ascending: the reduced ones, and those that the parameters run along.
    where : str
        Says in an error text where the shape of the parameters comes from.
    channel : int
        The axis of x that `split` has as two; -1 for none. The parameters run along it.

    Attributes
    ----------
    kept, free : tuple of int
        Shapes of the statistics, with 1 for a reduced axis and without it.
    size : int
        Number of values in a group.
    shape, view : tuple of int
        Shapes of a parameter: its own, and with as many axes as `split`.
    axes, split, where
        As given.
    """

    def __init__(self, tuple split, tuple axes, tuple along, str where, int channel=-1):
        cdef int i
        if len(split) > FN_MAXDIM:
            raise ValueError(f"x has {len(split) - (channel >= 0)} axes, which are too many")
        self.ndim = len(split)
        self.channel = channel
        self.split = split
        self.axes = axes
        self.where = where
        self.reduced = self.along = 0
        for i in range(self.ndim):
            self.lens[i] = split[i]
        for i in axes:
            self.reduced |= <uint64_t>1 << i
        for i in along:
            self.along |= <uint64_t>1 << i
        self.kept = tuple(1 if i in axes else split[i] for i in range(self.ndim))
        self.free = tuple(split[i] for i in range(self.ndim) if i not in axes)
        self.view = tuple(split[i] if i in along else 1 for i in range(self.ndim))
        self.shape = tuple(split[i] for i in along) if channel < 0 else (
            split[channel] * split[channel + 1],)
        self.size = math.prod(split[i] for i in axes)
        # An empty x of absurd lengths has sizes beyond C, which nobody asks for.
        self.values = self.size if 0 not in split else 0
        self.count = math.prod(self.free) if 0 not in split else 0

    cdef bint fit(self, int ndim, const Py_ssize_t *dims) noexcept:
        """Whether these are groups of an array of these lengths."""
        cdef int i, k = 0
        if ndim != self.ndim - (self.channel >= 0):
            return False
        for i in range(ndim):
            if i == self.channel:
                if dims[i] != self.lens[k] * self.lens[k + 1]:
                    return False
                k += 1
            elif dims[i] != self.lens[k]:
                return False
            k += 1
        return True


cdef class Asked:
    """What a memo was asked once, and the answer."""


cdef bint unchanging(object key) noexcept:
    """Whether an object stays what it is, so that the same object asks the same again."""
    if key is None or type(key) is int:
        return True
    if type(key) is not tuple:
        return False
    for entry in <tuple>key:
        if type(entry) is not int:
            return False
    return True


cdef class Recent:
    """The answers of a function of `fastnorm/_groups.py`, found by the identity of its arguments.

    It spares a small call the making of a shape tuple and its hash, which cost as much as the
    kernels. A slot is replaced as a whole, under the lock that builds without a GIL have.

    Parameters
    ----------
    make : callable
        ``make(*keys, shape)`` gives the groups of an x of that shape, or raises.
    keys : int
        How many keys it takes, up to three: None, ints and tuples of ints.
    """

    def __init__(self, make, int keys):
        self.make = make
        self.keys = keys
        self.slots = [None] * SLOTS

    cdef Groups find(self, object x, int ndim, const Py_ssize_t *dims, object first,
                     object second, object third):
        """The groups of x, which has these lengths; None where a key is of another type."""
        cdef uintptr_t mixed = <uintptr_t>ndim
        cdef Asked asked
        cdef int i
        for i in range(ndim):
            mixed = mixed * 31 + <uintptr_t>dims[i]
        # Objects lie at multiples of 16; numbers of channels are multiples of powers of two.
        mixed += <uintptr_t><void *>first / 16 + <uintptr_t><void *>second / 16
        mixed ^= mixed >> 6 ^ mixed >> 12
        i = <int>(mixed % SLOTS)
        with cython.critical_section(self):
            asked = self.slots[i]
        if (asked is not None and asked.first is first and asked.second is second
                and asked.third is third and asked.groups.fit(ndim, dims)):
            return asked.groups
        if not (unchanging(first) and unchanging(second) and unchanging(third)):
            return None
        asked = Asked()
        asked.first = first
        asked.second = second
        asked.third = third
        asked.groups = self.make(*(first, second, third)[:self.keys], x.shape)
        with cython.critical_section(self):
            self.slots[i] = asked
        return asked.groups
