# SPDX-License-Identifier: BSD-3-Clause
"""Batch renormalization: batch norm that is drawn, within limits, to the running statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from fastnorm import _core
from fastnorm._args import (
    array,
    broadcast_parameter,
    deliver,
    given_moments,
    given_statistic,
    gradient,
    output,
    parameter_values,
)
from fastnorm._groups import over_batch, refuse_single_values
from fastnorm._numbers import epsilon, real, weight_of_batch
from fastnorm._running import RunningStatistics
from fastnorm.moments import deviation, moments_for_gradient
from fastnorm.standardize import Gradients, gradients_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastnorm._core import Groups
    from fastnorm._types import Array, ArrayInput


class RenormMoments(NamedTuple):
    """Statistics of a batch, and how `batch_renorm` corrected for them.

    Attributes
    ----------
    mean, var : ndarray of float64
        Mean and biased variance of every channel; in evaluation the running mean and the square of
        the running deviation, which eps is part of already.
    count : int
        Number of values in each channel; 0 in evaluation.
    r, d : ndarray of float64
        The factor and the summand of the correction; 1 and 0 in evaluation.
    """

    mean: NDArray[np.float64]
    var: NDArray[np.float64]
    count: int  # type: ignore[assignment]  # the field hides tuple.count, as intended
    r: NDArray[np.float64]
    d: NDArray[np.float64]


@overload
def batch_renorm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_mean: Array | None = None,
    running_std: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.01,
    r_max: float = 3.0,
    d_max: float = 5.0,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def batch_renorm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_mean: Array | None = None,
    running_std: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.01,
    r_max: float = 3.0,
    d_max: float = 5.0,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, RenormMoments]: ...
def batch_renorm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_mean: Array | None = None,
    running_std: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.01,
    r_max: float = 3.0,
    d_max: float = 5.0,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, RenormMoments]:
    r"""Normalize each channel by the batch, corrected towards what evaluation will do.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of shape (N, C, ...), or with the channels elsewhere, and of any strides.
    weight, bias : array of shape (C,), optional
        Factor and summand of each channel, of any of the four types.
    running_mean, running_std : ndarray of shape (C,), optional
        Running mean and running standard deviation (not variance), of any of the four types; both
        or, in training, neither, which leaves nothing to correct for. In training they are updated
        in place; in evaluation they take the place of the batch's.
    training : bool, default True
        Use the statistics of the batch, corrected, and update the running ones.
    momentum : float, default 0.01
        Weight of the batch in the running statistics, 0 to 1, with PyTorch's sign.
    r_max, d_max : float, default 3.0 and 5.0
        Limits of the correction: its factor is within ``1 / r_max`` and ``r_max``, its summand
        within ``-d_max`` and ``d_max``. 1 and 0 make it `batch_norm`, ``math.inf`` is no limit.
    eps : float, default 1e-5
        Added to the variance of the batch, inside the root; in squared units of `x`. 0 is allowed.
        The running deviation has it inside, and gets no more.
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
    stats : RenormMoments
        Only with `return_stats`: mean, biased variance and the correction in float64, of shape
        (C,). The gradient needs them where the running statistics have moved on.

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 2 axes, or in training one value per channel; if one of the running
        statistics or in evaluation both are missing, `running_std` has a value that is not
        positive, or in training one of them is read-only; if a shape does not fit, `out` is
        read-only, `momentum` is not in 0 to 1, `r_max` is below 1, `d_max` negative, or `eps`
        negative or not finite.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of the channel, running :math:`\mu_r` and
    :math:`\sigma_r`, and :math:`\sigma = \sqrt{v + \epsilon}`, in training

    .. math:: y = w \left( \frac{x - \mu}{\sigma}\,r + d \right) + b, \qquad
              r = \left[ \frac{\sigma}{\sigma_r} \right]_{1/r_{max}}^{r_{max}}, \qquad
              d = \left[ \frac{\mu - \mu_r}{\sigma_r} \right]_{-d_{max}}^{d_{max}} ,

    and in evaluation, as in training within the limits,

    .. math:: y = w\,\frac{x - \mu_r}{\sigma_r} + b .

    Then, with momentum :math:`\alpha`, the running statistics become
    :math:`(1 - \alpha) \mu_r + \alpha \mu` and :math:`(1 - \alpha) \sigma_r + \alpha \sigma`, with
    the biased variance and eps in it, as in the paper; TensorFlow keeps a running variance beside.
    They are written last: a call that fails leaves them as they were, and so does an empty batch.
    They start at 0 and 1, or at those of a first batch, never at a deviation of 0.

    References
    ----------
    S. Ioffe, "Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized
    Models", NeurIPS 2017, arXiv:1702.03275, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]], dtype=np.float32)
    >>> running_mean, running_std = np.zeros(2), np.ones(2)
    >>> fastnorm.batch_renorm(x, None, None, running_mean, running_std, eps=0)
    array([[1., 2.],
           [3., 8.]], dtype=float32)
    >>> running_mean, running_std
    (array([0.02, 0.2 ]), array([1.  , 1.09]))
    """
    x = array(x, "x")
    groups = over_batch(channel_axis, x.shape)
    momentum, limits = weight_of_batch(momentum), correction_limits(r_max, d_max)
    y = output(out, x)
    eps = epsilon(eps)
    affine = _affine_values(weight, bias, groups)
    running = _running(running_mean, running_std, groups, training=training, updated=training)
    if training:
        refuse_single_values(groups, x.shape)
    stats = _measured(x, groups, running, limits, eps, training=training)
    factor, summand = _corrected(*affine, stats, groups, x)
    added = eps if training else 0.0
    mean, var = stats.mean, stats.var
    _core.forward(x, y, groups, factor, summand, mean, var, added, _core.GIVEN)
    y = deliver(y, out)
    if running is not None:
        running.move(mean, deviation(var, added), momentum)
    return (y, stats) if return_stats else y


def batch_renorm_backward(
    dy: ArrayInput,
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_mean: Array | None = None,
    running_std: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.01,
    r_max: float = 3.0,
    d_max: float = 5.0,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: RenormMoments | tuple[Any, Any, int, Any, Any] | None = None,
    out: Array | None = None,
) -> Gradients:
    r"""Gradient of `batch_renorm`; the running statistics and the correction are constants.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, weight, bias, training, r_max, d_max, eps, channel_axis, momentum
        As given to `batch_renorm`. Of `bias` only shape and dtype matter, `momentum` does not.
    running_mean, running_std : ndarray of shape (C,), optional
        As they were before the call of `batch_renorm`, which updated them; with `stats` their
        values do not matter. They are not updated.
    stats : RenormMoments, optional
        What ``return_stats=True`` gave; if None recomputed from `x` and the running statistics.
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
        `batch_renorm` returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If an argument is one that `batch_renorm` refuses, or `stats` belong to another input or
        mode.

    Notes
    -----
    With :math:`g = w\,r\,dy`, :math:`\hat x = (x - \mu) / \sigma` and means over the channel,

    .. math:: dx = \frac{1}{\sigma} \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right)

    in training and :math:`dx = w\,dy / \sigma_r` in evaluation; in both
    :math:`dw = \sum dy\,(\hat x\,r + d)` and :math:`db = \sum dy` over the channel.

    References
    ----------
    S. Ioffe, "Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized
    Models", NeurIPS 2017, arXiv:1702.03275, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[[1.0, 3.0, 1.0, 3.0]]]), np.array([[[1.0, 0.0, 0.0, 0.0]]])
    >>> mean, std = np.zeros(1), np.full(1, 0.5)
    >>> fastnorm.batch_renorm_backward(dy, x, None, None, mean, std, eps=0).x
    array([[[ 1.,  0., -1.,  0.]]])
    """
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_batch(channel_axis, x.shape)
    limits = correction_limits(r_max, d_max)
    eps = epsilon(eps)
    dx = output(out, x, dy)
    affine = _affine_values(weight, bias, groups)
    running = _running(running_mean, running_std, groups, training=training, updated=False)
    if training:
        refuse_single_values(groups, x.shape)
    if stats is None:
        stats = _measured(x, groups, running, limits, eps, training=training)
    else:
        stats = _given(stats, groups, groups.size if training else 0, out)
    factor, _ = _corrected(*affine, stats, groups, x)
    flags, added = (0, eps) if training else (_core.FIXED, 0.0)
    mean, var = stats.mean, stats.var
    plain, total = np.zeros(groups.view), np.zeros(groups.view)
    _core.backward(dy, x, dx, groups, factor, mean, var, added, flags, plain, total)
    with np.errstate(invalid="ignore", over="ignore"):
        dweight = plain.reshape(groups.shape) * stats.r + total.reshape(groups.shape) * stats.d
    wanted = (None if weight is None else dweight, weight, None if bias is None else total, bias)
    return gradients_of(dx, out, *wanted)


def correction_limits(r_max: Any, d_max: Any) -> tuple[float, float]:
    """Return the limits of the correction as floats."""
    limits = real(r_max, "r_max"), real(d_max, "d_max")
    for name, number, least in zip(("r_max", "d_max"), limits, (1, 0), strict=True):
        if not number >= least:
            raise ValueError(f"{name} must be a number >= {least}, got {number}")
    return limits


def _affine_values(weight: Any, bias: Any, groups: Groups) -> tuple[Array | None, Array | None]:
    """Return weight and bias in float64."""
    weight, bias = (
        None if value is None else parameter_values(value, name, groups).astype(np.float64)
        for name, value in (("weight", weight), ("bias", bias))
    )
    return weight, bias


def _running(
    mean: Any, std: Any, groups: Groups, *, training: bool, updated: bool
) -> RunningStatistics | None:
    """Return the running statistics of a call; None in training without."""
    names = ("running_mean", "running_std")
    if (mean is None) != (std is None):
        missing = names[0 if mean is None else 1]
        raise ValueError(f"{missing} is None, and the other running statistic is not")
    if training and mean is None:
        return None
    return RunningStatistics(mean, std, groups, updated=updated, names=names)


def _measured(
    x: Array,
    groups: Groups,
    running: RunningStatistics | None,
    limits: tuple[float, float],
    eps: float,
    *,
    training: bool,
) -> RenormMoments:
    """Return the statistics that x is normalized by, and the correction."""
    r, d = np.ones(groups.free), np.zeros(groups.free)
    if running is not None:
        running_mean, running_std = running.given()
        if (running_std <= 0).any():
            value = running_std[running_std <= 0][0]
            raise ValueError(f"running_std has a {value}, expected positive values")
        if not training:
            with np.errstate(over="ignore"):
                return RenormMoments(running_mean, np.square(running_std), 0, r, d)
    mean, var = moments_for_gradient(x, None, groups, None)
    if running is not None and groups.size:
        r_max, d_max = limits
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and Inf stay in their channel
            r = np.clip(deviation(var, eps) / running_std, 1.0 / r_max, r_max)
            d = np.clip((mean - running_mean) / running_std, -d_max, d_max)
    return RenormMoments(mean, var, groups.size, r, d)


def _given(stats: Any, groups: Groups, size: int, out: Array | None) -> RenormMoments:
    """Return statistics that were handed on, as the core takes them."""
    try:
        mean, var, count, r, d = stats
    except (TypeError, ValueError):
        raise TypeError(
            f"stats must be what return_stats=True gave, (mean, var, count, r, d), got {stats!r}"
        ) from None
    mean, var = given_moments((mean, var, count), groups, size, out)
    r, d = (
        given_statistic(value, f"stats.{name}", groups, out).reshape(groups.free)
        for name, value in (("r", r), ("d", d))
    )
    return RenormMoments(mean, var, size, r, d)


def _corrected(
    weight: Array | None, bias: Array | None, stats: RenormMoments, groups: Groups, x: Array
) -> tuple[Array | None, Array | None]:
    """Return the affine map of the normalized values with the correction, as the core takes it."""
    factor, summand = stats.r, stats.d
    with np.errstate(invalid="ignore", over="ignore"):
        if weight is not None:
            factor, summand = weight * factor, weight * summand
        if bias is not None:
            summand = summand + bias
        return (
            broadcast_parameter(factor.reshape(groups.view), "weight", x, None),
            broadcast_parameter(summand.reshape(groups.view), "bias", x, None),
        )
