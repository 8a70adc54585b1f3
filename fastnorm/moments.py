# SPDX-License-Identifier: BSD-3-Clause
"""Mean and variance over any axes, and statistics that can be merged: under every normalizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnorm import _core
from fastnorm._args import array, given_moments, new_statistic
from fastnorm._groups import AXES, over_axes
from fastnorm._masked import Part, mask_argument
from fastnorm._numbers import integer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from fastnorm._core import Groups
    from fastnorm._types import Array, ArrayInput, Axis, Shape


class RawMoments(NamedTuple):
    """Mean square and number of values of each statistics group, without any centring.

    Attributes
    ----------
    mean_square : ndarray of float64
        Mean of the squares, one entry per group, in squared units of the data.
    count : int
        Number of values in each group.
    """

    mean_square: NDArray[np.float64]
    count: int  # type: ignore[assignment]  # the field hides tuple.count, as intended


class Moments:
    """Mean, biased variance and number of values of each statistics group.

    An instance unpacks and indexes as the tuple ``(mean, var, count)``. Instances over different
    values of the same groups can be merged, which gives the statistics of all the values without
    seeing them again: over the batches of a data set, the files of an archive, the ranks of a job.

    Parameters
    ----------
    mean, var : array_like
        Mean and biased variance (divisor `count`) of each group, of one shape; kept as float64.
    count : int, or array of int
        Number of values in each group; an array of one entry per group where a mask makes them
        differ. Groups without a value have count 0, and so have the running statistics that
        `batch_norm` reports in evaluation, behind which stands no batch.

    Attributes
    ----------
    mean, var : ndarray of float64
        Mean, in units of the data, and variance, in squared units. NaN where a group is empty.
    count : int, or ndarray of int64
        Number of values in each group, exact.

    Raises
    ------
    ValueError
        If `mean` and `var` differ in shape, or `count` is negative.
    TypeError
        If `count` is not an integer.

    See Also
    --------
    moments : Computes them from an array.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> seen = fastnorm.moments(np.array([[1.0, 5.0], [3.0, 5.0]]), axis=0)
    >>> seen.update(np.array([[5.0, 8.0]]))
    Moments(mean=array([3., 6.]), var=array([2.66666667, 2.        ]), count=3)
    >>> mean, var, count = seen
    """

    __slots__ = ("_axis", "_keepdims", "count", "mean", "var")

    mean: NDArray[np.float64]
    var: NDArray[np.float64]
    count: int
    _axis: Axis
    _keepdims: bool

    def __init__(self, mean: ArrayLike, var: ArrayLike, count: int) -> None:
        self.mean = np.asarray(mean, dtype=np.float64)
        self.var = np.asarray(var, dtype=np.float64)
        self.count = _count_of(count, self.mean.shape)
        if self.mean.shape != self.var.shape:
            raise ValueError(f"var has shape {self.var.shape}, expected {self.mean.shape} = mean's")
        self._axis = 0 if self.mean.ndim else None
        self._keepdims = False

    def merge(self, *others: Moments) -> Moments:
        r"""Merge the moments of disjoint sets of values into those of their union.

        Callable as ``Moments.merge(a, b, c)`` and as ``a.merge(b, c)``. The parts are merged from
        left to right, and a part with count 0 contributes nothing.

        Parameters
        ----------
        *others : Moments
            Moments over other values of the same groups: same shapes, any counts.

        Returns
        -------
        Moments
            New moments, with the counts added.

        Raises
        ------
        TypeError
            If a part is no `Moments`.
        ValueError
            If the shapes of two parts differ.

        Notes
        -----
        With :math:`n = n_a + n_b` and :math:`\delta = \mu_b - \mu_a`,

        .. math:: \mu = \mu_a + \delta\,\frac{n_b}{n}, \qquad
                  v = \frac{n_a}{n} v_a + \frac{n_b}{n} v_b + \delta^2\,\frac{n_a n_b}{n^2},

        which unlike sums of squares loses no digits where the mean is large.

        References
        ----------
        T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for Computing the Sample Variance:
        Analysis and Recommendations", The American Statistician 37 (1983), 242-247.

        Examples
        --------
        >>> import fastnorm
        >>> a, b = fastnorm.Moments(1.0, 0.0, 2), fastnorm.Moments(4.0, 0.0, 1)
        >>> a.merge(b)
        Moments(mean=array(2.), var=array(2.), count=3)
        """
        mean, var, count = _moments_of(self)
        for part in others:
            other_mean, other_var, other_count = _moments_of(part)
            if other_mean.shape != mean.shape:
                raise ValueError(
                    f"moments of shape {other_mean.shape} cannot be merged into moments of shape "
                    f"{mean.shape}"
                )
            if not (np.ndim(count) or np.ndim(other_count)):
                if other_count == 0:
                    continue
                if count == 0:
                    mean, var, count = other_mean, other_var, other_count
                    continue
            mean, var, count = _merged(mean, var, count, other_mean, other_var, other_count)
        merged = Moments(np.array(mean), np.array(var), count)
        merged._axis, merged._keepdims = self._axis, self._keepdims
        return merged

    def update(self, x: ArrayInput) -> Moments:
        """Fold the values of another batch into these moments.

        Parameters
        ----------
        x : array
            Values of the same groups, as `moments` takes them. They are reduced over the axes these
            moments came from; for moments made by hand over all axes if `mean` has none, over axis
            0 if it has some.

        Returns
        -------
        Moments
            These moments. Arrays that `mean` and `var` were before are left as they are.

        Raises
        ------
        TypeError
            If `x` is no array of a supported type.
        ValueError
            If the groups of `x` are not those of these moments.

        Examples
        --------
        >>> import numpy as np
        >>> import fastnorm
        >>> total = fastnorm.Moments(np.zeros(2), np.zeros(2), 0)
        >>> for batch in np.array([[[1.0, 2.0]], [[3.0, 2.0]]]):
        ...     _ = total.update(batch)
        >>> total
        Moments(mean=array([2., 2.]), var=array([1., 0.]), count=2)
        """
        merged = self.merge(moments(x, self._axis, keepdims=self._keepdims))
        self.mean, self.var, self.count = merged  # of one group or of many
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter((self.mean, self.var, self.count))

    def __getitem__(self, index: Any) -> Any:
        return (self.mean, self.var, self.count)[index]

    def __len__(self) -> int:
        return 3

    def __repr__(self) -> str:
        return f"Moments(mean={self.mean!r}, var={self.var!r}, count={self.count})"


def moments(
    x: ArrayInput, axis: Axis = None, *, keepdims: bool = False, mask: ArrayInput | None = None
) -> Moments:
    r"""Mean and biased variance over any axes, in float64 and in one pass over `x`.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of any shape and strides: an ndarray, or an object with DLPack, ``__array__`` or a
        buffer.
    axis : int or tuple of int, optional
        Axes to reduce, in any order; None for all of them, ``()`` for none.
    keepdims : bool, default False
        Keep the reduced axes, with length 1.
    mask : array of bool, optional
        True where a value counts; broadcasts against `x`. The count is an array then, of one entry
        per group.

    Returns
    -------
    Moments
        Mean and variance (divisor `count`) in float64, in the shape of the axes that are kept, and
        the number of values per group. Where a group is empty both are NaN.

    Raises
    ------
    TypeError
        If `x` is no array of a supported type, or `axis` not of integers.
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated.

    Notes
    -----
    With :math:`m` values in a group,

    .. math:: \mu = \frac{1}{m} \sum x, \qquad v = \frac{1}{m} \sum (x - \mu)^2 .

    The sums are taken block by block about the mean of the block, and the blocks are merged with
    the update of Chan, Golub and LeVeque, so that the variance is exact to rounding for any mean,
    and that of constant values is 0. The divisor is that of ``numpy.var`` (``ddof=0``);
    ``var * count / (count - 1)`` is the unbiased estimate.

    References
    ----------
    T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for Computing the Sample Variance:
    Analysis and Recommendations", The American Statistician 37 (1983), 242-247.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> fastnorm.moments(np.array([[1.0, 3.0], [2.0, 8.0]], dtype=np.float32), axis=-1)
    Moments(mean=array([2., 5.]), var=array([1., 9.]), count=2)
    """
    usual = _core.measure(x, AXES, axis, keepdims) if mask is None else None
    if usual is not None:
        mean, var, groups = usual
        found = moments_of_groups(mean, var, groups)
    else:
        x = array(x, "x")
        groups = over_axes(axis, x.shape)
        shape = groups.kept if keepdims else groups.free
        counted = mask_argument(mask, None, False, x.shape, 1)
        if counted is None:
            mean, var = _compute(x, groups)
            found = moments_of_groups(mean.reshape(shape), var.reshape(shape), groups)
        else:
            parts = Part(x, counted, groups).statistics(raw=False)
            found = moments_of_part(tuple(np.asarray(p).reshape(shape) for p in parts), groups)
    found._axis = axis
    found._keepdims = bool(keepdims)
    return found


def moments_of_groups(mean: Array, var: Array, groups: Groups, counted: bool = True) -> Moments:
    """Return statistics as the core left them; they are of no values if they are not `counted`."""
    found = object.__new__(Moments)
    found.mean = mean
    found.var = var
    found.count = groups.size if counted else 0
    found._axis = groups.axes
    found._keepdims = False
    return found


def moments_of_part(parts: tuple[Any, ...], groups: Groups) -> Moments:
    """Return statistics of the part of each group that a mask lets count."""
    found = object.__new__(Moments)
    found.mean, found.var, found.count = parts
    found._axis = groups.axes
    found._keepdims = False
    return found


def deviation(var: Array, eps: float) -> Array:
    """Return ``sqrt(var + eps)``; NaN and Inf stay in their group, without a warning."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(np.sqrt(var + eps))


def parts_of_moments(stats: Any) -> tuple[Any, Any, Any]:
    """Return mean, variance and count of `stats` for the core to recognize: Nones for None."""
    if type(stats) is Moments:
        return stats.mean, stats.var, stats.count
    return (None, None, None) if stats is None else (stats, stats, None)


def parts_of_mean_square(stats: Any) -> tuple[Any, Any]:
    """Return mean square and count of `stats` for the core to recognize: Nones for None."""
    if type(stats) is RawMoments:
        return stats
    return (None, None) if stats is None else (stats, None)


def moments_for_gradient(
    x: Array, stats: Any, groups: Groups, out: Array | None
) -> tuple[Array, Array]:
    """Return mean and variance as the core takes them: those of `stats`, or computed if None."""
    if stats is None:
        return _compute(x, groups)
    return given_moments(stats, groups, groups.size, out)


def _compute(x: Array, groups: Groups) -> tuple[Array, Array]:
    mean, var = new_statistic(groups), new_statistic(groups)
    _core.forward(x, None, groups, None, None, mean, var, 0.0, 0)
    return mean, var


def _count_of(value: Any, shape: Shape) -> Any:
    """Return a count of all groups or, where they differ, of each."""
    if np.ndim(value) == 0 and not isinstance(value, np.ndarray):
        number = integer(value, "count")
        if number < 0:
            raise ValueError(f"count must be >= 0, got {value!r}")
        return number
    counts = np.asarray(value)
    if counts.dtype.kind not in "iu":
        raise TypeError(f"count has dtype {counts.dtype}, expected an integer type")
    if counts.shape != shape:
        raise ValueError(f"count has shape {counts.shape}, expected {shape} = mean's")
    if (counts < 0).any():
        raise ValueError(f"count must be >= 0, got {counts.min()}")
    return counts.astype(np.int64)


def _merged(
    mean: Array, var: Array, count: Any, other_mean: Array, other_var: Array, other_count: Any
) -> tuple[Array, Array, Any]:
    """Two parts as one; a group of which one part has no value is what the other makes it."""
    total = count + other_count
    with np.errstate(all="ignore"):  # NaN and Inf stay in their group
        share, other_share = count / total, other_count / total
        delta = other_mean - mean
        both_var = share * var + other_share * other_var + delta * delta * (share * other_share)
        both = mean + delta * other_share
    if not np.ndim(total):
        return both, both_var, total
    first, second = np.equal(other_count, 0), np.equal(count, 0)
    both = np.where(first, mean, np.where(second, other_mean, both))
    both_var = np.where(first, var, np.where(second, other_var, both_var))
    return both, both_var, total


def _moments_of(part: Any) -> Moments:
    if not isinstance(part, Moments):
        raise TypeError(f"only Moments can be merged, got {type(part).__name__}")
    return part
