# SPDX-License-Identifier: BSD-3-Clause
"""Weight standardization, plain and scaled, in plain NumPy."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastnorm.compare.numpy_twin.shared import Array, Stats, others
from fastnorm.compare.numpy_twin.standard import standardize, standardize_backward


class WeightStandardizationGradients(NamedTuple):
    """Gradients of the array arguments."""

    weight: Array


class ScaledWeightStandardizationGradients(NamedTuple):
    """Gradients of the array arguments; None for a missing one."""

    weight: Array
    gain: Array | None


def weight_standardization(
    weight: Array, *, channel_axis: int = 0, eps: float = 1e-5, out: Array | None = None
) -> tuple[Array, Stats]:
    """`standardize` over all axes but that of the outputs."""
    return standardize(weight, axis=others(weight, channel_axis), eps=eps, out=out)


def weight_standardization_backward(
    dy: Array,
    weight: Array,
    *,
    channel_axis: int = 0,
    eps: float = 1e-5,
    stats: Stats,
    out: Array | None = None,
) -> WeightStandardizationGradients:
    """Gradient of `weight_standardization`."""
    axes = others(weight, channel_axis)
    gradients = standardize_backward(dy, weight, axis=axes, eps=eps, stats=stats, out=out)
    return WeightStandardizationGradients(gradients.x)


def scaled_weight_standardization(
    weight: Array,
    gain: Array | None = None,
    *,
    gamma: float = 1.0,
    channel_axis: int = 0,
    eps: float = 1e-6,
    out: Array | None = None,
) -> tuple[Array, Stats]:
    """`standardize` with gain * gamma / sqrt(fan-in) as its weight."""
    factor, _ = _factor(weight, gain, gamma, channel_axis)
    return standardize(weight, factor, axis=others(weight, channel_axis), eps=eps, out=out)


def scaled_weight_standardization_backward(
    dy: Array,
    weight: Array,
    gain: Array | None = None,
    *,
    gamma: float = 1.0,
    channel_axis: int = 0,
    eps: float = 1e-6,
    stats: Stats,
    out: Array | None = None,
) -> ScaledWeightStandardizationGradients:
    """Gradient of `scaled_weight_standardization`."""
    factor, scale = _factor(weight, gain, gamma, channel_axis)
    axes = others(weight, channel_axis)
    gradients = standardize_backward(dy, weight, factor, axis=axes, eps=eps, stats=stats, out=out)
    dgain = None
    if gain is not None and gradients.weight is not None:
        dgain = scale * gradients.weight
    return ScaledWeightStandardizationGradients(gradients.x, dgain)


def _factor(
    weight: Array, gain: Array | None, gamma: float, channel_axis: int
) -> tuple[Array, float]:
    """What multiplies the standardized weight, and the part of it that is no parameter."""
    scale = gamma / math.sqrt(weight.size / weight.shape[channel_axis])
    return scale * (np.ones(1, np.float32) if gain is None else gain), scale
