# SPDX-License-Identifier: BSD-3-Clause
"""Variance normalization: the scale of `batch_norm` without its shift."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.batch_norm import resolve_batch, update_running
from fastnorm.reference.moments import Float64Array, Moments, average, moments
from fastnorm.reference.standardize import (
    Gradients,
    as_float64,
    collapse,
    deliver,
    expand_kept,
    expand_optional,
    normalize,
    scale_and_shift,
    sum_to,
)


@overload
def variance_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
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
def variance_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], Moments]: ...
def variance_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], Moments]:
    r"""Divide each channel by its standard deviation over all the other axes.

    Parameters
    ----------
    x : array_like
        Values of any real type, with at least 2 axes; converted to float64.
    weight, bias : array_like of shape (C,), optional
        Factor and summand of each channel.
    running_var : ndarray of shape (C,), optional
        Running variance of any float type. Updated in place in training if given; needed, and used
        instead of the variance of the batch, in evaluation.
    training : bool, default True
        Use the variance of the batch and update the running one.
    momentum : float, default 0.1
        Weight of the batch in the running variance.
    eps : float, default 1e-5
        Added to the variance, in squared units of `x`.
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
    stats : Moments
        Only with `return_stats`: mean and biased variance of shape (C,); in evaluation zeros and a
        copy of the running variance, with count 0.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If there is one value per channel in training, if the running variance is missing in
        evaluation, or if a parameter has not C entries.

    Notes
    -----
    With the biased variance :math:`v` of the channel's values about their mean, or the running one
    in its place in evaluation,

    .. math:: y = w\,\frac{x}{\sqrt{v + \epsilon}} + b .

    In training, with momentum :math:`\alpha`, the running variance becomes

    .. math:: (1 - \alpha)\,\text{running var} + \alpha\,v ,

    with the biased variance. An empty batch leaves it as it is.

    References
    ----------
    E. S. Lubana, R. P. Dick, H. Tanaka, "Beyond BatchNorm", NeurIPS 2021, arXiv:2106.05956.
    """
    values = as_float64(x)
    channel, axes = resolve_batch(values, channel_axis, training)
    stats = batch_or_running(values, axes, running_var, training)
    factor = expand_optional(weight, values.shape, channel)
    summand = expand_optional(bias, values.shape, channel)
    y = deliver(scale_and_shift(values, factor, summand, None, stats.var, eps, axes), out)
    if training and values.size > 0:
        update_running(running_var, stats.var, momentum)
    return (y, stats) if return_stats else y


def variance_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Moments | None = None,
    out: NDArray[Any] | None = None,
) -> Gradients:
    r"""Gradient of `variance_norm`; the running variance is a constant, and is not updated.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, weight, bias, running_var, training, momentum, eps, channel_axis
        As given to `variance_norm`. Of `bias` only the shape matters, `momentum` does not.
    stats : Moments, optional
        What ``return_stats=True`` gave; recomputed from `x`, or in evaluation taken from the
        running variance, if None.
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
        If there is one value per channel in training, if both `stats` and the running variance are
        missing in evaluation, or if a parameter has not C entries.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}` and means over the channel,

    .. math:: dx = r \left( g - (x - \mu)\,r\,\overline{g\,x\,r} \right)

    in training and :math:`dx = r g` in evaluation; in both :math:`dw = \sum dy\,x\,r` and
    :math:`db = \sum dy` over the channel.

    References
    ----------
    E. S. Lubana, R. P. Dick, H. Tanaka, "Beyond BatchNorm", NeurIPS 2021, arXiv:2106.05956.
    """
    values, upstream = as_float64(x), as_float64(dy)
    channel, axes = resolve_batch(values, channel_axis, training)
    if stats is None:
        stats = batch_or_running(values, axes, running_var, training)
    factor = expand_optional(weight, values.shape, channel)
    summand = expand_optional(bias, values.shape, channel)
    with np.errstate(all="ignore"):
        scaled, root = normalize(values, None, stats.var, eps, axes)
        g = upstream if factor is None else upstream * factor
        dx = g
        if training:
            centred = values - expand_kept(stats.mean, values.shape, axes)
            dx = dx - centred * root * average(g * scaled, axes)
        dx = dx * root
        dweight = None if factor is None else sum_to(upstream * scaled, factor.shape)
        dbias = None if summand is None else sum_to(upstream, summand.shape)
    return collapse(Gradients(deliver(dx, out), dweight, dbias), weight, bias)


def batch_or_running(
    x: Float64Array, axes: tuple[int, ...], running_var: NDArray[Any] | None, training: bool
) -> Moments:
    """Return the moments of the batch; in evaluation a copy of the running variance, mean 0."""
    if training:
        return moments(x, axes)
    if running_var is None:
        raise ValueError("running_var is needed where training is False")
    var = np.array(running_var, dtype=np.float64)
    return Moments(np.zeros_like(var), var, 0)
