# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of an array that stay in cache, for what the core has no kernel for and NumPy computes.

A block is copied into scratch memory, worked on there in place, and stored: the array is read and
written once, however many steps its formula has, and no temporary is of its size.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from fastnorm._args import COMPUTE_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnorm._types import Array, Shape

# Values of a block: a few arrays of them fit a second-level cache, and NumPy's calls, of which each
# costs about half a microsecond, still take most of their time in the loop.
BLOCK = 65536

# A window slides along an axis in blocks that hold as many entries of it, so that little of a block
# is what it shares with its neighbours, and that runs of the faster axes stay long.
ENTRIES = 16


class Blocks:
    """How an array is cut into blocks: in the order of its memory, the same for every view of it.

    Iterating gives the blocks as indices of x, tuples of slices, the slowest axis in memory first.

    Parameters
    ----------
    x : ndarray
        The array; others of its shape are cut as it is.
    whole : int or None
        An axis that is not cut; a block is small enough if it is where only some entries of this
        axis count.

    Attributes
    ----------
    order : tuple of int
        The axes of x from the slowest in memory to the fastest.
    shape : tuple of int
        The shape of a block, which the last one along an axis may not fill.
    """

    def __init__(self, x: Array, whole: int | None = None) -> None:
        self.order = tuple(sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis])))
        shape = list(x.shape)
        counted = 1 if whole is None else min(x.shape[whole], ENTRIES)
        inner = counted
        for axis in reversed(self.order):
            if axis == whole:
                inner = inner // counted * shape[axis]
            else:
                pieces = max(1, math.ceil(shape[axis] * inner / BLOCK))
                shape[axis] = math.ceil(shape[axis] / pieces)
                inner *= shape[axis]
        self.shape: Shape = tuple(shape)
        self._lengths = x.shape
        self._back = tuple(sorted(range(x.ndim), key=lambda axis: self.order[axis]))

    def __iter__(self) -> Iterator[tuple[slice, ...]]:
        ranges = (
            [
                slice(k, k + self.shape[axis])
                for k in range(0, self._lengths[axis], self.shape[axis])
            ]
            for axis in self.order
        )
        for block in itertools.product(*ranges):
            yield tuple(block[k] for k in self._back)

    def dense(self, scratch: Array, shape: Shape) -> Array:
        """Return memory of `scratch` as an array of `shape` whose axes lie as those of x do."""
        packed = scratch[: math.prod(shape)].reshape([shape[axis] for axis in self.order])
        return packed.transpose(self._back)


def along(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    """The index of entries of an axis, and of all on the axes before and after it."""
    return (*(slice(None),) * axis, slice(start, stop))


class Sliding:
    """Blocks of arrays along an axis, each with its neighbours on that axis.

    Iterating gives the index of a block in the arrays, and a flat copy of each of them there, in
    the compute type: the entries of the axis that precede the block, its own, and those that
    follow, with zeros beyond the ends. Once it has been given, a block may be written to.

    Parameters
    ----------
    arrays : tuple of ndarray
        Arrays of one shape and type, cut as the first one is.
    scale : float
        The copy of the first one is multiplied by it.
    axis : int
        The axis along which there are neighbours, counted from the front.
    before, after : int
        How many entries of it precede and follow a block.

    Attributes
    ----------
    count : int
        Number of values in a copy, at most.
    step : int
        How far apart neighbours on the axis lie in the copies of the block at hand.
    """

    def __init__(
        self, arrays: tuple[Array, ...], scale: float, axis: int, before: int, after: int
    ) -> None:
        self._arrays, self._axis, self._before, self._after = arrays, axis, before, after
        self._scales = (scale, *(1.0 for _ in arrays[1:]))
        self._blocks = Blocks(arrays[0], axis)
        shape, length = self._blocks.shape, arrays[0].shape[axis]
        self._entries = math.ceil(length / max(1, math.ceil(math.prod(shape) / BLOCK)))
        self._shape = self._with_neighbours(shape)
        self.count = math.prod(self._shape)
        self.step = 1

    def __iter__(self) -> Iterator[tuple[tuple[slice, ...], list[Array]]]:
        axis, entries = self._axis, self._entries
        x = self._arrays[0]
        copies = [np.empty(self.count, COMPUTE_TYPE[x.dtype]) for _ in self._arrays]
        for at in self._blocks:
            self._shape = self._with_neighbours(x[at].shape)
            views = [self.view(copy) for copy in copies]
            self.step = views[0].strides[axis] // views[0].itemsize
            for start in range(0, x.shape[axis], entries):
                for array, view, scale in zip(self._arrays, views, self._scales, strict=True):
                    self._fill(view, array[at], start, scale)
                part = slice(start, min(start + entries, x.shape[axis]))
                yield (*at[:axis], part, *at[axis + 1 :]), [c[: views[0].size] for c in copies]

    def view(self, flat: Array) -> Array:
        """Return a flat array that is like the copies with the axes of the arrays."""
        return self._blocks.dense(flat, self._shape)

    def _with_neighbours(self, shape: Shape) -> Shape:
        axis, entries = self._axis, self._entries + self._before + self._after
        return (*shape[:axis], entries, *shape[axis + 1 :])

    def _fill(self, view: Array, source: Array, start: int, scale: float) -> None:
        """Copy what surrounds the block at `start`, or is still there from the one before it."""
        axis, entries, before, after = self._axis, self._entries, self._before, self._after
        if start == 0:
            view[along(axis, 0, before)] = 0.0
            known, first = before, 0
        else:
            known, first = before + after, start + after
            view[along(axis, 0, known)] = view[along(axis, entries, entries + known)]
        fresh = source[along(axis, first, start + entries + after)]
        end = known + fresh.shape[axis]
        target = view[along(axis, known, end)]
        if fresh.dtype != view.dtype:
            target[...] = fresh
            fresh = target
        np.multiply(fresh, scale, out=target)
        view[along(axis, end, view.shape[axis])] = 0.0
