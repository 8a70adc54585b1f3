# SPDX-License-Identifier: BSD-3-Clause
"""Scaled weight standardization: `weight_standardization` by the root of the fan-in, with gains."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.moments import Float64Array, Moments, count_values, moments
from fastnorm.reference.standardize import (
    as_float64,
    deliver,
    expand,
    pull_back,
    refuse_single_values,
    scale_and_shift,
)
from fastnorm.reference.weight_norm import row_axes


class ScaledWeightStandardizationGradients(NamedTuple):
    """Gradients of a scalar loss with respect to those of `scaled_weight_standardization`.

    Attributes
    ----------
    weight : ndarray
        Gradient with respect to the weight, of its shape: float64, or `out` where one was given.
    gain : ndarray of float64 or None
        Gradient with respect to the gain, of its shape; None where the argument was None.
    """

    weight: NDArray[Any]
    gain: Float64Array | None


@overload
def scaled_weight_standardization(
    weight: ArrayLike,
    gain: ArrayLike | None = None,
    *,
    gamma: float = 1.0,
    channel_axis: int = 0,
    eps: float = 1e-6,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def scaled_weight_standardization(
    weight: ArrayLike,
    gain: ArrayLike | None = None,
    *,
    gamma: float = 1.0,
    channel_axis: int = 0,
    eps: float = 1e-6,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], Moments]: ...
def scaled_weight_standardization(
    weight: ArrayLike,
    gain: ArrayLike | None = None,
    *,
    gamma: float = 1.0,
    channel_axis: int = 0,
    eps: float = 1e-6,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], Moments]:
    r"""Standardize each row of a weight, and scale it so that variances pass through unchanged.

    Parameters
    ----------
    weight : array_like
        Values of any real type and shape; converted to float64.
    gain : array_like, optional
        A factor per output.
    gamma : float, default 1.0
        The gain of the activation before the layer.
    channel_axis : int, default 0
        The axis of the outputs; a row is all the rest.
    eps : float, default 1e-6
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
        If a row has one value, or `gain` the wrong number of entries.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of the F values of a row W,

    .. math:: w = \text{gain}\,\frac{\gamma}{\sqrt F}\,\frac{W - \mu}{\sqrt{v + \epsilon}} .

    References
    ----------
    A. Brock, S. De, S. L. Smith, "Characterizing Signal Propagation to Close the Performance Gap in
    Unnormalized ResNets", ICLR 2021, arXiv:2101.08692.
    """
    values = as_float64(weight)
    axes = row_axes(channel_axis, values.ndim)
    refuse_single_values(values.shape, axes)
    factor = _factor(gain, gamma, values.shape, axes)
    stats = moments(values, axes)
    w = deliver(scale_and_shift(values, factor, None, stats.mean, stats.var, eps, axes), out)
    return (w, stats) if return_stats else w


def scaled_weight_standardization_backward(
    dy: ArrayLike,
    weight: ArrayLike,
    gain: ArrayLike | None = None,
    *,
    gamma: float = 1.0,
    channel_axis: int = 0,
    eps: float = 1e-6,
    stats: Moments | None = None,
    out: NDArray[Any] | None = None,
) -> ScaledWeightStandardizationGradients:
    r"""Gradient of `scaled_weight_standardization`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to the standardized weight, of weight's shape.
    weight, gain, gamma, channel_axis, eps
        As given to `scaled_weight_standardization`.
    stats : Moments, optional
        What ``return_stats=True`` gave; recomputed from `weight` if None.
    out : ndarray, optional
        Array of weight's shape that receives the gradient with respect to it, cast to its dtype. It
        may be `dy` or `weight`.

    Returns
    -------
    ScaledWeightStandardizationGradients
        Fields `weight` and `gain`, the latter None where the argument was None.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a row has one value, or `gain` the wrong number of entries.

    Notes
    -----
    With :math:`r = 1/\sqrt{v + \epsilon}`, :math:`\hat w = (W - \mu) r`,
    :math:`g = dy\,\text{gain}\,\gamma / \sqrt F` and means over the row,

    .. math:: dW = r \left( g - \overline{g} - \hat w\,\overline{g\,\hat w} \right), \qquad
              d\text{gain} = \frac{\gamma}{\sqrt F} \sum dy\,\hat w .

    References
    ----------
    A. Brock, S. De, S. L. Smith, "Characterizing Signal Propagation to Close the Performance Gap in
    Unnormalized ResNets", ICLR 2021, arXiv:2101.08692.
    """
    values = as_float64(weight)
    axes = row_axes(channel_axis, values.ndim)
    refuse_single_values(values.shape, axes)
    factor = _factor(gain, gamma, values.shape, axes)
    if stats is None:
        stats = moments(values, axes)
    dweight, dfactor, _ = pull_back(dy, values, factor, None, stats.mean, stats.var, eps, axes)
    dgain = None
    if gain is not None and dfactor is not None:
        dgain = (dfactor * _scale(gamma, values.shape, axes)).reshape(np.shape(gain))
    return ScaledWeightStandardizationGradients(deliver(dweight, out), dgain)


def _scale(gamma: float, shape: tuple[int, ...], axes: tuple[int, ...]) -> float:
    """gamma / sqrt(F)."""
    return gamma / math.sqrt(max(count_values(shape, axes), 1))


def _factor(
    gain: ArrayLike | None, gamma: float, shape: tuple[int, ...], axes: tuple[int, ...]
) -> Float64Array:
    """What multiplies the standardized weight, made to broadcast against it."""
    scale = _scale(gamma, shape, axes)
    if gain is None:
        return as_float64(scale)
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    return expand(as_float64(gain) * scale, shape, kept)
