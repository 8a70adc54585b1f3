# SPDX-License-Identifier: BSD-3-Clause
"""Layer normalization: `standardize` with parameters that run along the normalized axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.masked import counted, usable, zeroed
from fastnorm.reference.moments import Moments, moments, resolve_axes
from fastnorm.reference.standardize import (
    Gradients,
    as_float64,
    collapse,
    deliver,
    expand_optional,
    pull_back,
    scale_and_shift,
)


@overload
def layer_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-5,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def layer_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-5,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], Moments]: ...
def layer_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-5,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], Moments]:
    r"""Normalize each sample over its feature axes.

    Parameters
    ----------
    x : array_like
        Values of any real type and shape; converted to float64.
    weight, bias : array_like, optional
        Elementwise factor and summand, of the shape of the axes `axis` of `x` in ascending order.
    axis : int or sequence of int, default -1
        The feature axes.
    eps : float, default 1e-5
        Added to the variance, in squared units of `x`.
    activation : {"relu", "silu", "gelu", "gelu_tanh"}, optional
        Applied to the result.
    mask : array_like of bool, optional
        True where a value counts in the statistics; broadcasts against `x`.
    lengths : array_like of int, optional
        In place of a mask: how many steps of each sample count, along axis 1.
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
        Only with `return_stats`: mean and variance in the shape of the kept axes.

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated, or a parameter has the wrong number of entries.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` over the feature axes,

    .. math:: y = w\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b .

    A single feature is allowed: y is the bias then.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016, arXiv:1607.06450.
    """
    values = as_float64(x)
    axes = resolve_axes(axis, values.ndim)
    part = counted(mask, lengths, values.shape, 1)
    stats = moments(values, axes, mask=part)
    factor = expand_optional(weight, values.shape, axes)
    summand = expand_optional(bias, values.shape, axes)
    centre, power = usable(stats)
    y = scale_and_shift(values, factor, summand, centre, power, eps, axes, activation)
    y = deliver(zeroed(y, part, zero_masked), out)
    return (y, stats) if return_stats else y


def layer_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-5,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    stats: Moments | None = None,
    out: NDArray[Any] | None = None,
) -> Gradients:
    r"""Gradient of `layer_norm`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, weight, bias, axis, eps, activation, mask, lengths, zero_masked
        As given to `layer_norm`. Of `bias` only the shape matters.
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
        If an axis is out of range.
    ValueError
        If an axis is repeated, or a parameter has the wrong number of entries.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}` and means over the feature axes,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right), \qquad
              dw = \sum dy\,\hat x, \qquad db = \sum dy ,

    the sums running over the samples.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016, arXiv:1607.06450.
    """
    values = as_float64(x)
    axes = resolve_axes(axis, values.ndim)
    part = counted(mask, lengths, values.shape, 1)
    if stats is None:
        stats = moments(values, axes, mask=part)
    centre, power = usable(stats)
    gradients = pull_back(
        dy,
        values,
        expand_optional(weight, values.shape, axes),
        expand_optional(bias, values.shape, axes),
        centre,
        power,
        eps,
        axes,
        activation=activation,
        mask=part,
        zero_masked=zero_masked,
    )
    return collapse(gradients._replace(x=deliver(gradients.x, out)), weight, bias)
