# SPDX-License-Identifier: BSD-3-Clause
"""Batch normalization: each channel over the batch and space, or by its running statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from fastnorm import _core
from fastnorm._activation import activation_flags, gradient_output
from fastnorm._args import array, deliver, given_moments, gradient, gradient_sum, output, parameter
from fastnorm._groups import BATCH, over_batch, refuse_single_values
from fastnorm._masked import mask_argument, masked_forward, time_axis, zero_beside
from fastnorm._masked_gradient import masked_backward
from fastnorm._numbers import epsilon, weight_of_batch
from fastnorm._running import RunningStatistics
from fastnorm.moments import (
    Moments,
    moments_for_gradient,
    moments_of_groups,
    moments_of_part,
    parts_of_moments,
)
from fastnorm.standardize import Gradients, gradients_of

if TYPE_CHECKING:
    from fastnorm._types import Array, ArrayInput


@overload
def batch_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
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
def batch_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, Moments]: ...
def batch_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Moments]:
    r"""Normalize each channel over all the other axes, then scale and shift it.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of shape (N, C, ...), or with the channels elsewhere, and of any strides.
    weight, bias : array of shape (C,), optional
        Factor and summand of each channel, of any of the four types.
    running_mean, running_var : ndarray of shape (C,), optional
        Running statistics, of any of the four types. In training, those that are given are updated
        in place; in evaluation both are needed, and take the place of the batch's.
    training : bool, default True
        Use the statistics of the batch, and update the running ones.
    momentum : float, default 0.1
        Weight of the batch in the running statistics, 0 to 1. This is PyTorch's sign; that of
        Keras, Flax and ONNX is ``1 - momentum``.
    eps : float, default 1e-5
        Added to the variance, inside the root; in squared units of `x`. 0 is allowed.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last.
    activation : {"relu", "silu", "gelu", "gelu_tanh"}, optional
        Applied to the result in the same pass: gelu is the exact one, gelu_tanh its approximation
        by a hyperbolic tangent. None for none.
    mask : array of bool, optional
        True where a value counts in the statistics; broadcasts against `x`. All of x is normalized
        by them, masked values too.
    lengths : array of int, shape (N,), optional
        In place of a mask: how many steps of each sample count, along the first axis beside those
        of the samples and the channels.
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
        Only with `return_stats`: mean and biased variance in float64, of shape (C,); in evaluation
        a copy of the running statistics, with count 0.

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 2 axes, or in training one value per channel; if running statistics
        are missing in evaluation or read-only in training; if a shape does not fit, `out` is
        read-only, `momentum` is not in 0 to 1, or `eps` is negative or not finite.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of the channel's :math:`m` values, or the
    running ones in their place in evaluation,

    .. math:: y = w\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b .

    In training, with momentum :math:`\alpha`, the running statistics become

    .. math:: (1 - \alpha)\,\text{running mean} + \alpha\,\mu, \qquad
              (1 - \alpha)\,\text{running var} + \alpha\,\frac{m}{m - 1}\,v ,

    with the unbiased variance, as in PyTorch; Keras, Flax and ONNX store the biased one. They are
    written last: a call that fails leaves them as they were, and so does an empty batch. Evaluation
    too centres x before it scales it: folding the two into one multiplication and addition loses
    the digits of a large mean. A constant channel gives the bias, also with ``eps=0``, where the
    reciprocal of the root is defined as 0.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
    Internal Covariate Shift", ICML 2015, arXiv:1502.03167, algorithms 1 and 2.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]], dtype=np.float32)
    >>> running_mean, running_var = np.zeros(2), np.ones(2)
    >>> fastnorm.batch_norm(x, None, None, running_mean, running_var, momentum=0.5, eps=0)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    >>> running_mean, running_var
    (array([ 1., 10.]), array([  1.5, 100.5]))
    """
    flags = (_core.MANY if training else _core.GIVEN) | (_core.STATS if return_stats else 0)
    if activation is not None:
        flags |= activation_flags(activation)
    usual = None
    if mask is None and lengths is None and not zero_masked:
        usual = _core.normalize_batch(
            x,
            weight,
            bias,
            running_mean,
            running_var,
            momentum,
            eps,
            out,
            flags,
            BATCH,
            channel_axis,
        )
    if usual is not None:
        if not return_stats:
            y: Array = usual
            return y
        y, mean, var, groups = usual
        return y, moments_of_groups(mean, var, groups, training)
    x = array(x, "x")
    groups = over_batch(channel_axis, x.shape)
    momentum = weight_of_batch(momentum)
    y = output(out, x)
    weight = parameter(weight, "weight", groups, x, out)
    bias = parameter(bias, "bias", groups, x, out)
    running = RunningStatistics(running_mean, running_var, groups, updated=training)
    if training:
        refuse_single_values(groups, x.shape)
    eps = epsilon(eps)
    steps = time_axis(channel_axis, x.ndim)
    counted = mask_argument(mask, lengths, zero_masked, x.shape, steps)
    if counted is not None and training:
        parts = masked_forward(x, counted, groups, y, weight, bias, eps, flags, zero_masked)
        y = deliver(y, out)
        running.fold_in(*parts[:2], momentum, parts[2])
        return (y, moments_of_part(parts, groups)) if return_stats else y
    mean, var = running.for_core()
    _core.forward(x, y, groups, weight, bias, mean, var, eps, flags)
    zero_beside(y, counted, zero_masked)
    y = deliver(y, out)
    running.fold_in(mean, var, momentum)
    return (y, moments_of_groups(mean, var, groups, training)) if return_stats else y


def batch_norm_backward(
    dy: ArrayInput,
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    activation: str | None = None,
    mask: ArrayInput | None = None,
    lengths: ArrayInput | None = None,
    zero_masked: bool = False,
    stats: Moments | tuple[Any, Any, int] | None = None,
    out: Array | None = None,
) -> Gradients:
    r"""Gradient of `batch_norm`; the running statistics are constants, and are not updated.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, weight, bias, running_mean, running_var, training, momentum, eps, channel_axis, activation,
    mask, lengths, zero_masked
        As given to `batch_norm`. Of `bias` only shape and dtype matter, but with an
        activation its values do; `momentum` does not.
    stats : Moments, optional
        What ``return_stats=True`` gave; if None recomputed from `x`, in evaluation taken from the
        running statistics.
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
        If an array is of no supported type or `dy` not of x's, or `stats` is not what `batch_norm`
        returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 2 axes, or in training one value per channel; if both `stats` and the
        running statistics are missing in evaluation; if a shape does not fit, `stats` belong to
        another input or mode, `out` is read-only, or `eps` is negative or not finite.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}`, :math:`\hat x = (x - \mu) r` and
    means over the channel,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right)

    in training and :math:`dx = r g` in evaluation; in both
    :math:`dw = \sum dy\,\hat x` and :math:`db = \sum dy` over the channel.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, arXiv:1502.03167, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[[1.0, 3.0, 1.0, 3.0]]]), np.array([[[1.0, 0.0, 0.0, 0.0]]])
    >>> fastnorm.batch_norm_backward(dy, x, eps=0).x
    array([[[ 0.5,  0. , -0.5,  0. ]]])
    """
    mean, var, count = parts_of_moments(stats)
    flags = _core.MANY if training else _core.FIXED
    if not training and stats is None:
        mean, var, count, flags = running_mean, running_var, 0, _core.FIXED | _core.RUNNING
    if activation is not None:
        flags |= activation_flags(activation)
    running = (running_mean, running_var)
    usual = None
    if mask is None and lengths is None and not zero_masked:
        usual = _core.gradient(
            dy,
            x,
            weight,
            bias,
            mean,
            var,
            count,
            eps,
            out,
            flags,
            BATCH,
            channel_axis,
            None,
            *running,
        )
    if usual is not None:
        return tuple.__new__(Gradients, usual)
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_batch(channel_axis, x.shape)
    eps = epsilon(eps)
    dx = gradient_output(out, x, dy, flags)
    factor = parameter(weight, "weight", groups, x, out)
    summand = parameter(bias, "bias", groups, x, out)
    statistics = RunningStatistics(*running, groups, updated=False)
    dweight, dbias = gradient_sum(factor, groups.view), gradient_sum(summand, groups.view)
    steps = time_axis(channel_axis, x.ndim)
    counted = mask_argument(mask, lengths, zero_masked, x.shape, steps)
    held: Any = stats
    if training:
        refuse_single_values(groups, x.shape)
    else:
        held = statistics.for_core() if stats is None else given_moments(stats, groups, 0, out)
    if counted is not None and (training or zero_masked):
        inputs = dy, x, counted, dx, groups, factor, summand
        masked_backward(*inputs, held, eps, flags, dweight, dbias, zero_masked)
    else:
        mean, var = moments_for_gradient(x, held, groups, out) if training else held
        _core.backward(
            dy, x, dx, groups, factor, mean, var, eps, flags, dweight, dbias, None, summand
        )
    return gradients_of(dx, out, dweight, weight, dbias, bias)
