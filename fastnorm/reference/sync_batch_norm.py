# SPDX-License-Identifier: BSD-3-Clause
"""Batch normalization of a batch that lies in parts on several ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.batch_norm import (
    batch_norm,
    batch_norm_backward,
    resolve_batch,
    update_both,
)
from fastnorm.reference.moments import Float64Array, Moments, count_values, moments
from fastnorm.reference.standardize import (
    Gradients,
    as_float64,
    collapse,
    deliver,
    expand_optional,
    pull_back,
    scale_and_shift,
)


class Communicator(Protocol):
    """What has the ``allgather`` of mpi4py."""

    def allgather(self, value: Any, /) -> list[Any]: ...


@overload
def sync_batch_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    comm: Communicator,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def sync_batch_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    comm: Communicator,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], Moments]: ...
def sync_batch_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    comm: Communicator,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], Moments]:
    r"""`batch_norm` of the batch that the ranks of `comm` hold together.

    Parameters
    ----------
    x : array_like
        This rank's values, of any real type; converted to float64.
    weight, bias, running_mean, running_var
        As in `batch_norm`.
    comm : object with ``allgather``
        ``comm.allgather(value)`` returns the values of all ranks in their order.
    training, momentum, eps, channel_axis, out, return_stats
        As in `batch_norm`. Evaluation needs no communication.

    Returns
    -------
    y : ndarray
        float64 of x's shape, whatever the type of `x`; or `out`.
    stats : Moments
        Only with `return_stats`: mean and biased variance over all ranks, of shape (C,), and the
        count of all ranks; in evaluation a copy of the running statistics, with count 0.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If all ranks together have one value per channel in training, if the running statistics are
        missing in evaluation, or if a parameter has not C entries.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of the :math:`m` values that all ranks have
    in the channel,

    .. math:: y = w\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b ,

    and the running statistics change as in `batch_norm`.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, arXiv:1502.03167. C. Peng et al.,
    "MegDet: A Large Mini-Batch Object Detector", CVPR 2018, arXiv:1711.07240.
    """
    if not training:
        options: dict[str, Any] = {"training": False, "eps": eps, "channel_axis": channel_axis}
        options |= {"out": out, "return_stats": return_stats}
        result: NDArray[Any] = batch_norm(x, weight, bias, running_mean, running_var, **options)
        return result
    values = as_float64(x)
    channel, axes = resolve_batch(values, channel_axis, training=False)
    stats = _moments(values, axes, comm)
    factor = expand_optional(weight, values.shape, channel)
    summand = expand_optional(bias, values.shape, channel)
    y = deliver(scale_and_shift(values, factor, summand, stats.mean, stats.var, eps, axes), out)
    update_both(running_mean, running_var, stats, momentum)
    return (y, stats) if return_stats else y


def sync_batch_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    running_mean: NDArray[Any] | None = None,
    running_var: NDArray[Any] | None = None,
    *,
    comm: Communicator,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Moments | None = None,
    out: NDArray[Any] | None = None,
) -> Gradients:
    r"""Gradient of `sync_batch_norm`, of the sum of the losses of all ranks.

    Parameters
    ----------
    dy : array_like
        Gradient of this rank's loss with respect to its y, of x's shape.
    x, weight, bias, running_mean, running_var, comm, training, momentum, eps, channel_axis
        As given to `sync_batch_norm`. Of `bias` only the shape matters, `momentum` does not.
    stats : Moments, optional
        What ``return_stats=True`` gave, on all ranks or on none; recomputed from `x`, or in
        evaluation taken from the running statistics, if None.
    out : ndarray, optional
        Array of x's shape that receives the gradient with respect to x, cast to its dtype. It may
        be `dy` or `x`.

    Returns
    -------
    Gradients
        Fields `x`, `weight`, `bias`, the latter two None where the argument was None, and
        otherwise this rank's part: the gradient of a shared parameter is their sum over the ranks.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If all ranks together have one value per channel in training, if both `stats` and the
        running statistics are missing in evaluation, or if a parameter has not C entries.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}`, :math:`\hat x = (x - \mu) r` and
    means over the values of a channel on all ranks,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right)

    and :math:`dw = \sum dy\,\hat x`, :math:`db = \sum dy` over the values of this rank.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, arXiv:1502.03167, section 3.
    """
    if not training:
        options: dict[str, Any] = {"eps": eps, "channel_axis": channel_axis, "stats": stats}
        options |= {"training": False, "out": out}
        return batch_norm_backward(dy, x, weight, bias, running_mean, running_var, **options)
    values = as_float64(x)
    channel, axes = resolve_batch(values, channel_axis, training=False)
    if stats is None:
        stats = _moments(values, axes, comm)
    gradients = pull_back(
        dy,
        values,
        expand_optional(weight, values.shape, channel),
        expand_optional(bias, values.shape, channel),
        stats.mean,
        stats.var,
        eps,
        axes,
        average=_average_over(comm),
    )
    return collapse(gradients._replace(x=deliver(gradients.x, out)), weight, bias)


def _moments(x: Float64Array, axes: tuple[int, ...], comm: Communicator) -> Moments:
    """Statistics of the values of all ranks."""
    first, *others = comm.allgather(moments(x, axes))
    stats: Moments = first.merge(*others)
    if stats.count == 1 and stats.mean.size > 0:
        raise ValueError("all ranks together have only one value per channel")
    return stats


def _average_over(
    comm: Communicator,
) -> Callable[[Float64Array, tuple[int, ...]], Float64Array]:
    """The mean over `axes` of the values of all ranks, kept with length 1."""

    def average(values: Float64Array, axes: tuple[int, ...]) -> Float64Array:
        total = values.sum(axis=axes, keepdims=True)
        parts = comm.allgather((total.ravel(), count_values(values.shape, axes)))
        mean = sum(part for part, _ in parts) / sum(count for _, count in parts)
        return np.reshape(mean, total.shape)

    return average
