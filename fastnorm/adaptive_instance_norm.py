# SPDX-License-Identifier: BSD-3-Clause
"""Adaptive instance normalization: the content takes mean and deviation of the style."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from fastnorm import _core
from fastnorm._args import array, broadcast_parameter, deliver, gradient, new_statistic, output
from fastnorm._groups import over_instances
from fastnorm._layer import Layer
from fastnorm._numbers import epsilon, integer
from fastnorm.moments import Moments, deviation, moments_for_gradient, moments_of_groups

if TYPE_CHECKING:
    from fastnorm._core import Groups
    from fastnorm._types import Array, ArrayInput


class AdaptiveMoments(NamedTuple):
    """Statistics of both inputs of `adaptive_instance_norm`.

    Attributes
    ----------
    content, style : Moments
        Mean and biased variance in float64, and number of values, of every channel of every sample.
    """

    content: Moments
    style: Moments


class AdaptiveInstanceNormGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the inputs of `adaptive_instance_norm`.

    Attributes
    ----------
    content, style : ndarray
        Gradients with respect to the inputs, each of the input's own shape and dtype.
    """

    content: Array
    style: Array


@overload
def adaptive_instance_norm(
    content: ArrayInput,
    style: ArrayInput,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def adaptive_instance_norm(
    content: ArrayInput,
    style: ArrayInput,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, AdaptiveMoments]: ...
def adaptive_instance_norm(
    content: ArrayInput,
    style: ArrayInput,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, AdaptiveMoments]:
    r"""Give each channel of the content the mean and the standard deviation of the style's.

    Parameters
    ----------
    content : array of float16, bfloat16, float32 or float64
        Values of shape (N, C, ...) with at least one axis after these, or with the channels
        elsewhere, and of any strides.
    style : array
        As many axes, 1 or N samples and C channels; the other axes may have other lengths. Of any
        of the four types. One sample is the style of all.
    eps : float, default 1e-5
        Added to both variances, inside the roots; in squared units of the content and of the style.
        0 is allowed.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last. Axis 0 is that of the samples.
    out : ndarray, optional
        Receives the result; of the content's shape and dtype. It may be `content`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        Of the content's shape and dtype and, if new, memory order; or `out`.
    stats : AdaptiveMoments
        Only with `return_stats`: mean and biased variance in float64 of the content, of shape
        (N, C), and of the style, of shape (1 or N, C).

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If an input has fewer than 3 axes or one value per channel of a sample, the style has none
        or does not fit the content, `out` does not fit or is read-only, or `eps` is negative or
        not finite.

    Notes
    -----
    With means :math:`\mu` and biased variances :math:`v` of one channel of one sample of the
    content c and the style s,

    .. math:: y = \sqrt{v_s + \epsilon}\,\frac{c - \mu_c}{\sqrt{v_c + \epsilon}} + \mu_s .

    Both variances are biased (``ddof=0``), as in the paper, and eps is in both roots: a style equal
    to the content gives the content back. Widespread PyTorch code takes ``torch.var``, which is
    unbiased (``ddof=1``). Generators that predict factor and summand of each channel and sample
    (StyleGAN) have no style image: theirs is `standardize` with these as weight and bias. A
    constant channel of the content gives the mean of the style, also with ``eps=0``, where the
    reciprocal of the root is defined as 0.

    References
    ----------
    X. Huang, S. Belongie, "Arbitrary Style Transfer in Real-Time with Adaptive Instance
    Normalization", ICCV 2017, arXiv:1703.06868, equation 8.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> content = np.array([[[1.0, 3.0, 3.0, 1.0]]], dtype=np.float32)
    >>> style = np.array([[[10.0, 30.0]]], dtype=np.float32)
    >>> fastnorm.adaptive_instance_norm(content, style, eps=0)
    array([[[10., 30., 30., 10.]]], dtype=float32)
    """
    content = array(content, "content")
    groups = over_instances(channel_axis, content.shape, "content")
    style = array(style, "style")
    style_groups = _groups_of_style(style, content, channel_axis)
    y = output(out, content)
    eps = epsilon(eps)
    style_mean, style_var = moments_for_gradient(style, None, style_groups, None)
    factor = _against(deviation(style_var, eps), style_groups, content)
    summand = _against(style_mean, style_groups, content)
    mean, var = new_statistic(groups), new_statistic(groups)
    _core.forward(content, y, groups, factor, summand, mean, var, eps, 0)
    y = deliver(y, out)
    if not return_stats:
        return y
    return y, AdaptiveMoments(
        moments_of_groups(mean, var, groups),
        moments_of_groups(style_mean, style_var, style_groups),
    )


def adaptive_instance_norm_backward(
    dy: ArrayInput,
    content: ArrayInput,
    style: ArrayInput,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: AdaptiveMoments | tuple[Any, Any] | None = None,
    out: Array | None = None,
) -> AdaptiveInstanceNormGradients:
    r"""Gradient of `adaptive_instance_norm` with respect to both inputs.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of the content's shape and dtype.
    content, style, eps, channel_axis
        As given to `adaptive_instance_norm`.
    stats : AdaptiveMoments, optional
        What ``return_stats=True`` gave; recomputed if None.
    out : ndarray, optional
        Receives the gradient with respect to the content; of its shape and dtype. It may be `dy` or
        `content`.

    Returns
    -------
    AdaptiveInstanceNormGradients
        Fields `content` and `style`, of the shapes and dtypes of these arguments. The sums behind
        the latter run in float64.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of the content's, or `stats` is not what
        `adaptive_instance_norm` returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If an input has fewer than 3 axes or one value per channel of a sample, the style has none
        or does not fit the content, a shape does not fit, `stats` belong to other inputs, `out` is
        read-only, or `eps` is negative or not finite.

    Notes
    -----
    With :math:`\sigma = \sqrt{v + \epsilon}`, :math:`g = \sigma_s\,dy`,
    :math:`\hat c = (c - \mu_c) / \sigma_c`, :math:`\hat s = (s - \mu_s) / \sigma_s`, means over
    one channel of one sample and the :math:`m` values of one of the style,

    .. math:: dc = \frac{1}{\sigma_c} \left( g - \overline{g} - \hat c\,\overline{g \hat c} \right),
              \qquad ds = \frac{1}{m} \left( \hat s \sum dy\,\hat c + \sum dy \right),

    the sums running over the content's channel, and over its samples where the style is one.

    References
    ----------
    X. Huang, S. Belongie, "Arbitrary Style Transfer in Real-Time with Adaptive Instance
    Normalization", ICCV 2017, arXiv:1703.06868, equation 8.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> content, dy = np.array([[[1.0, 3.0, 1.0, 3.0]]]), np.array([[[1.0, 0.0, 0.0, 0.0]]])
    >>> style = np.array([[[10.0, 30.0]]])
    >>> fastnorm.adaptive_instance_norm_backward(dy, content, style, eps=0)
    AdaptiveInstanceNormGradients(content=array([[[ 5.,  0., -5.,  0.]]]),
        style=array([[[1., 0.]]]))
    """
    content = array(content, "content")
    dy = gradient(dy, content)
    groups = over_instances(channel_axis, content.shape, "content")
    style = array(style, "style")
    style_groups = _groups_of_style(style, content, channel_axis)
    eps = epsilon(eps)
    dcontent = output(out, content, dy)
    if np.may_share_memory(dcontent, style):
        dcontent = np.empty_like(content)  # the style is read once more after it was written
    given, style_given = _parts(stats)
    mean, var = moments_for_gradient(content, given, groups, out)
    style_mean, style_var = moments_for_gradient(style, style_given, style_groups, out)

    factor = _against(deviation(style_var, eps), style_groups, content)
    dfactor, dsummand = np.zeros(style_groups.kept), np.zeros(style_groups.kept)
    _core.backward(dy, content, dcontent, groups, factor, mean, var, eps, 0, dfactor, dsummand)

    # An affine map of the style, by its own statistics; the sums are means once divided
    slope, shift = (
        _against(total / max(style_groups.size, 1), style_groups, style)
        for total in (dfactor, dsummand)
    )
    dstyle = np.empty_like(style)
    _core.forward(
        style, dstyle, style_groups, slope, shift, style_mean, style_var, eps, _core.GIVEN
    )
    return AdaptiveInstanceNormGradients(deliver(dcontent, out), dstyle)


def _groups_of_style(style: Array, content: Array, channel_axis: Any) -> Groups:
    """Return how the style falls into groups, once it was found to fit the content."""
    if style.ndim != content.ndim:
        raise ValueError(
            f"style has shape {style.shape}, expected {content.ndim} axes as content has"
        )
    groups = over_instances(channel_axis, style.shape, "style")
    samples, channels = groups.free
    if samples not in (1, content.shape[0]) or channels != content.shape[channel_axis]:
        raise ValueError(
            f"style has shape {style.shape}, expected the channels of content, of shape "
            f"{content.shape}, and one sample or as many"
        )
    if content.size and not style.size:
        raise ValueError(f"style has shape {style.shape}: it has no values")
    return groups


def _against(values: Array, style_groups: Groups, x: Array) -> Array | None:
    """Return a value of each channel of the style as the core takes it beside `x`."""
    with np.errstate(over="ignore"):  # beyond float32 it is inf, as the results are
        return broadcast_parameter(values.reshape(style_groups.kept), "style", x, None)


def _parts(stats: Any) -> tuple[Any, Any]:
    """Return the statistics of content and style; Nones for None."""
    if stats is None:
        return None, None
    try:
        content, style = stats
    except (TypeError, ValueError):
        raise TypeError(
            f"stats must be what return_stats=True gave, (content, style), got {stats!r}"
        ) from None
    return content, style


class AdaptiveInstanceNorm(Layer):
    """Adaptive instance normalization as a layer; it is called on the content and the style.

    `backward` returns the gradient with respect to the content, and leaves that with respect to the
    style in ``grads["style"]``.

    Parameters
    ----------
    eps : float, default 1e-5
        Added to both variances, inside the roots.
    channel_axis : int, default 1
        The axis of the channels; -1 for channels-last. Axis 0 is that of the samples.

    Attributes
    ----------
    weight, bias : None
        There are no parameters: the style has their part.
    grads : dict of str to ndarray
        ``grads["style"]`` is the gradient with respect to the style of the last `backward`.
    training : bool
        Has no effect here.

    Raises
    ------
    ValueError
        If `eps` is negative or not finite.
    TypeError
        If an argument is of the wrong type.

    See Also
    --------
    adaptive_instance_norm : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.AdaptiveInstanceNorm(eps=0)
    >>> layer(np.array([[[1.0, 3.0, 3.0, 1.0]]]), np.array([[[10.0, 30.0]]]))
    array([[[10., 30., 30., 10.]]])
    >>> layer.backward(np.array([[[1.0, 0.0, 0.0, 0.0]]]))
    array([[[ 5.,  0.,  0., -5.]]])
    >>> layer.grads["style"]
    array([[[1., 0.]]])
    """

    _learned = ("style",)
    _stored = ()
    _shown = ("eps", "channel_axis")

    def __init__(self, eps: float = 1e-5, channel_axis: int = 1) -> None:
        super().__init__()
        self.eps = epsilon(eps)
        self.channel_axis = integer(channel_axis, "channel_axis")

    def _forward(self, content: ArrayInput, style: ArrayInput) -> tuple[Array, tuple[Any, ...]]:
        y, stats = adaptive_instance_norm(
            content, style, eps=self.eps, channel_axis=self.channel_axis, return_stats=True
        )
        return y, (content, style, stats)

    def _backward(
        self, dy: ArrayInput, content: ArrayInput, style: ArrayInput, stats: AdaptiveMoments
    ) -> Any:
        return adaptive_instance_norm_backward(
            dy, content, style, eps=self.eps, channel_axis=self.channel_axis, stats=stats
        )
