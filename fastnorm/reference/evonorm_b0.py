# SPDX-License-Identifier: BSD-3-Clause
"""EvoNorm-B0: normalization and nonlinearity in one, by the statistics of batch and sample."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.batch_norm import resolve_batch, update_running
from fastnorm.reference.instance_norm import resolve_planes
from fastnorm.reference.moments import Float64Array, Moments, moments
from fastnorm.reference.standardize import (
    as_float64,
    deliver,
    expand,
    normalize,
    sum_to,
)
from fastnorm.reference.variance_norm import batch_or_running


class EvoNormGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of `evonorm_b0` or `evonorm_s0`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape: float64, or `out` where one was given.
    weight, bias, v : ndarray of float64
        Gradients with respect to the parameters, of their shapes.
    """

    x: NDArray[Any]
    weight: Float64Array
    bias: Float64Array
    v: Float64Array


class EvoNormMoments(NamedTuple):
    """The statistics of `evonorm_b0`.

    Attributes
    ----------
    instance : Moments
        Of each channel of each sample, of shape (N, C).
    batch : Moments
        Of each channel, of shape (C,); in evaluation zeros and the running variance, with count 0.
    """

    instance: Moments
    batch: Moments


@overload
def evonorm_b0(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    v: ArrayLike,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def evonorm_b0(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    v: ArrayLike,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], EvoNormMoments]: ...
def evonorm_b0(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    v: ArrayLike,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], EvoNormMoments]:
    r"""Divide by the larger of the batch's deviation and that of the sample, shifted by v x.

    Parameters
    ----------
    x : array_like
        Values of any real type, with at least 3 axes, axis 0 the batch of N samples; converted to
        float64.
    weight, bias, v : array_like of shape (C,)
        Factor and summand of each channel, and its slope v.
    running_var : ndarray of shape (C,), optional
        Running variance of any float type. Updated in place in training if given; needed, and used
        instead of the variance of the batch, in evaluation.
    training : bool, default True
        Use the variance of the batch and update the running one.
    momentum : float, default 0.1
        Weight of the batch in the running variance.
    eps : float, default 1e-5
        Added to both variances, in squared units of `x`.
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
    stats : EvoNormMoments
        Only with `return_stats`: the moments of samples and batch.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If there is one value per channel in training, if the running variance is missing in
        evaluation, or if a parameter has not C entries.

    Notes
    -----
    With the biased variances :math:`v_b` of the channel in the batch, or the running one in its
    place in evaluation, and :math:`v_i` of the channel in the sample,

    .. math:: y = w\,\frac{x}{\max\left(\sqrt{v_b + \epsilon},\,
              v x + \sqrt{v_i + \epsilon}\right)} + b .

    The running variance takes up the biased one. An empty batch leaves it as it is.

    References
    ----------
    H. Liu, A. Brock, K. Simonyan, Q. Le, "Evolving Normalization-Activation Layers", NeurIPS 2020,
    arXiv:2004.02967.
    """
    values = as_float64(x)
    channel, axes = resolve_batch(values, channel_axis, training)
    planes = resolve_planes(values, channel_axis)[1]
    batch = batch_or_running(values, axes, running_var, training)
    stats = EvoNormMoments(moments(values, planes), batch)
    factor, summand, slope = (expand(p, values.shape, channel) for p in (weight, bias, v))
    with np.errstate(all="ignore"):
        rising = slope * values + _deviation(values, stats.instance, eps, planes)
        larger = np.maximum(_deviation(values, batch, eps, axes), rising)
        y = deliver(factor * values / larger + summand, out)
    if training and values.size > 0:
        update_running(running_var, batch.var, momentum)
    return (y, stats) if return_stats else y


def evonorm_b0_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    v: ArrayLike,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: EvoNormMoments | None = None,
    out: NDArray[Any] | None = None,
) -> EvoNormGradients:
    r"""Gradient of `evonorm_b0`; the running variance is a constant, and is not updated.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, weight, bias, v, running_var, training, momentum, eps, channel_axis
        As given to `evonorm_b0`. Of `bias` only the shape matters, `momentum` does not.
    stats : EvoNormMoments, optional
        What ``return_stats=True`` gave; recomputed from `x`, and in evaluation taken from the
        running variance, if None.
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
        If there is one value per channel in training, if both `stats` and the running variance are
        missing in evaluation, or if a parameter has not C entries.

    Notes
    -----
    With :math:`D` for the maximum, :math:`k` 1 where it is the second and 0 where the first or
    both, :math:`g = w\,dy`, :math:`h = -g x / D^2`, and :math:`m` values of deviation :math:`s`
    about the mean :math:`\mu` in the sample (i) and in the batch (b),

    .. math:: dx = \frac{g}{D} + v h k + \frac{x - \mu_i}{m_i s_i} \sum_i h k
              + \frac{x - \mu_b}{m_b s_b} \sum_b h (1 - k) , \qquad dv = \sum h k x ,

    without the last term of dx in evaluation; :math:`dw = \sum dy\,x / D`, :math:`db = \sum dy`.

    References
    ----------
    H. Liu, A. Brock, K. Simonyan, Q. Le, "Evolving Normalization-Activation Layers", NeurIPS 2020,
    arXiv:2004.02967.
    """
    values, upstream = as_float64(x), as_float64(dy)
    channel, axes = resolve_batch(values, channel_axis, training)
    planes = resolve_planes(values, channel_axis)[1]
    if stats is None:
        batch = batch_or_running(values, axes, running_var, training)
        stats = EvoNormMoments(moments(values, planes), batch)
    instance, batch = stats
    factor, slope = (expand(p, values.shape, channel) for p in (weight, v))
    with np.errstate(all="ignore"):
        rising = slope * values + _deviation(values, instance, eps, planes)
        floor = _deviation(values, batch, eps, axes)
        larger, second = np.maximum(floor, rising), rising > floor
        g = upstream * factor
        fall = -g * values / larger**2
        up, level = np.where(second, fall, 0.0), np.where(second, 0.0, fall)
        dx = g / larger + slope * up + _through_deviation(values, up, instance, eps, planes)
        if training:
            dx = dx + _through_deviation(values, level, batch, eps, axes)
        dweight, dv = upstream * values / larger, up * values
    totals = (sum_to(d, factor.shape).reshape(-1) for d in (dweight, upstream, dv))
    return EvoNormGradients(deliver(dx, out), *totals)


def _deviation(x: Float64Array, stats: Moments, eps: float, axes: tuple[int, ...]) -> Float64Array:
    """sqrt(var + eps), against x."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    return np.sqrt(expand(stats.var, x.shape, kept) + eps)


def _through_deviation(
    x: Float64Array, gradient: Float64Array, stats: Moments, eps: float, axes: tuple[int, ...]
) -> Float64Array:
    """Gradient with respect to x of the sum of `gradient` times the deviation over `axes`."""
    normalized, _ = normalize(x, stats.mean, stats.var, eps, axes)
    share: Float64Array = gradient.sum(axis=axes, keepdims=True) / max(stats.count, 1)
    return normalized * share
