# SPDX-License-Identifier: BSD-3-Clause
"""Lp normalization in plain NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnorm.compare.numpy_twin.shared import Array, Axis, buffer, deliver, widen


class Gradients(NamedTuple):
    """The gradient of x."""

    x: Array


def lp_normalize(
    x: Array, *, p: float = 2.0, axis: Axis = -1, eps: float = 1e-12, out: Array | None = None
) -> tuple[Array, Array]:
    """y = x / max(norm, eps)."""
    values = widen(x)
    if p == 2.0:
        norm = np.sqrt(np.square(values).sum(axis=axis, keepdims=True))
    elif p == np.inf:
        norm = abs(values).max(axis=axis, keepdims=True)
    else:
        norm = (abs(values) ** p).sum(axis=axis, keepdims=True) ** (1 / p)
    y = np.divide(values, np.maximum(norm, eps), out=buffer(out, values))
    return deliver(y, x, out), norm


def lp_normalize_backward(
    dy: Array,
    x: Array,
    *,
    p: float = 2.0,
    axis: Axis = -1,
    eps: float = 1e-12,
    stats: Array,
    out: Array | None = None,
) -> Gradients:
    """dx = (dy - slope sum(dy y)) / norm, slope = sign(x) |y|^(p-1)."""
    upstream = widen(dy)
    inverse = 1 / np.maximum(stats, eps)
    values = widen(x)
    y = values * inverse
    if p == 2.0:
        slope = y
    elif p == np.inf:
        slope = np.sign(y) * (abs(values) == stats)
    else:
        slope = np.sign(y) * abs(y) ** (p - 1)
    projection = (upstream * y).sum(axis=axis, keepdims=True)
    projection[stats < eps] = 0
    dx = np.subtract(upstream, slope * projection, out=buffer(out, upstream))
    dx *= inverse
    return Gradients(deliver(dx, x, out))
