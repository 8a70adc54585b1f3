# SPDX-License-Identifier: BSD-3-Clause
"""Instance normalization: `standardize` over space, for each sample and channel."""

from __future__ import annotations

from typing import Any, Literal, overload

from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.batch_norm import batch_norm, batch_norm_backward, update_running
from fastnorm.reference.moments import Float64Array, Moments
from fastnorm.reference.standardize import (
    Gradients,
    as_float64,
    collapse,
    expand_optional,
    refuse_single_values,
    standardize,
    standardize_backward,
)


@overload
def instance_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def instance_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], Moments]: ...
def instance_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], Moments]:
    r"""Normalize each channel of each sample over its spatial axes.

    Parameters
    ----------
    x : array_like
        Values of any real type, with at least 3 axes, axis 0 the batch of N samples; converted to
        float64.
    weight, bias : array_like of shape (C,), optional
        Factor and summand of each channel.
    running_mean, running_var : ndarray of shape (C,), optional
        Running statistics of any float type. Updated in place in training if given; in evaluation
        used instead of those of the samples if given.
    training : bool, default True
        Use the statistics of each sample and update the running ones.
    momentum : float, default 0.1
        Weight of the batch in the running statistics.
    eps : float, default 1e-5
        Added to the variance, in squared units of `x`.
    channel_axis : int, default 1
        The axis of length C, any but the first.
    out : ndarray, optional
        Array of x's shape that receives the result, cast to its dtype. It may be `x`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        float64 of x's shape, whatever the type of `x`; or `out`.
    stats : Moments
        Only with `return_stats`: mean and variance of shape (N, C), or where they took their place
        a copy of the running statistics, with count 0.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If there is one value per sample and channel, if only one of the running statistics is there
        in evaluation, or if a parameter has not C entries.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of each sample's channel over space, or the
    running ones in their place in evaluation,

    .. math:: y = w\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b .

    In training, with momentum :math:`\alpha` and :math:`m` values in a channel of a sample, the
    running statistics become

    .. math:: (1 - \alpha)\,\text{running mean} + \alpha\,\overline{\mu}, \qquad
              (1 - \alpha)\,\text{running var} + \alpha\,\frac{m}{m - 1}\,\overline{v} ,

    with averages over the samples, PyTorch's convention. An empty batch leaves them as they are.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance Normalization: The Missing Ingredient for Fast
    Stylization", 2016, arXiv:1607.08022.
    """
    values = as_float64(x)
    if not training and not (running_mean is None and running_var is None):
        options: dict[str, Any] = {"eps": eps, "channel_axis": channel_axis, "out": out}
        options |= {"training": False, "return_stats": return_stats}
        evaluated: NDArray[Any] | tuple[NDArray[Any], Moments] = batch_norm(
            values, weight, bias, running_mean, running_var, **options
        )
        return evaluated
    channel, axes = resolve_instances(values, channel_axis)
    y, stats = standardize(
        values,
        expand_optional(weight, values.shape, channel),
        expand_optional(bias, values.shape, channel),
        axis=axes,
        eps=eps,
        out=out,
        return_stats=True,
    )
    if values.size > 0:
        unbiased = stats.var * (stats.count / (stats.count - 1))
        update_running(running_mean, stats.mean.mean(axis=0), momentum)
        update_running(running_var, unbiased.mean(axis=0), momentum)
    return (y, stats) if return_stats else y


def instance_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Moments | None = None,
    out: NDArray[Any] | None = None,
) -> Gradients:
    r"""Gradient of `instance_norm`; the running statistics are constants, and are not updated.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, weight, bias, running_mean, running_var, training, momentum, eps, channel_axis
        As given to `instance_norm`. Of `bias` only the shape matters, `momentum` does not.
    stats : Moments, optional
        What ``return_stats=True`` gave; if None recomputed from `x`, in evaluation taken from the
        running statistics if there are any.
    out : ndarray, optional
        Array of x's shape that receives the gradient with respect to x, cast to its dtype. It may
        be `dy` or `x`.

    Returns
    -------
    Gradients
        Fields `x`, `weight`, `bias`, the latter two None where the argument was None.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If there is one value per sample and channel, or if a parameter has not C entries.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}` and means over space,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right), \qquad
              dw = \sum dy\,\hat x, \qquad db = \sum dy ,

    the sums running over the batch and space. In evaluation by running statistics
    :math:`dx = r g`.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance Normalization: The Missing Ingredient for Fast
    Stylization", 2016, arXiv:1607.08022.
    """
    values = as_float64(x)
    if not training and not (running_mean is None and running_var is None):
        options: dict[str, Any] = {"eps": eps, "channel_axis": channel_axis, "out": out}
        options |= {"training": False, "stats": stats}
        return batch_norm_backward(dy, values, weight, bias, running_mean, running_var, **options)
    channel, axes = resolve_instances(values, channel_axis)
    gradients = standardize_backward(
        dy,
        values,
        expand_optional(weight, values.shape, channel),
        expand_optional(bias, values.shape, channel),
        axis=axes,
        eps=eps,
        stats=stats,
        out=out,
    )
    return collapse(gradients, weight, bias)


def resolve_instances(x: Float64Array, channel_axis: int) -> tuple[tuple[int], tuple[int, ...]]:
    """Return the channel axis and the spatial axes, both non-negative."""
    channel = normalize_axis_index(channel_axis, x.ndim)
    axes = tuple(axis for axis in range(1, x.ndim) if axis != channel)
    refuse_single_values(x.shape, axes)
    return (channel,), axes
