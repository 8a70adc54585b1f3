# SPDX-License-Identifier: BSD-3-Clause
"""Global response normalization: each channel scaled by its share in the norms of all channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastnorm import _core
from fastnorm._args import (
    COMPUTE_TYPE,
    array,
    channels,
    deliver,
    float_dtype,
    given_mean_square,
    gradient,
    new_statistic,
    output,
    parameter,
    parameter_values,
)
from fastnorm._groups import over_samples
from fastnorm._layer import Layer
from fastnorm._numbers import epsilon, integer, positive
from fastnorm.moments import RawMoments
from fastnorm.standardize import Gradients, gradients_of

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._core import Groups
    from fastnorm._types import Array, ArrayInput


@overload
def global_response_norm(
    x: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def global_response_norm(
    x: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, RawMoments]: ...
def global_response_norm(
    x: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, RawMoments]:
    r"""Scale each channel of a sample by its norm relative to the mean norm of the channels.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of shape (N, C, ...), or with the channels elsewhere, and of any strides.
    weight, bias : array of shape (C,)
        Factor of the scaled values and summand of each channel, of any of the four types. ConvNeXt
        V2 calls them gamma and beta, and gives them the shape (1, 1, 1, C); they begin at 0.
    eps : float, default 1e-6
        Added to the mean norm; in units of `x`. 0 is allowed.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last, as in ConvNeXt V2. Axis 0 is that of the
        samples.
    out : ndarray, optional
        Receives the result; of x's shape and dtype. It may be `x`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        Of x's shape and dtype and, if new, memory order; or `out`.
    stats : RawMoments
        Only with `return_stats`: the mean square in float64, of shape (N, C).

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 2 axes, a shape does not fit, `out` is read-only, or `eps` is negative
        or not finite.

    Notes
    -----
    With the norm :math:`G_c = \sqrt{\sum x^2}` of channel c of a sample over space,

    .. math:: n_c = \frac{G_c}{\frac{1}{C} \sum_k G_k + \epsilon}, \qquad y = x + w\,n\,x + b .

    x itself is a summand, so that the layer begins as the identity. Nothing is centred. The
    statistics are those of one sample, as in the dense form of ConvNeXt V2; its sparse twin for
    masked images takes one norm over the whole batch. With ``eps=0`` a sample of zeros has n = 0.

    References
    ----------
    S. Woo et al., "ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders",
    CVPR 2023, arXiv:2301.00808, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[[3.0, 4.0], [0.0, 15.0]]], dtype=np.float32)
    >>> fastnorm.global_response_norm(x, np.ones(2), np.zeros(2), eps=0)
    array([[[ 4.5,  6. ],
            [ 0. , 37.5]]], dtype=float32)
    """
    x = array(x, "x")
    groups = over_samples(channel_axis, x.shape)
    y = output(out, x)
    factor = _factor(weight, groups)
    summand = parameter(parameter_values(bias, "bias", groups), "bias", groups, x, out)
    eps = epsilon(eps)
    mean_square = _mean_square(x, groups)
    _, _, ratio = _ratios(mean_square, groups, eps)
    slope = _slope(factor, ratio, x, groups)
    one, flags = np.ones(groups.free), _core.RAW | _core.GIVEN
    _core.forward(x, y, groups, slope, summand, None, one, 0.0, flags)
    y = deliver(y, out)
    return (y, RawMoments(mean_square, groups.size)) if return_stats else y


def global_response_norm_backward(
    dy: ArrayInput,
    x: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    stats: RawMoments | tuple[Any, int] | None = None,
    out: Array | None = None,
) -> Gradients:
    r"""Gradient of `global_response_norm`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, weight, bias, eps, channel_axis
        As given to `global_response_norm`. Of `bias` only shape and dtype matter.
    stats : RawMoments, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
    out : ndarray, optional
        Receives the gradient with respect to x; of its shape and dtype. It may be `dy` or `x`.

    Returns
    -------
    Gradients
        Fields `x`, `weight` and `bias`, of the shapes and dtypes of these arguments. The sums
        behind them run in float64 and are rounded once.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of x's, or `stats` is not what
        `global_response_norm` returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 2 axes, a shape does not fit, `stats` belong to another input, `out`
        is read-only, or `eps` is negative or not finite.

    Notes
    -----
    With :math:`m = \frac{1}{C} \sum_k G_k + \epsilon` and the sum over space
    :math:`s = \sum dy\,x`,

    .. math:: dG_c = \frac{w_c s_c}{m} - \frac{1}{C m^2} \sum_k w_k s_k G_k, \qquad
              dx = dy\,(1 + w\,n) + \frac{dG}{G}\,x, \qquad dw = \sum n\,s, \qquad db = \sum dy ,

    the last two over all axes but that of the channels. A channel of zeros, where the norm has no
    gradient, has :math:`dx = dy\,(1 + w\,n)`.

    References
    ----------
    S. Woo et al., "ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders",
    CVPR 2023, arXiv:2301.00808, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[[3.0, 4.0]]]), np.array([[[1.0, 0.0]]])
    >>> fastnorm.global_response_norm_backward(dy, x, np.ones(1), np.zeros(1), eps=0)
    Gradients(x=array([[[2., 0.]]]), weight=array([3.]), bias=array([1.]))
    """
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_samples(channel_axis, x.shape)
    eps = epsilon(eps)
    dx = output(out, x, dy)
    factor = _factor(weight, groups)
    parameter_values(bias, "bias", groups)
    if stats is None:
        mean_square = _mean_square(x, groups)
    else:
        mean_square = given_mean_square(stats, groups, out)
    norm, mean, ratio = _ratios(mean_square, groups, eps)
    one, sums = np.ones(groups.free), np.zeros((2, *groups.kept))
    _core.backward(dy, x, None, groups, None, None, one, 0.0, _core.RAW, sums[0], sums[1])
    products, totals = sums.reshape(2, *groups.free)
    means = np.zeros((2, *groups.free))
    with np.errstate(all="ignore"):
        steep = factor * products
        mixed = (steep * norm).sum(1, keepdims=True) / (norm.shape[1] * mean)
        means[1] = -np.where(norm == 0.0, 0.0, (steep - mixed) / (mean * norm))
    slope = _slope(factor, ratio, x, groups)
    _core.backward(dy, x, dx, groups, slope, None, one, 0.0, _core.RAW, None, None, means)
    dweight, dbias = (ratio * products).sum(0), totals.sum(0)
    return gradients_of(dx, out, dweight, weight, dbias, bias)


def _factor(weight: Any, groups: Groups) -> Array:
    """The weight in float64, beside statistics of shape (N, C)."""
    return parameter_values(weight, "weight", groups).astype(np.float64)


def _mean_square(x: Array, groups: Groups) -> Array:
    mean_square = new_statistic(groups)
    _core.forward(x, None, groups, None, None, None, mean_square, 0.0, _core.RAW)
    return mean_square


@np.errstate(all="ignore")  # NaN and Inf in their sample are results, not surprises
def _ratios(mean_square: Array, groups: Groups, eps: float) -> tuple[Array, Array, Array]:
    """Norms of shape (N, C), their means plus eps of shape (N, 1), and the ratio of the two."""
    norm = np.sqrt(mean_square.reshape(groups.free) * groups.size)
    if groups.size == 0:
        norm[...] = 0.0
    mean = norm.sum(1, keepdims=True) / norm.shape[1] + eps
    return norm, mean, np.where(norm == 0.0, 0.0, norm / mean)


def _slope(factor: Array, ratio: Array, x: Array, groups: Groups) -> Array:
    """1 + w n, as a parameter of the core."""
    with np.errstate(over="ignore", invalid="ignore"):
        slope: Array = (1.0 + factor * ratio).astype(COMPUTE_TYPE[x.dtype])
    return slope.reshape(groups.kept)


class GlobalResponseNorm(Layer):
    """Global response normalization as a layer with its parameters, at first the identity.

    Parameters
    ----------
    num_features : int
        Number of channels C.
    eps : float, default 1e-6
        Added to the mean norm.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last. Axis 0 is that of the samples.
    dtype : dtype, default float32
        Type of the parameters: float16, bfloat16, float32 or float64. That of the input may differ.

    Attributes
    ----------
    weight, bias : ndarray
        The parameters of shape (C,), initially 0, under timm's names; ConvNeXt V2 calls them gamma
        and beta.
    grads : dict of str to ndarray
        Gradients of the parameters from the last `backward`.
    training : bool
        Has no effect here.

    Raises
    ------
    ValueError
        If `num_features` is below 1, or `eps` is negative or not finite.
    TypeError
        If an argument is of the wrong type.

    See Also
    --------
    global_response_norm : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.GlobalResponseNorm(1)
    >>> layer(np.array([[[1.0, 3.0]]], dtype=np.float32))
    array([[[1., 3.]]], dtype=float32)
    """

    _shown = ("num_features", "eps", "channel_axis")

    weight: Array
    bias: Array

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-6,
        channel_axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.num_features = positive(num_features, "num_features")
        self.eps = epsilon(eps)
        self.channel_axis = integer(channel_axis, "channel_axis")
        self.weight = np.zeros(self.num_features, float_dtype(dtype))
        self.bias = np.zeros_like(self.weight)

    def _forward(self, x: ArrayInput) -> tuple[Array, tuple[Any, ...]]:
        x = channels(x, self.channel_axis, self.num_features, "num_features")
        y, stats = global_response_norm(
            x,
            self.weight,
            self.bias,
            eps=self.eps,
            channel_axis=self.channel_axis,
            return_stats=True,
        )
        return y, (x, stats)

    def _backward(self, dy: ArrayInput, x: Array, stats: RawMoments) -> Any:
        return global_response_norm_backward(
            dy, x, self.weight, self.bias, eps=self.eps, channel_axis=self.channel_axis, stats=stats
        )
