# SPDX-License-Identifier: BSD-3-Clause
"""Passes over an array as samples of channels: matrix products without a copy of the array.

A sample is what the channels hold at one position of all the other axes. Blocks of samples are
brought into float64, their centre is subtracted there, and BLAS multiplies them with a matrix of
each channel group, or with each other. How an array is cut into blocks follows from its shape and
memory order alone, and the blocks are added up in order.

OpenBLAS keeps a product of up to `ONE_THREAD` multiplications on the caller's thread. Samples are
multiplied in runs short enough for that, as long as runs of `SHORTEST` are: up to 64 channels in a
group the bits depend on no number of threads, and no call waits for a team on busy cores.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastnorm._types import Array, Shape

    Index = tuple[slice, ...]

VALUES = 2**15  # of a block: 256 KiB in float64, of which a second-level cache holds several
ONE_THREAD = 2**18
SHORTEST, LONGEST = 64, 512  # samples in a run
COPIED = 32  # channels: up to here a product of two arrays is faster than NumPy's `a @ a.T` of one


class SampleBlocks:
    """How the arrays of one call fall into blocks of samples, and the products over them.

    Parameters
    ----------
    x : ndarray
        The array whose memory order decides; all arrays of the call have its shape.
    channel : int
        The axis of the channels, not negative.
    groups : int
        Number of groups of consecutive channels, each of which has a matrix of its own.
    """

    def __init__(self, x: Array, channel: int, groups: int) -> None:
        self.groups = groups
        self.width = x.shape[channel] // groups
        samples = [axis for axis in range(x.ndim) if axis != channel]
        samples.sort(key=lambda axis: -abs(x.strides[axis]))  # stable: equal strides keep order
        self._axes = (channel, *samples)
        shape = tuple(x.shape[axis] for axis in samples)
        square = max(self.width, 1) ** 2
        run = 2 ** math.floor(math.log2(max(ONE_THREAD // square, 1)))
        self._run = min(max(run, SHORTEST), LONGEST) if run >= SHORTEST else LONGEST
        fitting = VALUES // (self._run * max(self.width, 1))
        self._step = min(max(fitting, 1), max(groups, 1))  # groups in a block
        runs = max(VALUES // (self._run * self._step * max(self.width, 1)), 1)
        self._cuts = _cut(shape, runs * self._run) if x.size else []

    def products(self, first: Array, first_mean: Array | None, second: Array, mean: Array) -> Array:
        """Sum of (first - first_mean) (second - mean)^T over the samples, of every channel group.

        The means have the shape (channels,); None stands for 0. `first` may be `second`.
        """
        total = np.zeros((self.groups, self.width, self.width))
        one, other = self._scratch(), self._scratch()
        left, right = self._view(first), self._view(second)
        left_mean, right_mean = self._centre(first_mean), self._centre(mean)
        same = first is second
        for part, cut in self._blocks():
            b = self._load(right, right_mean, part, cut, other)
            if not same:
                a = self._load(left, left_mean, part, cut, one)
            elif self.width <= COPIED:
                a = one[: b.size].reshape(b.shape)
                a[...] = b
            else:
                a = b
            by_run = np.matmul(self._runs(a), self._runs(b).swapaxes(-2, -1))
            total[part] += np.add.reduce(by_run, axis=0)
        return total

    def transform(
        self,
        sources: Sequence[tuple[Array, Array | None, Array]],
        shift: Array | None,
        out: Array,
    ) -> None:
        """Write the sum of matrix (array - mean) over `sources`, plus `shift`, rounded once.

        Parameters
        ----------
        sources : sequence of (array, mean, matrix)
            Each with the means of the channels, None for 0, and a matrix of every channel group, of
            shape (groups, width, width).
        shift : ndarray of shape (channels,), optional
            Added to every sample.
        out : ndarray
            Receives the result; it may be one of the arrays.
        """
        arrays = [(self._view(a), self._centre(mean), matrix) for a, mean, matrix in sources]
        target, shift = self._view(out), self._centre(shift)
        rows, results = self._scratch(), [self._scratch() for _ in sources]
        for part, cut in self._blocks():
            place = target[part][cut]
            sums = []
            for (array, mean, matrix), result in zip(arrays, results, strict=True):
                block = self._load(array, mean, part, cut, rows)
                y = result[: block.size].reshape(block.shape)
                np.matmul(matrix[part], self._runs(block), out=self._runs(y))
                sums.append(y)
            for y in sums[1:]:
                sums[0] += y
            if shift is not None:
                sums[0] += shift[part]
            count = math.prod(place.shape[2:])
            place[...] = sums[0][..., :count].reshape(place.shape)

    def _blocks(self) -> Iterator[tuple[slice, Index]]:
        """Index of the channel groups and of the rest of `_view`, block by block."""
        for start in range(0, self.groups, self._step):
            for cut in self._cuts:
                yield slice(start, start + self._step), cut

    def _view(self, array: Array) -> Array:
        """See an array as (groups, width, *samples), the samples in the memory order of x."""
        moved = array.transpose(self._axes)
        return moved.reshape(self.groups, self.width, *moved.shape[1:])

    def _centre(self, values: Array | None) -> Array | None:
        """Values of every channel, to be broadcast against a block."""
        return None if values is None else values.reshape(self.groups, self.width, 1)

    def _scratch(self) -> Array:
        """Memory for a block and the zeros that fill up its last run."""
        longest = max((_length(cut) for cut in self._cuts), default=0)
        return np.empty(self._step * self.width * self._filled(longest))

    def _filled(self, samples: int) -> int:
        """Samples in whole runs."""
        return -(-samples // self._run) * self._run

    def _load(
        self, array: Array, mean: Array | None, part: slice, cut: Index, scratch: Array
    ) -> Array:
        """Return a block in float64, less its mean, with zeros to whole runs behind it."""
        block = array[part][cut]
        count = math.prod(block.shape[2:])
        shape = (*block.shape[:2], self._filled(count))
        rows = scratch[: math.prod(shape)].reshape(shape)
        values = rows[..., :count]
        values.reshape(block.shape)[...] = block
        if mean is not None:
            values -= mean[part]
        rows[..., count:] = 0.0
        return rows

    def _runs(self, rows: Array) -> Array:
        """See (groups, width, samples) as (runs, groups, width, samples of a run)."""
        split = rows.reshape(*rows.shape[:2], -1, self._run)
        return split.transpose(2, 0, 1, 3)


def _cut(shape: Shape, samples: int) -> list[Index]:
    """Cut the sample axes, slowest first, into blocks of up to `samples`, whole inner axes first.

    Each index has two slices more, in front, for the axes of the channels.
    """
    whole = len(shape)
    size = 1
    while whole and size * shape[whole - 1] <= samples:
        whole -= 1
        size *= shape[whole]
    ranges = [[slice(i, i + 1) for i in range(n)] for n in shape[: max(whole - 1, 0)]]
    if whole:
        n, step = shape[whole - 1], samples // size
        ranges.append([slice(i, min(i + step, n)) for i in range(0, n, step)])
    ranges += [[slice(0, n)] for n in shape[whole:]]
    return [(slice(None), slice(None), *index) for index in product(*ranges)]


def _length(cut: Index) -> int:
    """Number of samples in a block."""
    return math.prod(index.stop - index.start for index in cut[2:])
