# SPDX-License-Identifier: BSD-3-Clause
"""EvoNorm-B0 in plain NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnorm.compare.numpy_twin.shared import (
    Array,
    along,
    buffer,
    deliver,
    finish,
    others,
    widen,
)

Stats = tuple[Array, Array, Array, Array]


class EvoNormGradients(NamedTuple):
    """Gradients of the array arguments."""

    x: Array
    weight: Array
    bias: Array
    v: Array


def evonorm_b0(
    x: Array,
    weight: Array,
    bias: Array,
    v: Array,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
) -> tuple[Array, Stats]:
    """y = x / max(batch std, v x + std of the plane) * weight + bias."""
    factor, summand, slope = (along(p, x, channel_axis) for p in (weight, bias, v))
    values = widen(x)
    planes, axes = others(x, 0, channel_axis), others(x, channel_axis)
    mean, var = values.mean(axis=planes, keepdims=True), values.var(axis=planes, keepdims=True)
    if training:
        batch_mean = values.mean(axis=axes, keepdims=True)
        batch_var = values.var(axis=axes, keepdims=True)
        if running_var is not None:
            running_var += momentum * (batch_var.ravel() - running_var)
    else:
        assert running_var is not None, "evaluation needs running_var"
        batch_var = along(running_var, x, channel_axis)
        batch_mean = np.zeros_like(batch_var)
    larger = values * slope
    larger += np.sqrt(var + eps)
    np.maximum(larger, np.sqrt(batch_var + eps), out=larger)
    y = np.divide(values, larger, out=buffer(out, values))
    return finish(y, factor, summand, x, out), (mean, var, batch_mean, batch_var)


def evonorm_b0_backward(
    dy: Array,
    x: Array,
    weight: Array,
    bias: Array,
    v: Array,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Stats,
    out: Array | None = None,
) -> EvoNormGradients:
    """dx = g / D, and what comes through D: by v x, the plane's std and the batch's."""
    factor, slope = (along(p, x, channel_axis) for p in (weight, v))
    values, upstream = widen(x), widen(dy)
    mean, var, batch_mean, batch_var = stats
    planes, axes = others(x, 0, channel_axis), others(x, channel_axis)
    std, batch_std = np.sqrt(var + eps), np.sqrt(batch_var + eps)
    rising = values * slope + std
    second = rising > batch_std
    larger = np.maximum(rising, batch_std)
    ratio = values / larger
    g = upstream * factor / larger
    fall = -g * ratio
    up = fall * second
    dx = np.add(g, slope * up, out=buffer(out, g))
    share = up.sum(axis=planes, keepdims=True) * (std.size / x.size) / std
    dx += (values - mean) * share
    if training:
        level = (fall - up).sum(axis=axes, keepdims=True) * (batch_std.size / x.size) / batch_std
        dx += (values - batch_mean) * level
    totals = (d.sum(axis=axes) for d in (upstream * ratio, upstream, up * values))
    return EvoNormGradients(deliver(dx, x, out), *totals)
