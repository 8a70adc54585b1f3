# SPDX-License-Identifier: BSD-3-Clause
"""Denormalization: the inverse of `standardize`, by statistics that are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.moments import Float64Array, resolve_axes
from fastnorm.reference.standardize import as_float64, deliver, expand, expand_kept, sum_to


class DenormalizeGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of `denormalize`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape: float64, or `out` where one was given.
    mean, var : ndarray of float64
        Gradients with respect to the statistics, of their shapes.
    weight, bias : ndarray of float64 or None
        Gradients with respect to the parameters, of their shapes; None where the argument was None.
    """

    x: NDArray[Any]
    mean: Float64Array
    var: Float64Array
    weight: Float64Array | None
    bias: Float64Array | None


def denormalize(
    x: ArrayLike,
    mean: ArrayLike,
    var: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: int | Sequence[int] | None = None,
    channel_axis: int | None = None,
    eps: float = 1e-5,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    r"""Undo a normalization: give x the mean and the variance that were taken from it, or others.

    Parameters
    ----------
    x : array_like
        Normalized values of any real type and shape; converted to float64.
    mean, var : array_like
        The statistics, in the shape of the axes of x that are not in `axis`, or, where that is
        None, broadcast against `x`.
    weight, bias : array_like, optional
        Parameters of the normalization, of shape (C,) along `channel_axis` or, where that is None,
        broadcast against `x`.
    axis : int or sequence of int, optional
        The axes that the statistics are over.
    channel_axis : int, optional
        The axis that the parameters run along.
    eps : float, default 1e-5
        Added to the variance.
    out : ndarray, optional
        Array of x's shape that receives the result, cast to its dtype. It may be `x`.

    Returns
    -------
    ndarray
        float64 of x's shape, whatever the type of `x`; or `out`.

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated, or the shapes do not fit.

    Notes
    -----
    .. math:: y = \frac{x - b}{w} \sqrt{v + \epsilon} + \mu

    References
    ----------
    T. Kim, J. Kim, Y. Tae, C. Park, J.-H. Choi, J. Choo, "Reversible Instance Normalization for
    Accurate Time-Series Forecasting against Distribution Shift", ICLR 2022.
    """
    values = as_float64(x)
    shape = values.shape
    with np.errstate(all="ignore"):
        std = np.sqrt(_statistic(var, shape, axis) + eps)
        normalized = _plain(values, weight, bias, channel_axis)
        return deliver(normalized * std + _statistic(mean, shape, axis), out)


def denormalize_backward(
    dy: ArrayLike,
    x: ArrayLike,
    mean: ArrayLike,
    var: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: int | Sequence[int] | None = None,
    channel_axis: int | None = None,
    eps: float = 1e-5,
    out: NDArray[Any] | None = None,
) -> DenormalizeGradients:
    r"""Gradient of `denormalize` with respect to all its arrays.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, mean, var, weight, bias, axis, channel_axis, eps
        As given to `denormalize`. Of `mean` only the shape matters.
    out : ndarray, optional
        Array of x's shape that receives the gradient with respect to x, cast to its dtype. It may
        be `dy` or `x`.

    Returns
    -------
    DenormalizeGradients
        Fields `x`, `mean`, `var`, `weight`, `bias`, the latter two None where the argument was
        None.

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated, or the shapes do not fit.

    Notes
    -----
    With :math:`\sigma = \sqrt{v + \epsilon}`,

    .. math:: dx = \frac{\sigma}{w}\,dy, \qquad d\mu = \sum dy, \qquad
              dv = \frac{1}{2 \sigma} \sum dy\,\frac{x - b}{w}, \qquad
              dw = -\frac{1}{w^2} \sum dy\,(x - b)\,\sigma, \qquad db = -\sum dx ,

    the sums running over the axes along which the argument is broadcast. Where :math:`\sigma = 0`,
    its reciprocal is defined as 0.

    References
    ----------
    T. Kim, J. Kim, Y. Tae, C. Park, J.-H. Choi, J. Choo, "Reversible Instance Normalization for
    Accurate Time-Series Forecasting against Distribution Shift", ICLR 2022.
    """
    values, dy = as_float64(x), as_float64(dy)
    shape = values.shape
    with np.errstate(all="ignore"):
        std = np.sqrt(_statistic(var, shape, axis) + eps)
        factor = 1.0 if weight is None else _coefficient(weight, shape, channel_axis)
        normalized = _plain(values, weight, bias, channel_axis)
        dx = dy * std / factor
        dstd = sum_to(dy * normalized, std.shape)
        dvar = np.where(std == 0.0, 0.0, dstd / (2.0 * std))
        dmean = sum_to(dy, _statistic(mean, shape, axis).shape)
        dweight = None
        if weight is not None:
            wide = sum_to(dy * normalized * std, np.shape(factor)) / -factor
            dweight = np.reshape(wide, np.shape(weight))
        dbias = None
        if bias is not None:
            summand = _coefficient(bias, shape, channel_axis)
            dbias = np.reshape(-sum_to(dx, summand.shape), np.shape(bias))
    return DenormalizeGradients(
        deliver(dx, out),
        np.reshape(dmean, np.shape(mean)),
        np.reshape(dvar, np.shape(var)),
        dweight,
        dbias,
    )


def _plain(
    x: Float64Array, weight: ArrayLike | None, bias: ArrayLike | None, channel_axis: int | None
) -> Float64Array:
    """What x was before weight and bias."""
    if bias is not None:
        x = x - _coefficient(bias, x.shape, channel_axis)
    return x if weight is None else x / _coefficient(weight, x.shape, channel_axis)


def _statistic(
    values: ArrayLike, shape: tuple[int, ...], axis: int | Sequence[int] | None
) -> Float64Array:
    """A statistic over `axis`, made to broadcast against an array of `shape`."""
    if axis is None:
        return as_float64(values)
    return expand_kept(values, shape, resolve_axes(axis, len(shape)))


def _coefficient(
    values: ArrayLike, shape: tuple[int, ...], channel_axis: int | None
) -> Float64Array:
    """A parameter along `channel_axis`, made to broadcast against an array of `shape`."""
    if channel_axis is None:
        return as_float64(values)
    return expand(values, shape, (normalize_axis_index(channel_axis, len(shape)),))
