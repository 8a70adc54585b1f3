# SPDX-License-Identifier: BSD-3-Clause
"""p-norms of the groups of an array, and the gradient of division by them, for any p.

The root of a sum of squares is what the core computes; other norms are found block by block, their
sums by the core's mean of the powers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastnorm import _core
from fastnorm._args import COMPUTE_TYPE
from fastnorm._blocks import Blocks
from fastnorm.moments import moments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnorm._core import Groups
    from fastnorm._types import Array


@np.errstate(all="ignore")  # NaN and Inf in their group are results, not surprises
def norms(x: Array, p: float, groups: Groups) -> Array:
    """Return the p-norms of the groups of x, 0 where a group is empty."""
    norm = np.zeros(groups.free)
    if x.size == 0:
        return norm
    if p == 2.0:
        _core.forward(x, None, groups, None, None, None, norm, 0.0, _core.RAW)
        return np.asarray(np.sqrt(norm * groups.size))
    largest = norm.reshape(groups.kept)
    for sizes, at in _sizes(x, groups):
        largest[at] = np.maximum(largest[at], sizes.max(groups.axes, keepdims=True))
    if p == math.inf:
        return norm
    # Relative to the largest value no power leaves the range. Where that is 0, Inf or NaN, so is
    # the norm.
    regular = (largest > 0.0) & (largest < math.inf)
    unit = np.where(regular, largest, 1.0)
    total = np.zeros(groups.kept)
    for sizes, at in _sizes(x, groups):
        sizes /= unit[at].astype(sizes.dtype)
        if p != 1.0:
            np.power(sizes, p, out=sizes)
        mean, _, count = moments(sizes, groups.axes, keepdims=True)
        total[at] += mean * count
    return np.where(regular, unit * total ** (1.0 / p), largest).reshape(groups.free)


def _sizes(x: Array, groups: Groups) -> Iterator[tuple[Array, tuple[slice, ...]]]:
    """Absolute values of every block of x, and where its groups are in their statistics."""
    blocks = Blocks(x)
    scratch = np.empty(math.prod(blocks.shape), COMPUTE_TYPE[x.dtype])
    for at in blocks:
        sizes = blocks.dense(scratch, x[at].shape)
        sizes[...] = x[at]
        yield np.abs(sizes, out=sizes), _kept(at, groups)


def _kept(at: tuple[slice, ...], groups: Groups) -> tuple[slice, ...]:
    """Where the groups of a block are in statistics of the shape `groups.kept`."""
    return tuple(slice(None) if k in groups.axes else cut for k, cut in enumerate(at))


@np.errstate(all="ignore")
def pull_back(
    dy: Array, x: Array, dx: Array, groups: Groups, norm: Array, eps: float, p: float
) -> None:
    """Write dx = (dy - z * sum(dy * y)) / divisor."""
    if x.size == 0:
        return
    divisor, total = np.asarray(np.maximum(norm, eps)), np.zeros(groups.kept)
    square = np.asarray(np.square(divisor))
    _core.backward(dy, x, None, groups, None, None, square, 0.0, _core.RAW, total, None)
    norm, divisor = norm.reshape(groups.kept), divisor.reshape(groups.kept)
    total[norm < eps] = 0.0
    if p == math.inf:
        ties = np.zeros(groups.kept)
        for sizes, of in _sizes(x, groups):
            ties[of] += (sizes == norm[of]).sum(groups.axes, keepdims=True)
        total /= np.maximum(ties, 1.0)
    kind, blocks = COMPUTE_TYPE[x.dtype], Blocks(x)
    total = total.astype(kind)
    inverse = np.where(divisor == 0.0, 0.0, 1.0 / divisor).astype(kind)
    scratch = np.empty((2, math.prod(blocks.shape)), kind)
    for at in blocks:
        of = _kept(at, groups)
        values, slope = (blocks.dense(part, x[at].shape) for part in scratch)
        values[...] = x[at]
        if p == 1.0:
            np.sign(values, out=slope)
        else:
            np.abs(values, out=slope)
            if p == math.inf:
                np.equal(slope, norm[of], out=slope)
            else:
                slope *= inverse[of]
                np.power(slope, p - 1.0, out=slope)
                slope[values == 0.0] = 0.0
            slope *= np.sign(values, out=values)
        slope *= total[of]
        values[...] = dy[at]
        values -= slope
        values *= inverse[of]
        dx[at] = values
