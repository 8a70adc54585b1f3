# SPDX-License-Identifier: BSD-3-Clause
"""Which values count in the statistics: masks, and lengths in place of one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.moments import Float64Array, Moments, RawMoments

Mask = NDArray[np.bool_]


def counted(
    mask: ArrayLike | None, lengths: ArrayLike | None, shape: tuple[int, ...], time_axis: int
) -> Mask | None:
    """Return what counts, of the given shape; None where all does."""
    if lengths is not None:
        steps = np.arange(shape[time_axis]) < np.asarray(lengths)[:, np.newaxis]
        view = [n if axis in (0, time_axis) else 1 for axis, n in enumerate(shape)]
        mask = steps.reshape(view)
    return None if mask is None else np.broadcast_to(np.asarray(mask, dtype=bool), shape)


def time_axis(channel_axis: int, ndim: int) -> int:
    """Return the first axis that is neither that of the samples nor that of the channels."""
    return 2 if channel_axis % ndim == 1 else 1


def masked_square(x: Float64Array, mask: Mask, axes: tuple[int, ...]) -> RawMoments:
    """Mean square and count of what counts, in the shape of the kept axes."""
    count = mask.sum(axis=axes, keepdims=True)
    with np.errstate(all="ignore"):
        square = (np.where(mask, x, 0.0) ** 2).sum(axis=axes, keepdims=True) / count
    parts = (np.asarray(np.squeeze(part, axes)) for part in (square, count))
    return RawMoments(*parts)  # type: ignore[arg-type]  # a count per group


def usable(stats: Moments | RawMoments) -> tuple[Float64Array | None, Float64Array]:
    """Centre (if any) and power with which a group of which nothing counts gives the bias."""
    *centre, power, count = stats
    empty = np.asarray(count) == 0
    middle = np.where(empty, 0.0, centre[0]) if centre else None
    return middle, np.where(empty, np.inf, power)


def zeroed(values: Any, mask: Mask | None, zero: bool) -> Any:
    """Return 0 in place of the values that do not count, if that is wanted."""
    return values if mask is None or not zero else np.where(mask, values, 0.0)
