# SPDX-License-Identifier: BSD-3-Clause
"""Batch normalization of a batch that lies in parts on the ranks of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastnorm import _core
from fastnorm._args import array, deliver, given_moments, gradient, output, parameter
from fastnorm._groups import over_batch
from fastnorm._numbers import epsilon, integer, weight_of_batch
from fastnorm._ranks import communicator, failure_told, means_of_ranks, moments_of_ranks
from fastnorm._running import RunningStatistics
from fastnorm.batch_norm import batch_norm, batch_norm_backward
from fastnorm.moments import Moments, moments_for_gradient
from fastnorm.standardize import Gradients, gradients_of

if TYPE_CHECKING:
    from fastnorm._types import Array, ArrayInput, Communicator

# What a collective is for, as the other ranks are told.
FORWARD = "sync_batch_norm"
BACKWARD = "sync_batch_norm_backward"
STATISTICS = "sync_batch_norm_backward without stats"


@overload
def sync_batch_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    comm: Communicator,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def sync_batch_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    comm: Communicator,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, Moments]: ...
def sync_batch_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    comm: Communicator,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Moments]:
    r"""`batch_norm` of the batch that the ranks of `comm` hold together.

    In training this is a collective: every rank calls it, with its own part of the batch, and gets
    its own part of the result. In evaluation nothing is exchanged.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        This rank's values, of shape (N, C, ...) or with the channels elsewhere. The ranks may hold
        different numbers of samples, images of different sizes, and no sample at all; only C has to
        be the same.
    weight, bias : array of shape (C,), optional
        Factor and summand of each channel, of any of the four types.
    running_mean, running_var : ndarray of shape (C,), optional
        Running statistics, as in `batch_norm`. If they are equal on all ranks, they stay equal, to
        the bit.
    comm : object with ``allgather``
        The ranks: ``mpi4py.MPI.COMM_WORLD``, another communicator of mpi4py,
        ``fastnorm.SingleProcess()`` for a program without MPI, or any object whose
        ``allgather(value)`` returns the values of all ranks, in rank order.
    training : bool, default True
        Use the statistics of the batch, and update the running ones. All ranks must be in the same
        mode: one in evaluation would not meet the others.
    momentum : float, default 0.1
        Weight of the batch in the running statistics, 0 to 1; the same on all ranks.
    eps : float, default 1e-5
        Added to the variance, inside the root; the same on all ranks. 0 is allowed.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last.
    out : ndarray, optional
        Receives the result; of x's shape and dtype. It may be `x`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        Of x's shape and dtype and, if new, memory order; or `out`.
    stats : Moments
        Only with `return_stats`: mean and biased variance in float64, of shape (C,), and count,
        over all ranks and with the same bits on each; in evaluation a copy of the running
        statistics, with count 0.

    Raises
    ------
    TypeError
        If an array is of no supported type, a number is none, or `comm` has no ``allgather``.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        As in `batch_norm`, where all ranks together have to have two values per channel; and on
        every rank if C, `eps` or `momentum` differ among them, or if another rank is in another
        call.
    RuntimeError
        If another rank has raised one of these: it says which rank, and its error.

    Notes
    -----
    Each rank reduces its values to mean, variance and count per channel, in float64. These are
    gathered on every rank and merged there in rank order by the formula of `Moments.merge`, so that
    nothing is lost to a large mean, and all ranks have the same bits. With the merged :math:`\mu`
    and :math:`v` of the :math:`m` values of all ranks,

    .. math:: y = w\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b ,

    and the running statistics change as in `batch_norm`, the variance by :math:`v\,m/(m - 1)`.

    One ``allgather`` carries this, and with it what has to be the same everywhere. Arguments are
    checked before it, and a rank that finds a fault in its own takes part nevertheless and sends
    the error: all ranks raise, none waits. What stops a rank altogether is the business of MPI,
    which ends the job if it is started by ``python -m mpi4py``.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, arXiv:1502.03167. C. Peng et al.,
    "MegDet: A Large Mini-Batch Object Detector", CVPR 2018, arXiv:1711.07240.

    Examples
    --------
    Under ``mpiexec``, with ``comm = mpi4py.MPI.COMM_WORLD``, this is over the values of all ranks.

    >>> import numpy as np
    >>> import fastnorm
    >>> comm = fastnorm.SingleProcess()
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]], dtype=np.float32)
    >>> fastnorm.sync_batch_norm(x, comm=comm, eps=0)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """
    comm = communicator(comm)
    if not training:
        options: dict[str, Any] = {"training": False, "momentum": momentum, "eps": eps}
        options |= {"channel_axis": channel_axis, "out": out, "return_stats": return_stats}
        result: Array = batch_norm(x, weight, bias, running_mean, running_var, **options)
        return result
    with failure_told(comm, FORWARD):
        x = array(x, "x")
        groups = over_batch(channel_axis, x.shape)
        momentum = weight_of_batch(momentum)
        eps = epsilon(eps)
        y = output(out, x)
        weight = parameter(weight, "weight", groups, x, out)
        bias = parameter(bias, "bias", groups, x, out)
        running = RunningStatistics(running_mean, running_var, groups, updated=True)
        own = moments_for_gradient(x, None, groups, None)
    stats = moments_of_ranks(comm, FORWARD, eps, groups, own, momentum)
    _core.forward(x, y, groups, weight, bias, stats.mean, stats.var, eps, _core.GIVEN)
    y = deliver(y, out)
    running.fold_in(stats.mean, stats.var, momentum, stats.count)
    return (y, stats) if return_stats else y


def sync_batch_norm_backward(
    dy: ArrayInput,
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    comm: Communicator,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Moments | tuple[Any, Any, int] | None = None,
    out: Array | None = None,
) -> Gradients:
    r"""Gradient of `sync_batch_norm`, of the sum of the losses of all ranks.

    A collective in training, as the function itself, and without communication in evaluation.

    Parameters
    ----------
    dy : array
        Gradient of this rank's loss with respect to its y, of x's shape and dtype.
    x, weight, bias, running_mean, running_var, comm, training, momentum, eps, channel_axis
        As given to `sync_batch_norm`. Of `bias` only shape and dtype matter, `momentum` does not.
    stats : Moments, optional
        What ``return_stats=True`` gave, on all ranks or on none. If None recomputed from `x`, by a
        collective more; in evaluation taken from the running statistics.
    out : ndarray, optional
        Receives the gradient with respect to x; of its shape and dtype. It may be `dy` or `x`.

    Returns
    -------
    Gradients
        Fields `x`, `weight` and `bias`, of the shapes and dtypes of these arguments; the latter two
        None where the argument was None. Those of `weight` and `bias` are this rank's part, as in
        PyTorch: the gradient of a parameter that all ranks share is their sum over the ranks,
        which whoever trains takes together with those of all other layers.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of x's, `stats` is not what
        `sync_batch_norm` returns, or `comm` has no ``allgather``.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        As in `batch_norm_backward`, where all ranks together have to have two values per channel;
        and on every rank if C, `eps` or the count of `stats` differ among them, or if another rank
        is in another call.
    RuntimeError
        If another rank has raised one of these: it says which rank, and its error.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}`, :math:`\hat x = (x - \mu) r` and
    means over the values of a channel on all ranks,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right)

    and :math:`dw = \sum dy\,\hat x`, :math:`db = \sum dy` over the values of this rank. The sums
    behind the means are taken in float64, gathered, and added in rank order. Every rank weighs its
    own: the gradient is right for weights that differ, too.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, arXiv:1502.03167, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> comm = fastnorm.SingleProcess()
    >>> x, dy = np.array([[[1.0, 3.0, 1.0, 3.0]]]), np.array([[[1.0, 0.0, 0.0, 0.0]]])
    >>> fastnorm.sync_batch_norm_backward(dy, x, comm=comm, eps=0).x
    array([[[ 0.5,  0. , -0.5,  0. ]]])
    """
    comm = communicator(comm)
    if not training:
        options: dict[str, Any] = {"eps": eps, "channel_axis": channel_axis}
        options |= {"training": False, "stats": stats, "out": out}
        return batch_norm_backward(dy, x, weight, bias, running_mean, running_var, **options)
    with failure_told(comm, STATISTICS if stats is None else BACKWARD):
        x = array(x, "x")
        dy = gradient(dy, x)
        groups = over_batch(channel_axis, x.shape)
        eps = epsilon(eps)
        dx = output(out, x, dy)
        factor = parameter(weight, "weight", groups, x, out)
        parameter(bias, "bias", groups, x, out)
        RunningStatistics(running_mean, running_var, groups, updated=False)
        if stats is None:
            mean, var = moments_for_gradient(x, None, groups, None)
        else:
            mean, var = given_moments(stats, groups, None, out)
            count = integer(tuple(stats)[2], "stats.count")
    if stats is None:
        mean, var, count = moments_of_ranks(comm, STATISTICS, eps, groups, (mean, var))
    with failure_told(comm, BACKWARD):
        sums = np.zeros((2, *groups.free))
        dbias, dweight = sums.reshape(2, *groups.view)
        _core.backward(dy, x, None, groups, None, mean, var, eps, 0, dweight, dbias)
        with np.errstate(over="ignore", invalid="ignore"):  # NaN and Inf stay in their channel
            weighted = sums if factor is None else sums * factor.ravel()
    means = means_of_ranks(comm, BACKWARD, eps, groups, weighted, count)
    _core.backward(dy, x, dx, groups, factor, mean, var, eps, 0, None, None, means)
    dweight, dbias = None if weight is None else dweight, None if bias is None else dbias
    return gradients_of(dx, out, dweight, weight, dbias, bias)
