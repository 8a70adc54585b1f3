# SPDX-License-Identifier: BSD-3-Clause
"""Local response normalization: each value divided by a power of the squares near its channel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.moments import Float64Array
from fastnorm.reference.standardize import as_float64, deliver


class LocalResponseNormGradients(NamedTuple):
    """Gradient of a scalar loss with respect to the argument of `local_response_norm`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape: float64, or `out` where one was given.
    """

    x: NDArray[Any]


def local_response_norm(
    x: ArrayLike,
    size: int = 5,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    r"""Divide each value by a power of the sum of squares over the channels around its own.

    Parameters
    ----------
    x : array_like
        Values of any real type; converted to float64.
    size : int, default 5
        Number n of neighbouring channels in a window.
    alpha, beta, k : float, defaults 1e-4, 0.75, 1.0
        Factor of the mean of the squares, exponent, and summand.
    channel_axis : int, default 1
        The axis of the channels.
    out : ndarray, optional
        Array of x's shape that receives the result, cast to its dtype. It may be `x`.

    Returns
    -------
    y : ndarray
        float64 of x's shape, whatever the type of `x`; or `out`.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.

    Notes
    -----
    .. math:: y_c = x_c D_c^{-\beta}, \qquad
              D_c = k + \frac{\alpha}{n} \sum_{j = c - \lfloor n / 2 \rfloor}
              ^{c + \lfloor (n - 1) / 2 \rfloor} x_j^2 ,

    with zeros beyond the first and the last channel. Where D is 0, y is 0.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet Classification with Deep Convolutional
    Neural Networks", NeurIPS 2012, section 3.3.
    """
    values = np.moveaxis(as_float64(x), channel_axis, 0)
    with np.errstate(all="ignore"):
        base = _base(values, size, alpha, k)
        y = np.where(base == 0.0, 0.0, values / base**beta)
    return deliver(np.moveaxis(y, 0, channel_axis), out)


def local_response_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    size: int = 5,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
) -> LocalResponseNormGradients:
    r"""Gradient of `local_response_norm`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, size, alpha, beta, k, channel_axis
        As given to `local_response_norm`.
    out : ndarray, optional
        Array of x's shape that receives the gradient with respect to x, cast to its dtype. It may
        be `dy` or `x`.

    Returns
    -------
    LocalResponseNormGradients
        Field `x`.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.

    Notes
    -----
    .. math:: dx_c = dy_c D_c^{-\beta} - \frac{2 \alpha \beta}{n}\, x_c
              \sum_{j = c - \lfloor (n - 1) / 2 \rfloor}^{c + \lfloor n / 2 \rfloor}
              dy_j x_j D_j^{-\beta - 1} ,

    over the windows that c is in, which mirror the one about c.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet Classification with Deep Convolutional
    Neural Networks", NeurIPS 2012, section 3.3.
    """
    values = np.moveaxis(as_float64(x), channel_axis, 0)
    g = np.moveaxis(as_float64(dy), channel_axis, 0)
    with np.errstate(all="ignore"):
        base = _base(values, size, alpha, k)
        base[base == 0.0] = np.inf
        shares = g * values / base ** (beta + 1.0)
        total = _window_sums(shares, (size - 1) // 2, size // 2)
        dx = g / base**beta - 2.0 * alpha * beta / size * values * total
    return LocalResponseNormGradients(deliver(np.moveaxis(dx, 0, channel_axis), out))


def _base(values: Float64Array, size: int, alpha: float, k: float) -> Float64Array:
    """D of every value; the channels are the first axis."""
    return k + alpha / size * _window_sums(values**2, size // 2, (size - 1) // 2)


def _window_sums(values: Float64Array, before: int, after: int) -> Float64Array:
    """Sums along the first axis from so many entries before to so many after each entry."""
    total = np.empty_like(values)
    for c in range(len(values)):
        total[c] = values[max(0, c - before) : c + after + 1].sum(axis=0)
    return total
