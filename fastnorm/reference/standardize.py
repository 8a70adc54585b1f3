# SPDX-License-Identifier: BSD-3-Clause
"""Standardization over any axes, and the two formulas that all the other normalizers reuse.

`scale_and_shift` is the forward pass of every normalizer of this package, `pull_back` its gradient.
A family chooses the axes of its statistics groups and those of its parameters. Two leave out more:
`rms_norm` has no centre, and in evaluation the statistics of `batch_norm` are constants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.activation import activate, slope
from fastnorm.reference.masked import zeroed
from fastnorm.reference.moments import (
    Float64Array,
    Moments,
    average,
    count_values,
    moments,
    resolve_axes,
)


class Gradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of a normalizer.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape: float64, or `out` where one was given.
    weight, bias : ndarray of float64 or None
        Gradients with respect to the parameters, of their shapes; None where the argument was None.
    """

    x: NDArray[Any]
    weight: Float64Array | None
    bias: Float64Array | None


@overload
def standardize(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: int | Sequence[int],
    eps: float = 1e-5,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def standardize(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: int | Sequence[int],
    eps: float = 1e-5,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], Moments]: ...
def standardize(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: int | Sequence[int],
    eps: float = 1e-5,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], Moments]:
    r"""Shift and scale each group of values to mean 0 and variance 1, then apply an affine map.

    Parameters
    ----------
    x : array_like
        Values of any real type and shape; converted to float64.
    weight, bias : array_like, optional
        Factor and summand of the normalized values, broadcast against `x`.
    axis : int or sequence of int
        Axes over which a group extends; the remaining axes number the groups.
    eps : float, default 1e-5
        Added to the variance, in squared units of `x`.
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
        If an axis is repeated, or the shapes do not broadcast.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of the group,

    .. math:: \hat x = \frac{x - \mu}{\sqrt{v + \epsilon}}, \qquad y = w \hat x + b .

    Where :math:`v + \epsilon = 0`, which takes ``eps=0`` and a constant group, the reciprocal of
    the root is defined as 0: y is the bias, and the gradient with respect to x is 0.

    References
    ----------
    The common core of S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, arXiv:1502.03167, and
    its successors, with the axes left free.
    """
    values = as_float64(x)
    axes = resolve_axes(axis, values.ndim)
    stats = moments(values, axes)
    y = deliver(scale_and_shift(values, weight, bias, stats.mean, stats.var, eps, axes), out)
    return (y, stats) if return_stats else y


def standardize_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: int | Sequence[int],
    eps: float = 1e-5,
    stats: Moments | None = None,
    out: NDArray[Any] | None = None,
) -> Gradients:
    r"""Gradient of `standardize`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, weight, bias, axis, eps
        As given to `standardize`. Of `bias` only the shape matters.
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
        If an axis is repeated, or the shapes do not broadcast.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}` and means over the group,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right), \qquad
              dw = \sum dy\,\hat x, \qquad db = \sum dy ,

    the sums running over the axes along which the parameter is broadcast.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, arXiv:1502.03167, section 3.
    """
    values = as_float64(x)
    axes = resolve_axes(axis, values.ndim)
    if stats is None:
        stats = moments(values, axes)
    gradients = pull_back(dy, values, weight, bias, stats.mean, stats.var, eps, axes)
    return gradients._replace(x=deliver(gradients.x, out))


def scale_and_shift(
    x: Float64Array,
    weight: ArrayLike | None,
    bias: ArrayLike | None,
    centre: Float64Array | None,
    power: Float64Array,
    eps: float,
    axes: tuple[int, ...],
    activation: str | None = None,
) -> Float64Array:
    """Affine map of the normalized values, and an activation of that; `weight` and `bias`
    broadcast against `x`."""
    with np.errstate(all="ignore"):  # NaN and Inf in their group are results, not surprises
        y, _ = normalize(x, centre, power, eps, axes)
        if weight is not None:
            y = y * as_float64(weight)
        if bias is not None:
            y = y + as_float64(bias)
    return activate(y, activation)


def pull_back(
    dy: ArrayLike,
    x: Float64Array,
    weight: ArrayLike | None,
    bias: ArrayLike | None,
    centre: Float64Array | None,
    power: Float64Array,
    eps: float,
    axes: tuple[int, ...],
    *,
    activation: str | None = None,
    fixed: bool = False,
    mask: Any = None,
    zero_masked: bool = False,
    average: Callable[[Float64Array, tuple[int, ...]], Float64Array] = average,
) -> Gradients:
    """Gradients of `scale_and_shift`, also through the statistics unless they are `fixed`.

    Through the statistics means that `centre` is the mean of x over `axes`, or None for no
    centring, and `power` the mean of ``(x - centre)**2``; with a mask those of what counts, so that
    nothing else takes part in the correction. The results beside it depend on them too, unless they
    are set to zero. They are means by `average`, which takes more than `x` into account where there
    is more behind the statistics.
    """
    upstream: Float64Array = zeroed(as_float64(dy), mask, zero_masked)
    if mask is not None:
        x = np.where(mask | (not zero_masked), x, 0.0)
    if activation is not None:
        upstream = upstream * slope(
            scale_and_shift(x, weight, bias, centre, power, eps, axes), activation
        )
    with np.errstate(all="ignore"):
        normalized, root = normalize(x, centre, power, eps, axes)
        g = upstream if weight is None else upstream * as_float64(weight)
        dx = g
        if not fixed:
            part, share = 1.0, 1.0
            if mask is not None:
                part = mask
                share = count_values(x.shape, axes) / np.maximum(
                    mask.sum(axis=axes, keepdims=True), 1
                )
            dx = dx - part * normalized * average(g * normalized, axes) * share
            if centre is not None:
                dx = dx - part * average(g, axes) * share
        dx = dx * root
        dweight = None if weight is None else sum_to(upstream * normalized, np.shape(weight))
        dbias = None if bias is None else sum_to(upstream, np.shape(bias))
    return Gradients(dx, dweight, dbias)


def normalize(
    x: Float64Array,
    centre: Float64Array | None,
    power: Float64Array,
    eps: float,
    axes: tuple[int, ...],
) -> tuple[Float64Array, Float64Array]:
    """``(x - centre) / sqrt(power + eps)``, and the reciprocal of the root.

    `centre` (None stands for 0) and `power` have the shape of the axes of `x` that are not in
    `axes`. Where ``power + eps`` is 0, so is the reciprocal.
    """
    total = expand_kept(power, x.shape, axes) + eps
    root = np.where(total == 0.0, 0.0, 1.0 / np.sqrt(total))
    centred = x if centre is None else x - expand_kept(centre, x.shape, axes)
    return centred * root, root


def sum_to(values: Float64Array, shape: tuple[int, ...]) -> Float64Array:
    """Sum `values` over the axes along which an array of `shape` was broadcast against it."""
    added = values.ndim - len(shape)
    stretched = tuple(axis for axis, n in enumerate(shape, start=added) if n == 1)
    return np.asarray(values.sum(axis=(*range(added), *stretched))).reshape(shape)


def expand(values: ArrayLike, shape: tuple[int, ...], axes: Sequence[int]) -> Float64Array:
    """Make `values`, which run along `axes` of an array of `shape`, broadcast against it."""
    return as_float64(values).reshape([n if i in axes else 1 for i, n in enumerate(shape)])


def expand_optional(
    values: ArrayLike | None, shape: tuple[int, ...], axes: Sequence[int]
) -> Float64Array | None:
    """`expand`, for a parameter that may be absent."""
    return None if values is None else expand(values, shape, axes)


def expand_kept(values: ArrayLike, shape: tuple[int, ...], axes: Sequence[int]) -> Float64Array:
    """`expand` for values that run along all axes but `axes`, as the statistics over `axes` do."""
    return expand(values, shape, [axis for axis in range(len(shape)) if axis not in axes])


def collapse(gradients: Gradients, weight: ArrayLike | None, bias: ArrayLike | None) -> Gradients:
    """Give the gradients of expanded parameters the shapes of the parameters themselves."""
    return gradients._replace(
        weight=reshape_like(gradients.weight, weight), bias=reshape_like(gradients.bias, bias)
    )


def reshape_like(gradient: Float64Array | None, parameter: ArrayLike | None) -> Float64Array | None:
    """Undo `expand` on the gradient of a parameter that may be absent."""
    if gradient is None or parameter is None:
        return None
    return gradient.reshape(np.shape(parameter))


def deliver(result: Float64Array, out: NDArray[Any] | None) -> NDArray[Any]:
    """Return `result`, or `out` filled with it by a cast."""
    if out is None:
        return np.asarray(result)  # arithmetic on 0-d arrays gives scalars
    with np.errstate(over="ignore", under="ignore"):
        out[...] = result
    return out


def refuse_single_values(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """Raise ValueError if the groups over `axes` hold one value each, which has no variance."""
    if count_values(shape, axes) == 1 and 0 not in shape:
        raise ValueError(f"x of shape {shape} has only one value in each statistics group")


def as_float64(values: ArrayLike) -> Float64Array:
    """Convert to float64, which is exact: every narrower float is a float64."""
    return np.asarray(values, dtype=np.float64)
