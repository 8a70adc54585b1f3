# SPDX-License-Identifier: BSD-3-Clause
"""Layer normalization: each row of the trailing axes, or of any axes, by its own statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastnorm import _core
from fastnorm._activation import activation_flags, gradient_output
from fastnorm._args import (
    array,
    deliver,
    gradient,
    gradient_sum,
    new_statistic,
    output,
    parameter,
    trailing,
    trailing_shape,
)
from fastnorm._groups import AXES, LAYER_AXES, over_axes
from fastnorm._layer import Layer
from fastnorm._masked import mask_argument, masked_forward
from fastnorm._masked_gradient import masked_backward
from fastnorm._numbers import epsilon
from fastnorm.moments import (
    Moments,
    moments_for_gradient,
    moments_of_groups,
    moments_of_part,
    parts_of_moments,
)
from fastnorm.standardize import Gradients, gradients_of

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._types import Array, ArrayInput


@overload
def layer_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    axis: int | tuple[int, ...] = -1,
    eps: float = 1e-5,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def layer_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    axis: int | tuple[int, ...] = -1,
    eps: float = 1e-5,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, Moments]: ...
def layer_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    axis: int | tuple[int, ...] = -1,
    eps: float = 1e-5,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Moments]:
    r"""Normalize over `axis` to mean 0 and variance 1, then scale and shift each entry of it.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of any shape and strides.
    weight, bias : array, optional
        Factor and summand of the normalized values, of any of the four types. Their shape is that
        of the axes `axis` of `x`, in the order in which x has them.
    axis : int or tuple of int, default -1
        Axes over which a group extends. The trailing ones are the layer of the paper; the axis of
        the channels alone is the per-pixel form of ConvNeXt.
    eps : float, default 1e-5
        Added to the variance, inside the root; in squared units of `x`. 0 is allowed. The default
        is PyTorch's; Keras has 1e-3, Flax 1e-6.
    activation : {"relu", "silu", "gelu", "gelu_tanh"}, optional
        Applied to the result in the same pass: gelu is the exact one, gelu_tanh its approximation
        by a hyperbolic tangent. None for none.
    mask : array of bool, optional
        True where a value counts in the statistics; broadcasts against `x`. All of x is normalized
        by them, masked values too.
    lengths : array of int, shape (N,), optional
        In place of a mask: how many steps of each sample count, along axis 1 of x.
    zero_masked : bool, default False
        Set the result, and its gradient, to 0 where the mask is False.
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

    .. math:: y = w\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b .

    All of it is computed in float32 (for float64 `x` in float64) from float64 statistics, and
    rounded once. A group of one value gives the bias, and so does a constant group, also with
    ``eps=0``, where the reciprocal of the root is defined as 0.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016, arXiv:1607.06450.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[1.0, 3.0], [2.0, 8.0]], dtype=np.float32)
    >>> fastnorm.layer_norm(x, bias=np.array([0.0, 1.0]), eps=0)
    array([[-1.,  2.],
           [-1.,  2.]], dtype=float32)
    """
    flags = _core.STATS if return_stats else 0
    if activation is not None:
        flags |= activation_flags(activation)
    usual = None
    if mask is None and lengths is None and not zero_masked:
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
    weight = parameter(weight, "weight", groups, x, out)
    bias = parameter(bias, "bias", groups, x, out)
    eps = epsilon(eps)
    counted = mask_argument(mask, lengths, zero_masked, x.shape, 1)
    if counted is not None:
        parts = masked_forward(x, counted, groups, y, weight, bias, eps, flags, zero_masked)
        y = deliver(y, out)
        return (y, moments_of_part(parts, groups)) if return_stats else y
    mean, var = new_statistic(groups), new_statistic(groups)
    _core.forward(x, y, groups, weight, bias, mean, var, eps, flags)
    y = deliver(y, out)
    return (y, moments_of_groups(mean, var, groups)) if return_stats else y


def layer_norm_backward(
    dy: ArrayInput,
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    axis: int | tuple[int, ...] = -1,
    eps: float = 1e-5,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    stats: Moments | tuple[Any, Any, int] | None = None,
    out: Array | None = None,
) -> Gradients:
    r"""Gradient of `layer_norm`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, weight, bias, axis, eps, activation, mask, lengths, zero_masked
        As given to `layer_norm`. Of `bias` only shape and dtype matter, but with an
        activation its values do.
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
        If an array is of no supported type or `dy` not of x's, or `stats` is not what `layer_norm`
        returns.
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated, a shape does not fit, `stats` belong to another input, `out` is
        read-only, or `eps` is negative or not finite.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}`, :math:`\hat x = (x - \mu) r` and
    means over the group,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right), \qquad
              dw = \sum dy\,\hat x, \qquad db = \sum dy ,

    the sums running over the axes that are not in `axis`.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016, arXiv:1607.06450.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[1.0, 3.0, 1.0, 3.0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> fastnorm.layer_norm_backward(dy, x, eps=0).x
    array([[ 0.5,  0. , -0.5,  0. ]])
    """
    mean, var, count = parts_of_moments(stats)
    flags = 0 if activation is None else activation_flags(activation)
    usual = None
    if mask is None and lengths is None and not zero_masked:
        usual = _core.gradient(dy, x, weight, bias, mean, var, count, eps, out, flags, AXES, axis)
    if usual is not None:
        return tuple.__new__(Gradients, usual)
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_axes(axis, x.shape)
    eps = epsilon(eps)
    dx = gradient_output(out, x, dy, flags)
    factor = parameter(weight, "weight", groups, x, out)
    summand = parameter(bias, "bias", groups, x, out)
    dweight, dbias = gradient_sum(factor, groups.view), gradient_sum(summand, groups.view)
    counted = mask_argument(mask, lengths, zero_masked, x.shape, 1)
    if counted is not None:
        arrays = dy, x, counted, dx, groups, factor, summand
        masked_backward(*arrays, stats, eps, flags, dweight, dbias, zero_masked)
        return gradients_of(dx, out, dweight, weight, dbias, bias)
    mean, var = moments_for_gradient(x, stats, groups, out)
    _core.backward(dy, x, dx, groups, factor, mean, var, eps, flags, dweight, dbias, None, summand)
    return gradients_of(dx, out, dweight, weight, dbias, bias)


class LayerNorm(Layer):
    """Layer normalization over the trailing axes, as a layer with its parameters.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Lengths of the trailing axes of the input, over which it is normalized.
    eps : float, default 1e-5
        Added to the variance, inside the root.
    elementwise_affine : bool, default True
        Have a weight (initially 1) and a bias (initially 0) of shape `normalized_shape`.
    bias : bool, default True
        Have a bias, if `elementwise_affine`.
    dtype : dtype, default float32
        Type of the parameters: float16, bfloat16, float32 or float64. That of the input may differ.
    activation : {"relu", "silu", "gelu", "gelu_tanh"}, optional
        Applied to the result, in the same pass.

    Attributes
    ----------
    weight, bias : ndarray or None
        The parameters.
    grads : dict of str to ndarray
        Gradients of the parameters from the last `backward`.
    training : bool
        Has no effect here.

    Raises
    ------
    ValueError
        If a length is below 1, or `eps` is negative or not finite.
    TypeError
        If an argument is of the wrong type.

    See Also
    --------
    layer_norm : The function behind it, with formula and source; it takes any axes.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.LayerNorm(2, eps=0)
    >>> layer(np.array([[1, 3], [2, 8]], dtype=np.float32))
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    >>> layer.backward(np.ones((2, 2), dtype=np.float32))
    array([[0., 0.],
           [0., 0.]], dtype=float32)
    >>> layer.grads["bias"]
    array([2., 2.], dtype=float32)
    """

    _shown = ("normalized_shape", "eps", "elementwise_affine")

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        activation: str | None = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        self._activation = activation_flags(activation)
        self.normalized_shape = trailing_shape(normalized_shape)
        self.eps = epsilon(eps)
        self.elementwise_affine = elementwise_affine
        self._axes = tuple(range(-len(self.normalized_shape), 0))
        self._make_affine(
            self.normalized_shape,
            dtype,
            weight=elementwise_affine,
            bias=elementwise_affine and bias,
        )

    def _forward(self, x: ArrayInput, **part: Any) -> tuple[Array, tuple[Any, ...]]:
        axes, expected = self._axes, self.normalized_shape
        flags = _core.STATS | self._activation
        usual = None
        if not part:
            usual = _core.normalize(
                x, self.weight, self.bias, self.eps, None, flags, LAYER_AXES, axes, expected
            )
        if usual is not None:
            y, mean, var, groups = usual
            return y, (x, moments_of_groups(mean, var, groups), part)
        x = trailing(x, expected)
        y, stats = layer_norm(
            x,
            self.weight,
            self.bias,
            axis=axes,
            eps=self.eps,
            activation=self.activation,
            return_stats=True,
            **part,
        )
        return y, (x, stats, part)

    def _backward(self, dy: ArrayInput, x: Array, stats: Moments, part: dict[str, Any]) -> Any:
        usual = self._gradients(dy, x, stats, self._activation, AXES, self._axes)
        if usual is not None:
            return usual
        return layer_norm_backward(
            dy,
            x,
            self.weight,
            self.bias,
            axis=self._axes,
            eps=self.eps,
            activation=self.activation,
            stats=stats,
            **part,
        )
