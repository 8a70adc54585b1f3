# SPDX-License-Identifier: BSD-3-Clause
"""Adaptive instance normalization: the content with the mean and deviation of the style."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.instance_norm import resolve_instances
from fastnorm.reference.moments import Float64Array, Moments, moments
from fastnorm.reference.standardize import (
    as_float64,
    deliver,
    expand_kept,
    normalize,
    pull_back,
    scale_and_shift,
)


class AdaptiveMoments(NamedTuple):
    """Statistics of both inputs of `adaptive_instance_norm`.

    Attributes
    ----------
    content, style : Moments
        Mean, biased variance and number of values of every channel of every sample.
    """

    content: Moments
    style: Moments


class AdaptiveInstanceNormGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the inputs of `adaptive_instance_norm`.

    Attributes
    ----------
    content : ndarray
        Gradient with respect to the content, of its shape: float64, or `out` where one was given.
    style : ndarray of float64
        Gradient with respect to the style, of its shape.
    """

    content: NDArray[Any]
    style: Float64Array


@overload
def adaptive_instance_norm(
    content: ArrayLike,
    style: ArrayLike,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def adaptive_instance_norm(
    content: ArrayLike,
    style: ArrayLike,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], AdaptiveMoments]: ...
def adaptive_instance_norm(
    content: ArrayLike,
    style: ArrayLike,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], AdaptiveMoments]:
    r"""Give each channel of the content the mean and the standard deviation of the style's.

    Parameters
    ----------
    content : array_like
        Values of any real type, with at least 3 axes, axis 0 the batch of N samples; converted to
        float64.
    style : array_like
        As many axes, 1 or N samples, the same channels; its spatial axes may have other lengths.
    eps : float, default 1e-5
        Added to both variances, in squared units of the content and of the style.
    channel_axis : int, default 1
        The axis of the channels, any but the first.
    out : ndarray, optional
        Array of the content's shape that receives the result, cast to its dtype. It may be
        `content`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        float64 of the content's shape, whatever its type; or `out`.
    stats : AdaptiveMoments
        Only with `return_stats`: mean and variance of content and style, of shapes (N, C) and
        (1 or N, C).

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If there is one value per sample and channel, or if the shapes do not fit.

    Notes
    -----
    With means :math:`\mu` and biased variances :math:`v` over space of the content c and the style
    s,

    .. math:: y = \sqrt{v_s + \epsilon}\,\frac{c - \mu_c}{\sqrt{v_c + \epsilon}} + \mu_s .

    References
    ----------
    X. Huang, S. Belongie, "Arbitrary Style Transfer in Real-Time with Adaptive Instance
    Normalization", ICCV 2017, arXiv:1703.06868, equation 8.
    """
    values, image = as_float64(content), as_float64(style)
    _, axes = resolve_instances(values, channel_axis)
    _, style_axes = resolve_instances(image, channel_axis)
    stats = AdaptiveMoments(moments(values, axes), moments(image, style_axes))
    factor, summand = _affine(image, stats.style, eps, style_axes)
    mean, var, _ = stats.content
    y = deliver(scale_and_shift(values, factor, summand, mean, var, eps, axes), out)
    return (y, stats) if return_stats else y


def adaptive_instance_norm_backward(
    dy: ArrayLike,
    content: ArrayLike,
    style: ArrayLike,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: AdaptiveMoments | None = None,
    out: NDArray[Any] | None = None,
) -> AdaptiveInstanceNormGradients:
    r"""Gradient of `adaptive_instance_norm` with respect to both inputs.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of the content's shape.
    content, style, eps, channel_axis
        As given to `adaptive_instance_norm`.
    stats : AdaptiveMoments, optional
        What ``return_stats=True`` gave; recomputed if None.
    out : ndarray, optional
        Array of the content's shape that receives the gradient with respect to the content, cast to
        its dtype. It may be `dy` or `content`.

    Returns
    -------
    AdaptiveInstanceNormGradients
        Fields `content` and `style`.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If there is one value per sample and channel, or if the shapes do not fit.

    Notes
    -----
    With :math:`\sigma = \sqrt{v + \epsilon}`, :math:`g = \sigma_s\,dy`,
    :math:`\hat c = (c - \mu_c) / \sigma_c`, :math:`\hat s = (s - \mu_s) / \sigma_s`, means over
    space and the :math:`m` values of a channel of the style,

    .. math:: dc = \frac{1}{\sigma_c} \left( g - \overline{g} - \hat c\,\overline{g \hat c} \right),
              \qquad ds = \frac{1}{m} \left( \hat s \sum dy\,\hat c + \sum dy \right),

    the sums running over the content's space, and over its samples where the style is one.

    References
    ----------
    X. Huang, S. Belongie, "Arbitrary Style Transfer in Real-Time with Adaptive Instance
    Normalization", ICCV 2017, arXiv:1703.06868, equation 8.
    """
    values, image = as_float64(content), as_float64(style)
    _, axes = resolve_instances(values, channel_axis)
    _, style_axes = resolve_instances(image, channel_axis)
    if stats is None:
        stats = AdaptiveMoments(moments(values, axes), moments(image, style_axes))
    of_content, of_style = stats
    factor, summand = _affine(image, of_style, eps, style_axes)
    mean, var, _ = of_content
    dx, dfactor, dsummand = pull_back(dy, values, factor, summand, mean, var, eps, axes)
    assert dfactor is not None
    assert dsummand is not None
    mean, var, count = of_style
    with np.errstate(all="ignore"):
        normalized, _ = normalize(image, mean, var, eps, style_axes)
        dstyle = (normalized * dfactor + dsummand) / count
    return AdaptiveInstanceNormGradients(deliver(dx, out), dstyle)


def _affine(
    style: Float64Array, stats: Moments, eps: float, axes: tuple[int, ...]
) -> tuple[Float64Array, Float64Array]:
    """Standard deviation and mean of the style, which broadcast against the content."""
    mean, var, _ = stats
    return np.sqrt(expand_kept(var, style.shape, axes) + eps), expand_kept(mean, style.shape, axes)
