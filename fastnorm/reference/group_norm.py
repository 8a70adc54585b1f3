# SPDX-License-Identifier: BSD-3-Clause
"""Group normalization: `standardize` with the channel axis split into groups."""

from __future__ import annotations

from typing import Any, Literal, overload

from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.masked import counted, time_axis, usable, zeroed
from fastnorm.reference.moments import Moments, moments
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
def group_norm(
    x: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
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
def group_norm(
    x: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], Moments]: ...
def group_norm(
    x: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], Moments]:
    r"""Normalize each group of consecutive channels of each sample, over the group and space.

    Parameters
    ----------
    x : array_like
        Values of any real type, with at least 2 axes, axis 0 the batch of N samples; converted to
        float64.
    num_groups : int
        Number of groups G, a divisor of the number of channels C.
    weight, bias : array_like of shape (C,), optional
        Factor and summand of each channel.
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
    With mean :math:`\mu` and biased variance :math:`v` of each sample's group of :math:`C/G`
    channels over space,

    .. math:: y = w\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b .

    With G = C this is instance normalization; with G = 1 the statistics are those of layer
    normalization over all axes but the first, the parameters still those of the channels.

    References
    ----------
    Y. Wu, K. He, "Group Normalization", ECCV 2018, arXiv:1803.08494.
    """
    values = as_float64(x)
    shape, channel, axes = split_channels(values.shape, num_groups, channel_axis)
    split = values.reshape(shape)
    part = counted(mask, lengths, values.shape, time_axis(channel_axis, values.ndim))
    part = None if part is None else part.reshape(shape)
    stats = moments(split, axes, mask=part)
    factor = expand_optional(weight, shape, channel)
    summand = expand_optional(bias, shape, channel)
    centre, power = usable(stats)
    y = scale_and_shift(split, factor, summand, centre, power, eps, axes, activation)
    y = zeroed(y, part, zero_masked)
    y = deliver(y.reshape(values.shape), out)
    return (y, stats) if return_stats else y


def group_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    stats: Moments | None = None,
    out: NDArray[Any] | None = None,
) -> Gradients:
    r"""Gradient of `group_norm`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, num_groups, weight, bias, eps, channel_axis, activation, mask, lengths, zero_masked
        As given to `group_norm`. Of `bias` only the shape matters.
    stats : Moments, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
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
        If `num_groups` does not divide C, if there is one value per sample and group, or if a
        parameter has not C entries.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}` and means over the group's channels
    and space,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right), \qquad
              dw = \sum dy\,\hat x, \qquad db = \sum dy ,

    the sums running over the batch and space.

    References
    ----------
    Y. Wu, K. He, "Group Normalization", ECCV 2018, arXiv:1803.08494.
    """
    values = as_float64(x)
    shape, channel, axes = split_channels(values.shape, num_groups, channel_axis)
    split = values.reshape(shape)
    part = counted(mask, lengths, values.shape, time_axis(channel_axis, values.ndim))
    part = None if part is None else part.reshape(shape)
    if stats is None:
        stats = moments(split, axes, mask=part)
    centre, power = usable(stats)
    gradients = pull_back(
        as_float64(dy).reshape(shape),
        split,
        expand_optional(weight, shape, channel),
        expand_optional(bias, shape, channel),
        centre,
        power,
        eps,
        axes,
        activation=activation,
        mask=part,
        zero_masked=zero_masked,
    )
    dx = deliver(gradients.x.reshape(values.shape), out)
    return collapse(gradients._replace(x=dx), weight, bias)


def split_channels(
    shape: tuple[int, ...], num_groups: int, channel_axis: int
) -> tuple[tuple[int, ...], tuple[int, int], tuple[int, ...]]:
    """Split the channel axis: the new shape, its two channel axes, the axes of the statistics."""
    channel = normalize_axis_index(channel_axis, len(shape))
    group_size = shape[channel] // num_groups
    split = (*shape[:channel], num_groups, group_size, *shape[channel + 1 :])
    axes = tuple(axis for axis in range(1, len(split)) if axis != channel)
    refuse_single_values(split, axes)
    return split, (channel, channel + 1), axes
