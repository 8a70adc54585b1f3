# SPDX-License-Identifier: BSD-3-Clause
"""The same formulas in plain NumPy: what speed is compared with.

This is what a careful NumPy user writes: two passes for the statistics, whole-array expressions,
in place where that saves a temporary, into `out` where the caller has a buffer, and the statistics
kept from the forward call for the backward one. It computes in x's own type, 16-bit types through
float32. It is no oracle (that is `fastnorm.reference`, in float64) and it checks no arguments.

Names and arguments are those of `fastnorm`, with one difference: a forward function always returns
``(y, stats)``, and its statistics keep the reduced axes with length 1, ready to broadcast.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Axis = int | tuple[int, ...]
Stats = tuple[Array, Array]


class Gradients(NamedTuple):
    """Gradients of the array arguments; None for a missing one."""

    x: Array
    weight: Array | None
    bias: Array | None


def moments(x: Array, axis: Axis | None = None) -> Stats:
    """Mean and biased variance over `axis`."""
    values = _widen(x)
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
    values = _widen(x)
    mean = values.mean(axis=axis, keepdims=True)
    y = np.subtract(values, mean, out=_buffer(out, values))
    var = np.square(y).mean(axis=axis, keepdims=True)
    y *= 1 / np.sqrt(var + eps)
    return _finish(y, weight, bias, x, out), (mean, var)


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
    upstream = _widen(dy)
    rstd = 1 / np.sqrt(var + eps)
    xhat = (_widen(x) - mean) * rstd
    g = upstream if weight is None else upstream * weight
    dx = np.subtract(g, g.mean(axis=axis, keepdims=True), out=_buffer(out, g))
    dx -= xhat * (g * xhat).mean(axis=axis, keepdims=True)
    dx *= rstd
    return Gradients(
        _deliver(dx, x, out), _sum_to(upstream * xhat, weight), _sum_to(upstream, bias)
    )


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
    return standardize(
        x, _along(weight, x, axis), _along(bias, x, axis), axis=axis, eps=eps, out=out
    )


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
    wide_weight, wide_bias = _along(weight, x, axis), _along(bias, x, axis)
    gradients = standardize_backward(
        dy, x, wide_weight, wide_bias, axis=axis, eps=eps, stats=stats, out=out
    )
    return _shape_as(gradients, weight, bias)


def rms_norm(
    x: Array,
    weight: Array | None = None,
    *,
    axis: Axis = -1,
    eps: float = 1e-6,
    out: Array | None = None,
) -> tuple[Array, Array]:
    """y = x / sqrt(mean(x^2) + eps) * weight."""
    values = _widen(x)
    mean_square = np.square(values).mean(axis=axis, keepdims=True)
    y = np.multiply(values, 1 / np.sqrt(mean_square + eps), out=_buffer(out, values))
    return _finish(y, _along(weight, x, axis), None, x, out), mean_square


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
    wide_weight = _along(weight, x, axis)
    upstream = _widen(dy)
    r = 1 / np.sqrt(stats + eps)
    xhat = _widen(x) * r
    g = upstream if wide_weight is None else upstream * wide_weight
    correction = xhat * (g * xhat).mean(axis=axis, keepdims=True)
    dx = np.subtract(g, correction, out=_buffer(out, g))
    dx *= r
    gradients = Gradients(_deliver(dx, x, out), _sum_to(upstream * xhat, wide_weight), None)
    return _shape_as(gradients, weight, None)


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
    weight, bias = _along(weight, x, channel_axis), _along(bias, x, channel_axis)
    if not training:
        mean, var = _along(running_mean, x, channel_axis), _along(running_var, x, channel_axis)
        assert mean is not None, "evaluation needs running_mean"
        assert var is not None, "evaluation needs running_var"
        values = _widen(x)
        y = np.subtract(values, mean, out=_buffer(out, values))
        slope = 1 / np.sqrt(var + eps)
        slope = slope if weight is None else slope * weight
        return _finish(y, slope, bias, x, out), (mean, var)

    axes = _others(x, channel_axis)
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
    wide_weight, wide_bias = _along(weight, x, channel_axis), _along(bias, x, channel_axis)
    if training:
        axes = _others(x, channel_axis)
        gradients = standardize_backward(
            dy, x, wide_weight, wide_bias, axis=axes, eps=eps, stats=stats, out=out
        )
    else:
        mean, var = stats
        upstream = _widen(dy)
        rstd = 1 / np.sqrt(var + eps)
        xhat = (_widen(x) - mean) * rstd
        slope = rstd if wide_weight is None else rstd * wide_weight
        dx = np.multiply(upstream, slope, out=_buffer(out, upstream))
        gradients = Gradients(
            _deliver(dx, x, out),
            _sum_to(upstream * xhat, wide_weight),
            _sum_to(upstream, wide_bias),
        )
    return _shape_as(gradients, weight, bias)


def instance_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
) -> tuple[Array, Stats]:
    """`standardize` over all axes but the batch's and the channels'."""
    weight, bias = _along(weight, x, channel_axis), _along(bias, x, channel_axis)
    return standardize(x, weight, bias, axis=_others(x, 0, channel_axis), eps=eps, out=out)


def instance_norm_backward(
    dy: Array,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Stats,
    out: Array | None = None,
) -> Gradients:
    """Gradient of `instance_norm`."""
    wide_weight, wide_bias = _along(weight, x, channel_axis), _along(bias, x, channel_axis)
    axes = _others(x, 0, channel_axis)
    gradients = standardize_backward(
        dy, x, wide_weight, wide_bias, axis=axes, eps=eps, stats=stats, out=out
    )
    return _shape_as(gradients, weight, bias)


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
    split, pair = _split(x, num_groups, channel_axis)
    weight, bias = _along(weight, split, pair), _along(bias, split, pair)
    split_out = None if out is None else out.reshape(split.shape)
    y, stats = standardize(
        split, weight, bias, axis=_others(split, 0, pair[0]), eps=eps, out=split_out
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
    split, pair = _split(x, num_groups, channel_axis)
    wide_weight, wide_bias = _along(weight, split, pair), _along(bias, split, pair)
    split_out = None if out is None else out.reshape(split.shape)
    axes = _others(split, 0, pair[0])
    gradients = standardize_backward(
        dy.reshape(split.shape), split, wide_weight, wide_bias,
        axis=axes, eps=eps, stats=stats, out=split_out,
    )  # fmt: skip
    return _shape_as(gradients._replace(x=gradients.x.reshape(x.shape)), weight, bias)


def _widen(x: Array) -> Array:
    """`x` in the type to compute in: itself, or a float32 copy of a 16-bit array."""
    return x if x.dtype.itemsize >= 4 else x.astype(np.float32)


def _buffer(out: Array | None, values: Array) -> Array | None:
    """`out` where intermediate values may be kept in it, that is where it has their type."""
    return out if out is not None and out.dtype == values.dtype else None


def _finish(
    y: Array, weight: Array | None, bias: Array | None, x: Array, out: Array | None
) -> Array:
    """y * weight + bias, computed in place, in x's type."""
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return _deliver(y, x, out)


def _deliver(result: Array, x: Array, out: Array | None) -> Array:
    """`result` in x's type, or in `out` if given and not there yet."""
    if out is None:
        return result.astype(x.dtype, copy=False)
    if out is not result:
        out[...] = result
    return out


def _others(x: Array, *kept: int) -> tuple[int, ...]:
    """All axes but `kept`."""
    return tuple(axis for axis in range(x.ndim) if axis not in {k % x.ndim for k in kept})


def _along(parameter: Array | None, x: Array, axis: Axis) -> Array | None:
    """`parameter`, whose values run along `axis` of x, with ones on the other axes."""
    if parameter is None:
        return None
    axes = {a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    return parameter.reshape([n if a in axes else 1 for a, n in enumerate(x.shape)])


def _split(x: Array, num_groups: int, channel_axis: int) -> tuple[Array, tuple[int, int]]:
    """View of `x` with its channels as (groups, channels per group), and these two axes."""
    axis = channel_axis % x.ndim
    shape = (*x.shape[:axis], num_groups, x.shape[axis] // num_groups, *x.shape[axis + 1 :])
    return x.reshape(shape), (axis, axis + 1)


def _sum_to(values: Array, parameter: Array | None) -> Array | None:
    """`values` summed over the axes that `parameter` is broadcast along."""
    if parameter is None:
        return None
    shape = (1,) * (values.ndim - parameter.ndim) + parameter.shape
    axes = tuple(axis for axis, n in enumerate(shape) if n == 1)
    total: Array = values.sum(axis=axes)
    return total.reshape(parameter.shape)


def _shape_as(gradients: Gradients, weight: Array | None, bias: Array | None) -> Gradients:
    """Parameter gradients in the shapes of the caller's parameters."""

    def shape_as(gradient: Array | None, parameter: Array | None) -> Array | None:
        if gradient is None or parameter is None:
            return None
        return gradient.reshape(parameter.shape)

    return Gradients(
        gradients.x, shape_as(gradients.weight, weight), shape_as(gradients.bias, bias)
    )
