# SPDX-License-Identifier: BSD-3-Clause
"""Lp normalization: each group divided by its p-norm, or by eps where that is larger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.moments import Float64Array, count_values, resolve_axes
from fastnorm.reference.standardize import as_float64, deliver, expand_kept


class LpNorms(NamedTuple):
    """p-norm and number of values of each group.

    Attributes
    ----------
    norm : ndarray of float64
        The norm, one entry per group, in units of the data; not yet raised to eps.
    count : int
        Number of values in each group.
    """

    norm: Float64Array
    count: int  # type: ignore[assignment]  # the field hides tuple.count, as intended


class LpNormalizeGradients(NamedTuple):
    """Gradient of a scalar loss with respect to the argument of `lp_normalize`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape: float64, or `out` where one was given.
    """

    x: NDArray[Any]


@overload
def lp_normalize(
    x: ArrayLike,
    *,
    p: float = 2.0,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-12,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def lp_normalize(
    x: ArrayLike,
    *,
    p: float = 2.0,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-12,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], LpNorms]: ...
def lp_normalize(
    x: ArrayLike,
    *,
    p: float = 2.0,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-12,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], LpNorms]:
    r"""Divide each group by its p-norm, or by eps where that is larger.

    Parameters
    ----------
    x : array_like
        Values of any real type and shape; converted to float64.
    p : float, default 2.0
        Exponent of the norm, above 0; ``inf`` for the largest absolute value.
    axis : int or sequence of int, default -1
        Axes over which a group extends.
    eps : float, default 1e-12
        The least divisor, in units of `x`.
    out : ndarray, optional
        Array of x's shape that receives the result, cast to its dtype. It may be `x`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        float64 of x's shape, whatever the type of `x`; or `out`.
    stats : LpNorms
        Only with `return_stats`: the norms in the shape of the kept axes.

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated.

    Notes
    -----
    .. math:: y = \frac{x}{\max(\|x\|_p, \epsilon)}, \qquad
              \|x\|_p = \left( \sum_i |x_i|^p \right)^{1/p} .

    With ``eps=0`` a group of zeros gives zeros, and a gradient of 0.

    References
    ----------
    PyTorch's ``torch.nn.functional.normalize``.
    """
    values = as_float64(x)
    axes = resolve_axes(axis, values.ndim)
    stats = _norms(values, p, axes)
    with np.errstate(all="ignore"):
        y = deliver(values * _reciprocal(stats, values.shape, axes, eps), out)
    return (y, stats) if return_stats else y


def lp_normalize_backward(
    dy: ArrayLike,
    x: ArrayLike,
    *,
    p: float = 2.0,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-12,
    stats: LpNorms | None = None,
    out: NDArray[Any] | None = None,
) -> LpNormalizeGradients:
    r"""Gradient of `lp_normalize`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, p, axis, eps
        As given to `lp_normalize`.
    stats : LpNorms, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
    out : ndarray, optional
        Array of x's shape that receives the gradient with respect to x, cast to its dtype. It may
        be `dy` or `x`.

    Returns
    -------
    LpNormalizeGradients
        Field `x`.

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated.

    Notes
    -----
    With :math:`n = \|x\|_p` where that is not below eps,

    .. math:: dx_i = \frac{1}{n} \left( dy_i - z_i \sum_j dy_j\,y_j \right), \qquad
              z_i = \operatorname{sign}(x_i) \left( \frac{|x_i|}{n} \right)^{p-1} ,

    and :math:`dx = dy / \epsilon` elsewhere. For p = inf z is the sign of the largest values over
    their number, 0 elsewhere; at :math:`x_i = 0` it is 0 for every p.

    References
    ----------
    PyTorch's ``torch.nn.functional.normalize``.
    """
    g, values = as_float64(dy), as_float64(x)
    axes = resolve_axes(axis, values.ndim)
    if stats is None:
        stats = _norms(values, p, axes)
    reciprocal = _reciprocal(stats, values.shape, axes, eps)
    norm = expand_kept(stats.norm, values.shape, axes)
    with np.errstate(all="ignore"):
        if p == math.inf:
            slope = np.sign(values) * (abs(values) == norm)
            slope = slope / abs(slope).sum(axes, keepdims=True)
        else:
            slope = np.sign(values) * abs(values * reciprocal) ** (p - 1)
        slope = np.where((values == 0) | (norm < eps), 0.0, slope)
        projection = (g * values * reciprocal).sum(axes, keepdims=True)
        dx = (g - slope * projection) * reciprocal
    return LpNormalizeGradients(deliver(dx, out))


def _norms(x: Float64Array, p: float, axes: tuple[int, ...]) -> LpNorms:
    size = abs(x)
    largest = size.max(axes, keepdims=True, initial=0.0)
    # Relative to the largest value no power leaves the range; all of a group is 0, Inf or NaN else.
    unit = np.where((largest > 0) & (largest < math.inf), largest, 1.0)
    with np.errstate(all="ignore"):
        total = ((size / unit) ** p).sum(axes, keepdims=True)
        norm = largest if p == math.inf else unit * total ** (1.0 / p)
    return LpNorms(np.asarray(norm.squeeze(axes)), count_values(x.shape, axes))


def _reciprocal(
    stats: LpNorms, shape: tuple[int, ...], axes: tuple[int, ...], eps: float
) -> Float64Array:
    """Reciprocal of the divisor, 0 where that is 0."""
    divisor = expand_kept(np.maximum(stats.norm, eps), shape, axes)
    with np.errstate(divide="ignore"):
        return np.where(divisor == 0.0, 0.0, 1.0 / divisor)
