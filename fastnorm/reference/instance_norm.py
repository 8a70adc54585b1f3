# SPDX-License-Identifier: BSD-3-Clause
"""Instance normalization: `standardize` over space, for each sample and channel."""

from __future__ import annotations

from typing import Any, Literal, overload

from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.batch_norm import batch_norm, batch_norm_backward, update_both
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
def instance_norm(
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
def instance_norm(
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
def instance_norm(
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
    r"""Normalize each channel of each sample over its spatial axes.

    Parameters
    ----------
    x : array_like
        Values of any real type, with at least 3 axes, axis 0 the batch of N samples; converted to
        float64.
    weight, bias : array_like of shape (C,), optional
        Factor and summand of each channel.
    running_mean, running_var : ndarray of shape (C,), optional
        Running statistics of any float type. Updated in place in training if given; in evaluation
        used instead of those of the samples if given.
    training : bool, default True
        Use the statistics of each sample and update the running ones.
    momentum : float, default 0.1
        Weight of the batch in the running statistics.
    eps : float, default 1e-5
        Added to the variance, in squared units of `x`.
    channel_axis : int, default 1
        The axis of length C, any but the first.
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
        Only with `return_stats`: mean and variance of shape (N, C), or where they took their place
        a copy of the running statistics, with count 0.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If there is one value per sample and channel, if only one of the running statistics is there
        in evaluation, or if a parameter has not C entries.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of each sample's channel over space, or the
    running ones in their place in evaluation,

    .. math:: y = w\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b .

    In training, with momentum :math:`\alpha` and :math:`m` values in a channel of a sample, the
    running statistics become

    .. math:: (1 - \alpha)\,\text{running mean} + \alpha\,\overline{\mu}, \qquad
              (1 - \alpha)\,\text{running var} + \alpha\,\frac{m}{m - 1}\,\overline{v} ,

    with averages over the samples, PyTorch's convention. An empty batch leaves them as they are.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance Normalization: The Missing Ingredient for Fast
    Stylization", 2016, arXiv:1607.08022.
    """
    values = as_float64(x)
    if not training and not (running_mean is None and running_var is None):
        options: dict[str, Any] = {"eps": eps, "channel_axis": channel_axis, "out": out}
        options |= {"training": False, "return_stats": return_stats, "activation": activation}
        options |= {"mask": mask, "lengths": lengths, "zero_masked": zero_masked}
        evaluated: NDArray[Any] | tuple[NDArray[Any], Moments] = batch_norm(
            values, weight, bias, running_mean, running_var, **options
        )
        return evaluated
    channel, axes = resolve_instances(values, channel_axis)
    part = counted(mask, lengths, values.shape, time_axis(channel_axis, values.ndim))
    stats = moments(values, axes, mask=part)
    centre, power = usable(stats)
    factor = expand_optional(weight, values.shape, channel)
    summand = expand_optional(bias, values.shape, channel)
    y = scale_and_shift(values, factor, summand, centre, power, eps, axes, activation)
    y = deliver(zeroed(y, part, zero_masked), out)
    update_both(running_mean, running_var, stats, momentum)
    return (y, stats) if return_stats else y


def instance_norm_backward(
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
    r"""Gradient of `instance_norm`; the running statistics are constants, and are not updated.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, weight, bias, running_mean, running_var, training, momentum, eps, channel_axis, activation,
    mask, lengths, zero_masked
        As given to `instance_norm`. Of `bias` only the shape matters, `momentum` does not.
    stats : Moments, optional
        What ``return_stats=True`` gave; if None recomputed from `x`, in evaluation taken from the
        running statistics if there are any.
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
        If there is one value per sample and channel, or if a parameter has not C entries.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}` and means over space,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right), \qquad
              dw = \sum dy\,\hat x, \qquad db = \sum dy ,

    the sums running over the batch and space. In evaluation by running statistics
    :math:`dx = r g`.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance Normalization: The Missing Ingredient for Fast
    Stylization", 2016, arXiv:1607.08022.
    """
    values = as_float64(x)
    if not training and not (running_mean is None and running_var is None):
        options: dict[str, Any] = {"eps": eps, "channel_axis": channel_axis, "out": out}
        options |= {"training": False, "stats": stats, "activation": activation}
        options |= {"mask": mask, "lengths": lengths, "zero_masked": zero_masked}
        return batch_norm_backward(dy, values, weight, bias, running_mean, running_var, **options)
    channel, axes = resolve_instances(values, channel_axis)
    part = counted(mask, lengths, values.shape, time_axis(channel_axis, values.ndim))
    if stats is None:
        stats = moments(values, axes, mask=part)
    centre, power = usable(stats)
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
        mask=part,
        zero_masked=zero_masked,
    )
    return collapse(gradients._replace(x=deliver(gradients.x, out)), weight, bias)


def resolve_instances(x: Float64Array, channel_axis: int) -> tuple[tuple[int], tuple[int, ...]]:
    """Return the channel axis and the spatial axes, where these hold more than one value."""
    channel, axes = resolve_planes(x, channel_axis)
    refuse_single_values(x.shape, axes)
    return channel, axes


def resolve_planes(x: Float64Array, channel_axis: int) -> tuple[tuple[int], tuple[int, ...]]:
    """Return the channel axis and the spatial axes, both non-negative."""
    channel = normalize_axis_index(channel_axis, x.ndim)
    return (channel,), tuple(axis for axis in range(1, x.ndim) if axis != channel)
