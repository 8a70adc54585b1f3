# SPDX-License-Identifier: BSD-3-Clause
"""Batch renormalization: `batch_norm`, drawn within limits to the running statistics."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.batch_norm import resolve_batch, update_running
from fastnorm.reference.moments import Float64Array, moments
from fastnorm.reference.standardize import (
    Gradients,
    as_float64,
    deliver,
    expand,
    expand_optional,
    pull_back,
    scale_and_shift,
)


class RenormMoments(NamedTuple):
    """Statistics of a batch, and how `batch_renorm` corrected for them.

    Attributes
    ----------
    mean, var : ndarray of float64
        Mean and biased variance of every channel; in evaluation the running mean and the square of
        the running deviation, which eps is part of already.
    count : int
        Number of values in each channel; 0 in evaluation.
    r, d : ndarray of float64
        The factor and the summand of the correction; 1 and 0 in evaluation.
    """

    mean: Float64Array
    var: Float64Array
    count: int  # type: ignore[assignment]  # the field hides tuple.count, as intended
    r: Float64Array
    d: Float64Array


@overload
def batch_renorm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_std: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.01,
    r_max: float = 3.0,
    d_max: float = 5.0,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def batch_renorm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_std: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.01,
    r_max: float = 3.0,
    d_max: float = 5.0,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], RenormMoments]: ...
def batch_renorm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_std: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.01,
    r_max: float = 3.0,
    d_max: float = 5.0,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], RenormMoments]:
    r"""Normalize each channel by the batch, corrected towards what evaluation will do.

    Parameters
    ----------
    x : array_like
        Values of any real type, with at least 2 axes; converted to float64.
    weight, bias : array_like of shape (C,), optional
        Factor and summand of each channel.
    running_mean, running_std : ndarray of shape (C,), optional
        Running mean and standard deviation of any float type, both or in training neither. Updated
        in place in training; used instead of the statistics of the batch in evaluation.
    training : bool, default True
        Use the statistics of the batch and update the running ones.
    momentum : float, default 0.01
        Weight of the batch in the running statistics.
    r_max, d_max : float, default 3.0 and 5.0
        Limits of the correction.
    eps : float, default 1e-5
        Added to the variance of the batch, in squared units of `x`.
    channel_axis : int, default 1
        The axis of length C.
    out : ndarray, optional
        Array of x's shape that receives the result, cast to its dtype. It may be `x`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        float64 of x's shape, whatever the type of `x`; or `out`.
    stats : RenormMoments
        Only with `return_stats`: mean, biased variance and the correction, of shape (C,).

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If there is one value per channel in training, if the running statistics are missing in
        evaluation, or if a parameter has not C entries.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of the channel, running :math:`\mu_r` and
    :math:`\sigma_r`, and :math:`\sigma = \sqrt{v + \epsilon}`, in training

    .. math:: y = w \left( \frac{x - \mu}{\sigma}\,r + d \right) + b, \qquad
              r = \left[ \frac{\sigma}{\sigma_r} \right]_{1/r_{max}}^{r_{max}}, \qquad
              d = \left[ \frac{\mu - \mu_r}{\sigma_r} \right]_{-d_{max}}^{d_{max}} ,

    and in evaluation :math:`y = w (x - \mu_r) / \sigma_r + b`. Then, with momentum :math:`\alpha`,
    the running statistics become :math:`(1 - \alpha) \mu_r + \alpha \mu` and
    :math:`(1 - \alpha) \sigma_r + \alpha \sigma`. An empty batch leaves them as they are.

    References
    ----------
    S. Ioffe, "Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized
    Models", NeurIPS 2017, arXiv:1702.03275, algorithm 1.
    """
    values = as_float64(x)
    channel, axes = resolve_batch(values, channel_axis, training)
    limits = (r_max, d_max)
    stats = _measure(values, axes, running_mean, running_std, limits, eps, training)
    factor, summand = _correct(weight, bias, stats, values.shape, channel)
    added = eps if training else 0.0
    y = deliver(scale_and_shift(values, factor, summand, stats.mean, stats.var, added, axes), out)
    if training and values.size > 0:
        update_running(running_mean, stats.mean, momentum)
        update_running(running_std, np.sqrt(stats.var + eps), momentum)
    return (y, stats) if return_stats else y


def batch_renorm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_std: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.01,
    r_max: float = 3.0,
    d_max: float = 5.0,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: RenormMoments | None = None,
    out: NDArray[Any] | None = None,
) -> Gradients:
    r"""Gradient of `batch_renorm`; the running statistics and the correction are constants.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, weight, bias, training, r_max, d_max, eps, channel_axis, momentum
        As given to `batch_renorm`. Of `bias` only the shape matters, `momentum` does not.
    running_mean, running_std : ndarray of shape (C,), optional
        As they were before the call of `batch_renorm`. Not updated.
    stats : RenormMoments, optional
        What ``return_stats=True`` gave; if None recomputed from `x` and the running statistics.
    out : ndarray, optional
        Array of x's shape that receives the gradient with respect to x, cast to its dtype. It may
        be `dy` or `x`.

    Returns
    -------
    Gradients
        Fields `x`, `weight`, `bias`, the latter two None where the argument was None.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If there is one value per channel in training, if both `stats` and the running statistics
        are missing in evaluation, or if a parameter has not C entries.

    Notes
    -----
    With :math:`g = w\,r\,dy`, :math:`\hat x = (x - \mu) / \sigma` and means over the channel,

    .. math:: dx = \frac{1}{\sigma} \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right)

    in training and :math:`dx = w\,dy / \sigma_r` in evaluation; in both
    :math:`dw = \sum dy\,(\hat x\,r + d)` and :math:`db = \sum dy` over the channel.

    References
    ----------
    S. Ioffe, "Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized
    Models", NeurIPS 2017, arXiv:1702.03275, section 3.
    """
    values = as_float64(x)
    channel, axes = resolve_batch(values, channel_axis, training)
    if stats is None:
        limits = (r_max, d_max)
        stats = _measure(values, axes, running_mean, running_std, limits, eps, training)
    factor, summand = _correct(weight, bias, stats, values.shape, channel)
    added = eps if training else 0.0
    dx, plain, total = pull_back(
        dy, values, factor, summand, stats.mean, stats.var, added, axes, fixed=not training
    )
    assert plain is not None
    assert total is not None
    plain, total = (sums.reshape(stats.r.shape) for sums in (plain, total))
    dweight = None if weight is None else plain * stats.r + total * stats.d
    return Gradients(deliver(dx, out), dweight, None if bias is None else total)


def _measure(
    x: Float64Array,
    axes: tuple[int, ...],
    running_mean: NDArray[Any] | None,
    running_std: NDArray[Any] | None,
    limits: tuple[float, float],
    eps: float,
    training: bool,
) -> RenormMoments:
    """Statistics that x is normalized by, and the correction, which is a constant."""
    mean, var, count = moments(x, axes)
    r, d = np.ones_like(mean), np.zeros_like(mean)
    if running_mean is None or running_std is None:
        if not training:
            raise ValueError("running_mean and running_std are needed where training is False")
        return RenormMoments(mean, var, count, r, d)
    centre, std = np.array(running_mean, np.float64), np.array(running_std, np.float64)
    if not training:
        return RenormMoments(centre, std**2, 0, r, d)
    if count:
        with np.errstate(all="ignore"):
            r = np.clip(np.sqrt(var + eps) / std, 1.0 / limits[0], limits[0])
            d = np.clip((mean - centre) / std, -limits[1], limits[1])
    return RenormMoments(mean, var, count, r, d)


def _correct(
    weight: ArrayLike | None,
    bias: ArrayLike | None,
    stats: RenormMoments,
    shape: tuple[int, ...],
    channel: tuple[int],
) -> tuple[Float64Array, Float64Array]:
    """The affine map of the normalized values: ``w (xhat r + d) + b``."""
    factor, summand = expand(stats.r, shape, channel), expand(stats.d, shape, channel)
    wide_weight = expand_optional(weight, shape, channel)
    wide_bias = expand_optional(bias, shape, channel)
    with np.errstate(all="ignore"):
        if wide_weight is not None:
            factor, summand = wide_weight * factor, wide_weight * summand
        return factor, summand if wide_bias is None else summand + wide_bias
