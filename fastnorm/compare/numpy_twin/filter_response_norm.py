# SPDX-License-Identifier: BSD-3-Clause
"""Filter response normalization in plain NumPy."""

from __future__ import annotations

from typing import NamedTuple

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


class FilterResponseNormGradients(NamedTuple):
    """Gradients of the array arguments; None for a missing one."""

    x: Array
    weight: Array | None
    bias: Array | None
    threshold: Array | None
    learned_eps: Array | None


def filter_response_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    threshold: Array | None = None,
    learned_eps: Array | None = None,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    out: Array | None = None,
) -> tuple[Array, Array]:
    """y = max(x / sqrt(mean(x^2) + eps + |learned_eps|) * weight + bias, threshold)."""
    values = widen(x)
    mean_square = np.square(values).mean(axis=others(x, 0, channel_axis), keepdims=True)
    root = 1 / np.sqrt(mean_square + _whole_eps(eps, learned_eps))
    y = np.multiply(values, root, out=buffer(out, values))
    y = finish(y, along(weight, x, channel_axis), along(bias, x, channel_axis), y, y)
    least = along(threshold, x, channel_axis)
    if least is not None:
        np.maximum(y, least, out=y)
    return deliver(y, x, out), mean_square


def filter_response_norm_backward(
    dy: Array,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    threshold: Array | None = None,
    learned_eps: Array | None = None,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    stats: Array,
    out: Array | None = None,
) -> FilterResponseNormGradients:
    """dx = r (g - xhat mean(g xhat)), g = dy weight where y is above the threshold, else 0."""
    factor, summand = along(weight, x, channel_axis), along(bias, x, channel_axis)
    least = along(threshold, x, channel_axis)
    upstream = widen(dy)
    root = 1 / np.sqrt(stats + _whole_eps(eps, learned_eps))
    xhat = widen(x) * root
    dthreshold = deps = None
    if least is not None:
        above = finish(xhat.copy(), factor, summand, xhat, None) > least
        dthreshold = (upstream * ~above).sum(axis=others(x, channel_axis))
        upstream = upstream * above
    g = upstream if factor is None else upstream * factor
    product = (g * xhat).mean(axis=others(x, 0, channel_axis), keepdims=True)
    if learned_eps is not None:
        total = np.sum(root**2 * product) * (x.size // product.size)
        deps = -0.5 * np.sign(learned_eps) * total
    dx = np.subtract(g, xhat * product, out=buffer(out, g))
    dx *= root
    gradients = Gradients(
        deliver(dx, x, out), sum_to(upstream * xhat, factor), sum_to(upstream, summand)
    )
    return FilterResponseNormGradients(*shape_as(gradients, weight, bias), dthreshold, deps)


def _whole_eps(eps: float, learned_eps: Array | None) -> float | Array:
    return eps if learned_eps is None else eps + np.abs(learned_eps).reshape(())
