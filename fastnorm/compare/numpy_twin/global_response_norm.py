# SPDX-License-Identifier: BSD-3-Clause
"""Global response normalization in plain NumPy."""

from __future__ import annotations

import numpy as np

from fastnorm.compare.numpy_twin.shared import (
    Array,
    Gradients,
    along,
    buffer,
    deliver,
    finish,
    others,
    shape_as,
    sum_to,
    widen,
)


def global_response_norm(
    x: Array,
    weight: Array,
    bias: Array,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    out: Array | None = None,
) -> tuple[Array, Array]:
    """y = x (1 + weight norm / mean(norm)) + bias, norms over space."""
    values = widen(x)
    norm = np.sqrt(np.square(values).sum(axis=others(x, 0, channel_axis), keepdims=True))
    ratio = norm / (norm.mean(axis=channel_axis, keepdims=True) + eps)
    slope = 1 + along(weight, x, channel_axis) * ratio
    y = np.multiply(values, slope, out=buffer(out, values))
    return finish(y, None, along(bias, x, channel_axis), x, out), norm


def global_response_norm_backward(
    dy: Array,
    x: Array,
    weight: Array,
    bias: Array,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    stats: Array,
    out: Array | None = None,
) -> Gradients:
    """dx = dy (1 + weight ratio) + x dnorm / norm."""
    upstream, values = widen(dy), widen(x)
    wide_weight = along(weight, x, channel_axis)
    mean = stats.mean(axis=channel_axis, keepdims=True) + eps
    ratio = stats / mean
    dot = (upstream * values).sum(axis=others(x, 0, channel_axis), keepdims=True)
    slope = wide_weight * dot
    dnorm = (slope - (slope * ratio).mean(axis=channel_axis, keepdims=True)) / mean
    dx = np.multiply(upstream, 1 + wide_weight * ratio, out=buffer(out, upstream))
    dx += values * (dnorm / stats)
    gradients = Gradients(
        deliver(dx, x, out), sum_to(dot * ratio, wide_weight), sum_to(upstream, wide_weight)
    )
    return shape_as(gradients, weight, bias)
