# SPDX-License-Identifier: BSD-3-Clause
"""Denormalization in plain NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnorm.compare.numpy_twin.shared import (
    Array,
    Axis,
    along,
    buffer,
    deliver,
    others,
    sum_to,
    widen,
)


class DenormalizeGradients(NamedTuple):
    """Gradients of all arrays."""

    x: Array
    mean: Array
    var: Array
    weight: Array
    bias: Array


def denormalize(
    x: Array,
    mean: Array,
    var: Array,
    weight: Array,
    bias: Array,
    *,
    axis: Axis,
    channel_axis: int = -1,
    eps: float = 1e-5,
    out: Array | None = None,
) -> tuple[Array, None]:
    """y = (x - bias) * (sqrt(var + eps) / weight) + mean; there is nothing to keep."""
    mean, std, weight, bias = _expand(x, mean, var, weight, bias, axis, channel_axis, eps)
    values = widen(x)
    y = np.subtract(values, bias, out=buffer(out, values))
    y *= std / weight
    y += mean
    return deliver(y, x, out), None


def denormalize_backward(
    dy: Array,
    x: Array,
    mean: Array,
    var: Array,
    weight: Array,
    bias: Array,
    *,
    axis: Axis,
    channel_axis: int = -1,
    eps: float = 1e-5,
    out: Array | None = None,
) -> DenormalizeGradients:
    """Two sums of each group, from which all gradients but that of x follow."""
    _, std, factor, centre = _expand(x, mean, var, weight, bias, axis, channel_axis, eps)
    upstream = widen(dy)
    axes = axis if isinstance(axis, tuple) else (axis,)
    plain = upstream.sum(axis=axes, keepdims=True)
    products = (upstream * (widen(x) - centre)).sum(axis=axes, keepdims=True)
    dx = np.multiply(upstream, std / factor, out=buffer(out, upstream))
    dweight = sum_to(products * std, factor)
    dbias = sum_to(plain * std / factor, centre)
    assert dweight is not None
    assert dbias is not None
    return DenormalizeGradients(
        deliver(dx, x, out),
        plain.reshape(mean.shape),
        (products / factor / (2 * std)).reshape(var.shape),
        (-dweight / np.square(factor)).reshape(weight.shape),
        -dbias.reshape(bias.shape),
    )


def _expand(
    x: Array,
    mean: Array,
    var: Array,
    weight: Array,
    bias: Array,
    axis: Axis,
    channel_axis: int,
    eps: float,
) -> tuple[Array, Array, Array, Array]:
    """Mean, deviation, weight and bias, which broadcast against x."""
    kept = others(x, *(axis if isinstance(axis, tuple) else (axis,)))
    wide = [along(values, x, kept) for values in (mean, np.sqrt(var + eps))]
    wide += [along(values, x, channel_axis) for values in (weight, bias)]
    mean, std, weight, bias = wide
    return mean, std, weight, bias
