# SPDX-License-Identifier: BSD-3-Clause
"""Dynamic tanh: a saturating curve in the place of a normalizer, without statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnorm import _core
from fastnorm._args import (
    COMPUTE_TYPE,
    array,
    broadcast_parameter,
    channels,
    deliver,
    float_dtype,
    gradient,
    gradient_sum,
    output,
    parameter,
    parameter_gradient,
)
from fastnorm._groups import over_batch
from fastnorm._layer import Layer
from fastnorm._numbers import integer, positive, real

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._core import Groups
    from fastnorm._types import Array, ArrayInput


class DynamicTanhGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of `dynamic_tanh`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape and dtype.
    alpha : ndarray
        Gradient with respect to alpha, of its shape and dtype.
    weight, bias : ndarray or None
        Gradients with respect to the parameters, of their shapes and dtypes; None where the
        argument was None.
    """

    x: Array
    alpha: Array
    weight: Array | None
    bias: Array | None


def dynamic_tanh(
    x: ArrayInput,
    alpha: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    channel_axis: int = -1,
    out: Array | None = None,
) -> Array:
    r"""Squash each value by a tanh of learned slope, then scale and shift its channel.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of shape (N, ..., C), or with the channels elsewhere, and of any strides.
    alpha : array of shape () or (1,)
        Slope of the curve at 0, of any of the four types; in the reciprocal of the units of `x`.
    weight, bias : array of shape (C,), optional
        Factor and summand of each channel, of any of the four types.
    channel_axis : int, default -1
        The axis of length C. The layer is one of transformers, whose channels are last; 1 for
        NCHW.
    out : ndarray, optional
        Receives the result; of x's shape and dtype. It may be `x`.

    Returns
    -------
    y : ndarray
        Of x's shape and dtype and, if new, memory order; or `out`.

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 2 axes, a shape does not fit, or `out` is read-only.

    Notes
    -----
    .. math:: y = w \tanh(\alpha x) + b .

    Every value by itself: there are no statistics, and none to return. A NaN stays a NaN.

    References
    ----------
    J. Zhu, X. Chen, K. He, Y. LeCun, Z. Liu, "Transformers without Normalization", CVPR 2025,
    arXiv:2503.10622, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[-100.0, 0.0, 100.0]], dtype=np.float32)
    >>> fastnorm.dynamic_tanh(x, np.array(0.5), 2 * np.ones(3), np.ones(3))
    array([[-1.,  1.,  3.]], dtype=float32)
    """
    x = array(x, "x")
    groups = over_batch(channel_axis, x.shape)
    y = output(out, x)
    coefficients = _coefficients(alpha, weight, bias, groups, x, out)
    _core.curve(_core.TANH, x, y, coefficients)
    return deliver(y, out)


def dynamic_tanh_backward(
    dy: ArrayInput,
    x: ArrayInput,
    alpha: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    channel_axis: int = -1,
    out: Array | None = None,
) -> DynamicTanhGradients:
    r"""Gradient of `dynamic_tanh`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, alpha, weight, bias, channel_axis
        As given to `dynamic_tanh`. Of `bias` only shape and dtype matter.
    out : ndarray, optional
        Receives the gradient with respect to x; of its shape and dtype. It may be `dy` or `x`.

    Returns
    -------
    DynamicTanhGradients
        Fields `x`, `alpha`, `weight` and `bias`, of the shapes and dtypes of these arguments; the
        latter two None where the argument was None. The sums behind them run in float64 and are
        rounded once.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of x's.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 2 axes, a shape does not fit, or `out` is read-only.

    Notes
    -----
    With :math:`t = \tanh(\alpha x)` and :math:`h = w\,dy\,(1 - t^2)`,

    .. math:: dx = \alpha h, \qquad d\alpha = \sum h\,x, \qquad dw = \sum dy\,t, \qquad
              db = \sum dy ,

    the sums running over all of x, and over all axes but that of the channels.

    References
    ----------
    J. Zhu, X. Chen, K. He, Y. LeCun, Z. Liu, "Transformers without Normalization", CVPR 2025,
    arXiv:2503.10622, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[0.0, 0.0, 100.0]]), np.array([[1.0, 2.0, 3.0]])
    >>> fastnorm.dynamic_tanh_backward(dy, x, np.array(0.5)).x
    array([[0.5, 1. , 0. ]])
    """
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_batch(channel_axis, x.shape)
    dx = output(out, x, dy)
    coefficients = _coefficients(alpha, weight, bias, groups, x, out)
    dalpha = np.zeros(coefficients[0].shape)
    dweight = None if weight is None else gradient_sum(coefficients[1], groups.view)
    dbias = None if bias is None else gradient_sum(coefficients[2], groups.view)
    _core.curve_gradient(_core.TANH, dy, x, dx, coefficients, (dalpha, dweight, dbias))
    slope = parameter_gradient(dalpha, alpha, "alpha")
    assert slope is not None  # alpha was given
    return DynamicTanhGradients(
        deliver(dx, out),
        slope,
        parameter_gradient(dweight, weight, "weight"),
        parameter_gradient(dbias, bias, "bias"),
    )


def _coefficients(
    alpha: Any, weight: Any, bias: Any, groups: Groups, x: Array, out: Array | None
) -> tuple[Array, ...]:
    """Slope, factor and summand as the core takes them."""
    slope = array(alpha, "alpha")
    if slope.shape not in ((), (1,)):
        raise ValueError(f"alpha has shape {slope.shape}, expected () or (1,)")
    given = (
        broadcast_parameter(slope, "alpha", x, out),
        parameter(weight, "weight", groups, x, out),
        parameter(bias, "bias", groups, x, out),
    )
    one, kind = (1,) * x.ndim, COMPUTE_TYPE[x.dtype]
    neutral = zip(given, (1.0, 1.0, 0.0), strict=True)
    return tuple(np.full(one, value, kind) if a is None else a for a, value in neutral)


class DynamicTanh(Layer):
    """Dynamic tanh as a layer with its parameters.

    Parameters
    ----------
    num_features : int
        Number of channels C.
    alpha_init : float, default 0.5
        The slope to begin with.
    affine : bool, default True
        Have a weight (initially 1) and a bias (initially 0) of shape (C,).
    channel_axis : int, default -1
        The axis of length C; 1 for NCHW.
    dtype : dtype, default float32
        Type of the parameters: float16, bfloat16, float32 or float64. That of the input may differ.

    Attributes
    ----------
    alpha : ndarray of shape (1,)
        The slope.
    weight, bias : ndarray or None
        The other parameters, under the names of the paper's code.
    grads : dict of str to ndarray
        Gradients of the parameters from the last `backward`.
    training : bool
        Has no effect here.

    Raises
    ------
    ValueError
        If `num_features` is below 1.
    TypeError
        If an argument is of the wrong type.

    See Also
    --------
    dynamic_tanh : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.DynamicTanh(2)
    >>> layer(np.array([[0.0, 100.0]], dtype=np.float32))
    array([[0., 1.]], dtype=float32)
    """

    _learned = ("alpha", "weight", "bias")
    _stored = ("alpha", "weight", "bias")
    _shown = ("num_features", "alpha_init", "affine", "channel_axis")

    def __init__(
        self,
        num_features: int,
        alpha_init: float = 0.5,
        affine: bool = True,
        channel_axis: int = -1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.num_features = positive(num_features, "num_features")
        self.alpha_init = real(alpha_init, "alpha_init")
        self.affine = affine
        self.channel_axis = integer(channel_axis, "channel_axis")
        self._make_affine((self.num_features,), dtype, weight=affine, bias=affine)
        self.alpha = np.full((1,), self.alpha_init, float_dtype(dtype))

    def _forward(self, x: ArrayInput) -> tuple[Array, tuple[Any, ...]]:
        axis = self.channel_axis
        x = channels(x, axis, self.num_features, "num_features")
        return dynamic_tanh(x, self.alpha, self.weight, self.bias, channel_axis=axis), (x,)

    def _backward(self, dy: ArrayInput, x: Array) -> Any:
        return dynamic_tanh_backward(
            dy, x, self.alpha, self.weight, self.bias, channel_axis=self.channel_axis
        )
