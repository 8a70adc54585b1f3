# SPDX-License-Identifier: BSD-3-Clause
"""Weight normalization: each row of a weight with the length that a parameter gives it."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.moments import Float64Array, RawMoments, raw_moments, resolve_axes
from fastnorm.reference.standardize import (
    as_float64,
    deliver,
    expand,
    pull_back,
    scale_and_shift,
)


class WeightNormGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of `weight_norm`.

    Attributes
    ----------
    v : ndarray
        Gradient with respect to v, of v's shape: float64, or `out` where one was given.
    g : ndarray of float64
        Gradient with respect to g, of its shape.
    """

    v: NDArray[Any]
    g: Float64Array


@overload
def weight_norm(
    v: ArrayLike,
    g: ArrayLike,
    *,
    channel_axis: int | None = 0,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def weight_norm(
    v: ArrayLike,
    g: ArrayLike,
    *,
    channel_axis: int | None = 0,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], RawMoments]: ...
def weight_norm(
    v: ArrayLike,
    g: ArrayLike,
    *,
    channel_axis: int | None = 0,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], RawMoments]:
    r"""Give each row of a weight the direction of `v` and the length `g`.

    Parameters
    ----------
    v : array_like
        The directions, of any real type and shape; converted to float64.
    g : array_like
        The lengths, one per output.
    channel_axis : int or None, default 0
        The axis of the outputs; a row is all the rest. None: all of `v` is one row.
    out : ndarray, optional
        Array of v's shape that receives the result, cast to its dtype. It may be `v`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    w : ndarray
        float64 of v's shape, whatever the type of `v`; or `out`.
    stats : RawMoments
        Only with `return_stats`: the mean square of each row.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `g` has the wrong number of entries.

    Notes
    -----
    With the :math:`m` values of a row,

    .. math:: w = g\,\frac{v}{\lVert v \rVert_2}
                = \frac{g}{\sqrt m}\,\frac{v}{\sqrt{\frac{1}{m} \sum_i v_i^2}} .

    A row of zeros gives zeros, and gradients of 0.

    References
    ----------
    T. Salimans, D. P. Kingma, "Weight Normalization", NeurIPS 2016, arXiv:1602.07868.
    """
    values = as_float64(v)
    axes = row_axes(channel_axis, values.ndim)
    stats = raw_moments(values, axes)
    factor = _factor(g, values.shape, axes, stats.count)
    w = deliver(scale_and_shift(values, factor, None, None, stats.mean_square, 0.0, axes), out)
    return (w, stats) if return_stats else w


def weight_norm_backward(
    dy: ArrayLike,
    v: ArrayLike,
    g: ArrayLike,
    *,
    channel_axis: int | None = 0,
    stats: RawMoments | None = None,
    out: NDArray[Any] | None = None,
) -> WeightNormGradients:
    r"""Gradient of `weight_norm`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to the weight w, of v's shape.
    v, g, channel_axis
        As given to `weight_norm`.
    stats : RawMoments, optional
        What ``return_stats=True`` gave; recomputed from `v` if None.
    out : ndarray, optional
        Array of v's shape that receives the gradient with respect to v, cast to its dtype. It may
        be `dy` or `v`.

    Returns
    -------
    WeightNormGradients
        Fields `v` and `g`.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `g` has the wrong number of entries.

    Notes
    -----
    With :math:`\hat v = v / \lVert v \rVert_2` and sums over a row,

    .. math:: dg = \sum dy\,\hat v, \qquad
              dv = \frac{g}{\lVert v \rVert_2} \left( dy - \hat v\,dg \right) .

    References
    ----------
    T. Salimans, D. P. Kingma, "Weight Normalization", NeurIPS 2016, arXiv:1602.07868, section 2.1.
    """
    values = as_float64(v)
    axes = row_axes(channel_axis, values.ndim)
    if stats is None:
        stats = raw_moments(values, axes)
    factor = _factor(g, values.shape, axes, stats.count)
    dv, dfactor, _ = pull_back(dy, values, factor, None, None, stats.mean_square, 0.0, axes)
    assert dfactor is not None
    dg = dfactor / math.sqrt(max(stats.count, 1))
    return WeightNormGradients(deliver(dv, out), dg.reshape(np.shape(g)))


def row_axes(channel_axis: int | None, ndim: int) -> tuple[int, ...]:
    """All axes but that of the outputs; None: all axes."""
    kept = () if channel_axis is None else resolve_axes(channel_axis, ndim)
    return tuple(axis for axis in range(ndim) if axis not in kept)


def _factor(
    g: ArrayLike, shape: tuple[int, ...], axes: tuple[int, ...], count: int
) -> Float64Array:
    """g / sqrt(m), made to broadcast against a weight of `shape`."""
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    return expand(as_float64(g) / math.sqrt(max(count, 1)), shape, kept)
