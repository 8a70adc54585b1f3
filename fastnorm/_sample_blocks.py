# SPDX-License-Identifier: BSD-3-Clause
"""Passes over an array as samples of channels: matrix products without a copy of the array.

A sample is what the channels hold at one position of all the other axes. Blocks of samples are
brought into float64, their centre is subtracted there, and BLAS multiplies them with a matrix of
each channel group, or with each other. How an array is cut into blocks follows from its shape and
memory order alone, and the blocks are added up in order. float64 makes the products twice as slow
as float32 would; but whitening magnifies rounding by the ratio of the largest to the smallest
standard deviation. Of 32 channels with 1 to 1000, largest error of a float32 y: 5e-7, and 7e-3 by
way of float32.

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

VALUES = 2**16  # of a block: 512 KiB in float64, about what a second-level cache holds
ONE_THREAD = 2**18
SHORTEST, LONGEST = 64, 256  # samples in a run, of an x that has as many
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
        steps = [abs(x.strides[axis]) for axis in samples if x.shape[axis] > 1]
        self._last = abs(x.strides[channel]) < min(steps, default=0)  # blocks lie as x does
        shape = tuple(x.shape[axis] for axis in samples)
        self._run = _run_length(self.width, math.prod(shape))
        fitting = VALUES // (self._run * max(self.width, 1))
        self._step = min(max(fitting, 1), max(groups, 1))  # groups in a block
        runs = max(VALUES // (self._run * self._step * max(self.width, 1)), 1)
        self._cuts = _cut(shape, runs * self._run) if x.size else []
        self.longest = self.filled(max(map(_length, self._cuts), default=0))  # of all blocks

    def products(self, array: Array, mean: Array, other: Array | None = None) -> Array:
        """Sum over the samples of other (array - mean)^T, of every channel group.

        `mean` has the shape (channels,). Without `other`, that of (array - mean) (array - mean)^T.
        """
        total = np.zeros((self.groups, self.width, self.width))
        right, left = Source(self, array, mean), Source(self, array if other is None else other)
        copied = self.width <= COPIED
        for part in self._parts():
            right.turn_to(part)
            left.turn_to(part)
            for cut in self._cuts:
                b = right.load(cut)
                if other is not None:
                    a = left.load(cut)
                else:
                    a = left.take(b) if copied else b
                by_run = np.matmul(self._runs(a), self._runs(b).swapaxes(-2, -1))
                total[part] += np.add.reduce(by_run, axis=0)
        return total

    def transform(
        self,
        terms: Sequence[tuple[Array, Array | None, Array]],
        shift: Array | None,
        out: Array,
    ) -> None:
        """Write the sum of matrix (array - mean) over `terms`, plus `shift`, rounded once.

        Parameters
        ----------
        terms : sequence of (array, mean, matrix)
            Each with the means of the channels, None for 0, and a matrix of every channel group, of
            shape (groups, width, width).
        shift : ndarray of shape (channels,), optional
            Added to every sample.
        out : ndarray
            Receives the result; it may be one of the arrays.
        """
        target = self.view(out)
        sources = [Source(self, array, mean) for array, mean, _ in terms]
        results = [self.scratch() for _ in terms]
        added = None if shift is None else shift.reshape(self.groups, self.width, 1)
        for part in self._parts():
            for source in sources:
                source.turn_to(part)
            place = target[part]
            for cut in self._cuts:
                sums = []
                for source, result, (_, _, matrix) in zip(sources, results, terms, strict=True):
                    block = source.load(cut)
                    y = self.shaped(result, *block.shape[::2])
                    np.matmul(matrix[part], self._runs(block), out=self._runs(y))
                    sums.append(y)
                for y in sums[1:]:
                    sums[0] += y
                if added is not None:
                    sums[0] += added[part]
                here = place[cut]
                count = math.prod(here.shape[2:])
                here[...] = sums[0][..., :count].reshape(here.shape)

    def view(self, array: Array) -> Array:
        """See an array as (groups, width, *samples), the samples in the memory order of x."""
        moved = array.transpose(self._axes)
        return moved.reshape(self.groups, self.width, *moved.shape[1:])

    def scratch(self) -> Array:
        """Memory for a block and the zeros that fill up its last run."""
        return np.empty(self._step * self.width * self.longest)

    def shaped(self, scratch: Array, groups: int, samples: int) -> Array:
        """Lay a block of shape (groups, width, samples) out in scratch memory."""
        used = scratch[: groups * self.width * samples]
        if self._last:
            return used.reshape(samples, groups, self.width).transpose(1, 2, 0)
        return used.reshape(groups, self.width, samples)

    def filled(self, samples: int) -> int:
        """Samples in whole runs."""
        return -(-samples // self._run) * self._run

    def _parts(self) -> Iterator[slice]:
        """Groups whose channels make a block, some at a time."""
        for start in range(0, self.groups, self._step):
            yield slice(start, min(start + self._step, self.groups))

    def _runs(self, rows: Array) -> Array:
        """See (groups, width, samples) as (runs, groups, width, samples of a run)."""
        split = rows.reshape(*rows.shape[:2], -1, self._run)
        return split.transpose(2, 0, 1, 3)


class Source:
    """One array of a pass: brings a block of it into float64, less the mean.

    Parameters
    ----------
    blocks : SampleBlocks
        How it is cut.
    array : ndarray
        The array.
    mean : ndarray of shape (channels,), optional
        What is subtracted from the channels.
    """

    def __init__(self, blocks: SampleBlocks, array: Array, mean: Array | None = None) -> None:
        self._blocks = blocks
        self._view = blocks.view(array)
        self._scratch = blocks.scratch()
        self._mean = None if mean is None else mean.reshape(blocks.groups, blocks.width, 1)
        self._repeated = self._scratch if mean is None else blocks.scratch()

    def turn_to(self, part: slice) -> None:
        """Go on with these channel groups."""
        self._part = self._view[part]
        if self._mean is not None:
            # Repeated for every sample: NumPy subtracts a full array twice as fast as a column
            mean = self._mean[part]
            self._centre = self._blocks.shaped(self._repeated, len(mean), self._blocks.longest)
            self._centre[...] = mean

    def load(self, cut: Index) -> Array:
        """Return a block as (groups, width, samples), with zeros after the last to whole runs."""
        block = self._part[cut]
        groups, _, *samples = block.shape
        count = math.prod(samples)
        filled = self._blocks.filled(count)
        rows = self._blocks.shaped(self._scratch, groups, filled)
        rows[..., :count].reshape(block.shape)[...] = block
        if self._mean is not None:
            rows -= self._centre[..., :filled]
        if filled > count:
            rows[..., count:] = 0.0
        return rows

    def take(self, rows: Array) -> Array:
        """Return a copy of a block of another source."""
        copy = self._blocks.shaped(self._scratch, *rows.shape[::2])
        copy[...] = rows
        return copy


def _run_length(width: int, samples: int) -> int:
    """Samples multiplied at a time: a power of two."""
    width = max(width, 1)
    fitting = ONE_THREAD // width**2
    if fitting < SHORTEST:
        fitting = max(VALUES // width, SHORTEST)
    power = 1 << (fitting.bit_length() - 1)
    return min(power, LONGEST, 1 << max(samples - 1, 0).bit_length())


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
