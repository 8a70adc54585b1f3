# SPDX-License-Identifier: BSD-3-Clause
"""EvoNorm-S0: normalization and nonlinearity in one, by the statistics of groups of channels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastnorm import _core
from fastnorm._args import array, channels, deliver, divisor, float_dtype, gradient, output
from fastnorm._curves import coefficient, curve_sums, reciprocal_root, through_statistics
from fastnorm._evonorm import EvoNormGradients, gradients_of, read_parameters
from fastnorm._groups import over_batch, over_channel_groups
from fastnorm._layer import Layer
from fastnorm._numbers import epsilon, integer, positive
from fastnorm.moments import Moments, moments_for_gradient, moments_of_groups

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._core import Groups
    from fastnorm._types import Array, ArrayInput


@overload
def evonorm_s0(
    x: ArrayInput,
    num_groups: int,
    weight: ArrayInput,
    bias: ArrayInput,
    v: ArrayInput,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def evonorm_s0(
    x: ArrayInput,
    num_groups: int,
    weight: ArrayInput,
    bias: ArrayInput,
    v: ArrayInput,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, Moments]: ...
def evonorm_s0(
    x: ArrayInput,
    num_groups: int,
    weight: ArrayInput,
    bias: ArrayInput,
    v: ArrayInput,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Moments]:
    r"""Divide the swish of x by the deviation of x in its group of channels.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of shape (N, C, ...), or with the channels elsewhere, and of any strides.
    num_groups : int
        Number of groups G, which divides C. Channels of a group are neighbours.
    weight, bias, v : array of shape (C,)
        Factor and summand of each channel, and its slope v, of any of the four types.
    eps : float, default 1e-5
        Added to the variance, inside the root; in squared units of `x`. 0 is allowed.
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
    With the biased variance :math:`v_g` of each sample's group of :math:`C/G` channels over space
    and the logistic function :math:`\sigma`,

    .. math:: y = w\,\frac{x\,\sigma(v x)}{\sqrt{v_g + \epsilon}} + b .

    The variance is centred and x is not; no activation follows. The authors' code takes 32 groups,
    or the next smaller number that divides C, and so does timm with 32 or an error; here the number
    has to be given. All of them have the biased variance; some ports take the unbiased one. A
    constant group gives its swish over :math:`\sqrt\epsilon`, and with ``eps=0``, where the
    reciprocal of the root is defined as 0, the bias. Without the nonlinearity
    (``nonlinearity=False`` of the authors, ``apply_act=False`` of timm) an affine map is all that
    is left; there is no such option here.

    References
    ----------
    H. Liu, A. Brock, K. Simonyan, Q. Le, "Evolving Normalization-Activation Layers", NeurIPS 2020,
    arXiv:2004.02967.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[0.0, 4.0, 0.0, 40.0]])
    >>> fastnorm.evonorm_s0(x, 2, np.ones(4), np.zeros(4), np.zeros(4), eps=0)
    array([[0., 1., 0., 1.]])
    """
    x = array(x, "x")
    groups = over_channel_groups(num_groups, channel_axis, x.shape)
    batch = over_batch(channel_axis, x.shape)
    eps = epsilon(eps)
    y = output(out, x)
    factor, summand, slope = read_parameters(weight, bias, v, batch, x, out)
    mean, var = moments_for_gradient(x, None, groups, out)
    root = _each_channel(reciprocal_root(var, eps, groups), batch)
    _core.curve(_core.SWISH, x, y, (slope, coefficient(root * factor, x), summand))
    y = deliver(y, out)
    return (y, moments_of_groups(mean, var, groups)) if return_stats else y


def evonorm_s0_backward(
    dy: ArrayInput,
    x: ArrayInput,
    num_groups: int,
    weight: ArrayInput,
    bias: ArrayInput,
    v: ArrayInput,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Moments | tuple[Any, Any, int] | None = None,
    out: Array | None = None,
) -> EvoNormGradients:
    r"""Gradient of `evonorm_s0`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, num_groups, weight, bias, v, eps, channel_axis
        As given to `evonorm_s0`. Of `bias` only shape and dtype matter.
    stats : Moments, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
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
        If an array is of no supported type or `dy` not of x's, or `stats` is not what `evonorm_s0`
        returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `num_groups` does not divide the channels, `x` has fewer than 2 axes or one value per
        group, a shape does not fit, `stats` belong to another input, `out` is read-only, or `eps`
        is negative or not finite.

    Notes
    -----
    With :math:`\sigma = \sigma(v x)`, :math:`g = w\,dy`, :math:`r = 1/\sqrt{v_g + \epsilon}` and
    the mean over the group,

    .. math:: dx = r \left( g\,\sigma\,(1 + v x (1 - \sigma))
              - (x - \mu)\,r^2\,\overline{g\,x\,\sigma} \right) , \qquad
              dv = \sum g\,r\,x^2 \sigma (1 - \sigma) ,

    :math:`dw = \sum dy\,x\,\sigma\,r` and :math:`db = \sum dy` over all axes but that of the
    channels.

    References
    ----------
    H. Liu, A. Brock, K. Simonyan, Q. Le, "Evolving Normalization-Activation Layers", NeurIPS 2020,
    arXiv:2004.02967.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[1.0, 3.0]]), np.array([[4.0, 0.0]])
    >>> one, zero = np.ones(2), np.zeros(2)
    >>> fastnorm.evonorm_s0_backward(dy, x, 1, one, zero, zero, eps=0).x
    array([[ 3., -1.]])
    """
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_channel_groups(num_groups, channel_axis, x.shape)
    batch = over_batch(channel_axis, x.shape)
    eps = epsilon(eps)
    dx = output(out, x, dy)
    factor, summand, slope = read_parameters(weight, bias, v, batch, x, out)
    mean, var = moments_for_gradient(x, stats, groups, out)
    mean, root = mean.reshape(groups.free), reciprocal_root(var, eps, groups).reshape(groups.free)
    wide = _each_channel(root, batch)
    coefs = (slope, coefficient(wide * factor, x), summand)
    dv, dscale, dbias = np.zeros(batch.view), np.zeros(wide.shape), np.zeros(batch.view)
    curve_sums(_core.SWISH, dy, x, dx, coefs, (dv, dscale, dbias))
    means = np.zeros((2, *groups.free))
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and Inf stay in their group
        apart = (*groups.free, batch.shape[0] // groups.free[1])
        total = (dscale * factor).reshape(apart).sum(axis=-1)
        means[1] = total * root**3 / max(groups.size, 1)
        dweight = (dscale * wide).sum(axis=0)
    regroup = partial(over_channel_groups, num_groups, channel_axis)
    through_statistics(_core.SWISH, dy, x, dx, coefs, regroup, mean, means)
    return gradients_of(dx, out, (dweight, dbias, dv), (weight, bias, v))


def _each_channel(values: Array, batch: Groups) -> Array:
    """Repeat what each sample's group has for its channels, and put it against x."""
    each = np.repeat(values, batch.shape[0] // values.shape[1], axis=1)
    return each.reshape(len(values), *batch.view[1:])


class EvoNormS0(Layer):
    """EvoNorm-S0 as a layer with its parameters.

    Parameters
    ----------
    num_features : int
        Number of channels C.
    num_groups : int, default 32
        Number of groups G, which divides `num_features`.
    eps : float, default 1e-5
        Added to the variance, inside the root.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last. Axis 0 is that of the samples.
    dtype : dtype, default float32
        Type of the parameters: float16, bfloat16, float32 or float64. That of the input may differ.

    Attributes
    ----------
    weight, bias, v : ndarray
        The parameters, initially 1, 0 and 1; the names are those of timm.
    grads : dict of str to ndarray
        Gradients of the parameters from the last `backward`.
    training : bool
        Has no effect here.

    Raises
    ------
    ValueError
        If a number is below 1, `num_groups` does not divide `num_features`, or `eps` is negative or
        not finite.
    TypeError
        If an argument is of the wrong type.

    See Also
    --------
    evonorm_s0 : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.EvoNormS0(2, 1, eps=0)
    >>> layer.v[...] = 0
    >>> layer(np.array([[0.0, 4.0]], dtype=np.float32))
    array([[0., 1.]], dtype=float32)
    """

    _learned = ("weight", "bias", "v")
    _stored = ("weight", "bias", "v")
    _shown = ("num_features", "num_groups", "eps", "channel_axis")

    def __init__(
        self,
        num_features: int,
        num_groups: int = 32,
        eps: float = 1e-5,
        channel_axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.num_features = positive(num_features, "num_features")
        self.num_groups = divisor(num_groups, self.num_features)
        self.eps = epsilon(eps)
        self.channel_axis = integer(channel_axis, "channel_axis")
        self._make_affine((self.num_features,), dtype, weight=True, bias=True)
        self.v = np.ones(self.num_features, float_dtype(dtype))

    def _forward(self, x: ArrayInput) -> tuple[Array, tuple[Any, ...]]:
        x = channels(x, self.channel_axis, self.num_features, "num_features")
        y, stats = evonorm_s0(x, **self._arguments(), return_stats=True)
        return y, (x, stats)

    def _backward(self, dy: ArrayInput, x: Array, stats: Moments) -> Any:
        return evonorm_s0_backward(dy, x, **self._arguments(), stats=stats)

    def _arguments(self) -> dict[str, Any]:
        arrays = {"weight": self.weight, "bias": self.bias, "v": self.v}
        options = {"eps": self.eps, "channel_axis": self.channel_axis}
        return arrays | options | {"num_groups": self.num_groups}
