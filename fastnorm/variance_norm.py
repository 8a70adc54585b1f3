# SPDX-License-Identifier: BSD-3-Clause
"""Variance normalization: each channel divided by its standard deviation, and not centred."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastnorm import _core
from fastnorm._args import (
    array,
    channels,
    deliver,
    float_dtype,
    given_moments,
    gradient,
    gradient_sum,
    output,
    parameter,
)
from fastnorm._curves import reciprocal_root
from fastnorm._groups import over_batch, refuse_single_values
from fastnorm._layer import Layer
from fastnorm._numbers import epsilon, integer, positive, weight_of_batch
from fastnorm._running import RunningVariance
from fastnorm.moments import Moments, moments_for_gradient, moments_of_groups
from fastnorm.standardize import Gradients, gradients_of

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._core import Groups
    from fastnorm._types import Array, ArrayInput


@overload
def variance_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
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
def variance_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, Moments]: ...
def variance_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Moments]:
    r"""Divide each channel by its standard deviation over all the other axes; keep its mean.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of shape (N, C, ...), or with the channels elsewhere, and of any strides.
    weight, bias : array of shape (C,), optional
        Factor and summand of each channel, of any of the four types.
    running_var : ndarray of shape (C,), optional
        Running variance, of any of the four types. In training it is updated in place; in
        evaluation it is needed, and takes the place of the batch's.
    training : bool, default True
        Use the variance of the batch, and update the running one.
    momentum : float, default 0.1
        Weight of the batch in the running variance, 0 to 1. This is PyTorch's sign; the code of
        Lubana et al. has the weight of the old value, 0.9.
    eps : float, default 1e-5
        Added to the variance, inside the root; in squared units of `x`. 0 is allowed.
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
        Only with `return_stats`: mean and biased variance in float64, of shape (C,); in evaluation
        zeros and a copy of the running variance, with count 0.

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 2 axes, or in training one value per channel; if the running variance
        is missing in evaluation or read-only in training; if a shape does not fit, `out` is
        read-only, `momentum` is not in 0 to 1, or `eps` is negative or not finite.

    Notes
    -----
    With the biased variance :math:`v` of the channel's values about their mean, or the running one
    in its place in evaluation,

    .. math:: y = w\,\frac{x}{\sqrt{v + \epsilon}} + b .

    The variance is centred and x is not, so that a shift of x shifts y; a channel whose mean is
    many standard deviations from 0 gives large values where `batch_norm` does not. In training,
    with momentum :math:`\alpha`, the running variance becomes

    .. math:: (1 - \alpha)\,\text{running var} + \alpha\,v ,

    biased, as in the code of Lubana et al.; `batch_norm` has the unbiased one, PyTorch's. An empty
    batch leaves it as it is. Division by the root of the mean square, which the analysis of
    Daneshmand et al. has, is `rms_norm` over all axes but the channels'. A constant channel gives
    its values over :math:`\sqrt\epsilon`, and with ``eps=0``, where the reciprocal of the root is
    defined as 0, the bias.

    References
    ----------
    E. S. Lubana, R. P. Dick, H. Tanaka, "Beyond BatchNorm: Towards a Unified Understanding of
    Normalization in Deep Learning", NeurIPS 2021, arXiv:2106.05956; after H. Daneshmand et al.,
    "Batch Normalization Provably Avoids Rank Collapse for Randomly Initialised Deep Networks",
    NeurIPS 2020, arXiv:2003.01652.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]], dtype=np.float32)
    >>> running_var = np.ones(2)
    >>> fastnorm.variance_norm(x, None, None, running_var, momentum=0.5, eps=0)
    array([[1., 1.],
           [3., 3.]], dtype=float32)
    >>> running_var
    array([ 1. , 50.5])
    """
    x = array(x, "x")
    groups = over_batch(channel_axis, x.shape)
    momentum = weight_of_batch(momentum)
    eps = epsilon(eps)
    y = output(out, x)
    weight = parameter(weight, "weight", groups, x, out)
    bias = parameter(bias, "bias", groups, x, out)
    running = RunningVariance(running_var, groups, updated=training)
    if training:
        refuse_single_values(groups, x.shape)
        mean, var = moments_for_gradient(x, None, groups, out)
    else:
        mean, var = _fixed(running, groups)
    _core.forward(x, y, groups, weight, bias, None, var, eps, _core.RAW | _core.GIVEN)
    y = deliver(y, out)
    running.fold_in(var, momentum)
    return (y, moments_of_groups(mean, var, groups, training)) if return_stats else y


def variance_norm_backward(
    dy: ArrayInput,
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    running_var: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Moments | tuple[Any, Any, int] | None = None,
    out: Array | None = None,
) -> Gradients:
    r"""Gradient of `variance_norm`; the running variance is a constant, and is not updated.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, weight, bias, running_var, training, momentum, eps, channel_axis
        As given to `variance_norm`. Of `bias` only shape and dtype matter, `momentum` does not.
    stats : Moments, optional
        What ``return_stats=True`` gave; if None recomputed from `x`, in evaluation taken from the
        running variance.
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
        `variance_norm` returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 2 axes, or in training one value per channel; if both `stats` and the
        running variance are missing in evaluation; if a shape does not fit, `stats` belong to
        another input or mode, `out` is read-only, or `eps` is negative or not finite.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}` and means over the channel,

    .. math:: dx = r \left( g - (x - \mu)\,r\,\overline{g\,x\,r} \right)

    in training and :math:`dx = r g` in evaluation; in both :math:`dw = \sum dy\,x\,r` and
    :math:`db = \sum dy` over the channel. Outside the mean x is centred, inside it is not.

    References
    ----------
    E. S. Lubana, R. P. Dick, H. Tanaka, "Beyond BatchNorm", NeurIPS 2021, arXiv:2106.05956.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[[1.0, 3.0, 1.0, 3.0]]]), np.array([[[1.0, 0.0, 0.0, 0.0]]])
    >>> fastnorm.variance_norm_backward(dy, x, eps=0).x
    array([[[ 1.25, -0.25,  0.25, -0.25]]])
    """
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_batch(channel_axis, x.shape)
    eps = epsilon(eps)
    dx = output(out, x, dy)
    factor = parameter(weight, "weight", groups, x, out)
    summand = parameter(bias, "bias", groups, x, out)
    running = RunningVariance(running_var, groups, updated=False)
    dweight, dbias = gradient_sum(factor, groups.view), gradient_sum(summand, groups.view)
    if training:
        refuse_single_values(groups, x.shape)
        mean, var = moments_for_gradient(x, stats, groups, out)
        products, total = np.zeros(groups.view), np.zeros(groups.view)
        _core.backward(dy, x, None, groups, None, mean, var, eps, 0, products, total)
        means = np.zeros((2, *groups.free))
        if groups.size:
            with np.errstate(invalid="ignore", over="ignore"):  # NaN and Inf stay in their channel
                # The sums were of the centred x, which lose nothing to its mean; this puts it back.
                products += total * (mean * reciprocal_root(var, eps, groups)).reshape(groups.view)
                slope = products if factor is None else products * factor
                means[1] = slope.reshape(groups.free) / groups.size
        _core.backward(dy, x, dx, groups, factor, mean, var, eps, 0, None, None, means=means)
        dweight = None if factor is None else products
        dbias = None if summand is None else total
    else:
        _, var = _fixed(running, groups) if stats is None else given_moments(stats, groups, 0, out)
        flags = _core.RAW | _core.FIXED
        _core.backward(dy, x, dx, groups, factor, None, var, eps, flags, dweight, dbias)
    return gradients_of(dx, out, dweight, weight, dbias, bias)


def _fixed(running: RunningVariance, groups: Groups) -> tuple[Array, Array]:
    """Mean and variance in evaluation: nothing is centred."""
    return np.zeros(groups.free), running.for_evaluation()


class VarianceNorm(Layer):
    """Variance normalization as a layer with its parameters and running variance.

    Parameters
    ----------
    num_features : int
        Number of channels C.
    eps : float, default 1e-5
        Added to the variance, inside the root.
    momentum : float, default 0.1
        Weight of the batch in the running variance.
    affine : bool, default True
        Have a weight (initially 1) and a bias (initially 0) of shape (C,).
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last.
    dtype : dtype, default float32
        Type of parameters and running variance, one of the four. That of the input may differ.

    Attributes
    ----------
    weight, bias : ndarray or None
        The parameters.
    running_var : ndarray
        The running variance, initially 1.
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
    variance_norm : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.VarianceNorm(1, eps=0)
    >>> layer(np.array([[1.0], [3.0]], dtype=np.float32))
    array([[1.],
           [3.]], dtype=float32)
    """

    _stored = ("weight", "bias", "running_var")
    _shown = ("num_features", "eps", "momentum", "affine", "channel_axis")

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        channel_axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.num_features = positive(num_features, "num_features")
        self.eps = epsilon(eps)
        self.momentum = weight_of_batch(momentum)
        self.affine = affine
        self.channel_axis = integer(channel_axis, "channel_axis")
        self._make_affine((self.num_features,), dtype, weight=affine, bias=affine)
        self.running_var = np.ones(self.num_features, float_dtype(dtype))

    def reset_running_stats(self) -> None:
        """Forget all batches: what a batch with a NaN has spoiled cannot be averaged out."""
        self.running_var[...] = 1

    def _forward(self, x: ArrayInput) -> tuple[Array, tuple[Any, ...]]:
        x = channels(x, self.channel_axis, self.num_features, "num_features")
        y, stats = variance_norm(
            x,
            self.weight,
            self.bias,
            self.running_var,
            momentum=self.momentum,
            **self._options(self.training),
            return_stats=True,
        )
        return y, (x, stats, self.training)

    def _backward(self, dy: ArrayInput, x: Array, stats: Moments, training: bool) -> Any:
        options = self._options(training)
        return variance_norm_backward(dy, x, self.weight, self.bias, **options, stats=stats)

    def _options(self, training: bool) -> dict[str, Any]:
        return {"training": training, "eps": self.eps, "channel_axis": self.channel_axis}
