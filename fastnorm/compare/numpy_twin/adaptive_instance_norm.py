# SPDX-License-Identifier: BSD-3-Clause
"""Adaptive instance normalization in plain NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnorm.compare.numpy_twin.shared import Array, Stats, deliver, others, widen
from fastnorm.compare.numpy_twin.standard import standardize, standardize_backward


class AdaptiveInstanceNormGradients(NamedTuple):
    """Gradients of both inputs."""

    content: Array
    style: Array


def adaptive_instance_norm(
    content: Array,
    style: Array,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
) -> tuple[Array, tuple[Stats, Stats]]:
    """`standardize` over space, then the deviation and the mean of the style."""
    axes = others(content, 0, channel_axis)
    image = widen(style)
    mean = image.mean(axis=axes, keepdims=True)
    var = image.var(axis=axes, keepdims=True)
    y, stats = standardize(content, np.sqrt(var + eps), mean, axis=axes, eps=eps, out=out)
    return y, (stats, (mean, var))


def adaptive_instance_norm_backward(
    dy: Array,
    content: Array,
    style: Array,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: tuple[Stats, Stats],
    out: Array | None = None,
) -> AdaptiveInstanceNormGradients:
    """Gradient of `adaptive_instance_norm`; that of the style is affine in it."""
    of_content, (mean, var) = stats
    axes = others(content, 0, channel_axis)
    std = np.sqrt(var + eps)
    dx, dstd, dmean = standardize_backward(
        dy, content, std, mean, axis=axes, eps=eps, stats=of_content, out=out
    )
    assert dstd is not None
    image = widen(style)
    dstyle = image - mean
    dstyle *= dstd / std
    dstyle += dmean
    dstyle /= image.size // mean.size
    return AdaptiveInstanceNormGradients(dx, deliver(dstyle, style, None))
