# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of an array that stay in cache, for what the core has no kernel for and NumPy computes.

A block is copied into scratch memory, worked on there in place, and stored: the array is read and
written once, however many steps its formula has, and no temporary is of its size.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnorm._types import Array, Shape

# Values of a block: half a megabyte of float32 for each array of scratch. With half as many, runs
# along the fast axes get short and NumPy's calls are felt; with twice as many, the arrays of a step
# leave the caches.
BLOCK = 131072


class Blocks:
    """How an array is cut into blocks: in the order of its memory, the same for every view of it.

    Iterating gives the blocks as indices of x, tuples of slices, the slowest axis in memory first.

    Parameters
    ----------
    x : ndarray
        The array; others of its shape are cut as it is.

    Attributes
    ----------
    order : tuple of int
        The axes of x from the slowest in memory to the fastest.
    shape : tuple of int
        The shape of a block, which the last one along an axis may not fill.
    """

    def __init__(self, x: Array) -> None:
        self.order = tuple(sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis])))
        shape = list(x.shape)
        inner = 1
        for axis in reversed(self.order):
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
