# SPDX-License-Identifier: BSD-3-Clause
"""Local response normalization in plain NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnorm.compare.numpy_twin.shared import Array, buffer, deliver, widen


class Gradients(NamedTuple):
    """The gradient of x."""

    x: Array


def local_response_norm(
    x: Array,
    size: int = 5,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    channel_axis: int = 1,
    out: Array | None = None,
) -> tuple[Array, Array]:
    """y = x / base**beta, base = k + alpha / size * (squares summed over the window)."""
    values = widen(x)
    base = window_sums(np.square(values), size // 2, (size - 1) // 2, channel_axis)
    base *= alpha / size
    base += k
    y = np.divide(values, base**beta, out=buffer(out, values))
    return deliver(y, x, out), base


def local_response_norm_backward(
    dy: Array,
    x: Array,
    size: int = 5,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    channel_axis: int = 1,
    stats: Array,
    out: Array | None = None,
) -> Gradients:
    """dx = dy / base**beta - 2 alpha beta / size * x * (sum of dy x / base**(beta + 1))."""
    upstream, values = widen(dy), widen(x)
    inverse = stats**-beta
    shares = upstream * values
    shares *= inverse
    shares /= stats
    total = window_sums(shares, (size - 1) // 2, size // 2, channel_axis)
    total *= values
    total *= 2 * alpha * beta / size
    dx = np.multiply(upstream, inverse, out=buffer(out, upstream))
    dx -= total
    return Gradients(deliver(dx, x, out))


def window_sums(values: Array, before: int, after: int, axis: int) -> Array:
    """Sums over the entries of `axis` from so many before to so many after each."""
    widths = [(0, 0)] * values.ndim
    widths[axis] = (before, after)
    padded = np.moveaxis(np.pad(values, widths), axis, 0)
    total = np.zeros_like(values)
    moved = np.moveaxis(total, axis, 0)
    for start in range(before + after + 1):
        moved += padded[start : start + len(moved)]
    return total
