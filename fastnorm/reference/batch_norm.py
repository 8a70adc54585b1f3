# SPDX-License-Identifier: BSD-3-Clause
"""Batch normalization: each channel over the batch and space, or by its running statistics."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.masked import counted, time_axis, usable, zeroed
from fastnorm.reference.moments import Float64Array, Moments, moments
from fastnorm.reference.standardize import (
    Gradients,
    as_float64,
    collapse,
    deliver,
    expand_optional,
    pull_back,
    refuse_single_values,
    scale_and_shift,
)


@overload
def batch_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def batch_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], Moments]: ...
def batch_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], Moments]:
    r"""Normalize each channel over all the other axes.

    Parameters
    ----------
    x : array_like
        Values of any real type, with at least 2 axes; converted to float64.
    weight, bias : array_like of shape (C,), optional
        Factor and summand of each channel.
    running_mean, running_var : ndarray of shape (C,), optional
        Running statistics of any float type. Updated in place in training if given; needed, and
        used instead of the statistics of the batch, in evaluation.
    training : bool, default True
        Use the statistics of the batch and update the running ones.
    momentum : float, default 0.1
        Weight of the batch in the running statistics.
    eps : float, default 1e-5
        Added to the variance, in squared units of `x`.
    channel_axis : int, default 1
        The axis of length C.
    activation : {"relu", "silu", "gelu", "gelu_tanh"}, optional
        Applied to the result.
    mask : array_like of bool, optional
        True where a value counts in the statistics; broadcasts against `x`.
    lengths : array_like of int, optional
        In place of a mask: how many steps of each sample count, along the first axis beside those
        of the samples and the channels.
    zero_masked : bool, default False
        Set the result, and its gradient, to 0 where the mask is False.
    out : ndarray, optional
        Array of x's shape that receives the result, cast to its dtype. It may be `x`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        float64 of x's shape, whatever the type of `x`; or `out`.
    stats : Moments
        Only with `return_stats`: mean and biased variance of shape (C,); in evaluation a copy of
        the running statistics, with count 0.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If there is one value per channel in training, if the running statistics are missing in
        evaluation, or if a parameter has not C entries.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of the channel's :math:`m` values, or the
    running ones in their place in evaluation,

    .. math:: y = w\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b .

    In training, with momentum :math:`\alpha`, the running statistics become

    .. math:: (1 - \alpha)\,\text{running mean} + \alpha\,\mu, \qquad
              (1 - \alpha)\,\text{running var} + \alpha\,\frac{m}{m - 1}\,v ,

    PyTorch's convention. An empty batch leaves them as they are.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
    Internal Covariate Shift", ICML 2015, arXiv:1502.03167, algorithms 1 and 2.
    """
    values = as_float64(x)
    channel, axes = resolve_batch(values, channel_axis, training)
    part = counted(mask, lengths, values.shape, time_axis(channel_axis, values.ndim))
    if training:
        stats = moments(values, axes, mask=part)
        centre, power = usable(stats)
    else:
        stats = _running_stats(running_mean, running_var)
        centre, power = stats.mean, stats.var
    factor = expand_optional(weight, values.shape, channel)
    summand = expand_optional(bias, values.shape, channel)
    y = scale_and_shift(values, factor, summand, centre, power, eps, axes, activation)
    y = deliver(zeroed(y, part, zero_masked), out)

    if training:
        update_both(running_mean, running_var, stats, momentum)
    return (y, stats) if return_stats else y


def batch_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    stats: Moments | None = None,
    out: NDArray[Any] | None = None,
) -> Gradients:
    r"""Gradient of `batch_norm`; the running statistics are constants, and are not updated.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, weight, bias, running_mean, running_var, training, momentum, eps, channel_axis, activation,
    mask, lengths, zero_masked
        As given to `batch_norm`. Of `bias` only the shape matters, `momentum` does not.
    stats : Moments, optional
        What ``return_stats=True`` gave; recomputed from `x`, or in evaluation taken from the
        running statistics, if None.
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
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}` and means over the channel,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right)

    in training and :math:`dx = r g` in evaluation; in both
    :math:`dw = \sum dy\,\hat x` and :math:`db = \sum dy` over the channel.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, arXiv:1502.03167, section 3.
    """
    values = as_float64(x)
    channel, axes = resolve_batch(values, channel_axis, training)
    part = counted(mask, lengths, values.shape, time_axis(channel_axis, values.ndim))
    if training:
        stats = moments(values, axes, mask=part) if stats is None else stats
        centre, power = usable(stats)
    else:
        stats = _running_stats(running_mean, running_var) if stats is None else stats
        centre, power = stats.mean, stats.var
    gradients = pull_back(
        dy,
        values,
        expand_optional(weight, values.shape, channel),
        expand_optional(bias, values.shape, channel),
        centre,
        power,
        eps,
        axes,
        activation=activation,
        fixed=not training,
        mask=part,
        zero_masked=zero_masked,
    )
    return collapse(gradients._replace(x=deliver(gradients.x, out)), weight, bias)


def resolve_batch(
    x: Float64Array, channel_axis: int, training: bool
) -> tuple[tuple[int], tuple[int, ...]]:
    """Return the channel axis and the axes of the statistics, both non-negative."""
    channel = normalize_axis_index(channel_axis, x.ndim)
    axes = tuple(axis for axis in range(x.ndim) if axis != channel)
    if training:
        refuse_single_values(x.shape, axes)
    return (channel,), axes


def _running_stats(running_mean: NDArray[Any] | None, running_var: NDArray[Any] | None) -> Moments:
    """Copy the buffers, so that updating them does not change statistics returned earlier."""
    if running_mean is None or running_var is None:
        raise ValueError("running_mean and running_var are needed where training is False")
    return Moments(
        np.array(running_mean, dtype=np.float64), np.array(running_var, dtype=np.float64), 0
    )


def update_both(
    running_mean: NDArray[Any] | None,
    running_var: NDArray[Any] | None,
    batch: Moments,
    momentum: float,
) -> None:
    """Move the running statistics, those that are there, towards those of a batch with values."""
    more = np.asarray(batch.count) - 1
    with np.errstate(all="ignore"):
        unbiased = batch.var * (batch.count / more)
    update_running(running_mean, batch.mean, momentum, batch.count)
    update_running(running_var, unbiased, momentum, more)


def update_running(
    running: NDArray[Any] | None, batch: Float64Array, momentum: float, found: ArrayLike = 1
) -> None:
    """Move a running statistic, where there is one, towards that of a batch, in place.

    batch: one entry per channel, or one per sample and channel, of which it is the average.
    found: positive where there is an entry; what has none stays as it is.
    """
    if running is None:
        return
    there = np.broadcast_to(np.asarray(found) > 0, batch.shape)
    samples = tuple(range(batch.ndim - 1))
    some = there.sum(axis=samples)
    before = as_float64(running)
    with np.errstate(all="ignore"):
        mean = np.where(there, batch, 0.0).sum(axis=samples) / some
        moved = (1.0 - momentum) * before + momentum * mean
    deliver(np.where(some == 0, before, moved), running)
