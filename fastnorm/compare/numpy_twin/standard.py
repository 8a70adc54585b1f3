# SPDX-License-Identifier: BSD-3-Clause
"""The normalizers whose statistics come from one group of x each, in plain NumPy."""

from __future__ import annotations

import numpy as np

from fastnorm.compare.numpy_twin.shared import (
    Array,
    Axis,
    Gradients,
    Stats,
    along,
    buffer,
    deliver,
    finish,
    others,
    shape_as,
    split,
    sum_to,
    widen,
)


def moments(x: Array, axis: Axis | None = None) -> Stats:
    """Mean and biased variance over `axis`."""
    values = widen(x)
    return values.mean(axis=axis), values.var(axis=axis)


def standardize(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    axis: Axis,
    eps: float = 1e-5,
    out: Array | None = None,
) -> tuple[Array, Stats]:
    """y = (x - mean) / sqrt(var + eps) * weight + bias, statistics over `axis`."""
    values = widen(x)
    mean = values.mean(axis=axis, keepdims=True)
    y = np.subtract(values, mean, out=buffer(out, values))
    var = np.square(y).mean(axis=axis, keepdims=True)
    y *= 1 / np.sqrt(var + eps)
    return finish(y, weight, bias, x, out), (mean, var)


def standardize_backward(
    dy: Array,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    axis: Axis,
    eps: float = 1e-5,
    stats: Stats,
    out: Array | None = None,
) -> Gradients:
    """dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dy weight, means over `axis`."""
    mean, var = stats
    upstream = widen(dy)
    rstd = 1 / np.sqrt(var + eps)
    xhat = (widen(x) - mean) * rstd
    g = upstream if weight is None else upstream * weight
    dx = np.subtract(g, g.mean(axis=axis, keepdims=True), out=buffer(out, g))
    dx -= xhat * (g * xhat).mean(axis=axis, keepdims=True)
    dx *= rstd
    return Gradients(deliver(dx, x, out), sum_to(upstream * xhat, weight), sum_to(upstream, bias))


def layer_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    axis: Axis = -1,
    eps: float = 1e-5,
    out: Array | None = None,
) -> tuple[Array, Stats]:
    """`standardize` with parameters of the shape of the reduced axes."""
    return standardize(x, along(weight, x, axis), along(bias, x, axis), axis=axis, eps=eps, out=out)


def layer_norm_backward(
    dy: Array,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    axis: Axis = -1,
    eps: float = 1e-5,
    stats: Stats,
    out: Array | None = None,
) -> Gradients:
    """Gradient of `layer_norm`."""
    wide_weight, wide_bias = along(weight, x, axis), along(bias, x, axis)
    gradients = standardize_backward(
        dy, x, wide_weight, wide_bias, axis=axis, eps=eps, stats=stats, out=out
    )
    return shape_as(gradients, weight, bias)


def rms_norm(
    x: Array,
    weight: Array | None = None,
    *,
    axis: Axis = -1,
    eps: float = 1e-6,
    out: Array | None = None,
) -> tuple[Array, Array]:
    """y = x / sqrt(mean(x^2) + eps) * weight."""
    values = widen(x)
    mean_square = np.square(values).mean(axis=axis, keepdims=True)
    y = np.multiply(values, 1 / np.sqrt(mean_square + eps), out=buffer(out, values))
    return finish(y, along(weight, x, axis), None, x, out), mean_square


def rms_norm_backward(
    dy: Array,
    x: Array,
    weight: Array | None = None,
    *,
    axis: Axis = -1,
    eps: float = 1e-6,
    stats: Array,
    out: Array | None = None,
) -> Gradients:
    """dx = r (g - xhat mean(g xhat)), g = dy weight, r = 1 / sqrt(mean(x^2) + eps)."""
    wide_weight = along(weight, x, axis)
    upstream = widen(dy)
    r = 1 / np.sqrt(stats + eps)
    xhat = widen(x) * r
    g = upstream if wide_weight is None else upstream * wide_weight
    correction = xhat * (g * xhat).mean(axis=axis, keepdims=True)
    dx = np.subtract(g, correction, out=buffer(out, g))
    dx *= r
    gradients = Gradients(deliver(dx, x, out), sum_to(upstream * xhat, wide_weight), None)
    return shape_as(gradients, weight, None)


def batch_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
) -> tuple[Array, Stats]:
    """`standardize` over all axes but the channels'; in evaluation by the running statistics."""
    weight, bias = along(weight, x, channel_axis), along(bias, x, channel_axis)
    if not training:
        mean, var = along(running_mean, x, channel_axis), along(running_var, x, channel_axis)
        assert mean is not None, "evaluation needs running_mean"
        assert var is not None, "evaluation needs running_var"
        values = widen(x)
        y = np.subtract(values, mean, out=buffer(out, values))
        slope = 1 / np.sqrt(var + eps)
        slope = slope if weight is None else slope * weight
        return finish(y, slope, bias, x, out), (mean, var)

    axes = others(x, channel_axis)
    y, (mean, var) = standardize(x, weight, bias, axis=axes, eps=eps, out=out)
    if running_mean is not None and running_var is not None:
        count = x.size // mean.size
        running_mean += momentum * (mean.ravel() - running_mean)
        running_var += momentum * (var.ravel() * (count / (count - 1)) - running_var)
    return y, (mean, var)


def batch_norm_backward(
    dy: Array,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Stats,
    out: Array | None = None,
) -> Gradients:
    """Gradient of `batch_norm`; in evaluation the statistics are constants, dx = dy weight rstd."""
    wide_weight, wide_bias = along(weight, x, channel_axis), along(bias, x, channel_axis)
    if training:
        axes = others(x, channel_axis)
        gradients = standardize_backward(
            dy, x, wide_weight, wide_bias, axis=axes, eps=eps, stats=stats, out=out
        )
    else:
        mean, var = stats
        upstream = widen(dy)
        rstd = 1 / np.sqrt(var + eps)
        xhat = (widen(x) - mean) * rstd
        slope = rstd if wide_weight is None else rstd * wide_weight
        dx = np.multiply(upstream, slope, out=buffer(out, upstream))
        gradients = Gradients(
            deliver(dx, x, out),
            sum_to(upstream * xhat, wide_weight),
            sum_to(upstream, wide_bias),
        )
    return shape_as(gradients, weight, bias)


def instance_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
) -> tuple[Array, Stats]:
    """`standardize` over all axes but the batch's and the channels'; or by running statistics."""
    if not training and running_mean is not None:
        return batch_norm(
            x, weight, bias, running_mean, running_var,
            training=False, eps=eps, channel_axis=channel_axis, out=out,
        )  # fmt: skip
    weight, bias = along(weight, x, channel_axis), along(bias, x, channel_axis)
    axes = others(x, 0, channel_axis)
    y, (mean, var) = standardize(x, weight, bias, axis=axes, eps=eps, out=out)
    if running_mean is not None and running_var is not None:
        count = x.size // mean.size
        rows = (len(x), -1)
        unbiased = var.reshape(rows).mean(axis=0) * (count / (count - 1))
        running_mean += momentum * (mean.reshape(rows).mean(axis=0) - running_mean)
        running_var += momentum * (unbiased - running_var)
    return y, (mean, var)


def instance_norm_backward(
    dy: Array,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Stats,
    out: Array | None = None,
) -> Gradients:
    """Gradient of `instance_norm`."""
    if not training and running_mean is not None:
        return batch_norm_backward(
            dy, x, weight, bias,
            training=False, eps=eps, channel_axis=channel_axis, stats=stats, out=out,
        )  # fmt: skip
    wide_weight, wide_bias = along(weight, x, channel_axis), along(bias, x, channel_axis)
    axes = others(x, 0, channel_axis)
    gradients = standardize_backward(
        dy, x, wide_weight, wide_bias, axis=axes, eps=eps, stats=stats, out=out
    )
    return shape_as(gradients, weight, bias)


def group_norm(
    x: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
) -> tuple[Array, Stats]:
    """`standardize` on the view whose channel axis is split into (groups, channels per group)."""
    parts, pair = split(x, num_groups, channel_axis)
    weight, bias = along(weight, parts, pair), along(bias, parts, pair)
    split_out = None if out is None else out.reshape(parts.shape)
    y, stats = standardize(
        parts, weight, bias, axis=others(parts, 0, pair[0]), eps=eps, out=split_out
    )
    return y.reshape(x.shape), stats


def group_norm_backward(
    dy: Array,
    x: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Stats,
    out: Array | None = None,
) -> Gradients:
    """Gradient of `group_norm`."""
    parts, pair = split(x, num_groups, channel_axis)
    wide_weight, wide_bias = along(weight, parts, pair), along(bias, parts, pair)
    split_out = None if out is None else out.reshape(parts.shape)
    axes = others(parts, 0, pair[0])
    gradients = standardize_backward(
        dy.reshape(parts.shape), parts, wide_weight, wide_bias,
        axis=axes, eps=eps, stats=stats, out=split_out,
    )  # fmt: skip
    return shape_as(gradients._replace(x=gradients.x.reshape(x.shape)), weight, bias)
