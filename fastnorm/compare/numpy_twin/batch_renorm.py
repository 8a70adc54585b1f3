# SPDX-License-Identifier: BSD-3-Clause
"""Batch renormalization in plain NumPy."""

from __future__ import annotations

import numpy as np

from fastnorm.compare.numpy_twin.shared import Array, Gradients, along, others
from fastnorm.compare.numpy_twin.standard import (
    batch_norm,
    batch_norm_backward,
    standardize,
    standardize_backward,
)

# mean, variance, factor and summand of the correction, all with length 1 where reduced
RenormStats = tuple[Array, Array, Array, Array]


def batch_renorm(
    x: Array,
    weight: Array,
    bias: Array,
    running_mean: Array,
    running_std: Array,
    *,
    training: bool = True,
    momentum: float = 0.01,
    r_max: float = 3.0,
    d_max: float = 5.0,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
) -> tuple[Array, RenormStats]:
    """`standardize` by the batch, drawn to the running statistics; or by these."""
    mean, std = along(running_mean, x, channel_axis), along(running_std, x, channel_axis)
    assert mean is not None
    assert std is not None
    if not training:
        y, (mean, var) = batch_norm(
            x, weight, bias, running_mean, np.square(running_std),
            training=False, eps=0.0, channel_axis=channel_axis, out=out,
        )  # fmt: skip
        return y, (mean, var, np.ones_like(mean), np.zeros_like(mean))

    axes = others(x, channel_axis)
    y, (batch_mean, var) = standardize(x, axis=axes, eps=eps, out=out)
    batch_std = np.sqrt(var + eps)
    r = np.clip(batch_std / std, 1 / r_max, r_max)
    d = np.clip((batch_mean - mean) / std, -d_max, d_max)
    factor, summand = along(weight, x, channel_axis), along(bias, x, channel_axis)
    assert factor is not None
    assert summand is not None
    y *= (r * factor).astype(y.dtype, copy=False)
    y += (d * factor + summand).astype(y.dtype, copy=False)
    running_mean += momentum * (batch_mean.ravel() - running_mean)
    running_std += momentum * (batch_std.ravel() - running_std)
    return y, (batch_mean, var, r, d)


def batch_renorm_backward(
    dy: Array,
    x: Array,
    weight: Array,
    bias: Array,
    running_mean: Array,
    running_std: Array,
    *,
    training: bool = True,
    momentum: float = 0.01,
    r_max: float = 3.0,
    d_max: float = 5.0,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: RenormStats,
    out: Array | None = None,
) -> Gradients:
    """Gradient of `batch_renorm`, with the correction as a constant."""
    mean, var, r, d = stats
    if not training:
        return batch_norm_backward(
            dy, x, weight, bias,
            training=False, eps=0.0, channel_axis=channel_axis, stats=(mean, var), out=out,
        )  # fmt: skip
    factor, summand = along(weight, x, channel_axis), along(bias, x, channel_axis)
    assert factor is not None
    dx, plain, total = standardize_backward(
        dy,
        x,
        factor * r,
        summand,
        axis=others(x, channel_axis),
        eps=eps,
        stats=(mean, var),
        out=out,
    )
    assert plain is not None
    assert total is not None
    return Gradients(dx, (plain * r + total * d).reshape(weight.shape), total.reshape(bias.shape))
