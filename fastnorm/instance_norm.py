# SPDX-License-Identifier: BSD-3-Clause
"""Instance normalization: each channel of each sample by its own statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from fastnorm import _core
from fastnorm._activation import activation_flags, gradient_output
from fastnorm._args import array, deliver, gradient, gradient_sum, output, parameter
from fastnorm._groups import INSTANCES, instance_channel, over_instances
from fastnorm._masked import mask_argument, masked_forward, time_axis
from fastnorm._masked_gradient import masked_backward
from fastnorm._numbers import epsilon, weight_of_batch
from fastnorm._running import RunningStatistics
from fastnorm.batch_norm import batch_norm, batch_norm_backward
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
def instance_norm(
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
def instance_norm(
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
def instance_norm(
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
    r"""Normalize each channel of each sample to mean 0 and variance 1, then scale and shift it.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of shape (N, C, ...) with at least one axis after these, or with the channels
        elsewhere, and of any strides.
    weight, bias : array of shape (C,), optional
        Factor and summand of each channel, of any of the four types.
    running_mean, running_var : ndarray of shape (C,), optional
        Running statistics, of any of the four types. In training, those that are given are updated
        in place; in evaluation both are needed if one is given, and take the place of the sample's.
    training : bool, default True
        Use the statistics of each sample, and update the running ones. Without running ones it has
        no effect.
    momentum : float, default 0.1
        Weight of the batch in the running statistics, 0 to 1, with PyTorch's sign. Without running
        ones it has no effect.
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
        Only with `return_stats`: mean and biased variance in float64, of shape (N, C); where the
        running statistics took their place a copy of these, of shape (C,) and with count 0.

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 3 axes or, by its own statistics, one value per channel of a sample;
        if one of the running statistics is missing in evaluation or read-only in training; if a
        shape does not fit, `out` is read-only, `momentum` is not in 0 to 1, or `eps` is negative or
        not finite.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of one channel of one sample, or the running
    ones in their place in evaluation,

    .. math:: y = w\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b .

    It is `group_norm` with as many groups as channels. Without running statistics, the usual way,
    training and evaluation are the same. With them training moves them towards the averages over
    the N samples: with momentum :math:`\alpha` and :math:`m` values in a channel of a sample they
    become

    .. math:: (1 - \alpha)\,\text{running mean} + \frac{\alpha}{N} \sum_n \mu_n, \qquad
              (1 - \alpha)\,\text{running var} + \frac{\alpha}{N} \sum_n \frac{m}{m - 1}\,v_n ,

    as in PyTorch: the variance of a channel over all samples, which their means add to, is more.
    They are written last: a call that fails leaves them as they were, and so does an empty batch.
    Evaluation by them is that of `batch_norm`. A constant channel gives the bias, also with
    ``eps=0``, where the reciprocal of the root is defined as 0.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance Normalization: The Missing Ingredient for Fast
    Stylization", 2016, arXiv:1607.08022.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[[1.0, 3.0], [10.0, 30.0]]], dtype=np.float32)
    >>> fastnorm.instance_norm(x, eps=0)
    array([[[-1.,  1.],
            [-1.,  1.]]], dtype=float32)
    """
    flags = _core.STATS if return_stats else 0
    if activation is not None:
        flags |= activation_flags(activation)
    whole = mask is None and lengths is None and not zero_masked
    if running_mean is None and running_var is None:
        usual = None
        if whole:
            usual = _core.normalize(x, weight, bias, eps, out, flags, INSTANCES, channel_axis)
        if usual is not None:
            if not return_stats:
                y: Array = usual
                return y
            y, mean, var, groups = usual
            return y, moments_of_groups(mean, var, groups)
    elif not training:
        by_batch = _evaluation(x, eps, channel_axis, out) | {"activation": activation}
        by_batch |= {"mask": mask, "lengths": lengths, "zero_masked": zero_masked}
        by_batch |= {"momentum": momentum, "return_stats": return_stats}
        evaluated: Array | tuple[Array, Moments] = batch_norm(
            x, weight, bias, running_mean, running_var, **by_batch
        )
        return evaluated
    x = array(x, "x")
    groups = over_instances(channel_axis, x.shape)
    momentum = weight_of_batch(momentum)
    y = output(out, x)
    weight = parameter(weight, "weight", groups, x, out)
    bias = parameter(bias, "bias", groups, x, out)
    running = RunningStatistics(running_mean, running_var, groups, updated=True)
    eps = epsilon(eps)
    steps = time_axis(channel_axis, x.ndim)
    counted = mask_argument(mask, lengths, zero_masked, x.shape, steps)
    if counted is not None:
        parts = masked_forward(x, counted, groups, y, weight, bias, eps, flags, zero_masked)
        y = deliver(y, out)
        running.fold_in(*parts[:2], momentum, parts[2])
        return (y, moments_of_part(parts, groups)) if return_stats else y
    mean, var = running.for_core()
    _core.forward(x, y, groups, weight, bias, mean, var, eps, flags)
    y = deliver(y, out)
    running.fold_in(mean, var, momentum)
    return (y, moments_of_groups(mean, var, groups)) if return_stats else y


def instance_norm_backward(
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
    r"""Gradient of `instance_norm`; the running statistics are constants, and are not updated.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, weight, bias, running_mean, running_var, training, momentum, eps, channel_axis, activation,
    mask, lengths, zero_masked
        As given to `instance_norm`. Of `bias` only shape and dtype matter, but with an activation
        its values do; `momentum` does not.
    stats : Moments, optional
        What ``return_stats=True`` gave; if None recomputed from `x`, in evaluation taken from the
        running statistics if there are any.
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
        If an array is of no supported type or `dy` not of x's, or `stats` is not what
        `instance_norm` returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 3 axes or, by its own statistics, one value per channel of a sample;
        if a shape does not fit, `stats` belong to another input or mode, `out` is read-only, or
        `eps` is negative or not finite.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}`, :math:`\hat x = (x - \mu) r` and
    means over one channel of one sample,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right), \qquad
              dw = \sum dy\,\hat x, \qquad db = \sum dy ,

    the sums running over all axes but that of the channels. In evaluation by running statistics
    :math:`dx = r g`.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance Normalization: The Missing Ingredient for Fast
    Stylization", 2016, arXiv:1607.08022.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[[1.0, 3.0, 1.0, 3.0]]]), np.array([[[1.0, 0.0, 0.0, 0.0]]])
    >>> fastnorm.instance_norm_backward(dy, x, eps=0).x
    array([[[ 0.5,  0. , -0.5,  0. ]]])
    """
    flags = 0 if activation is None else activation_flags(activation)
    whole = mask is None and lengths is None and not zero_masked
    if running_mean is None and running_var is None:
        usual = None
        if whole:
            arrays = dy, x, weight, bias, *parts_of_moments(stats)
            usual = _core.gradient(*arrays, eps, out, flags, INSTANCES, channel_axis)
        if usual is not None:
            return tuple.__new__(Gradients, usual)
    elif not training:
        by_batch = _evaluation(x, eps, channel_axis, out) | {"activation": activation}
        by_batch |= {"mask": mask, "lengths": lengths, "zero_masked": zero_masked, "stats": stats}
        return batch_norm_backward(dy, x, weight, bias, running_mean, running_var, **by_batch)
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_instances(channel_axis, x.shape)
    eps = epsilon(eps)
    dx = gradient_output(out, x, dy, flags)
    factor = parameter(weight, "weight", groups, x, out)
    summand = parameter(bias, "bias", groups, x, out)
    RunningStatistics(running_mean, running_var, groups, updated=False)  # for its checks
    dweight, dbias = gradient_sum(factor, groups.view), gradient_sum(summand, groups.view)
    steps = time_axis(channel_axis, x.ndim)
    counted = mask_argument(mask, lengths, zero_masked, x.shape, steps)
    if counted is not None:
        inputs = dy, x, counted, dx, groups, factor, summand
        masked_backward(*inputs, stats, eps, flags, dweight, dbias, zero_masked)
        return gradients_of(dx, out, dweight, weight, dbias, bias)
    mean, var = moments_for_gradient(x, stats, groups, out)
    _core.backward(dy, x, dx, groups, factor, mean, var, eps, flags, dweight, dbias, None, summand)
    return gradients_of(dx, out, dweight, weight, dbias, bias)


def _evaluation(x: Any, eps: Any, channel_axis: Any, out: Any) -> dict[str, Any]:
    """Return the options of `batch_norm` for evaluation, once x was found to have instances."""
    instance_channel(channel_axis, array(x, "x").shape)
    return {"training": False, "eps": eps, "channel_axis": channel_axis, "out": out}
