# SPDX-License-Identifier: BSD-3-Clause
"""Local response normalization: each value divided by a power of the squares near its channel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnorm import _core
from fastnorm._args import array, deliver, gradient, output
from fastnorm._groups import channel_index
from fastnorm._layer import Layer
from fastnorm._numbers import epsilon, integer, positive

if TYPE_CHECKING:
    from fastnorm._types import Array, ArrayInput


class LocalResponseNormGradients(NamedTuple):
    """Gradient of a scalar loss with respect to the argument of `local_response_norm`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape and dtype.
    """

    x: Array


def local_response_norm(
    x: ArrayInput,
    size: int = 5,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    channel_axis: int = 1,
    out: Array | None = None,
) -> Array:
    r"""Divide each value by a power of the sum of squares over the channels around its own.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of shape (N, C, ...), or with the channels elsewhere, and of any strides.
    size : int, default 5
        Number n of neighbouring channels in a window; it may exceed C.
    alpha : float, default 1e-4
        Factor of the mean of the squares, at least 0.
    beta : float, default 0.75
        Exponent, at least 0.
    k : float, default 1.0
        Summand, at least 0; in squared units of `x` times alpha.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last.
    out : ndarray, optional
        Receives the result; of x's shape and dtype. It may be `x`.

    Returns
    -------
    y : ndarray
        Of x's shape and dtype and, if new, memory order; or `out`.

    Raises
    ------
    TypeError
        If `x` is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 2 axes, `out` has another shape or is read-only, `size` is below 1, or
        another number is negative or not finite.

    Notes
    -----
    .. math:: y_c = x_c D_c^{-\beta}, \qquad
              D_c = k + \frac{\alpha}{n} \sum_{j = c - \lfloor n / 2 \rfloor}
              ^{c + \lfloor (n - 1) / 2 \rfloor} x_j^2 .

    Names, defaults and window are PyTorch's. Beyond the first and the last channel there are zeros,
    and the divisor stays n. Where n is even, the window has one channel more before c than after
    it; in ONNX it is the other way round. In the paper, in TensorFlow and in cuDNN's older form
    alpha is not divided by n: theirs is ``alpha / size`` here; TensorFlow's ``depth_radius`` r is
    a size of ``2 * r + 1``. Where D is 0, which takes ``k=0``, y is 0, and so is the gradient.

    There are no statistics to return: D is as large as x.

    The squares are added up in the compute type, or in float64 where it would not hold them. With
    the usual exponents 0.5, 0.75 and 1 the power is taken by roots, and a result is the same on
    every machine. For others the C library's power function of float64 is called, of which other
    machines may have another one.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet Classification with Deep Convolutional
    Neural Networks", NeurIPS 2012, section 3.3.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[3.0, 4.0, 0.0]], dtype=np.float32)
    >>> fastnorm.local_response_norm(x, 3, alpha=3.0, beta=0.5, k=0.0)
    array([[0.6, 0.8, 0. ]], dtype=float32)
    """
    x = array(x, "x")
    axis = channel_index(channel_axis, x.shape)
    window = _window(size, alpha, beta, k, x.shape[axis])
    y = output(out, x)
    _core.window(x, y, None, axis, *window)
    return deliver(y, out)


def local_response_norm_backward(
    dy: ArrayInput,
    x: ArrayInput,
    size: int = 5,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    channel_axis: int = 1,
    out: Array | None = None,
) -> LocalResponseNormGradients:
    r"""Gradient of `local_response_norm`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, size, alpha, beta, k, channel_axis
        As given to `local_response_norm`.
    out : ndarray, optional
        Receives the gradient with respect to x; of its shape and dtype. It may be `dy` or `x`.

    Returns
    -------
    LocalResponseNormGradients
        Field `x`, of x's shape and dtype.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of x's, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 2 axes, `dy` or `out` has another shape, `out` is read-only, `size` is
        below 1, or another number is negative or not finite.

    Notes
    -----
    The windows that c is in are those about :math:`c - \lfloor (n - 1) / 2 \rfloor` to
    :math:`c + \lfloor n / 2 \rfloor`, so that

    .. math:: dx_c = dy_c D_c^{-\beta} - \frac{2 \alpha \beta}{n}\, x_c
              \sum_{j = c - \lfloor (n - 1) / 2 \rfloor}^{c + \lfloor n / 2 \rfloor}
              dy_j x_j D_j^{-\beta - 1} .

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet Classification with Deep Convolutional
    Neural Networks", NeurIPS 2012, section 3.3.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[3.0, 4.0, 0.0]]), np.array([[5.0, 0.0, 0.0]])
    >>> fastnorm.local_response_norm_backward(dy, x, 3, alpha=3.0, beta=0.5, k=0.0).x
    array([[ 0.64, -0.48,  0.  ]])
    """
    x = array(x, "x")
    dy = gradient(dy, x)
    axis = channel_index(channel_axis, x.shape)
    window = _window(size, alpha, beta, k, x.shape[axis])
    dx = output(out, x, dy)
    _core.window(x, dx, dy, axis, *window)
    return LocalResponseNormGradients(deliver(dx, out))


class _Window(NamedTuple):
    """Entries before and after the one that a window is about, and the numbers of the formula."""

    before: int
    after: int
    scale: float
    beta: float
    k: float


def _window(size: Any, alpha: Any, beta: Any, k: Any, channels: int) -> _Window:
    """What the core asks for; of a window no more than `channels` places can matter."""
    size = positive(size, "size")
    return _Window(
        before=min(size // 2, max(channels - 1, 0)),
        after=min((size - 1) // 2, max(channels - 1, 0)),
        scale=math.sqrt(epsilon(alpha, "alpha") / size),
        beta=epsilon(beta, "beta"),
        k=epsilon(k, "k"),
    )


class LocalResponseNorm(Layer):
    """Local response normalization as a layer; it has no parameters.

    Parameters
    ----------
    size : int
        Number of neighbouring channels in a window.
    alpha : float, default 1e-4
        Factor of the mean of the squares.
    beta : float, default 0.75
        Exponent.
    k : float, default 1.0
        Summand.
    channel_axis : int, default 1
        The axis of the channels; -1 for channels-last.

    Attributes
    ----------
    weight, bias : None
        There are none.
    grads : dict
        Empty.
    training : bool
        Has no effect here.

    Raises
    ------
    ValueError
        If `size` is below 1, or another number is negative or not finite.
    TypeError
        If an argument is of the wrong type.

    See Also
    --------
    local_response_norm : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.LocalResponseNorm(1, alpha=1.0, beta=0.5, k=0.0)
    >>> layer(np.array([[3.0, -4.0]], dtype=np.float32))
    array([[ 1., -1.]], dtype=float32)
    """

    _stored = ()
    _shown = ("size", "alpha", "beta", "k", "channel_axis")

    def __init__(
        self,
        size: int,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
        channel_axis: int = 1,
    ) -> None:
        super().__init__()
        self.size = positive(size, "size")
        self.alpha = epsilon(alpha, "alpha")
        self.beta = epsilon(beta, "beta")
        self.k = epsilon(k, "k")
        self.channel_axis = integer(channel_axis, "channel_axis")

    def _words(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._shown}

    def _forward(self, x: ArrayInput) -> tuple[Array, tuple[Any, ...]]:
        x = array(x, "x")
        return local_response_norm(x, **self._words()), (x,)

    def _backward(self, dy: ArrayInput, x: Array) -> Any:
        return local_response_norm_backward(dy, x, **self._words())
