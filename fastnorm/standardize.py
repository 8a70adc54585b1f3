# SPDX-License-Identifier: BSD-3-Clause
"""Standardization over any axes with an affine map that broadcasts: the general form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from fastnorm import _core
from fastnorm._args import (
    array,
    broadcast_parameter,
    deliver,
    gradient,
    gradient_sum,
    new_statistic,
    output,
    parameter_gradient,
)
from fastnorm._groups import AXES, over_axes
from fastnorm._numbers import epsilon
from fastnorm.moments import Moments, moments_for_gradient, moments_of_groups, parts_of_moments

if TYPE_CHECKING:
    from fastnorm._types import Array, ArrayInput, Axis, Shape


class Gradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of a normalizer.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape and dtype.
    weight, bias : ndarray or None
        Gradients with respect to the parameters, of their shapes and dtypes; None where the
        argument was None.
    """

    x: Array
    weight: Array | None
    bias: Array | None


@overload
def standardize(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    axis: Axis,
    eps: float = 1e-5,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def standardize(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    axis: Axis,
    eps: float = 1e-5,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, Moments]: ...
def standardize(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    axis: Axis,
    eps: float = 1e-5,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Moments]:
    r"""Shift and scale each group of values to mean 0 and variance 1, then apply an affine map.

    The other normalizers are this one with a fixed choice of axes; here they are free, and the
    parameters may lie along any of them.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of any shape and strides.
    weight, bias : array, optional
        Factor and summand of the normalized values, of any of the four types, broadcast against `x`
        by NumPy's rules.
    axis : int or tuple of int or None
        Axes over which a group extends, in any order; the remaining axes number the groups. None
        is all of them: one group.
    eps : float, default 1e-5
        Added to the variance, inside the root; in squared units of `x`. 0 is allowed.
    out : ndarray, optional
        Receives the result; of x's shape and dtype. It may be `x`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        Of x's shape and dtype and, if new, memory order; or `out`.
    stats : Moments
        Only with `return_stats`: mean and biased variance in float64, in the shape of the axes that
        are not reduced.

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated, a shape does not fit, `out` is read-only, or `eps` is negative or
        not finite.

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

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]], dtype=np.float32)
    >>> fastnorm.standardize(x, axis=0, eps=0)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """
    flags = _core.AGAINST | _core.STATS if return_stats else _core.AGAINST
    usual = _core.normalize(x, weight, bias, eps, out, flags, AXES, axis)
    if usual is not None:
        if not return_stats:
            y: Array = usual
            return y
        y, mean, var, groups = usual
        return y, moments_of_groups(mean, var, groups)
    x = array(x, "x")
    groups = over_axes(axis, x.shape)
    y = output(out, x)
    factor = broadcast_parameter(weight, "weight", x, out)
    summand = broadcast_parameter(bias, "bias", x, out)
    mean, var = new_statistic(groups), new_statistic(groups)
    _core.forward(x, y, groups, factor, summand, mean, var, epsilon(eps), 0)
    y = deliver(y, out)
    return (y, moments_of_groups(mean, var, groups)) if return_stats else y


def standardize_backward(
    dy: ArrayInput,
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    axis: Axis,
    eps: float = 1e-5,
    stats: Moments | tuple[Any, Any, int] | None = None,
    out: Array | None = None,
) -> Gradients:
    r"""Gradient of `standardize`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, weight, bias, axis, eps
        As given to `standardize`. Of `bias` only shape and dtype matter.
    stats : Moments, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
    out : ndarray, optional
        Receives the gradient with respect to x; of its shape and dtype. It may be `dy` or `x`.

    Returns
    -------
    Gradients
        Fields `x`, `weight` and `bias`, of the shapes and dtypes of these arguments; the latter two
        None where the argument was None. The sums behind them run in float64 and are rounded once.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of x's, or `stats` is not what
        `standardize` returns.
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated, a shape does not fit, `stats` belong to another input, `out` is
        read-only, or `eps` is negative or not finite.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}` and means over the group,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right), \qquad
              dw = \sum dy\,\hat x, \qquad db = \sum dy ,

    the sums running over the axes along which the parameter is broadcast.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, arXiv:1502.03167, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([1.0, 3.0, 1.0, 3.0]), np.array([1.0, 0.0, 0.0, 0.0])
    >>> fastnorm.standardize_backward(dy, x, axis=0, eps=0).x
    array([ 0.5,  0. , -0.5,  0. ])
    """
    mean, var, count = parts_of_moments(stats)
    usual = _core.gradient(
        dy, x, weight, bias, mean, var, count, eps, out, _core.AGAINST, AXES, axis
    )
    if usual is not None:
        return tuple.__new__(Gradients, usual)
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_axes(axis, x.shape)
    eps = epsilon(eps)
    dx = output(out, x, dy)
    factor = broadcast_parameter(weight, "weight", x, out)
    summand = broadcast_parameter(bias, "bias", x, out)
    mean, var = moments_for_gradient(x, stats, groups, out)
    shape = _joint_shape(factor, summand)
    dweight, dbias = gradient_sum(factor, shape), gradient_sum(summand, shape)
    _core.backward(dy, x, dx, groups, factor, mean, var, eps, 0, dweight, dbias)
    dweight, dbias = sum_to(dweight, factor), sum_to(dbias, summand)
    return gradients_of(dx, out, dweight, weight, dbias, bias)


def gradients_of(
    dx: Array, out: Array | None, dweight: Array | None, weight: Any, dbias: Array | None, bias: Any
) -> Gradients:
    """Return the gradients as the caller gets them, of the sums that the core left."""
    return Gradients(
        deliver(dx, out),
        parameter_gradient(dweight, weight, "weight"),
        parameter_gradient(dbias, bias, "bias"),
    )


def _joint_shape(weight: Array | None, bias: Array | None) -> Shape:
    """Shape in which the core sums both gradients: along every axis on which either varies."""
    if weight is None or bias is None or weight.shape == bias.shape:
        values = bias if weight is None else weight
        return () if values is None else values.shape
    return tuple(n if n != 1 else m for n, m in zip(weight.shape, bias.shape, strict=True))


def sum_to(total: Array | None, parameter: Array | None) -> Array | None:
    """Sum a gradient over the axes on which only the other parameter varies."""
    if total is None or parameter is None or total.shape == parameter.shape:
        return total
    axes = tuple(i for i, n in enumerate(parameter.shape) if n == 1 and total.shape[i] != 1)
    summed: Array = total.sum(axis=axes, keepdims=True)
    return summed
