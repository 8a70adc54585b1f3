# SPDX-License-Identifier: BSD-3-Clause
"""Instance normalization: `standardize` over space, for each sample and channel."""

from __future__ import annotations

from typing import Any, Literal, overload

from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.moments import Float64Array, Moments
from fastnorm.reference.standardize import (
    Gradients,
    as_float64,
    collapse,
    expand_optional,
    refuse_single_values,
    standardize,
    standardize_backward,
)


@overload
def instance_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def instance_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], Moments]: ...
def instance_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
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
        Only with `return_stats`: mean and variance of shape (N, C).

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If there is one value per sample and channel, or if a parameter has not C entries.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of each sample's channel over space,

    .. math:: y = w\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b .

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance Normalization: The Missing Ingredient for Fast
    Stylization", 2016, arXiv:1607.08022.
    """
    values = as_float64(x)
    channel, axes = over_planes(values, channel_axis)
    refuse_single_values(values.shape, axes)
    y, stats = standardize(
        values,
        expand_optional(weight, values.shape, channel),
        expand_optional(bias, values.shape, channel),
        axis=axes,
        eps=eps,
        out=out,
        return_stats=True,
    )
    return (y, stats) if return_stats else y


def instance_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Moments | None = None,
    out: NDArray[Any] | None = None,
) -> Gradients:
    r"""Gradient of `instance_norm`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, weight, bias, eps, channel_axis
        As given to `instance_norm`. Of `bias` only the shape matters.
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
        If there is one value per sample and channel, or if a parameter has not C entries.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}` and means over space,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right), \qquad
              dw = \sum dy\,\hat x, \qquad db = \sum dy ,

    the sums running over the batch and space.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance Normalization: The Missing Ingredient for Fast
    Stylization", 2016, arXiv:1607.08022.
    """
    values = as_float64(x)
    channel, axes = over_planes(values, channel_axis)
    refuse_single_values(values.shape, axes)
    gradients = standardize_backward(
        dy,
        values,
        expand_optional(weight, values.shape, channel),
        expand_optional(bias, values.shape, channel),
        axis=axes,
        eps=eps,
        stats=stats,
        out=out,
    )
    return collapse(gradients, weight, bias)


def over_planes(x: Float64Array, channel_axis: int) -> tuple[tuple[int], tuple[int, ...]]:
    """Return the channel axis and the spatial axes, both non-negative."""
    channel = normalize_axis_index(channel_axis, x.ndim)
    return (channel,), tuple(axis for axis in range(1, x.ndim) if axis != channel)
