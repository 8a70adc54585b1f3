# SPDX-License-Identifier: BSD-3-Clause
"""Weight standardization: each row of a weight by its own mean and variance."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.moments import Moments, moments
from fastnorm.reference.standardize import (
    as_float64,
    deliver,
    pull_back,
    refuse_single_values,
    scale_and_shift,
)
from fastnorm.reference.weight_norm import row_axes


class WeightStandardizationGradients(NamedTuple):
    """Gradient of a scalar loss with respect to the argument of `weight_standardization`.

    Attributes
    ----------
    weight : ndarray
        Gradient with respect to the weight, of its shape: float64, or `out` where one was given.
    """

    weight: NDArray[Any]


@overload
def weight_standardization(
    weight: ArrayLike,
    *,
    channel_axis: int = 0,
    eps: float = 1e-5,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def weight_standardization(
    weight: ArrayLike,
    *,
    channel_axis: int = 0,
    eps: float = 1e-5,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], Moments]: ...
def weight_standardization(
    weight: ArrayLike,
    *,
    channel_axis: int = 0,
    eps: float = 1e-5,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], Moments]:
    r"""Shift and scale each row of a weight to mean 0 and variance 1.

    Parameters
    ----------
    weight : array_like
        Values of any real type and shape; converted to float64.
    channel_axis : int, default 0
        The axis of the outputs; a row is all the rest.
    eps : float, default 1e-5
        Added to the variance, in squared units of `weight`.
    out : ndarray, optional
        Array of weight's shape that receives the result, cast to its dtype. It may be `weight`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    w : ndarray
        float64 of weight's shape, whatever its type; or `out`.
    stats : Moments
        Only with `return_stats`: mean and biased variance of each row.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a row has one value.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of a row W,

    .. math:: w = \frac{W - \mu}{\sqrt{v + \epsilon}} .

    References
    ----------
    S. Qiao, H. Wang, C. Liu, W. Shen, A. Yuille, "Micro-Batch Training with Batch-Channel
    Normalization and Weight Standardization", 2019, arXiv:1903.10520.
    """
    values = as_float64(weight)
    axes = row_axes(channel_axis, values.ndim)
    refuse_single_values(values.shape, axes)
    stats = moments(values, axes)
    w = deliver(scale_and_shift(values, None, None, stats.mean, stats.var, eps, axes), out)
    return (w, stats) if return_stats else w


def weight_standardization_backward(
    dy: ArrayLike,
    weight: ArrayLike,
    *,
    channel_axis: int = 0,
    eps: float = 1e-5,
    stats: Moments | None = None,
    out: NDArray[Any] | None = None,
) -> WeightStandardizationGradients:
    r"""Gradient of `weight_standardization`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to the standardized weight, of weight's shape.
    weight, channel_axis, eps
        As given to `weight_standardization`.
    stats : Moments, optional
        What ``return_stats=True`` gave; recomputed from `weight` if None.
    out : ndarray, optional
        Array of weight's shape that receives the gradient, cast to its dtype. It may be `dy` or
        `weight`.

    Returns
    -------
    WeightStandardizationGradients
        The field `weight`.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a row has one value.

    Notes
    -----
    With :math:`r = 1/\sqrt{v + \epsilon}`, :math:`w = (W - \mu) r` and means over the row,

    .. math:: dW = r \left( dy - \overline{dy} - w\,\overline{dy\,w} \right) .

    References
    ----------
    S. Qiao et al., "Micro-Batch Training with Batch-Channel Normalization and Weight
    Standardization", 2019, arXiv:1903.10520.
    """
    values = as_float64(weight)
    axes = row_axes(channel_axis, values.ndim)
    refuse_single_values(values.shape, axes)
    if stats is None:
        stats = moments(values, axes)
    dweight, *_ = pull_back(dy, values, None, None, stats.mean, stats.var, eps, axes)
    return WeightStandardizationGradients(deliver(dweight, out))
