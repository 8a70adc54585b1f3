# SPDX-License-Identifier: BSD-3-Clause
"""Filter response normalization: the root mean square of each plane, then a learned threshold."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.instance_norm import resolve_planes
from fastnorm.reference.moments import Float64Array, RawMoments, raw_moments
from fastnorm.reference.standardize import (
    as_float64,
    deliver,
    expand_optional,
    normalize,
    pull_back,
    reshape_like,
    scale_and_shift,
    sum_to,
)


class FilterResponseNormGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of `filter_response_norm`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape: float64, or `out` where one was given.
    weight, bias, threshold, learned_eps : ndarray of float64 or None
        Gradients with respect to the parameters, of their shapes; None where the argument was None.
    """

    x: NDArray[Any]
    weight: Float64Array | None
    bias: Float64Array | None
    threshold: Float64Array | None
    learned_eps: Float64Array | None


@overload
def filter_response_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    threshold: ArrayLike | None = None,
    learned_eps: ArrayLike | None = None,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def filter_response_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    threshold: ArrayLike | None = None,
    learned_eps: ArrayLike | None = None,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], RawMoments]: ...
def filter_response_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    threshold: ArrayLike | None = None,
    learned_eps: ArrayLike | None = None,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], RawMoments]:
    r"""Divide each channel of each sample by its root mean square, scale, shift and cut it.

    Parameters
    ----------
    x : array_like
        Values of any real type, with at least 3 axes, axis 0 the batch of N samples; converted to
        float64.
    weight, bias : array_like of shape (C,), optional
        Factor and summand of each channel.
    threshold : array_like of shape (C,), optional
        The least result of each channel.
    learned_eps : array_like of shape () or (1,), optional
        Its absolute value is added to `eps`.
    eps : float, default 1e-6
        Added to the mean square, in squared units of `x`.
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
        Only with `return_stats`: the mean square of shape (N, C).

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a parameter has not C entries.

    Notes
    -----
    With means over the plane of one channel of one sample,

    .. math:: y = \max\left(w\,\frac{x}{\sqrt{\overline{x^2} + \epsilon + |\epsilon_l|}} + b,\,
              \tau\right) .

    With ``eps=0`` a plane of zeros gives the bias, and a gradient of 0.

    References
    ----------
    S. Singh, S. Krishnan, "Filter Response Normalization Layer", CVPR 2020, arXiv:1911.09737.
    """
    values = as_float64(x)
    channel, axes = resolve_planes(values, channel_axis)
    stats = raw_moments(values, axes)
    added = _whole_eps(eps, learned_eps)
    factor = expand_optional(weight, values.shape, channel)
    summand = expand_optional(bias, values.shape, channel)
    y = scale_and_shift(values, factor, summand, None, stats.mean_square, added, axes)
    least = expand_optional(threshold, values.shape, channel)
    y = deliver(y if least is None else np.maximum(y, least), out)
    return (y, stats) if return_stats else y


def filter_response_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    threshold: ArrayLike | None = None,
    learned_eps: ArrayLike | None = None,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    stats: RawMoments | None = None,
    out: NDArray[Any] | None = None,
) -> FilterResponseNormGradients:
    r"""Gradient of `filter_response_norm`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, weight, bias, threshold, learned_eps, eps, channel_axis
        As given to `filter_response_norm`.
    stats : RawMoments, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
    out : ndarray, optional
        Array of x's shape that receives the gradient with respect to x, cast to its dtype. It may
        be `dy` or `x`.

    Returns
    -------
    FilterResponseNormGradients
        Fields `x`, `weight`, `bias`, `threshold`, `learned_eps`, all but the first None where the
        argument was None.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a parameter has not C entries.

    Notes
    -----
    Where y is above the threshold, dy goes through; elsewhere, also where y meets it, to the
    threshold. With :math:`k` for that choice, :math:`g = w\,k\,dy`,
    :math:`r = 1/\sqrt{\overline{x^2} + \epsilon + |\epsilon_l|}`, :math:`\hat x = x r` and means
    over the plane,

    .. math:: dx = r \left( g - \hat x\,\overline{g \hat x} \right), \quad
              dw = \sum k\,dy\,\hat x, \quad db = \sum k\,dy, \quad d\tau = \sum (1 - k)\,dy, \quad
              d\epsilon_l = -\tfrac12 \operatorname{sign}(\epsilon_l) \sum r^2 g \hat x .

    References
    ----------
    S. Singh, S. Krishnan, "Filter Response Normalization Layer", CVPR 2020, arXiv:1911.09737.
    """
    values, upstream = as_float64(x), as_float64(dy)
    channel, axes = resolve_planes(values, channel_axis)
    power = raw_moments(values, axes).mean_square if stats is None else stats.mean_square
    added = _whole_eps(eps, learned_eps)
    factor = expand_optional(weight, values.shape, channel)
    summand = expand_optional(bias, values.shape, channel)
    least = expand_optional(threshold, values.shape, channel)
    dthreshold = deps = None
    if least is not None:
        y = scale_and_shift(values, factor, summand, None, power, added, axes)
        above = y > least
        dthreshold = sum_to(np.where(above, 0.0, upstream), least.shape)
        upstream = np.where(above, upstream, 0.0)
    dx, dweight, dbias = pull_back(upstream, values, factor, summand, None, power, added, axes)
    if learned_eps is not None:
        with np.errstate(all="ignore"):
            scaled, root = normalize(values, None, power, added, axes)
            g = upstream if factor is None else upstream * factor
            total = -0.5 * np.sum(root**2 * g * scaled)
        deps = np.sign(as_float64(learned_eps)) * total
    return FilterResponseNormGradients(
        deliver(dx, out),
        reshape_like(dweight, weight),
        reshape_like(dbias, bias),
        reshape_like(dthreshold, threshold),
        None if deps is None else np.asarray(deps),
    )


def _whole_eps(eps: float, learned_eps: ArrayLike | None) -> float:
    return eps if learned_eps is None else eps + abs(as_float64(learned_eps).item())
