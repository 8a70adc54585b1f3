# SPDX-License-Identifier: BSD-3-Clause
"""Statistics over a part of x: what a mask or lengths leave out does not count.

The core sums whole groups. Here x goes by in blocks that stay in cache: what does not count is
replaced by a value near the mean of its group, which is then taken back out of the statistics
(Chan's merge, backwards), so that a large mean costs no digits here either. Blocks follow from the
shape alone, and are merged in order.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnorm import _core
from fastnorm._core import Groups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnorm._types import Array, Shape

BLOCK = 2**17  # values: with its mask and a copy, it stays in second-level cache


def mask_argument(
    mask: Any, lengths: Any, zero_masked: Any, shape: Shape, time_axis: int
) -> Array | None:
    """Return what counts as a boolean array with as many axes as x; None where all does.

    Parameters
    ----------
    mask, lengths, zero_masked
        Arguments of the caller.
    shape : tuple of int
        That of x.
    time_axis : int
        The axis along which `lengths` count.
    """
    if mask is None and lengths is None:
        if zero_masked:
            raise ValueError("zero_masked=True needs a mask or lengths")
        return None
    if mask is not None and lengths is not None:
        raise ValueError("mask and lengths say the same: give one of them")
    if lengths is not None:
        return _mask_of_lengths(lengths, shape, time_axis)
    counts = np.asarray(mask)
    if counts.dtype != np.bool_:
        raise TypeError(f"mask has dtype {counts.dtype}, expected bool (True: counts)")
    view = (1,) * (len(shape) - counts.ndim) + counts.shape
    if len(view) != len(shape) or any(n not in (1, m) for n, m in zip(view, shape, strict=True)):
        raise ValueError(
            f"mask has shape {counts.shape}, which does not broadcast to {shape} = the shape of x"
        )
    return counts.reshape(view)


def time_axis(channel_axis: int, ndim: int) -> int:
    """Return the first axis that is neither that of the samples nor that of the channels."""
    return 2 if channel_axis % ndim == 1 else 1


def _mask_of_lengths(lengths: Any, shape: Shape, time_axis: int) -> Array:
    values = np.asarray(lengths)
    if values.dtype.kind not in "iu":
        raise TypeError(f"lengths has dtype {values.dtype}, expected an integer type")
    if len(shape) < 2 or time_axis >= len(shape):
        raise ValueError(f"lengths need an x of shape (N, T, ...), got shape {shape}")
    if values.shape != shape[:1]:
        raise ValueError(f"lengths has shape {values.shape}, expected {shape[:1]} = axis 0 of x")
    longest = shape[time_axis]
    wrong = (values < 0) | (values > longest)
    if wrong.any():
        raise ValueError(
            f"lengths has the entry {values[wrong][0]}, expected 0 to {longest} = axis {time_axis} "
            f"of x"
        )
    steps = np.arange(longest) < values[:, np.newaxis]
    return steps.reshape([n if axis in (0, time_axis) else 1 for axis, n in enumerate(shape)])


class Part:
    """The part of x that counts, in the statistics groups of one call.

    Parameters
    ----------
    x : ndarray
        The input.
    mask : ndarray of bool
        What counts, with as many axes as x.
    groups : Groups
        How x falls into groups.

    Attributes
    ----------
    x, mask : ndarray
        Both as the core sees them, of shape `groups.split`.
    """

    def __init__(self, x: Array, mask: Array, groups: Groups) -> None:
        self._groups = groups
        self._of_blocks: dict[Shape, Groups] = {}
        self.x = x.reshape(groups.split)
        self.mask = np.broadcast_to(mask, x.shape).reshape(groups.split)

    def blocks(self) -> Iterator[tuple[Any, Any, Groups]]:
        """Slices of x, those of a statistic, and the groups of the block, in order."""
        shape = self.x.shape
        inner = len(shape)
        while inner > 0 and math.prod(shape[inner - 1 :]) <= BLOCK:
            inner -= 1
        # Axes before `inner - 1` go by one index at a time, that one in steps, the others whole.
        steps = [1] * max(inner - 1, 0)
        if inner:
            steps.append(max(1, BLOCK // math.prod(shape[inner:])))
        starts = (range(0, n, step) for n, step in zip(shape, steps, strict=False))
        for start in product(*starts):
            ends = (at + step for at, step in zip(start, steps, strict=True))
            part = tuple(slice(at, end) for at, end in zip(start, ends, strict=True))
            part += (slice(None),) * (len(shape) - len(part))
            kept = tuple(
                slice(None) if axis in self._groups.axes else s for axis, s in enumerate(part)
            )
            yield part, kept, self._groups_of(self.x[part].shape)

    def _groups_of(self, shape: Shape) -> Groups:
        if shape not in self._of_blocks:
            self._of_blocks[shape] = Groups(shape, self._groups.axes, (), "")
        return self._of_blocks[shape]

    def statistics(self, *, raw: bool) -> tuple[Array | None, Array, Array]:
        """Mean (None if `raw`), variance or mean square, and count, of shape `groups.kept`.

        A group of which nothing counts has NaN.
        """
        kept = self._groups.kept
        mean, m2, count = np.zeros(kept), np.zeros(kept), np.zeros(kept)
        with np.errstate(all="ignore"):  # NaN and Inf stay in their groups
            for part, at, groups in self.blocks():
                x, mask = self.x[part], self.mask[part]
                here = np.add.reduce(mask, axis=groups.axes, keepdims=True, dtype=np.float64)
                found = _raw(x, mask, groups) if raw else _centred(x, mask, here, groups)
                _merge(mean[at], m2[at], count[at], *found, here)
            m2 /= count
            if raw:
                return None, m2, count.astype(np.int64)
            return np.where(count == 0, np.nan, mean), m2, count.astype(np.int64)

    def given(self, stats: Any, *, raw: bool) -> tuple[Array | None, Array, Array]:
        """What `return_stats` gave, in the shape `groups.kept`; refused if of another mask."""
        kept = self._groups.kept
        try:
            *found, count = stats
            mean, var = (None, *found) if raw else found
        except (TypeError, ValueError):
            raise TypeError(
                f"stats must be what return_stats=True gave with a mask, got {stats!r}"
            ) from None
        held: list[Any] = []
        for name, value in (("mean", mean), ("var", var), ("count", count)):
            values = None if value is None else np.asarray(value)
            if values is not None and values.size != math.prod(kept):
                raise ValueError(
                    f"stats.{name} has shape {values.shape}, expected {self._groups.free} = the "
                    f"axes of x that are not reduced"
                )
            held.append(None if values is None else values.reshape(kept))
        here = np.zeros(kept, np.int64)
        for part, at, groups in self.blocks():
            here[at] += np.add.reduce(self.mask[part], axis=groups.axes, keepdims=True)
        if not np.array_equal(held[2], here):
            raise ValueError("stats.count is not that of the mask: they are of another x or mask")
        centre = None if held[0] is None else held[0].astype(np.float64)
        return centre, held[1].astype(np.float64), here


def _raw(x: Array, mask: Array, groups: Groups) -> tuple[Array, Array]:
    """0 and the sum of squares of what counts in one block."""
    _, square = _measured(np.where(mask, x, x.dtype.type(0)), groups, _core.RAW)
    return np.zeros(groups.kept), square * groups.size


def _centred(x: Array, mask: Array, count: Array, groups: Groups) -> tuple[Array, Array]:
    """Mean and M2 of what counts in one block; 0 where nothing does."""
    size = groups.size
    some = np.maximum(count, 1)
    mean, _ = _measured(np.where(mask, x, x.dtype.type(0)), groups, 0)
    mean = mean * size / some
    for _ in range(2):  # once more with a better value for what does not count
        fill = mean.astype(x.dtype)
        near = fill.astype(np.float64)
        whole, var = _measured(np.where(mask, x, fill), groups, 0)
        mean = near + (whole - near) * size / some
        taken = (mean - near) ** 2 * (count * (size - count) / size)
        m2 = np.maximum(var * size - taken, 0)
        if not (taken > m2).any():
            break
    empty = count == 0
    return np.where(empty, 0, mean), np.where(empty, 0, m2)


def _measured(values: Array, groups: Groups, flags: int) -> tuple[Array, Array]:
    mean, var = np.empty(groups.kept), np.empty(groups.kept)
    raw = bool(flags & _core.RAW)
    _core.forward(values, None, groups, None, None, None if raw else mean, var, 0.0, flags)
    return mean, var


def _merge(mean: Array, m2: Array, count: Array, other: Array, other_m2: Array, n: Array) -> None:
    """Fold the statistics of a block into those of the blocks before it (Chan's update)."""
    total = np.maximum(count + n, 1)
    delta = np.where(count == 0, other - mean, np.where(n == 0, 0, other - mean))
    m2 += np.where(n == 0, 0, other_m2 + delta * delta * (count * n / total))
    mean += delta * (n / total)
    count += n


def for_core(mean: Array | None, var: Array, count: Array) -> tuple[Array | None, Array]:
    """Statistics as the core takes them: a group of which nothing counts gives the bias."""
    empty = count == 0
    if not empty.any():
        return mean, var
    return None if mean is None else np.where(empty, 0, mean), np.where(empty, np.inf, var)


def masked_forward(
    x: Array,
    counted: Array,
    groups: Groups,
    y: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    flags: int,
    zero: bool,
) -> tuple[Array | None, Array, Array]:
    """`_core.forward` where only a part counts: the statistics, and y at every position.

    zero: y is 0 at the positions that do not count.
    """
    found = Part(x, counted, groups).statistics(raw=bool(flags & _core.RAW))
    mean, var = for_core(*found)
    _core.forward(x, y, groups, weight, bias, mean, var, eps, flags | _core.GIVEN)
    zero_beside(y, counted, zero)
    mean, var, count = found
    free = groups.free
    return None if mean is None else mean.reshape(free), var.reshape(free), count.reshape(free)


def zero_beside(y: Array, counted: Array | None, zero: bool) -> None:
    """Set what does not count to 0, if that is wanted."""
    if zero and counted is not None:
        np.copyto(y, y.dtype.type(0), where=~counted)
