# SPDX-License-Identifier: BSD-3-Clause
"""Denormalization: back from normalized values to those of given mean and variance."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnorm import _core
from fastnorm._args import (
    COMPUTE_TYPE,
    array,
    deliver,
    gradient,
    output,
    parameter_gradient,
    parameter_values,
    view_against,
)
from fastnorm._core import Groups
from fastnorm._groups import over_axes, over_batch
from fastnorm._numbers import epsilon
from fastnorm.moments import deviation
from fastnorm.standardize import sum_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnorm._types import Array, ArrayInput, Axis, Shape

# A factor and a summand are made for all values that share them where there are few in all, or many
# values to each; for so many of them at a time.
FEW = 2**14
SHARE = 16
PIECE = 2**16


class DenormalizeGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of `denormalize`.

    Attributes
    ----------
    x, mean, var : ndarray
        Gradients of the shapes and dtypes of these arguments.
    weight, bias : ndarray or None
        Gradients with respect to the parameters, of their shapes and dtypes; None where the
        argument was None.
    """

    x: Array
    mean: Array
    var: Array
    weight: Array | None
    bias: Array | None


def denormalize(
    x: ArrayInput,
    mean: ArrayInput,
    var: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    axis: Axis = None,
    channel_axis: int | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
) -> Array:
    r"""Undo a normalization: give x the mean and the variance that were taken from it, or others.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Normalized values of any shape and strides.
    mean, var : array
        The statistics, of any of the four types: as `Moments` has them, with `axis` given, or of
        any shape that broadcasts against `x`.
    weight, bias : array, optional
        Parameters of the normalization to be undone, of any of the four types. They broadcast
        against `x` by NumPy's rules, or with `channel_axis` given have the shape (C,).
    axis : int or tuple of int, optional
        The axes that the statistics are over, as given to `standardize`: `mean` and `var` have the
        shape of the others, or length 1 along these. None: they broadcast against `x`.
    channel_axis : int, optional
        The axis that `weight` and `bias` run along, as given to `instance_norm` or `batch_norm`.
    eps : float, default 1e-5
        Added to the variance, inside the root; in its units. The same as in the normalization.
    out : ndarray, optional
        Receives the result; of x's shape and dtype. It may be `x`.

    Returns
    -------
    ndarray
        Of x's shape and dtype and, if new, memory order; or `out`.

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If the weight has a zero, which loses what it multiplies; if an axis is repeated, a shape
        does not fit, `out` is read-only, or `eps` is negative or not finite.

    Notes
    -----
    With mean :math:`\mu`, variance :math:`v`, weight w and bias b,

    .. math:: y = \frac{x - b}{w} \sqrt{v + \epsilon} + \mu ,

    the inverse of :math:`w (y - \mu) / \sqrt{v + \epsilon} + b`: of `standardize` and, with their
    axes, of `layer_norm`, `instance_norm` and `batch_norm`. The bias is subtracted before anything
    is multiplied, so that a large one costs no digits. A model that works on normalized values has
    it at its end (RevIN: x of shape (N, T, C), ``axis=1``, parameters of shape (C,)); its authors
    divide by :math:`w + \epsilon^2` to be safe from zeros, here they are an error. With the
    statistics of another image, and no parameters, it is the last step of
    `adaptive_instance_norm`. A variance of 0 with ``eps=0`` gives the mean.

    Where statistics and parameters run along different axes, as those of `layer_norm` do, it is
    two passes over x.

    References
    ----------
    T. Kim, J. Kim, Y. Tae, C. Park, J.-H. Choi, J. Choo, "Reversible Instance Normalization for
    Accurate Time-Series Forecasting against Distribution Shift", ICLR 2022.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[[1.0, 3.0], [10.0, 30.0]]])
    >>> y, (mean, var, _) = fastnorm.instance_norm(x, return_stats=True)
    >>> np.allclose(fastnorm.denormalize(y, mean, var, axis=2), x)
    True
    """
    x = array(x, "x")
    affine = _affine(x, mean, var, weight, bias, axis, channel_axis, epsilon(eps))
    y = output(out, x)
    shape = _joint_shape(x, affine)
    compute_type = COMPUTE_TYPE[x.dtype]
    if shape is not None:
        for piece in _pieces(shape):
            part = _cut(affine, piece)
            _map(x[piece], y[piece], _factor(part), part.mean, part.bias)
    elif compute_type == x.dtype:
        _map_in_two_steps(x, y, affine)
    else:
        for piece in _pieces(x.shape):  # rounded to x's type once, after both steps
            wide = x[piece].astype(compute_type)
            _map_in_two_steps(wide, wide, _cut(affine, piece))
            with np.errstate(over="ignore"):
                y[piece] = wide
    return deliver(y, out)


def denormalize_backward(
    dy: ArrayInput,
    x: ArrayInput,
    mean: ArrayInput,
    var: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    axis: Axis = None,
    channel_axis: int | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
) -> DenormalizeGradients:
    r"""Gradient of `denormalize` with respect to all its arrays.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, mean, var, weight, bias, axis, channel_axis, eps
        As given to `denormalize`. Of `mean` only shape and dtype matter.
    out : ndarray, optional
        Receives the gradient with respect to x; of its shape and dtype. It may be `dy` or `x`.

    Returns
    -------
    DenormalizeGradients
        Fields `x`, `mean`, `var`, `weight` and `bias`, of the shapes and dtypes of these arguments;
        the latter two None where the argument was None. The sums behind them run in float64 and are
        rounded once.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of x's, or a number is none.
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If the weight has a zero, an axis is repeated, a shape does not fit, `out` is read-only, or
        `eps` is negative or not finite.

    Notes
    -----
    With :math:`\sigma = \sqrt{v + \epsilon}`,

    .. math:: dx = \frac{\sigma}{w}\,dy, \qquad d\mu = \sum dy, \qquad
              dv = \frac{1}{2 \sigma} \sum dy\,\frac{x - b}{w}, \qquad
              dw = -\frac{1}{w^2} \sum dy\,(x - b)\,\sigma, \qquad db = -\sum dx ,

    the sums running over the axes along which the argument is broadcast. Where :math:`\sigma = 0`,
    its reciprocal is defined as 0. There are no statistics to hand on, as other gradients have
    them. Where statistics and parameters run along different axes, as those of `layer_norm` do, it
    is computed by NumPy in float64, piece by piece, and slower.

    References
    ----------
    T. Kim, J. Kim, Y. Tae, C. Park, J.-H. Choi, J. Choo, "Reversible Instance Normalization for
    Accurate Time-Series Forecasting against Distribution Shift", ICLR 2022.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[1.0, -1.0]]), np.array([[1.0, 0.0]])
    >>> mean, var = np.array([[5.0]]), np.array([[4.0]])
    >>> dx, dmean, dvar, *_ = fastnorm.denormalize_backward(dy, x, mean, var, eps=0)
    >>> dx, dmean, dvar
    (array([[2., 0.]]), array([[1.]]), array([[0.25]]))
    """
    x = array(x, "x")
    dy = gradient(dy, x)
    affine = _affine(x, mean, var, weight, bias, axis, channel_axis, epsilon(eps))
    dx = output(out, x, dy)
    totals = _Affine(*(np.zeros(values.shape) for values in affine))
    shape = _joint_shape(x, affine)
    for piece in _pieces(x.shape if shape is None else shape):
        part = _cut(affine, piece)
        function = _gradient_of_values if shape is None else _gradient_of_groups
        sums = function(dy[piece], x[piece], dx[piece], part)
        _add_up(_cut(totals, piece), part, *sums)

    with np.errstate(all="ignore"):
        dvar = totals.std * np.where(affine.std == 0, 0.0, 0.5 / affine.std)
        dweight = None if weight is None else -totals.weight / np.square(affine.weight)
        dbias = None if bias is None else -totals.bias
    return DenormalizeGradients(
        deliver(dx, out),
        parameter_gradient(totals.mean, mean, "mean"),  # type: ignore[arg-type]
        parameter_gradient(dvar, var, "var"),  # type: ignore[arg-type]
        parameter_gradient(dweight, weight, "weight"),
        parameter_gradient(dbias, bias, "bias"),
    )


class _Affine(NamedTuple):
    """y = (x - bias) / weight * std + mean, all in float64 and with as many axes as x."""

    mean: Array
    std: Array
    weight: Array
    bias: Array


def _affine(
    x: Array, mean: Any, var: Any, weight: Any, bias: Any, axis: Any, channel_axis: Any, eps: float
) -> _Affine:
    """Return copies of the arguments, once they were found to fit x."""
    along = None if axis is None else over_axes(axis, x.shape)
    lines = None if channel_axis is None else over_batch(channel_axis, x.shape)
    centre = _statistic(mean, "mean", x, along)
    std = deviation(_statistic(var, "var", x, along), eps)
    one = (1,) * x.ndim
    factor = np.ones(one) if weight is None else _coefficient(weight, "weight", x, lines)
    summand = np.zeros(one) if bias is None else _coefficient(bias, "bias", x, lines)
    if not factor.all():
        raise ValueError("weight has a 0.0, which lost what it multiplied")
    return _Affine(centre, std, factor, summand)


def _statistic(value: Any, name: str, x: Array, along: Groups | None) -> Array:
    values = array(value, name)
    if along is None:
        shape = view_against(values.shape, name, x.shape)
    elif values.shape in (along.free, along.kept):
        shape = along.kept
    else:
        raise ValueError(
            f"{name} has shape {values.shape}, expected {along.free}: the axes of x not in axis"
        )
    return values.astype(np.float64).reshape(shape)


def _coefficient(value: Any, name: str, x: Array, lines: Groups | None) -> Array:
    if lines is None:
        return _statistic(value, name, x, None)
    return parameter_values(value, name, lines).astype(np.float64).reshape(lines.view)


def _joint_shape(x: Array, affine: _Affine) -> Shape | None:
    """Return the shape of all coefficients together; None if they are too many to be made."""
    shapes = [values.shape for values in affine]
    joint = np.broadcast_shapes(*shapes)
    many = max(FEW, x.size // SHARE, *map(math.prod, shapes))
    return None if math.prod(joint) > many else joint


def _pieces(shape: Shape) -> Iterator[tuple[Any, ...]]:
    """Return indices of the pieces of what an array of `shape` broadcasts against."""
    steps: list[int] = []
    room = PIECE
    for n in reversed(shape):
        steps.insert(0, max(min(n, room), 1))
        room //= steps[0]
    ranges = (range(0, n, step) for n, step in zip(shape, steps, strict=True))
    for starts in itertools.product(*ranges):
        parts = zip(shape, starts, steps, strict=True)
        yield (*(slice(None) if n == 1 else slice(i, i + step) for n, i, step in parts), ...)


def _cut(affine: _Affine, piece: tuple[Any, ...]) -> _Affine:
    """Return views of what belongs to a piece of x."""
    views = []
    for values in affine:
        parts = zip(values.shape, piece, strict=False)  # the piece ends with an ellipsis
        index: tuple[Any, ...] = (*(slice(None) if n == 1 else part for n, part in parts), ...)
        views.append(values[index])
    return _Affine(*views)


def _shared(x: Array, *coefficients: Array) -> Groups:
    """Return groups of the values of x that share all of these."""
    shape = np.broadcast_shapes(*(values.shape for values in coefficients))
    return Groups(x.shape, tuple(i for i, n in enumerate(shape) if n == 1), (), "")


def _factor(affine: _Affine) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(affine.std / affine.weight)


def _for_core(values: Array, x: Array) -> Array:
    with np.errstate(over="ignore"):
        return values.astype(COMPUTE_TYPE[x.dtype])


def _centre(bias: Array, groups: Groups) -> tuple[Array | None, int]:
    """Return what to subtract for the core, and its flag where there is nothing."""
    if not bias.any():
        return None, _core.RAW
    return np.array(np.broadcast_to(bias, groups.kept), order="C"), 0


def _map(x: Array, y: Array, factor: Array, summand: Array, bias: Array) -> None:
    """y = (x - bias) * factor + summand."""
    groups = _shared(x, factor, summand, bias)
    centre, flags = _centre(bias, groups)
    ones = np.ones(groups.kept)
    given = _for_core(factor, x), _for_core(summand, x)
    _core.forward(x, y, groups, *given, centre, ones, 0.0, flags | _core.GIVEN)


def _map_in_two_steps(x: Array, y: Array, affine: _Affine) -> None:
    """The bias and the weight first, then the statistics."""
    nothing = np.zeros((1,) * x.ndim)
    with np.errstate(over="ignore"):
        reciprocal = 1.0 / affine.weight
    _map(x, y, reciprocal, nothing, affine.bias)
    _map(y, y, affine.std, affine.mean, nothing)


def _gradient_of_groups(dy: Array, x: Array, dx: Array, affine: _Affine) -> tuple[Array, Array]:
    """Write dx, and return the sums of dy and of dy (x - bias) for each value of the factor."""
    factor = _factor(affine)
    groups = _shared(x, factor, *affine)
    plain, products = np.zeros(groups.kept), np.zeros(groups.kept)
    centre, flags = _centre(affine.bias, groups)
    given = _for_core(factor, x), centre, np.ones(groups.kept), 0.0, flags | _core.FIXED
    _core.backward(dy, x, dx, groups, *given, products, plain)
    return plain, products


def _gradient_of_values(dy: Array, x: Array, dx: Array, affine: _Affine) -> tuple[Array, Array]:
    """`_gradient_of_groups` where every value is a group of its own."""
    above, values = (part.astype(np.float64, order="C") for part in (dy, x))
    with np.errstate(all="ignore"):
        dx[...] = above * _factor(affine)
        return above, above * (values - affine.bias)


def _add_up(totals: _Affine, affine: _Affine, plain: Array, products: Array) -> None:
    """Add what a piece of x leaves in the gradients: sums of dy, and of dy (x - bias)."""
    with np.errstate(all="ignore"):
        terms = _Affine(
            mean=plain,
            std=products / affine.weight,
            weight=products * affine.std,
            bias=plain * _factor(affine),
        )
        for total, term in zip(totals, terms, strict=True):
            total += sum_to(np.asarray(term), total)
