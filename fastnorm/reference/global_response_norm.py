# SPDX-License-Identifier: BSD-3-Clause
"""Global response normalization: each channel scaled by its share in the norms of all channels."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.moments import Float64Array, RawMoments, raw_moments
from fastnorm.reference.standardize import Gradients, as_float64, collapse, deliver, expand, sum_to


@overload
def global_response_norm(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def global_response_norm(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], RawMoments]: ...
def global_response_norm(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], RawMoments]:
    r"""Scale each channel of a sample by its norm relative to the mean norm of the channels.

    Parameters
    ----------
    x : array_like
        Values of any real type, with at least 2 axes, axis 0 the batch of N samples; converted to
        float64.
    weight, bias : array_like of shape (C,)
        Factor of the scaled values and summand of each channel.
    eps : float, default 1e-6
        Added to the mean norm, in units of `x`.
    channel_axis : int, default 1
        The axis of length C, any but the first.
    out : ndarray, optional
        Array of x's shape that receives the result, cast to its dtype. It may be `x`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        float64 of x's shape, whatever the type of `x`; or `out`.
    stats : RawMoments
        Only with `return_stats`: the mean squares of shape (N, C).

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a parameter has not C entries.

    Notes
    -----
    With the norm :math:`G_c` of channel c of a sample over space,

    .. math:: n_c = \frac{G_c}{\frac{1}{C} \sum_k G_k + \epsilon}, \qquad y = x + w\,n\,x + b .

    With ``eps=0`` a sample of zeros has n = 0.

    References
    ----------
    S. Woo et al., "ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders",
    CVPR 2023, arXiv:2301.00808, algorithm 1.
    """
    values = as_float64(x)
    channel, axes = _resolve(values, channel_axis)
    stats = raw_moments(values, axes)
    factor = expand(weight, values.shape, channel)
    with np.errstate(all="ignore"):
        _, _, ratio = _ratios(stats, values, channel, axes, eps)
        y = values + factor * (values * ratio) + expand(bias, values.shape, channel)
    y = deliver(y, out)
    return (y, stats) if return_stats else y


def global_response_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    stats: RawMoments | None = None,
    out: NDArray[Any] | None = None,
) -> Gradients:
    r"""Gradient of `global_response_norm`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, weight, bias, eps, channel_axis
        As given to `global_response_norm`. Of `bias` only the shape matters.
    stats : RawMoments, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
    out : ndarray, optional
        Array of x's shape that receives the gradient with respect to x, cast to its dtype. It may
        be `dy` or `x`.

    Returns
    -------
    Gradients
        Fields `x`, `weight`, `bias`.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a parameter has not C entries.

    Notes
    -----
    With :math:`m = \frac{1}{C} \sum_k G_k + \epsilon` and the sum over space
    :math:`s = \sum dy\,x`,

    .. math:: dG_c = \frac{w_c s_c}{m} - \frac{1}{C m^2} \sum_k w_k s_k G_k, \qquad
              dx = dy\,(1 + w\,n) + \frac{dG}{G}\,x, \qquad dw = \sum n\,s, \qquad db = \sum dy .

    A channel of zeros has :math:`dx = dy\,(1 + w\,n)`.

    References
    ----------
    S. Woo et al., "ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders",
    CVPR 2023, arXiv:2301.00808, algorithm 1.
    """
    g, values = as_float64(dy), as_float64(x)
    channel, axes = _resolve(values, channel_axis)
    if stats is None:
        stats = raw_moments(values, axes)
    factor = expand(weight, values.shape, channel)
    with np.errstate(all="ignore"):
        norm, mean, ratio = _ratios(stats, values, channel, axes, eps)
        dot = (g * values).sum(axes, keepdims=True)
        slope = factor * dot
        count = values.shape[channel[0]]
        dnorm = slope / mean - (slope * norm).sum(channel, keepdims=True) / (count * mean**2)
        dx = g * (1.0 + factor * ratio) + values * np.where(norm == 0.0, 0.0, dnorm / norm)
        gradients = Gradients(dx, sum_to(dot * ratio, factor.shape), sum_to(g, factor.shape))
    return collapse(gradients._replace(x=deliver(dx, out)), weight, bias)


def _resolve(x: Float64Array, channel_axis: int) -> tuple[tuple[int], tuple[int, ...]]:
    """Return the channel axis and those of space, all non-negative."""
    channel = normalize_axis_index(channel_axis, x.ndim)
    return (channel,), tuple(axis for axis in range(1, x.ndim) if axis != channel)


def _ratios(
    stats: RawMoments,
    x: Float64Array,
    channel: tuple[int],
    axes: tuple[int, ...],
    eps: float,
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Norms of the channels, their mean plus eps, and their ratio, to broadcast against x."""
    shape = [1 if axis in axes else n for axis, n in enumerate(x.shape)]
    mean_square = as_float64(stats.mean_square) if stats.count else np.zeros(shape)
    norm = np.sqrt(mean_square.reshape(shape) * stats.count)
    mean = norm.sum(channel, keepdims=True) / x.shape[channel[0]] + eps
    return norm, mean, np.where(norm == 0.0, 0.0, norm / mean)
