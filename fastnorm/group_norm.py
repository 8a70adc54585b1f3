# SPDX-License-Identifier: BSD-3-Clause
"""Group normalization: consecutive channels of each sample together by their own statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastnorm import _core
from fastnorm._activation import activation_flags, gradient_output
from fastnorm._args import (
    array,
    channels,
    deliver,
    divisor,
    gradient,
    gradient_sum,
    new_statistic,
    output,
    parameter,
)
from fastnorm._groups import CHANNEL_GROUPS, LAYER_CHANNEL_GROUPS, over_channel_groups
from fastnorm._layer import Layer
from fastnorm._masked import mask_argument, masked_forward, time_axis
from fastnorm._masked_gradient import masked_backward
from fastnorm._numbers import epsilon, integer, positive
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
def group_norm(
    x: ArrayInput,
    num_groups: int,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def group_norm(
    x: ArrayInput,
    num_groups: int,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, Moments]: ...
def group_norm(
    x: ArrayInput,
    num_groups: int,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Moments]:
    r"""Normalize each group of channels of each sample, then scale and shift each channel.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of shape (N, C, ...), or with the channels elsewhere, and of any strides.
    num_groups : int
        Number of groups G, which divides C; a group is C / G consecutive channels. 32 in the paper.
    weight, bias : array of shape (C,), optional
        Factor and summand of each channel, of any of the four types.
    eps : float, default 1e-5
        Added to the variance, inside the root; in squared units of `x`. 0 is allowed.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last. Axis 0 is that of the samples.
    activation : {"relu", "silu", "gelu", "gelu_tanh"}, optional
        Applied to the result in the same pass: gelu is the exact one, gelu_tanh its approximation
        by a hyperbolic tangent. None for none.
    mask : array of bool, optional
        True where a value counts in the statistics; broadcasts against `x`. All of x is normalized
        by them, masked values too.
    lengths : array of int, shape (N,), optional
        In place of a mask: how many steps of each sample count, along the first axis beside
        those of the samples and the channels.
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
        Only with `return_stats`: mean and biased variance in float64, of shape (N, G).

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `num_groups` does not divide the channels, `x` has fewer than 2 axes or one value per
        group, a shape does not fit, `out` is read-only, or `eps` is negative or not finite.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of the group,

    .. math:: y = w\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b .

    The parameters have one entry per channel, as in PyTorch, Keras and ONNX from opset 21; ONNX
    opset 18 has one per group. With G = C it is `instance_norm`; with G = 1 it has the statistics
    of `layer_norm` over all axes but the first. A constant group gives the bias, also with
    ``eps=0``, where the reciprocal of the root is defined as 0.

    References
    ----------
    Y. Wu, K. He, "Group Normalization", ECCV 2018, arXiv:1803.08494.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[1.0, 3.0, 10.0, 30.0]], dtype=np.float32)
    >>> fastnorm.group_norm(x, 2, eps=0)
    array([[-1.,  1., -1.,  1.]], dtype=float32)
    """
    flags = _core.STATS if return_stats else 0
    if activation is not None:
        flags |= activation_flags(activation)
    usual = None
    if mask is None and lengths is None and not zero_masked:
        usual = _core.normalize(
            x, weight, bias, eps, out, flags, CHANNEL_GROUPS, num_groups, channel_axis
        )
    if usual is not None:
        if not return_stats:
            y: Array = usual
            return y
        y, mean, var, groups = usual
        return y, moments_of_groups(mean, var, groups)
    x = array(x, "x")
    groups = over_channel_groups(num_groups, channel_axis, x.shape)
    y = output(out, x)
    weight = parameter(weight, "weight", groups, x, out)
    bias = parameter(bias, "bias", groups, x, out)
    eps = epsilon(eps)
    counted = mask_argument(mask, lengths, zero_masked, x.shape, time_axis(channel_axis, x.ndim))
    if counted is not None:
        parts = masked_forward(x, counted, groups, y, weight, bias, eps, flags, zero_masked)
        y = deliver(y, out)
        return (y, moments_of_part(parts, groups)) if return_stats else y
    mean, var = new_statistic(groups), new_statistic(groups)
    _core.forward(x, y, groups, weight, bias, mean, var, eps, flags)
    y = deliver(y, out)
    return (y, moments_of_groups(mean, var, groups)) if return_stats else y


def group_norm_backward(
    dy: ArrayInput,
    x: ArrayInput,
    num_groups: int,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    stats: Moments | tuple[Any, Any, int] | None = None,
    out: Array | None = None,
) -> Gradients:
    r"""Gradient of `group_norm`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, num_groups, weight, bias, eps, channel_axis, activation, mask, lengths, zero_masked
        As given to `group_norm`. Of `bias` only shape and dtype matter, but with an
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
        If an array is of no supported type or `dy` not of x's, or `stats` is not what `group_norm`
        returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `num_groups` does not divide the channels, `x` has fewer than 2 axes or one value per
        group, a shape does not fit, `stats` belong to another input, `out` is read-only, or `eps`
        is negative or not finite.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}`, :math:`\hat x = (x - \mu) r` and
    means over the group,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right), \qquad
              dw = \sum dy\,\hat x, \qquad db = \sum dy ,

    the sums running over all axes but that of the channels.

    References
    ----------
    Y. Wu, K. He, "Group Normalization", ECCV 2018, arXiv:1803.08494.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[1.0, 3.0, 1.0, 3.0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> fastnorm.group_norm_backward(dy, x, 1, eps=0).x
    array([[ 0.5,  0. , -0.5,  0. ]])
    """
    mean, var, count = parts_of_moments(stats)
    flags = 0 if activation is None else activation_flags(activation)
    keys = num_groups, channel_axis
    usual = None
    if mask is None and lengths is None and not zero_masked:
        usual = _core.gradient(
            dy, x, weight, bias, mean, var, count, eps, out, flags, CHANNEL_GROUPS, *keys
        )
    if usual is not None:
        return tuple.__new__(Gradients, usual)
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_channel_groups(num_groups, channel_axis, x.shape)
    eps = epsilon(eps)
    dx = gradient_output(out, x, dy, flags)
    factor = parameter(weight, "weight", groups, x, out)
    summand = parameter(bias, "bias", groups, x, out)
    dweight, dbias = gradient_sum(factor, groups.view), gradient_sum(summand, groups.view)
    counted = mask_argument(mask, lengths, zero_masked, x.shape, time_axis(channel_axis, x.ndim))
    if counted is not None:
        arrays = dy, x, counted, dx, groups, factor, summand
        masked_backward(*arrays, stats, eps, flags, dweight, dbias, zero_masked)
        return gradients_of(dx, out, dweight, weight, dbias, bias)
    mean, var = moments_for_gradient(x, stats, groups, out)
    _core.backward(dy, x, dx, groups, factor, mean, var, eps, flags, dweight, dbias, None, summand)
    return gradients_of(dx, out, dweight, weight, dbias, bias)


class GroupNorm(Layer):
    """Group normalization as a layer with its parameters.

    Parameters
    ----------
    num_groups : int
        Number of groups G, which divides `num_channels`.
    num_channels : int
        Number of channels C.
    eps : float, default 1e-5
        Added to the variance, inside the root.
    affine : bool, default True
        Have a weight (initially 1) and a bias (initially 0) of shape (C,).
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last. Axis 0 is that of the samples.
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
        If a number is below 1, `num_groups` does not divide `num_channels`, or `eps` is negative or
        not finite.
    TypeError
        If an argument is of the wrong type.

    See Also
    --------
    group_norm : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.GroupNorm(2, 4, eps=0)
    >>> layer(np.array([[1.0, 3.0, 10.0, 30.0]], dtype=np.float32))
    array([[-1.,  1., -1.,  1.]], dtype=float32)
    """

    _shown = ("num_groups", "num_channels", "eps", "affine", "channel_axis")

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        channel_axis: int = 1,
        dtype: DTypeLike = np.float32,
        activation: str | None = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        self._activation = activation_flags(activation)
        self.num_channels = positive(num_channels, "num_channels")
        self.num_groups = divisor(num_groups, self.num_channels)
        self.eps = epsilon(eps)
        self.affine = affine
        self.channel_axis = integer(channel_axis, "channel_axis")
        self._make_affine((self.num_channels,), dtype, weight=affine, bias=affine)

    def _forward(self, x: ArrayInput, **part: Any) -> tuple[Array, tuple[Any, ...]]:
        number, axis, expected = self.num_groups, self.channel_axis, self.num_channels
        usual = None
        if not part:
            usual = _core.normalize(
                x,
                self.weight,
                self.bias,
                self.eps,
                None,
                _core.STATS | self._activation,
                LAYER_CHANNEL_GROUPS,
                number,
                axis,
                expected,
            )
        if usual is not None:
            y, mean, var, groups = usual
            return y, (x, moments_of_groups(mean, var, groups), part)
        x = channels(x, axis, expected, "num_channels")
        options: dict[str, Any] = {"eps": self.eps, "channel_axis": axis}
        options |= {"activation": self.activation, "return_stats": True}
        y, stats = group_norm(x, number, self.weight, self.bias, **options, **part)
        return y, (x, stats, part)

    def _backward(self, dy: ArrayInput, x: Array, stats: Moments, part: dict[str, Any]) -> Any:
        keys = self.num_groups, self.channel_axis
        usual = self._gradients(dy, x, stats, self._activation, CHANNEL_GROUPS, *keys)
        if usual is not None:
            return usual
        options: dict[str, Any] = {"eps": self.eps, "channel_axis": self.channel_axis}
        options |= {"activation": self.activation, "stats": stats} | part
        return group_norm_backward(dy, x, self.num_groups, self.weight, self.bias, **options)
