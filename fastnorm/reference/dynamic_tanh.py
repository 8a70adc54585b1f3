# SPDX-License-Identifier: BSD-3-Clause
"""Dynamic tanh: a saturating curve in the place of a normalizer, without statistics."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.moments import Float64Array
from fastnorm.reference.standardize import (
    as_float64,
    deliver,
    expand_optional,
    reshape_like,
    sum_to,
)


class DynamicTanhGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of `dynamic_tanh`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape: float64, or `out` where one was given.
    alpha : ndarray of float64
        Gradient with respect to alpha, of its shape.
    weight, bias : ndarray of float64 or None
        Gradients with respect to the parameters, of their shapes; None where the argument was None.
    """

    x: NDArray[Any]
    alpha: Float64Array
    weight: Float64Array | None
    bias: Float64Array | None


def dynamic_tanh(
    x: ArrayLike,
    alpha: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    channel_axis: int = -1,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    r"""Squash each value by a tanh of learned slope, then scale and shift its channel.

    Parameters
    ----------
    x : array_like
        Values of any real type; converted to float64.
    alpha : array_like of shape () or (1,)
        Slope of the curve at 0.
    weight, bias : array_like of shape (C,), optional
        Factor and summand of each channel.
    channel_axis : int, default -1
        The axis of length C.
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
    ValueError
        If a parameter has not C entries.

    Notes
    -----
    .. math:: y = w \tanh(\alpha x) + b .

    References
    ----------
    J. Zhu, X. Chen, K. He, Y. LeCun, Z. Liu, "Transformers without Normalization", CVPR 2025,
    arXiv:2503.10622, algorithm 1.
    """
    values = as_float64(x)
    channel = (normalize_axis_index(channel_axis, values.ndim),)
    factor = expand_optional(weight, values.shape, channel)
    summand = expand_optional(bias, values.shape, channel)
    with np.errstate(all="ignore"):
        y = np.tanh(as_float64(alpha) * values)
        y = y if factor is None else y * factor
        y = y if summand is None else y + summand
    return deliver(y, out)


def dynamic_tanh_backward(
    dy: ArrayLike,
    x: ArrayLike,
    alpha: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    channel_axis: int = -1,
    out: NDArray[Any] | None = None,
) -> DynamicTanhGradients:
    r"""Gradient of `dynamic_tanh`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, alpha, weight, bias, channel_axis
        As given to `dynamic_tanh`. Of `bias` only the shape matters.
    out : ndarray, optional
        Array of x's shape that receives the gradient with respect to x, cast to its dtype. It may
        be `dy` or `x`.

    Returns
    -------
    DynamicTanhGradients
        Fields `x`, `alpha`, `weight` and `bias`, the latter two None where the argument was None.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a parameter has not C entries.

    Notes
    -----
    With :math:`t = \tanh(\alpha x)` and :math:`h = w\,dy\,(1 - t^2)`,

    .. math:: dx = \alpha h, \qquad d\alpha = \sum h\,x, \qquad dw = \sum dy\,t, \qquad
              db = \sum dy .

    References
    ----------
    J. Zhu, X. Chen, K. He, Y. LeCun, Z. Liu, "Transformers without Normalization", CVPR 2025,
    arXiv:2503.10622, algorithm 1.
    """
    g, values = as_float64(dy), as_float64(x)
    channel = (normalize_axis_index(channel_axis, values.ndim),)
    slope = as_float64(alpha).reshape(())
    factor = expand_optional(weight, values.shape, channel)
    shape = tuple(n if axis in channel else 1 for axis, n in enumerate(values.shape))
    with np.errstate(all="ignore"):
        z = slope * values
        h = g / np.cosh(z) ** 2  # 1 - tanh(z)^2 without the difference
        h = h if factor is None else h * factor
        dweight, dbias = sum_to(g * np.tanh(z), shape), sum_to(g, shape)
        dalpha = np.asarray((h * values).sum()).reshape(np.shape(alpha))
    return DynamicTanhGradients(
        deliver(h * slope, out), dalpha, reshape_like(dweight, weight), reshape_like(dbias, bias)
    )
