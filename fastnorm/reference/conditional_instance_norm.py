# SPDX-License-Identifier: BSD-3-Clause
"""Conditional instance normalization: `standardize` over space, affine by the sample's class."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.instance_norm import resolve_instances
from fastnorm.reference.moments import Float64Array, Moments
from fastnorm.reference.standardize import (
    Gradients,
    as_float64,
    expand,
    standardize,
    standardize_backward,
)


@overload
def conditional_instance_norm(
    x: ArrayLike,
    labels: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def conditional_instance_norm(
    x: ArrayLike,
    labels: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], Moments]: ...
def conditional_instance_norm(
    x: ArrayLike,
    labels: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], Moments]:
    r"""Normalize each channel of each sample over space; scale and shift it as its class says.

    Parameters
    ----------
    x : array_like
        Values of any real type, with at least 3 axes, axis 0 the batch of N samples; converted to
        float64.
    labels : array_like of int, shape (N,)
        The class of each sample, a row of the tables.
    weight, bias : array_like of shape (classes, C)
        Factors and summands of the channels, a row for each class.
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
    IndexError
        If a label is beyond the tables.
    ValueError
        If there is one value per sample and channel, or if a table has not C columns.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of each sample's channel over space, and the
    class :math:`k` of the sample,

    .. math:: y = w_k\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b_k .

    References
    ----------
    V. Dumoulin, J. Shlens, M. Kudlur, "A Learned Representation for Artistic Style", ICLR 2017,
    arXiv:1610.07629, section 2.2.
    """
    values = as_float64(x)
    channel, axes = resolve_instances(values, channel_axis)
    y, stats = standardize(
        values,
        _expand_rows(weight, labels, values.shape, (0, *channel)),
        _expand_rows(bias, labels, values.shape, (0, *channel)),
        axis=axes,
        eps=eps,
        out=out,
        return_stats=True,
    )
    return (y, stats) if return_stats else y


def conditional_instance_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    labels: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Moments | None = None,
    out: NDArray[Any] | None = None,
) -> Gradients:
    r"""Gradient of `conditional_instance_norm`; the labels have none.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, labels, weight, bias, eps, channel_axis
        As given to `conditional_instance_norm`. Of `bias` only the shape matters.
    stats : Moments, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
    out : ndarray, optional
        Array of x's shape that receives the gradient with respect to x, cast to its dtype. It may
        be `dy` or `x`.

    Returns
    -------
    Gradients
        Fields `x`, `weight`, `bias`.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    IndexError
        If a label is beyond the tables.
    ValueError
        If there is one value per sample and channel, or if a table has not C columns.

    Notes
    -----
    With :math:`k` the class of the sample, :math:`g = w_k\,dy`, :math:`r = 1/\sqrt{v + \epsilon}`
    and means over space,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right), \qquad
              dw_k = \sum dy\,\hat x, \qquad db_k = \sum dy ,

    the sums running over space and the samples of class k. A class without samples has 0.

    References
    ----------
    V. Dumoulin, J. Shlens, M. Kudlur, "A Learned Representation for Artistic Style", ICLR 2017,
    arXiv:1610.07629, section 2.2.
    """
    values = as_float64(x)
    channel, axes = resolve_instances(values, channel_axis)
    gradients = standardize_backward(
        dy,
        values,
        _expand_rows(weight, labels, values.shape, (0, *channel)),
        _expand_rows(bias, labels, values.shape, (0, *channel)),
        axis=axes,
        eps=eps,
        stats=stats,
        out=out,
    )
    return Gradients(
        gradients.x,
        _sum_by_class(gradients.weight, labels, weight),
        _sum_by_class(gradients.bias, labels, bias),
    )


def _expand_rows(
    table: ArrayLike, labels: ArrayLike, shape: tuple[int, ...], axes: tuple[int, ...]
) -> Float64Array:
    """The row of each sample, made to broadcast against an array of `shape`."""
    return expand(as_float64(table)[np.asarray(labels)], shape, axes)


def _sum_by_class(
    gradient: Float64Array | None, labels: ArrayLike, table: ArrayLike
) -> Float64Array:
    """Add the gradients of the samples' rows to those of the table's, in the samples' order."""
    total = np.zeros(np.shape(table))
    assert gradient is not None
    np.add.at(total, np.asarray(labels), gradient.reshape(-1, *total.shape[1:]))
    return total
