# SPDX-License-Identifier: BSD-3-Clause
"""Root-mean-square normalization: the scale of `layer_norm` without its shift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, overload

from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.masked import counted, masked_square, usable, zeroed
from fastnorm.reference.moments import Float64Array, RawMoments, raw_moments, resolve_axes
from fastnorm.reference.standardize import (
    as_float64,
    deliver,
    expand_optional,
    pull_back,
    reshape_like,
    scale_and_shift,
)


class RMSNormGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of `rms_norm`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape: float64, or `out` where one was given.
    weight : ndarray of float64 or None
        Gradient with respect to the weight, of its shape; None where the argument was None.
    """

    x: NDArray[Any]
    weight: Float64Array | None


@overload
def rms_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def rms_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], RawMoments]: ...
def rms_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], RawMoments]:
    r"""Scale each sample to a root mean square of 1 over its feature axes.

    Parameters
    ----------
    x : array_like
        Values of any real type and shape; converted to float64.
    weight : array_like, optional
        Elementwise factor, of the shape of the axes `axis` of `x` in ascending order.
    axis : int or sequence of int, default -1
        The feature axes.
    eps : float, default 1e-6
        Added to the mean square, in squared units of `x`.
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
    stats : RawMoments
        Only with `return_stats`: the mean square in the shape of the kept axes.

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated, or the weight has the wrong number of entries.

    Notes
    -----
    Over the :math:`m` features of a sample,

    .. math:: y = w\,\frac{x}{\sqrt{\frac{1}{m} \sum_i x_i^2 + \epsilon}} .

    With ``eps=0`` a sample of zeros gives zeros, and a gradient of 0.

    References
    ----------
    B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, arXiv:1910.07467.
    """
    values = as_float64(x)
    axes = resolve_axes(axis, values.ndim)
    part = counted(mask, lengths, values.shape, 1)
    stats = raw_moments(values, axes) if part is None else masked_square(values, part, axes)
    _, power = usable(stats)
    factor = expand_optional(weight, values.shape, axes)
    y = scale_and_shift(values, factor, None, None, power, eps, axes, activation)
    y = deliver(zeroed(y, part, zero_masked), out)
    return (y, stats) if return_stats else y


def rms_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_masked: bool = False,
    stats: RawMoments | None = None,
    out: NDArray[Any] | None = None,
) -> RMSNormGradients:
    r"""Gradient of `rms_norm`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, weight, axis, eps, activation, mask, lengths, zero_masked
        As given to `rms_norm`.
    stats : RawMoments, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
    out : ndarray, optional
        Array of x's shape that receives the gradient with respect to x, cast to its dtype. It may
        be `dy` or `x`.

    Returns
    -------
    RMSNormGradients
        Fields `x` and `weight`, the latter None where the argument was None.

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated, or the weight has the wrong number of entries.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{\overline{x^2} + \epsilon}`, :math:`\hat x = r x` and
    means over the feature axes,

    .. math:: dx = r \left( g - \hat x\,\overline{g \hat x} \right), \qquad
              dw = \sum dy\,\hat x ,

    the sum running over the samples.

    References
    ----------
    B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, arXiv:1910.07467.
    """
    values = as_float64(x)
    axes = resolve_axes(axis, values.ndim)
    part = counted(mask, lengths, values.shape, 1)
    if stats is None:
        stats = raw_moments(values, axes) if part is None else masked_square(values, part, axes)
    _, power = usable(stats)
    factor = expand_optional(weight, values.shape, axes)
    dx, dweight, _ = pull_back(
        dy,
        values,
        factor,
        None,
        None,
        power,
        eps,
        axes,
        activation=activation,
        mask=part,
        zero_masked=zero_masked,
    )
    return RMSNormGradients(deliver(dx, out), reshape_like(dweight, weight))
