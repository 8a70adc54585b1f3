# SPDX-License-Identifier: BSD-3-Clause
"""Variance normalization in plain NumPy."""

from __future__ import annotations

import numpy as np

from fastnorm.compare.numpy_twin.shared import (
    Array,
    Gradients,
    Stats,
    along,
    buffer,
    deliver,
    finish,
    others,
    shape_as,
    sum_to,
    widen,
)


def variance_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
) -> tuple[Array, Stats]:
    """y = x / sqrt(var + eps) * weight + bias, the variance that of all axes but the channels'."""
    values = widen(x)
    if training:
        axes = others(x, channel_axis)
        mean = values.mean(axis=axes, keepdims=True)
        work = np.subtract(values, mean)
        var = np.square(work, out=work).mean(axis=axes, keepdims=True)
        if running_var is not None:
            running_var += momentum * (var.ravel() - running_var)
    else:
        given = along(running_var, x, channel_axis)
        assert given is not None, "evaluation needs running_var"
        mean, var = np.zeros_like(given), given
    slope, summand = along(weight, x, channel_axis), along(bias, x, channel_axis)
    root = 1 / np.sqrt(var + eps)
    y = np.multiply(values, root if slope is None else root * slope, out=buffer(out, values))
    return finish(y, None, summand, x, out), (mean, var)


def variance_norm_backward(
    dy: Array,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Stats,
    out: Array | None = None,
) -> Gradients:
    """dx = r (g - (x - mean) r mean(g x r)), g = dy weight; in evaluation dx = dy weight r."""
    wide_weight, wide_bias = along(weight, x, channel_axis), along(bias, x, channel_axis)
    mean, var = stats
    values, upstream = widen(x), widen(dy)
    root = 1 / np.sqrt(var + eps)
    scaled = values * root
    g = upstream if wide_weight is None else upstream * wide_weight
    if training:
        correction = (values - mean) * root
        correction *= (g * scaled).mean(axis=others(x, channel_axis), keepdims=True)
        dx = np.subtract(g, correction, out=buffer(out, g))
        dx *= root
    else:
        dx = np.multiply(g, root, out=buffer(out, g))
    gradients = Gradients(
        deliver(dx, x, out), sum_to(upstream * scaled, wide_weight), sum_to(upstream, wide_bias)
    )
    return shape_as(gradients, weight, bias)
