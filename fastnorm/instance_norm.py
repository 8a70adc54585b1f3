# SPDX-License-Identifier: BSD-3-Clause
"""Instance normalization: each channel of each sample by its own statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastnorm import _core
from fastnorm._args import (
    array,
    channels,
    deliver,
    epsilon,
    gradient,
    gradient_sum,
    integer,
    new_statistic,
    output,
    parameter,
    positive,
)
from fastnorm._groups import INSTANCES, LAYER_INSTANCES, over_instances
from fastnorm._layer import Layer
from fastnorm.moments import Moments, moments_for_gradient, moments_of_groups, parts_of_moments
from fastnorm.standardize import Gradients, gradients_of

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._types import Array, ArrayInput


@overload
def instance_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def instance_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, Moments]: ...
def instance_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
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
        Only with `return_stats`: mean and biased variance in float64, of shape (N, C).

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 3 axes or one value per channel of a sample, a shape does not fit,
        `out` is read-only, or `eps` is negative or not finite.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of one channel of one sample,

    .. math:: y = w\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b .

    It is `group_norm` with as many groups as channels. There are no running statistics: training
    and evaluation are the same. A constant channel gives the bias, also with ``eps=0``, where the
    reciprocal of the root is defined as 0.

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
    usual = _core.normalize(x, weight, bias, eps, out, flags, INSTANCES, channel_axis)
    if usual is not None:
        if not return_stats:
            y: Array = usual
            return y
        y, mean, var, groups = usual
        return y, moments_of_groups(mean, var, groups)
    x = array(x, "x")
    groups = over_instances(channel_axis, x.shape)
    y = output(out, x)
    weight = parameter(weight, "weight", groups, x, out)
    bias = parameter(bias, "bias", groups, x, out)
    mean, var = new_statistic(groups), new_statistic(groups)
    _core.forward(x, y, groups, weight, bias, mean, var, epsilon(eps), 0)
    y = deliver(y, out)
    return (y, moments_of_groups(mean, var, groups)) if return_stats else y


def instance_norm_backward(
    dy: ArrayInput,
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Moments | tuple[Any, Any, int] | None = None,
    out: Array | None = None,
) -> Gradients:
    r"""Gradient of `instance_norm`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, weight, bias, eps, channel_axis
        As given to `instance_norm`. Of `bias` only shape and dtype matter.
    stats : Moments, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
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
        If `x` has fewer than 3 axes or one value per channel of a sample, a shape does not fit,
        `stats` belong to another input, `out` is read-only, or `eps` is negative or not finite.

    Notes
    -----
    With :math:`g = w\,dy`, :math:`r = 1/\sqrt{v + \epsilon}`, :math:`\hat x = (x - \mu) r` and
    means over one channel of one sample,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right), \qquad
              dw = \sum dy\,\hat x, \qquad db = \sum dy ,

    the sums running over all axes but that of the channels.

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
    mean, var, count = parts_of_moments(stats)
    usual = _core.gradient(
        dy, x, weight, bias, mean, var, count, eps, out, 0, INSTANCES, channel_axis
    )
    if usual is not None:
        return tuple.__new__(Gradients, usual)
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_instances(channel_axis, x.shape)
    eps = epsilon(eps)
    dx = output(out, x, dy)
    factor = parameter(weight, "weight", groups, x, out)
    summand = parameter(bias, "bias", groups, x, out)
    mean, var = moments_for_gradient(x, stats, groups, out)
    dweight, dbias = gradient_sum(factor, groups.view), gradient_sum(summand, groups.view)
    _core.backward(dy, x, dx, groups, factor, mean, var, eps, 0, dweight, dbias)
    return gradients_of(dx, out, dweight, weight, dbias, bias)


class InstanceNorm(Layer):
    """Instance normalization as a layer with its parameters, if any.

    Parameters
    ----------
    num_features : int
        Number of channels C.
    eps : float, default 1e-5
        Added to the variance, inside the root.
    affine : bool, default False
        Have a weight (initially 1) and a bias (initially 0) of shape (C,).
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last. Axis 0 is that of the samples.
    dtype : dtype, default float32
        Type of the parameters: float16, bfloat16, float32 or float64. That of the input may differ.

    Attributes
    ----------
    weight, bias : ndarray or None
        The parameters.
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
    instance_norm : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.InstanceNorm(1, eps=0)
    >>> layer(np.array([[[1.0, 3.0]]], dtype=np.float32))
    array([[[-1.,  1.]]], dtype=float32)
    """

    _shown = ("num_features", "eps", "affine", "channel_axis")

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        affine: bool = False,
        channel_axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.num_features = positive(num_features, "num_features")
        self.eps = epsilon(eps)
        self.affine = affine
        self.channel_axis = integer(channel_axis, "channel_axis")
        self._make_affine((self.num_features,), dtype, weight=affine, bias=affine)

    def _forward(self, x: ArrayInput) -> tuple[Array, tuple[Any, ...]]:
        axis, expected = self.channel_axis, self.num_features
        usual = _core.normalize(
            x, self.weight, self.bias, self.eps, None, _core.STATS, LAYER_INSTANCES, axis, expected
        )
        if usual is not None:
            y, mean, var, groups = usual
            return y, (x, moments_of_groups(mean, var, groups))
        x = channels(x, axis, expected, "num_features")
        y, stats = instance_norm(
            x, self.weight, self.bias, eps=self.eps, channel_axis=axis, return_stats=True
        )
        return y, (x, stats)

    def _backward(self, dy: ArrayInput, x: Array, stats: Moments) -> Any:
        usual = self._gradients(dy, x, stats, 0, INSTANCES, self.channel_axis)
        if usual is not None:
            return usual
        return instance_norm_backward(
            dy, x, self.weight, self.bias, eps=self.eps, channel_axis=self.channel_axis, stats=stats
        )
