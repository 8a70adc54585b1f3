# SPDX-License-Identifier: BSD-3-Clause
"""Weight normalization in plain NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnorm.compare.numpy_twin.shared import Array, buffer, deliver, others, sum_to, widen


class WeightNormGradients(NamedTuple):
    """Gradients of the array arguments."""

    v: Array
    g: Array


def weight_norm(
    v: Array, g: Array, *, channel_axis: int = 0, out: Array | None = None
) -> tuple[Array, Array]:
    """w = v * (g / norm), a norm for each row."""
    values = widen(v)
    norm = np.sqrt(np.square(values).sum(axis=others(v, channel_axis), keepdims=True))
    w = np.multiply(values, g / norm, out=buffer(out, values))
    return deliver(w, v, out), norm


def weight_norm_backward(
    dy: Array, v: Array, g: Array, *, channel_axis: int = 0, stats: Array, out: Array | None = None
) -> WeightNormGradients:
    """dg = sum(dy v) / norm, dv = g / norm * (dy - v dg / norm)."""
    values, upstream = widen(v), widen(dy)
    dg = sum_to(upstream * values, stats) / stats
    dv = np.subtract(upstream, values * (dg / stats), out=buffer(out, upstream))
    dv *= g / stats
    return WeightNormGradients(deliver(dv, v, out), dg)
