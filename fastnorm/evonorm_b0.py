# SPDX-License-Identifier: BSD-3-Clause
"""EvoNorm-B0: normalization and nonlinearity in one, by the statistics of batch and sample."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastnorm import _core
from fastnorm._args import array, channels, deliver, float_dtype, gradient, output
from fastnorm._curves import coefficient, curve_sums, reciprocal_root, through_statistics
from fastnorm._evonorm import (
    EvoNormGradients,
    EvoNormMoments,
    given_statistics,
    gradients_of,
    read_parameters,
    statistics,
)
from fastnorm._groups import over_batch, over_planes, refuse_single_values
from fastnorm._layer import Layer
from fastnorm._numbers import epsilon, integer, positive, weight_of_batch
from fastnorm._running import RunningVariance

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._core import Groups
    from fastnorm._types import Array, ArrayInput


@overload
def evonorm_b0(
    x: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput,
    v: ArrayInput,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def evonorm_b0(
    x: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput,
    v: ArrayInput,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, EvoNormMoments]: ...
def evonorm_b0(
    x: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput,
    v: ArrayInput,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, EvoNormMoments]:
    r"""Divide by the larger of the batch's deviation and that of the sample, shifted by v x.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of shape (N, C, ...) with at least one axis after these, or with the channels
        elsewhere, and of any strides.
    weight, bias, v : array of shape (C,)
        Factor and summand of each channel, and its slope v, of any of the four types.
    running_var : ndarray of shape (C,), optional
        Running variance, of any of the four types. In training it is updated in place; in
        evaluation it is needed, and takes the place of the batch's.
    training : bool, default True
        Use the variance of the batch, and update the running one.
    momentum : float, default 0.1
        Weight of the batch in the running variance, 0 to 1. This is PyTorch's sign; the authors
        have ``1 - momentum``.
    eps : float, default 1e-5
        Added to both variances, inside the roots; in squared units of `x`. 0 is allowed. The
        default is that of the authors; timm has 1e-3.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last. Axis 0 is that of the samples.
    out : ndarray, optional
        Receives the result; of x's shape and dtype. It may be `x`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        Of x's shape and dtype and, if new, memory order; or `out`.
    stats : EvoNormMoments
        Only with `return_stats`: the moments of the samples and of the batch.

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 3 axes, or in training one value per channel; if the running variance
        is missing in evaluation or read-only in training; if a shape does not fit, `out` is
        read-only, `momentum` is not in 0 to 1, or `eps` is negative or not finite.

    Notes
    -----
    With the biased variances :math:`v_b` of the channel in the batch, or the running one in its
    place in evaluation, and :math:`v_i` of the channel in the sample,

    .. math:: y = w\,\frac{x}{\max\left(\sqrt{v_b + \epsilon},\,
              v x + \sqrt{v_i + \epsilon}\right)} + b .

    x is not centred, and no activation follows. In training the running variance becomes
    ``(1 - momentum) * running_var + momentum * var``, with the biased variance, as the authors have
    it; timm's is unbiased. An empty batch leaves it as it is. All variances are biased; some ports
    take the unbiased one of the sample. A plane may be a single value: its deviation is then
    :math:`\sqrt\epsilon`. With ``eps=0`` a constant channel divides by 0 wherever v x is not
    positive. Without the nonlinearity (``nonlinearity=False`` of the authors, ``apply_act=False``
    of timm) an affine map is all that is left; there is no such option here.

    References
    ----------
    H. Liu, A. Brock, K. Simonyan, Q. Le, "Evolving Normalization-Activation Layers", NeurIPS 2020,
    arXiv:2004.02967.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[[-3.0, 3.0]], [[-4.0, 4.0]]])
    >>> one, zero = np.ones(1), np.zeros(1)
    >>> fastnorm.evonorm_b0(x, one, zero, one, eps=0).round(3)
    array([[[-0.849,  0.5  ]],
           [[-1.131,  0.5  ]]])
    """
    x = array(x, "x")
    planes, batch = over_planes(channel_axis, x.shape), over_batch(channel_axis, x.shape)
    momentum = weight_of_batch(momentum)
    eps = epsilon(eps)
    y = output(out, x)
    factor, summand, slope = read_parameters(weight, bias, v, planes, x, out)
    running = RunningVariance(running_var, batch, updated=training)
    if training:
        refuse_single_values(batch, x.shape)
    stats = statistics(x, planes, batch, running, training)
    coefs = _coefs(stats, eps, factor, summand, slope, planes, x)
    _core.curve(_core.RATIO, x, y, coefs)
    y = deliver(y, out)
    running.fold_in(stats.batch.var, momentum)
    return (y, stats) if return_stats else y


def evonorm_b0_backward(
    dy: ArrayInput,
    x: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput,
    v: ArrayInput,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: EvoNormMoments | tuple[Any, Any] | None = None,
    out: Array | None = None,
) -> EvoNormGradients:
    r"""Gradient of `evonorm_b0`; the running variance is a constant, and is not updated.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, weight, bias, v, running_var, training, momentum, eps, channel_axis
        As given to `evonorm_b0`. Of `bias` only shape and dtype matter, `momentum` does not.
    stats : EvoNormMoments, optional
        What ``return_stats=True`` gave; if None recomputed from `x`, and in evaluation taken from
        the running variance.
    out : ndarray, optional
        Receives the gradient with respect to x; of its shape and dtype. It may be `dy` or `x`.

    Returns
    -------
    EvoNormGradients
        Fields `x`, `weight`, `bias` and `v`, of the shapes and dtypes of these arguments. The sums
        behind the latter run in float64 and are rounded once.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of x's, or `stats` is not what `evonorm_b0`
        returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 3 axes, or in training one value per channel; if both `stats` and the
        running variance are missing in evaluation; if a shape does not fit, `stats` belong to
        another input or mode, `out` is read-only, or `eps` is negative or not finite.

    Notes
    -----
    With :math:`D` for the maximum, :math:`k` 1 where it is the second and 0 where the first or
    both, :math:`g = w\,dy`, :math:`h = -g x / D^2`, and :math:`m` values of deviation :math:`s`
    about the mean :math:`\mu` in the sample (i) and in the batch (b),

    .. math:: dx = \frac{g}{D} + v h k + \frac{x - \mu_i}{m_i s_i} \sum_i h k
              + \frac{x - \mu_b}{m_b s_b} \sum_b h (1 - k) , \qquad dv = \sum h k x ,

    without the last term of dx in evaluation; :math:`dw = \sum dy\,x / D`, :math:`db = \sum dy`.

    References
    ----------
    H. Liu, A. Brock, K. Simonyan, Q. Le, "Evolving Normalization-Activation Layers", NeurIPS 2020,
    arXiv:2004.02967.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy, one = np.array([[[-1.0, 1.0]]]), np.array([[[0.0, 4.0]]]), np.ones(1)
    >>> gradients = fastnorm.evonorm_b0_backward(dy, x, one, one, one, eps=0)
    >>> gradients.x, gradients.v
    (array([[[0.5, 0.5]]]), array([-1.]))
    """
    x = array(x, "x")
    dy = gradient(dy, x)
    planes, batch = over_planes(channel_axis, x.shape), over_batch(channel_axis, x.shape)
    eps = epsilon(eps)
    dx = output(out, x, dy)
    factor, summand, slope = read_parameters(weight, bias, v, planes, x, out)
    running = RunningVariance(running_var, batch, updated=False)
    if training:
        refuse_single_values(batch, x.shape)
    if stats is None:
        found = statistics(x, planes, batch, running, training)
    else:
        found = given_statistics(stats, planes, batch, training, out)
    coefs = _coefs(found, eps, factor, summand, slope, planes, x)
    dfloor, dv, dweight, dbias = (np.zeros(planes.view) for _ in range(4))
    drise = np.zeros(planes.kept)
    curve_sums(_core.RATIO, dy, x, dx, coefs, (dfloor, dv, drise, dweight, dbias))
    (mean, var, size), (batch_mean, batch_var, batch_size) = found
    means = np.zeros((2, *planes.free))
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and Inf stay in their channel
        means[1] = drise.reshape(planes.free) * reciprocal_root(var, eps, planes) / -max(size, 1)
        if training:  # the centre of the batch, moved to that of the sample
            level = dfloor.reshape(batch.free) * reciprocal_root(batch_var, eps, batch)
            level /= -max(batch_size, 1)
            means[0] = level * (mean - batch_mean)
            means[1] += level
    regroup = partial(over_planes, channel_axis)
    through_statistics(_core.RATIO, dy, x, dx, coefs, regroup, mean, means)
    return gradients_of(dx, out, (dweight, dbias, dv), (weight, bias, v))


def _coefs(
    stats: EvoNormMoments,
    eps: float,
    factor: Array,
    summand: Array,
    slope: Array,
    planes: Groups,
    x: Array,
) -> tuple[Array, ...]:
    """Coefficients of x / max(c0, c1 x + c2) * c3 + c4."""
    with np.errstate(invalid="ignore"):
        level = np.sqrt(stats.batch.var + eps).reshape(planes.view)
        rise = np.sqrt(stats.instance.var + eps).reshape(planes.kept)
    return coefficient(level, x), slope, coefficient(rise, x), factor, summand


class EvoNormB0(Layer):
    """EvoNorm-B0 as a layer with its parameters and running variance.

    Parameters
    ----------
    num_features : int
        Number of channels C.
    eps : float, default 1e-5
        Added to both variances, inside the roots.
    momentum : float, default 0.1
        Weight of the batch in the running variance.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last. Axis 0 is that of the samples.
    dtype : dtype, default float32
        Type of parameters and running variance, one of the four. That of the input may differ.

    Attributes
    ----------
    weight, bias, v, running_var : ndarray
        The parameters, initially 1, 0 and 1, and the running variance, initially 1; the names are
        those of timm.
    grads : dict of str to ndarray
        Gradients of the parameters from the last `backward`.
    training : bool
        Whether to use and track the variance of the batch.

    Raises
    ------
    ValueError
        If a number is out of range.
    TypeError
        If an argument is of the wrong type.

    See Also
    --------
    evonorm_b0 : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.EvoNormB0(1, eps=0)
    >>> layer(np.array([[[-1.0, 1.0]]], dtype=np.float32))
    array([[[-1. ,  0.5]]], dtype=float32)
    """

    _learned = ("weight", "bias", "v")
    _stored = ("weight", "bias", "v", "running_var")
    _shown = ("num_features", "eps", "momentum", "channel_axis")

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        channel_axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.num_features = positive(num_features, "num_features")
        self.eps = epsilon(eps)
        self.momentum = weight_of_batch(momentum)
        self.channel_axis = integer(channel_axis, "channel_axis")
        self._make_affine((self.num_features,), dtype, weight=True, bias=True)
        self.v = np.ones(self.num_features, float_dtype(dtype))
        self.running_var = np.ones(self.num_features, float_dtype(dtype))

    def reset_running_stats(self) -> None:
        """Forget all batches: what a batch with a NaN has spoiled cannot be averaged out."""
        self.running_var[...] = 1

    def _forward(self, x: ArrayInput) -> tuple[Array, tuple[Any, ...]]:
        x = channels(x, self.channel_axis, self.num_features, "num_features")
        arguments = self._arguments(self.training)
        running: dict[str, Any] = {"running_var": self.running_var, "momentum": self.momentum}
        y, stats = evonorm_b0(x, **arguments, **running, return_stats=True)
        return y, (x, stats, self.training)

    def _backward(self, dy: ArrayInput, x: Array, stats: EvoNormMoments, training: bool) -> Any:
        return evonorm_b0_backward(dy, x, **self._arguments(training), stats=stats)

    def _arguments(self, training: bool) -> dict[str, Any]:
        arrays = {"weight": self.weight, "bias": self.bias, "v": self.v}
        options = {"training": training, "eps": self.eps, "channel_axis": self.channel_axis}
        return arrays | options
