# SPDX-License-Identifier: BSD-3-Clause
"""Filter response normalization: the root mean square of each plane, then a learned threshold."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from fastnorm import _core
from fastnorm._args import (
    array,
    channels,
    deliver,
    float_dtype,
    given_mean_square,
    gradient,
    new_statistic,
    output,
    parameter,
    parameter_gradient,
)
from fastnorm._curves import coefficient, curve_sums, reciprocal_root, through_statistics
from fastnorm._groups import over_planes
from fastnorm._layer import Layer
from fastnorm._numbers import epsilon, integer, positive
from fastnorm.moments import RawMoments

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._types import Array, ArrayInput


class FilterResponseNormGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of `filter_response_norm`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape and dtype.
    weight, bias, threshold, learned_eps : ndarray or None
        Gradients with respect to the parameters, of their shapes and dtypes; None where the
        argument was None.
    """

    x: Array
    weight: Array | None
    bias: Array | None
    threshold: Array | None
    learned_eps: Array | None


@overload
def filter_response_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    threshold: ArrayInput | None = None,
    learned_eps: ArrayInput | None = None,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def filter_response_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    threshold: ArrayInput | None = None,
    learned_eps: ArrayInput | None = None,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, RawMoments]: ...
def filter_response_norm(
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    threshold: ArrayInput | None = None,
    learned_eps: ArrayInput | None = None,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, RawMoments]:
    r"""Divide each channel of each sample by its root mean square, scale, shift and cut it.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of shape (N, C, ...) with at least one axis after these, or with the channels
        elsewhere, and of any strides.
    weight, bias : array of shape (C,), optional
        Factor and summand of each channel, of any of the four types.
    threshold : array of shape (C,), optional
        The least result of each channel: the thresholded linear unit (TLU). None leaves it out.
    learned_eps : array of shape () or (1,), optional
        Its absolute value is added to `eps`; in squared units of `x`.
    eps : float, default 1e-6
        Added to the mean square, inside the root; in squared units of `x`. 0 is allowed. The
        default is that of the paper and of TensorFlow Addons; timm has 1e-5.
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
    stats : RawMoments
        Only with `return_stats`: the mean square in float64, of shape (N, C).

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 3 axes, a shape does not fit, `out` is read-only, or `eps` is negative
        or not finite.

    Notes
    -----
    With the mean over one channel of one sample,

    .. math:: y = \max\left(w\,\frac{x}{\sqrt{\overline{x^2} + \epsilon + |\epsilon_l|}} + b,\,
              \tau\right) .

    Nothing is centred, and no sample depends on another. The learned eps is that of the paper,
    meant for planes of a few values, where it starts at 1e-4 beside a fixed eps; the code of Lubana
    et al. has a learned one alone, for which `eps` is 0 here, and timm has none. A plane of a
    single value, whose result is nearly its sign, is allowed. A NaN comes through the maximum. A
    plane of zeros gives the bias, also with ``eps=0``, where the reciprocal of the root is defined
    as 0.

    References
    ----------
    S. Singh, S. Krishnan, "Filter Response Normalization Layer: Eliminating Batch Dependence in the
    Training of Deep Neural Networks", CVPR 2020, arXiv:1911.09737.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[[2.0, 2.0, -2.0, 2.0], [0.0, 6.0, 0.0, 0.0]]], dtype=np.float32)
    >>> fastnorm.filter_response_norm(x, threshold=np.array([-0.5, 1.5]), eps=0)
    array([[[ 1. ,  1. , -0.5,  1. ],
            [ 1.5,  2. ,  1.5,  1.5]]], dtype=float32)
    """
    x = array(x, "x")
    groups = over_planes(channel_axis, x.shape)
    y = output(out, x)
    factor = parameter(weight, "weight", groups, x, out)
    summand = parameter(bias, "bias", groups, x, out)
    least = parameter(threshold, "threshold", groups, x, out)
    eps = epsilon(eps) + (0.0 if learned_eps is None else abs(_single(learned_eps)))
    square = new_statistic(groups)
    if least is None:
        _core.forward(x, y, groups, factor, summand, None, square, eps, _core.RAW)
    else:
        _core.forward(x, None, groups, None, None, None, square, eps, _core.RAW)
        root = reciprocal_root(square, eps, groups).reshape(groups.kept)
        _core.curve(_core.FLOOR, x, y, _coefs(root, factor, summand, least, x))
    y = deliver(y, out)
    return (y, RawMoments(square, groups.size)) if return_stats else y


def filter_response_norm_backward(
    dy: ArrayInput,
    x: ArrayInput,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    threshold: ArrayInput | None = None,
    learned_eps: ArrayInput | None = None,
    *,
    eps: float = 1e-6,
    channel_axis: int = 1,
    stats: RawMoments | tuple[Any, int] | None = None,
    out: Array | None = None,
) -> FilterResponseNormGradients:
    r"""Gradient of `filter_response_norm`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, weight, bias, threshold, learned_eps, eps, channel_axis
        As given to `filter_response_norm`.
    stats : RawMoments, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
    out : ndarray, optional
        Receives the gradient with respect to x; of its shape and dtype. It may be `dy` or `x`.

    Returns
    -------
    FilterResponseNormGradients
        Fields `x`, `weight`, `bias`, `threshold` and `learned_eps`, of the shapes and dtypes of
        these arguments; all but the first None where the argument was None. The sums behind them
        run in float64 and are rounded once.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of x's, or `stats` is not what
        `filter_response_norm` returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 3 axes, a shape does not fit, `stats` belong to another input, `out`
        is read-only, or `eps` is negative or not finite.

    Notes
    -----
    Where y is above the threshold, dy goes through; elsewhere, also where the two meet, to the
    threshold (PyTorch's ``maximum`` halves it there). With :math:`k` 1 or 0 for that choice,
    :math:`g = w\,k\,dy`, :math:`r = 1/\sqrt{\overline{x^2} + \epsilon + |\epsilon_l|}`,
    :math:`\hat x = x r` and means over one channel of one sample,

    .. math:: dx = r \left( g - \hat x\,\overline{g \hat x} \right), \quad
              dw = \sum k\,dy\,\hat x, \quad db = \sum k\,dy, \quad d\tau = \sum (1 - k)\,dy, \quad
              d\epsilon_l = -\tfrac12 \operatorname{sign}(\epsilon_l) \sum r^2 g \hat x ,

    the sums running over all axes but that of the channels, the last one over all. A learned eps
    of 0 has the gradient 0.

    References
    ----------
    S. Singh, S. Krishnan, "Filter Response Normalization Layer", CVPR 2020, arXiv:1911.09737.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[[1.0, 1.0, -1.0, 1.0]]]), np.array([[[4.0, 0.0, 5.0, 0.0]]])
    >>> gradients = fastnorm.filter_response_norm_backward(dy, x, threshold=np.zeros(1), eps=0)
    >>> gradients.x, gradients.threshold
    (array([[[ 3., -1.,  1., -1.]]]), array([5.]))
    """
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_planes(channel_axis, x.shape)
    eps = epsilon(eps)
    dx = output(out, x, dy)
    factor = parameter(weight, "weight", groups, x, out)
    summand = parameter(bias, "bias", groups, x, out)
    least = parameter(threshold, "threshold", groups, x, out)
    learned = 0.0 if learned_eps is None else _single(learned_eps)
    eps += abs(learned)
    if stats is None:
        square = new_statistic(groups)
        _core.forward(x, None, groups, None, None, None, square, eps, _core.RAW)
    else:
        square = given_mean_square(stats, groups, out)
    root = reciprocal_root(square, eps, groups).reshape(groups.kept)
    # Sums of dy * xhat of every plane, which its mean and the learned eps need.
    products, dthreshold = np.zeros(groups.kept), None
    if least is None:
        total, flags = np.zeros(groups.kept), _core.RAW
        _core.backward(dy, x, dx, groups, factor, None, square, eps, flags, products, total)
    else:
        total, dthreshold = np.zeros(groups.view), np.zeros(groups.view)
        coefs = _coefs(root, factor, summand, least, x)
        curve_sums(_core.FLOOR, dy, x, dx, coefs, (products, total, dthreshold))
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and Inf stay in their plane
        if least is not None:
            products *= root
        slope = (products if factor is None else products * factor) * root * root
        means = np.zeros((2, *groups.free))
        means[1] = slope.reshape(groups.free) / max(groups.size, 1)
    if least is not None:
        regroup = partial(over_planes, channel_axis)
        through_statistics(_core.FLOOR, dy, x, dx, coefs, regroup, None, means)
    deps = None if learned_eps is None else -0.5 * np.sign(learned) * slope.sum(keepdims=True)
    return FilterResponseNormGradients(
        deliver(dx, out),
        None if factor is None else parameter_gradient(products.sum(0), weight, "weight"),
        None if summand is None else parameter_gradient(total.sum(0), bias, "bias"),
        parameter_gradient(dthreshold, threshold, "threshold"),
        parameter_gradient(deps, learned_eps, "learned_eps"),
    )


def _single(learned_eps: Any) -> float:
    values = array(learned_eps, "learned_eps")
    if values.shape not in ((), (1,)):
        raise ValueError(f"learned_eps has shape {values.shape}, expected () or (1,)")
    return float(values.reshape(()))


def _coefs(
    root: Array, factor: Array | None, summand: Array | None, least: Array, x: Array
) -> tuple[Array, Array, Array]:
    """Coefficients of max(c0 x + c1, c2)."""
    slope = coefficient(root if factor is None else root * factor, x)
    return slope, np.zeros_like(least) if summand is None else summand, least


class FilterResponseNorm(Layer):
    """Filter response normalization as a layer with its parameters.

    Parameters
    ----------
    num_features : int
        Number of channels C.
    eps : float, default 1e-6
        Added to the mean square, inside the root.
    learned_eps : bool, default False
        Learn another one, whose absolute value is added.
    threshold : bool, default True
        Have a threshold below the result (the TLU).
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last. Axis 0 is that of the samples.
    dtype : dtype, default float32
        Type of the parameters: float16, bfloat16, float32 or float64. That of the input may differ.

    Attributes
    ----------
    weight, bias : ndarray
        The parameters of shape (C,), initially 1 and 0.
    tau : ndarray or None
        The threshold, of shape (C,), initially 0; the name is that of timm.
    eps_learned : ndarray or None
        The learned eps, of shape (1,), initially 1e-4; the name is that of TensorFlow Addons.
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
    filter_response_norm : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.FilterResponseNorm(1, eps=0)
    >>> layer(np.array([[[2.0, -2.0]]], dtype=np.float32))
    array([[[1., 0.]]], dtype=float32)
    """

    _learned = ("weight", "bias", "tau", "eps_learned")
    _stored = ("weight", "bias", "tau", "eps_learned")
    _shown = ("num_features", "eps", "learned_eps", "threshold", "channel_axis")

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-6,
        learned_eps: bool = False,
        threshold: bool = True,
        channel_axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.num_features = positive(num_features, "num_features")
        self.eps = epsilon(eps)
        self.learned_eps = learned_eps
        self.threshold = threshold
        self.channel_axis = integer(channel_axis, "channel_axis")
        self._make_affine((self.num_features,), dtype, weight=True, bias=True)
        stored = float_dtype(dtype)
        self.tau = np.zeros(self.num_features, stored) if threshold else None
        self.eps_learned = np.full(1, 1e-4, stored) if learned_eps else None

    def _forward(self, x: ArrayInput) -> tuple[Array, tuple[Any, ...]]:
        x = channels(x, self.channel_axis, self.num_features, "num_features")
        y, stats = filter_response_norm(x, **self._arguments(), return_stats=True)
        return y, (x, stats)

    def _backward(self, dy: ArrayInput, x: Array, stats: RawMoments) -> Any:
        return filter_response_norm_backward(dy, x, **self._arguments(), stats=stats)

    def _arguments(self) -> dict[str, Any]:
        arrays = {"weight": self.weight, "bias": self.bias}
        others = {"threshold": self.tau, "learned_eps": self.eps_learned}
        return arrays | others | {"eps": self.eps, "channel_axis": self.channel_axis}
