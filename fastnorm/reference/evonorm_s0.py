# SPDX-License-Identifier: BSD-3-Clause
"""EvoNorm-S0: normalization and nonlinearity in one, by the statistics of groups of channels."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.evonorm_b0 import EvoNormGradients
from fastnorm.reference.group_norm import split_channels
from fastnorm.reference.moments import Float64Array, Moments, average, moments
from fastnorm.reference.standardize import as_float64, deliver, expand, normalize, sum_to


@overload
def evonorm_s0(
    x: ArrayLike,
    num_groups: int,
    weight: ArrayLike,
    bias: ArrayLike,
    v: ArrayLike,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def evonorm_s0(
    x: ArrayLike,
    num_groups: int,
    weight: ArrayLike,
    bias: ArrayLike,
    v: ArrayLike,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], Moments]: ...
def evonorm_s0(
    x: ArrayLike,
    num_groups: int,
    weight: ArrayLike,
    bias: ArrayLike,
    v: ArrayLike,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], Moments]:
    r"""Divide the swish of x by the deviation of x in its group of channels.

    Parameters
    ----------
    x : array_like
        Values of any real type, with at least 2 axes, axis 0 the batch of N samples; converted to
        float64.
    num_groups : int
        Number of groups G, a divisor of the number of channels C.
    weight, bias, v : array_like of shape (C,)
        Factor and summand of each channel, and its slope v.
    eps : float, default 1e-5
        Added to the variance, in squared units of `x`.
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
    stats : Moments
        Only with `return_stats`: mean and variance of shape (N, G).

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `num_groups` does not divide C, if there is one value per sample and group, or if a
        parameter has not C entries.

    Notes
    -----
    With the biased variance :math:`v_g` of each sample's group of :math:`C/G` channels over space
    and the logistic function :math:`\sigma`,

    .. math:: y = w\,\frac{x\,\sigma(v x)}{\sqrt{v_g + \epsilon}} + b .

    References
    ----------
    H. Liu, A. Brock, K. Simonyan, Q. Le, "Evolving Normalization-Activation Layers", NeurIPS 2020,
    arXiv:2004.02967.
    """
    values = as_float64(x)
    shape, channel, axes = split_channels(values.shape, num_groups, channel_axis)
    split = values.reshape(shape)
    stats = moments(split, axes)
    factor, summand, slope = (expand(p, shape, channel) for p in (weight, bias, v))
    with np.errstate(all="ignore"):
        _, root = normalize(split, None, stats.var, eps, axes)
        y = factor * split * _logistic(slope * split)[0] * root + summand
    y = deliver(y.reshape(values.shape), out)
    return (y, stats) if return_stats else y


def evonorm_s0_backward(
    dy: ArrayLike,
    x: ArrayLike,
    num_groups: int,
    weight: ArrayLike,
    bias: ArrayLike,
    v: ArrayLike,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Moments | None = None,
    out: NDArray[Any] | None = None,
) -> EvoNormGradients:
    r"""Gradient of `evonorm_s0`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, num_groups, weight, bias, v, eps, channel_axis
        As given to `evonorm_s0`. Of `bias` only the shape matters.
    stats : Moments, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
    out : ndarray, optional
        Array of x's shape that receives the gradient with respect to x, cast to its dtype. It may
        be `dy` or `x`.

    Returns
    -------
    EvoNormGradients
        Fields `x`, `weight`, `bias`, `v`.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `num_groups` does not divide C, if there is one value per sample and group, or if a
        parameter has not C entries.

    Notes
    -----
    With :math:`\sigma = \sigma(v x)`, :math:`g = w\,dy`, :math:`r = 1/\sqrt{v_g + \epsilon}` and
    the mean over the group,

    .. math:: dx = r \left( g\,\sigma\,(1 + v x (1 - \sigma))
              - (x - \mu)\,r^2\,\overline{g\,x\,\sigma} \right) , \qquad
              dv = \sum g\,r\,x^2 \sigma (1 - \sigma) ,

    :math:`dw = \sum dy\,x\,\sigma\,r` and :math:`db = \sum dy` over batch and space.

    References
    ----------
    H. Liu, A. Brock, K. Simonyan, Q. Le, "Evolving Normalization-Activation Layers", NeurIPS 2020,
    arXiv:2004.02967.
    """
    values = as_float64(x)
    shape, channel, axes = split_channels(values.shape, num_groups, channel_axis)
    split, upstream = values.reshape(shape), as_float64(dy).reshape(shape)
    if stats is None:
        stats = moments(split, axes)
    factor, slope = (expand(p, shape, channel) for p in (weight, v))
    with np.errstate(all="ignore"):
        normalized, root = normalize(split, stats.mean, stats.var, eps, axes)
        share, rest = _logistic(slope * split)
        g = upstream * factor * root
        swish = split * share
        dx = g * share * (1.0 + slope * split * rest)
        dx = dx - normalized * root * average(g * swish, axes)
        dweight, dv = upstream * swish * root, g * split * swish * rest
    totals = (sum_to(d, factor.shape).reshape(-1) for d in (dweight, upstream, dv))
    return EvoNormGradients(deliver(dx.reshape(values.shape), out), *totals)


def _logistic(z: Float64Array) -> tuple[Float64Array, Float64Array]:
    """1 / (1 + exp(-z)) and 1 minus that, neither by a difference."""
    e = np.exp(-np.abs(z))
    larger, smaller = 1.0 / (1.0 + e), e / (1.0 + e)
    return np.where(z < 0.0, smaller, larger), np.where(z < 0.0, larger, smaller)
