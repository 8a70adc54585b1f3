# SPDX-License-Identifier: BSD-3-Clause
"""RMS normalization: each row, or group over any axes, divided by its root mean square."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from fastnorm import _core
from fastnorm._activation import activation_flags, gradient_output
from fastnorm._args import (
    array,
    deliver,
    given_mean_square,
    gradient,
    gradient_sum,
    new_statistic,
    output,
    parameter,
    parameter_gradient,
    trailing,
    trailing_shape,
)
from fastnorm._groups import AXES, LAYER_AXES, over_axes
from fastnorm._layer import Layer
from fastnorm._masked import mask_argument, masked_forward
from fastnorm._masked_gradient import masked_backward
from fastnorm._numbers import epsilon
from fastnorm.moments import RawMoments, parts_of_mean_square

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._types import Array, ArrayInput

_RAW_STATS = _core.RAW | _core.STATS


class RMSNormGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of `rms_norm`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape and dtype.
    weight : ndarray or None
        Gradient with respect to the weight, of its shape and dtype; None where it was None.
    """

    x: Array
    weight: Array | None


@overload
def rms_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    *,
    axis: int | tuple[int, ...] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def rms_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    *,
    axis: int | tuple[int, ...] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, RawMoments]: ...
def rms_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    *,
    axis: int | tuple[int, ...] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, RawMoments]:
    r"""Divide by the root mean square over `axis`, then scale each entry of it.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of any shape and strides.
    weight : array, optional
        Factor of the normalized values, of any of the four types. Its shape is that of the axes
        `axis` of `x`, in the order in which x has them.
    axis : int or tuple of int, default -1
        Axes over which a group extends.
    eps : float, default 1e-6
        Added to the mean square, inside the root; in squared units of `x`. 0 is allowed. The
        default is that of Llama, Keras and Flax; PyTorch takes the machine epsilon.
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
    stats : RawMoments
        Only with `return_stats`: the mean square in float64, in the shape of the axes that are not
        reduced.

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
    With means over the :math:`m` values of the group,

    .. math:: y = w\,\frac{x}{\sqrt{\overline{x^2} + \epsilon}} .

    Nothing is centred: what Keras calls ``LayerNormalization(rms_scaling=True)`` divides by the
    standard deviation and is another function. The weight multiplies before the one rounding to x's
    type, as in PyTorch; Llama rounds before it too, and Gemma's weight is ``1 + w``. A group of
    zeros gives zeros, also with ``eps=0``, where the reciprocal of the root is defined as 0.

    References
    ----------
    B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, arXiv:1910.07467.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[2.0, 2.0, -2.0, 2.0], [0.0, 6.0, 0.0, 0.0]], dtype=np.float32)
    >>> fastnorm.rms_norm(x, eps=0)
    array([[ 1.,  1., -1.,  1.],
           [ 0.,  2.,  0.,  0.]], dtype=float32)
    """
    flags = _RAW_STATS if return_stats else _core.RAW
    if activation is not None:
        flags |= activation_flags(activation)
    usual = None
    if mask is None and lengths is None and not zero_masked:
        usual = _core.normalize(x, weight, None, eps, out, flags, AXES, axis)
    if usual is not None:
        if not return_stats:
            y: Array = usual
            return y
        y, _, var, groups = usual
        return y, RawMoments(var, groups.size)
    x = array(x, "x")
    groups = over_axes(axis, x.shape)
    y = output(out, x)
    weight = parameter(weight, "weight", groups, x, out)
    eps = epsilon(eps)
    counted = mask_argument(mask, lengths, zero_masked, x.shape, 1)
    if counted is not None:
        _, square, count = masked_forward(
            x, counted, groups, y, weight, None, eps, flags, zero_masked
        )
        y = deliver(y, out)
        return (
            (y, RawMoments(square, count))  # type: ignore[arg-type]  # a count per group
            if return_stats
            else y
        )
    mean_square = new_statistic(groups)
    _core.forward(x, y, groups, weight, None, None, mean_square, eps, flags)
    y = deliver(y, out)
    return (y, RawMoments(mean_square, groups.size)) if return_stats else y


def rms_norm_backward(
    dy: ArrayInput,
    x: ArrayInput,
    weight: ArrayInput | None = None,
    *,
    axis: int | tuple[int, ...] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    stats: RawMoments | tuple[Any, int] | None = None,
    out: Array | None = None,
) -> RMSNormGradients:
    r"""Gradient of `rms_norm`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, weight, axis, eps, activation, mask, lengths, zero_masked
        As given to `rms_norm`.
    stats : RawMoments, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
    out : ndarray, optional
        Receives the gradient with respect to x; of its shape and dtype. It may be `dy` or `x`.

    Returns
    -------
    RMSNormGradients
        Fields `x` and `weight`, of the shapes and dtypes of these arguments; `weight` None where it
        was None. The sums behind it run in float64 and are rounded once.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of x's, or `stats` is not what `rms_norm`
        returns.
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated, a shape does not fit, `stats` belong to another input, `out` is
        read-only, or `eps` is negative or not finite.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{\overline{x^2} + \epsilon}`, :math:`\hat x = x r` and
    means over the group,

    .. math:: dx = r \left( g - \hat x\,\overline{g \hat x} \right), \qquad dw = \sum dy\,\hat x ,

    the sum running over the axes that are not in `axis`.

    References
    ----------
    B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, arXiv:1910.07467.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[1.0, 1.0, -1.0, 1.0]]), np.array([[4.0, 0.0, 0.0, 0.0]])
    >>> fastnorm.rms_norm_backward(dy, x, eps=0).x
    array([[ 3., -1.,  1., -1.]])
    """
    square, count = parts_of_mean_square(stats)
    flags = _core.RAW if activation is None else _core.RAW | activation_flags(activation)
    usual = None
    if mask is None and lengths is None and not zero_masked:
        usual = _core.gradient(
            dy, x, weight, None, None, square, count, eps, out, flags, AXES, axis
        )
    if usual is not None:
        return tuple.__new__(RMSNormGradients, usual)
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_axes(axis, x.shape)
    eps = epsilon(eps)
    dx = gradient_output(out, x, dy, flags)
    factor = parameter(weight, "weight", groups, x, out)
    dweight = gradient_sum(factor, groups.view)
    counted = mask_argument(mask, lengths, zero_masked, x.shape, 1)
    if counted is not None:
        arrays = dy, x, counted, dx, groups, factor, None
        masked_backward(*arrays, stats, eps, flags, dweight, None, zero_masked)
        return RMSNormGradients(deliver(dx, out), parameter_gradient(dweight, weight, "weight"))
    if stats is None:
        square = new_statistic(groups)
        _core.forward(x, None, groups, None, None, None, square, eps, _core.RAW)
    else:
        square = given_mean_square(stats, groups, out)
    _core.backward(dy, x, dx, groups, factor, None, square, eps, flags, dweight, None)
    return RMSNormGradients(deliver(dx, out), parameter_gradient(dweight, weight, "weight"))


class RMSNorm(Layer):
    """RMS normalization over the trailing axes, as a layer with its weight.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Lengths of the trailing axes of the input, over which it is normalized.
    eps : float, default 1e-6
        Added to the mean square, inside the root.
    elementwise_affine : bool, default True
        Have a weight (initially 1) of shape `normalized_shape`.
    dtype : dtype, default float32
        Type of the weight: float16, bfloat16, float32 or float64. That of the input may differ.
    activation : {"relu", "silu", "gelu", "gelu_tanh"}, optional
        Applied to the result, in the same pass.

    Attributes
    ----------
    weight : ndarray or None
        The parameter.
    grads : dict of str to ndarray
        Gradient of the weight from the last `backward`.
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
    rms_norm : The function behind it, with formula and source; it takes any axes.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.RMSNorm(2, eps=0)
    >>> layer(np.array([[2.0, -2.0]], dtype=np.float32))
    array([[ 1., -1.]], dtype=float32)
    """

    _stored = ("weight",)
    _shown = ("normalized_shape", "eps", "elementwise_affine")

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-6,
        elementwise_affine: bool = True,
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
        self._make_affine(self.normalized_shape, dtype, weight=elementwise_affine, bias=False)

    def _forward(self, x: ArrayInput, **part: Any) -> tuple[Array, tuple[Any, ...]]:
        axes, expected = self._axes, self.normalized_shape
        flags = _RAW_STATS | self._activation
        usual = None
        if not part:
            usual = _core.normalize(
                x, self.weight, None, self.eps, None, flags, LAYER_AXES, axes, expected
            )
        if usual is not None:
            y, _, var, groups = usual
            return y, (x, RawMoments(var, groups.size), part)
        x = trailing(x, expected)
        y, stats = rms_norm(
            x,
            self.weight,
            axis=axes,
            eps=self.eps,
            activation=self.activation,
            return_stats=True,
            **part,
        )
        return y, (x, stats, part)

    def _backward(self, dy: ArrayInput, x: Array, stats: RawMoments, part: dict[str, Any]) -> Any:
        flags = _core.RAW | self._activation
        usual = _core.gradient(
            dy, x, self.weight, None, None, *stats, self.eps, None, flags, AXES, self._axes
        )
        if usual is not None:
            return usual
        return rms_norm_backward(
            dy,
            x,
            self.weight,
            axis=self._axes,
            eps=self.eps,
            activation=self.activation,
            stats=stats,
            **part,
        )
