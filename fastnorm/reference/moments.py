# SPDX-License-Identifier: BSD-3-Clause
"""Mean and variance over any axes: the statistics under every normalizer here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import ArrayLike, NDArray

Float64Array = NDArray[np.float64]


class Moments(NamedTuple):
    """Mean, biased variance and number of values of each statistics group.

    Attributes
    ----------
    mean, var : ndarray of float64
        Mean and biased variance (divisor `count`), one entry per group. The variance is in
        squared units of the data. Both are NaN where a group is empty or holds a NaN or Inf.
    count : int
        Number of values in each group. It is 0 for empty groups, and for the running statistics
        that `batch_norm` reports in evaluation, which no batch stands behind.
    """

    mean: Float64Array
    var: Float64Array
    count: int  # type: ignore[assignment]  # the field hides tuple.count, as intended

    def merge(self, *others: Moments) -> Moments:
        r"""Moments of the union of several disjoint sets, from the moments of each.

        Callable as ``Moments.merge(a, b, c)`` and as ``a.merge(b, c)``. The parts are merged from
        left to right; a part with count 0 contributes nothing.

        Parameters
        ----------
        *others : Moments
            Moments over other values of the same groups: same shapes, any counts.

        Returns
        -------
        Moments
            A new tuple, with the counts added.

        Notes
        -----
        With :math:`n = n_a + n_b` and :math:`\delta = \mu_b - \mu_a`,

        .. math:: \mu = \mu_a + \delta\,\frac{n_b}{n}, \qquad
                  v = \frac{n_a}{n} v_a + \frac{n_b}{n} v_b + \delta^2\,\frac{n_a n_b}{n^2}.

        References
        ----------
        T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for Computing the Sample Variance:
        Analysis and Recommendations", The American Statistician 37 (1983), 242-247.
        """
        merged = self
        for part in others:
            merged = _merge_two(merged, part)
        return merged


class RawMoments(NamedTuple):
    """Mean square and number of values of each statistics group, without any centring.

    Attributes
    ----------
    mean_square : ndarray of float64
        Mean of the squares, one entry per group, in squared units of the data.
    count : int
        Number of values in each group.
    """

    mean_square: Float64Array
    count: int  # type: ignore[assignment]  # the field hides tuple.count, as intended


def moments(
    x: ArrayLike,
    axis: int | Sequence[int] | None = None,
    *,
    keepdims: bool = False,
    mask: ArrayLike | None = None,
) -> Moments:
    r"""Mean and biased variance of `x` over `axis`.

    Parameters
    ----------
    x : array_like
        Values of any real type and shape; converted to float64.
    axis : int or sequence of int, optional
        Axes to reduce, in any order, negative ones count from the end. None reduces all axes; the
        empty tuple reduces none (every value is its own group, of variance 0).
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    mask : array_like of bool, optional
        True where a value counts; broadcasts against `x`. The count has an entry per group then.

    Returns
    -------
    Moments
        `mean` and `var` of the shape of the kept axes, and `count`, the values per group.

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated.

    Notes
    -----
    Over the :math:`m` values of a group,

    .. math:: \mu = \frac{1}{m} \sum_i x_i, \qquad v = \frac{1}{m} \sum_i (x_i - \mu)^2 .

    The sums are taken over differences, never as :math:`E[x^2] - E[x]^2`, and each centre is
    corrected once by the mean of what it leaves behind. Hence a constant group has its value as
    mean and exactly 0 as variance, and the variance does not lose digits to a large mean.

    References
    ----------
    T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for Computing the Sample Variance: Analysis
    and Recommendations", The American Statistician 37 (1983), 242-247: the corrected two-pass form.

    Examples
    --------
    >>> mean, var, count = moments([[1.0, 3.0], [5.0, 5.0]], axis=1)
    >>> mean, var, count
    (array([2., 5.]), array([1., 0.]), 2)
    """
    values = np.asarray(x, dtype=np.float64)
    axes = resolve_axes(axis, values.ndim)
    if mask is not None:
        part = np.broadcast_to(np.asarray(mask, dtype=bool), values.shape)
        return _part_moments(values, part, axes, keepdims=keepdims)

    mean = average(values, axes)
    with np.errstate(invalid="ignore"):  # Inf - Inf in a group with an Inf, which becomes NaN
        mean = mean + average(values - mean, axes)  # takes back the rounding of the first sum
        centred = values - mean
        # A float64 mean is itself rounded, by up to half an ulp: at mean 1e16 that is 1.
        centred = centred - average(centred, axes)
    var = average_square(centred, axes)

    if not keepdims:
        mean, var = np.squeeze(mean, axes), np.squeeze(var, axes)
    # asarray: arithmetic on 0-d arrays gives scalars.
    return Moments(np.asarray(mean), np.asarray(var), count_values(values.shape, axes))


def _part_moments(
    x: Float64Array, mask: NDArray[np.bool_], axes: tuple[int, ...], *, keepdims: bool
) -> Moments:
    """Mean, biased variance and count of what counts."""
    count = mask.sum(axis=axes, keepdims=True)
    with np.errstate(all="ignore"):
        mean = np.where(mask, x, 0.0).sum(axis=axes, keepdims=True) / count
        mean = mean + np.where(mask, x - mean, 0.0).sum(axis=axes, keepdims=True) / count
        var = np.where(mask, x - mean, 0.0) ** 2
        var = var.sum(axis=axes, keepdims=True) / count
    parts = [np.asarray(p if keepdims else np.squeeze(p, axes)) for p in (mean, var, count)]
    return Moments(*parts)  # type: ignore[arg-type]  # a count per group


def raw_moments(x: Float64Array, axes: tuple[int, ...]) -> RawMoments:
    """Mean square of `x` over `axes` (non-negative), in the shape of the kept axes."""
    mean_square = np.squeeze(average_square(x, axes), axes)
    return RawMoments(np.asarray(mean_square), count_values(x.shape, axes))


def resolve_axes(axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """`axis` as a sorted tuple of non-negative axes; None stands for all of them."""
    return tuple(range(ndim)) if axis is None else tuple(sorted(normalize_axis_tuple(axis, ndim)))


def count_values(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    """Return the number of values in each group when `axes` of an array of `shape` are reduced."""
    return math.prod(shape[axis] for axis in axes)


def average(values: Float64Array, axes: tuple[int, ...]) -> Float64Array:
    """Mean over `axes`, kept with length 1; NaN, without a warning, where there is no value."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(values.sum(axis=axes, keepdims=True) / count_values(values.shape, axes))


def average_square(values: Float64Array, axes: tuple[int, ...]) -> Float64Array:
    """Mean of the squares over `axes`, kept with length 1."""
    with np.errstate(over="ignore", under="ignore"):
        return average(np.square(values), axes)


def _merge_two(a: Moments, b: Moments) -> Moments:
    if b.count == 0:
        return a
    if a.count == 0:
        return b
    count = a.count + b.count
    share_a, share_b = a.count / count, b.count / count
    with np.errstate(invalid="ignore", over="ignore"):
        delta = b.mean - a.mean
        mean = a.mean + delta * share_b
        var = a.var * share_a + b.var * share_b + delta**2 * (share_a * share_b)
    return Moments(mean, var, count)
