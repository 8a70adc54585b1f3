# SPDX-License-Identifier: BSD-3-Clause
"""EvoNorm-S0 in plain NumPy."""

from __future__ import annotations

import numpy as np

from fastnorm.compare.numpy_twin.evonorm_b0 import EvoNormGradients
from fastnorm.compare.numpy_twin.shared import (
    Array,
    Stats,
    along,
    buffer,
    deliver,
    finish,
    others,
    split,
    widen,
)


def evonorm_s0(
    x: Array,
    num_groups: int,
    weight: Array,
    bias: Array,
    v: Array,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
) -> tuple[Array, Stats]:
    """y = x sigmoid(v x) / std of the group * weight + bias."""
    parts, pair = split(x, num_groups, channel_axis)
    values = widen(parts)
    factor, summand, slope = (along(p, parts, pair) for p in (weight, bias, v))
    axes = others(parts, 0, pair[0])
    mean, var = values.mean(axis=axes, keepdims=True), values.var(axis=axes, keepdims=True)
    split_out = None if out is None else out.reshape(parts.shape)
    work = values * slope
    np.exp(np.negative(work, out=work), out=work)
    work += 1
    y = np.divide(values, work, out=buffer(split_out, values))
    y *= factor / np.sqrt(var + eps)
    return finish(y, None, summand, parts, split_out).reshape(x.shape), (mean, var)


def evonorm_s0_backward(
    dy: Array,
    x: Array,
    num_groups: int,
    weight: Array,
    bias: Array,
    v: Array,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Stats,
    out: Array | None = None,
) -> EvoNormGradients:
    """dx = r (g s (1 + v x (1 - s)) - (x - mean) r^2 mean(g x s)), s = sigmoid(v x)."""
    parts, pair = split(x, num_groups, channel_axis)
    values, upstream = widen(parts), widen(dy.reshape(parts.shape))
    factor, slope = (along(p, parts, pair) for p in (weight, v))
    axes = others(parts, 0, pair[0])
    mean, var = stats
    root = 1 / np.sqrt(var + eps)
    share = 1 / (1 + np.exp(-values * slope))
    swish = values * share
    g = upstream * (factor * root)
    split_out = None if out is None else out.reshape(parts.shape)
    rising = share + slope * swish * (1 - share)
    dx = np.multiply(g, rising, out=buffer(split_out, g))
    dx -= (values - mean) * (root**2 * (g * swish).mean(axis=axes, keepdims=True))
    terms = (upstream * swish * root, upstream, g * values * swish * (1 - share))
    totals = (term.sum(axis=others(parts, *pair)).ravel() for term in terms)
    return EvoNormGradients(deliver(dx, parts, split_out).reshape(x.shape), *totals)
