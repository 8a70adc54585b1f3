# SPDX-License-Identifier: BSD-3-Clause
"""Scaled weight standardization: rows of a weight that keep the variance of what they take in."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from fastnorm import _core
from fastnorm._args import array, deliver, gradient, new_statistic, output, parameter_gradient
from fastnorm._numbers import epsilon, integer
from fastnorm._weights import Parametrization, finite, gain_factor, standardized_rows
from fastnorm.moments import Moments, moments_for_gradient, moments_of_groups

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastnorm._core import Groups
    from fastnorm._types import Array, ArrayInput

# 1 / sqrt(var(f(z))), z standard normal: f times that keeps a variance of 1. The integrals were
# taken by quadrature with 30 digits and are rounded to the nearest float; that of relu is
# sqrt(2 / (1 - 1 / pi)) in closed form, and the constants of selu are such that its gain is 1. The
# tables of NFNet and timm are estimates from random numbers and differ in the fourth digit.
ACTIVATION_GAINS: Mapping[str, float] = MappingProxyType(
    {
        "identity": 1.0,
        "celu": 1.2708434178501964,  # alpha 1, where it is elu
        "elu": 1.2708434178501964,  # alpha 1
        "gelu": 1.7009262433633332,
        "gelu_tanh": 1.7009165616954505,  # the approximation by tanh
        "leaky_relu": 1.7048316271773367,  # slope 0.01
        "log_sigmoid": 1.9191259801076563,
        "relu": 1.7128585504496627,
        "relu6": 1.7128585549723954,
        "selu": 1.0,
        "sigmoid": 4.801313372039962,
        "silu": 1.787187222100442,
        "softplus": 1.9191259801076563,
        "softsign": 2.3375333631085398,
        "tanh": 1.5925374197228315,
    }
)


class ScaledWeightStandardizationGradients(NamedTuple):
    """Gradients of a scalar loss with respect to those of `scaled_weight_standardization`.

    Attributes
    ----------
    weight : ndarray
        Gradient with respect to the weight, of its shape and dtype.
    gain : ndarray or None
        Gradient with respect to the gain, of its shape and dtype; None where it was None.
    """

    weight: Array
    gain: Array | None


@overload
def scaled_weight_standardization(
    weight: ArrayInput,
    gain: ArrayInput | None = None,
    *,
    gamma: float = 1.0,
    channel_axis: int = 0,
    eps: float = 1e-6,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def scaled_weight_standardization(
    weight: ArrayInput,
    gain: ArrayInput | None = None,
    *,
    gamma: float = 1.0,
    channel_axis: int = 0,
    eps: float = 1e-6,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, Moments]: ...
def scaled_weight_standardization(
    weight: ArrayInput,
    gain: ArrayInput | None = None,
    *,
    gamma: float = 1.0,
    channel_axis: int = 0,
    eps: float = 1e-6,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Moments]:
    r"""Standardize each row of a weight, and scale it so that variances pass through unchanged.

    Parameters
    ----------
    weight : array of float16, bfloat16, float32 or float64
        The weight of a convolution or linear layer: (out, in, ...) or with the outputs elsewhere.
    gain : array, optional
        A learned factor per row, of any of the four types and of shape (out, 1, ..., 1), as timm
        has it, or (out,).
    gamma : float, default 1.0
        The gain of the activation before the layer, such as ``ACTIVATION_GAINS["relu"]``.
    channel_axis : int, default 0
        The axis of the outputs; a row is all the rest. It is 0 in PyTorch, -1 in Keras.
    eps : float, default 1e-6
        Added to the variance, inside the root; in squared units of `weight`. 0 is allowed.
    out : ndarray, optional
        Receives the result; of weight's shape and dtype. It may be `weight`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    w : ndarray
        Of weight's shape and dtype and, if new, memory order; or `out`.
    stats : Moments
        Only with `return_stats`: mean and biased variance of each row in float64, of shape (out,).

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a row has one value, as in a depthwise 1x1 convolution; if a shape does not fit, `out`
        is read-only, `gamma` is not finite, or `eps` is negative or not finite.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of the F values of a row W,

    .. math:: w = \text{gain}\,\frac{\gamma}{\sqrt F}\,\frac{W - \mu}{\sqrt{v + \epsilon}} .

    F is the fan-in; for a grouped convolution that of one group. This is the form of timm. That of
    NFNet takes :math:`\sqrt{\max(F v, 10^{-4})}` for the root times :math:`\sqrt F` and applies
    gamma to the activation instead; "Beyond BatchNorm" divides by :math:`\sigma + 10^{-5}`. They
    agree where eps does not matter. A constant row gives zeros, also with ``eps=0``, where the
    reciprocal of the root is defined as 0.

    References
    ----------
    A. Brock, S. De, S. L. Smith, "Characterizing Signal Propagation to Close the Performance Gap in
    Unnormalized ResNets", ICLR 2021, arXiv:2101.08692.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> weight = np.array([[1.0, 3.0, 1.0, 3.0], [5.0, 1.0, 1.0, 5.0]], dtype=np.float32)
    >>> fastnorm.scaled_weight_standardization(weight, np.array([1.0, 4.0]), eps=0)
    array([[-0.5,  0.5, -0.5,  0.5],
           [ 2. , -2. , -2. ,  2. ]], dtype=float32)
    """
    weight = array(weight, "weight")
    groups = standardized_rows(channel_axis, weight.shape)
    w = output(out, weight, of="weight")
    factor = gain_factor(gain, "gain", _scale(gamma, groups), groups, weight)
    mean, var = new_statistic(groups), new_statistic(groups)
    _core.forward(weight, w, groups, factor, None, mean, var, epsilon(eps), 0)
    w = deliver(w, out)
    return (w, moments_of_groups(mean, var, groups)) if return_stats else w


def scaled_weight_standardization_backward(
    dy: ArrayInput,
    weight: ArrayInput,
    gain: ArrayInput | None = None,
    *,
    gamma: float = 1.0,
    channel_axis: int = 0,
    eps: float = 1e-6,
    stats: Moments | tuple[Any, Any, int] | None = None,
    out: Array | None = None,
) -> ScaledWeightStandardizationGradients:
    r"""Gradient of `scaled_weight_standardization`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to the standardized weight, of weight's shape and dtype.
    weight, gain, gamma, channel_axis, eps
        As given to `scaled_weight_standardization`.
    stats : Moments, optional
        What ``return_stats=True`` gave; recomputed from `weight` if None.
    out : ndarray, optional
        Receives the gradient with respect to the weight; of its shape and dtype. It may be `dy` or
        `weight`.

    Returns
    -------
    ScaledWeightStandardizationGradients
        Fields `weight` and `gain`, of the shapes and dtypes of these arguments; `gain` None where
        it was None. The sums behind it run in float64 and are rounded once.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of weight's, a number is none, or `stats` is
        not what `scaled_weight_standardization` returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a row has one value, a shape does not fit, `stats` belong to another input, `out` is
        read-only, `gamma` is not finite, or `eps` is negative or not finite.

    Notes
    -----
    With :math:`r = 1/\sqrt{v + \epsilon}`, :math:`\hat w = (W - \mu) r`,
    :math:`g = dy\,\text{gain}\,\gamma / \sqrt F` and means over the row,

    .. math:: dW = r \left( g - \overline{g} - \hat w\,\overline{g\,\hat w} \right), \qquad
              d\text{gain} = \frac{\gamma}{\sqrt F} \sum dy\,\hat w .

    References
    ----------
    A. Brock, S. De, S. L. Smith, "Characterizing Signal Propagation to Close the Performance Gap in
    Unnormalized ResNets", ICLR 2021, arXiv:2101.08692.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> weight, dy = np.array([[1.0, 3.0, 1.0, 3.0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> fastnorm.scaled_weight_standardization_backward(dy, weight, np.array([2.0]), eps=0)
    ScaledWeightStandardizationGradients(weight=array([[ 0.5,  0. , -0.5,  0. ]]),
                                         gain=array([-0.5]))
    """
    weight = array(weight, "weight")
    dy = gradient(dy, weight, "weight")
    groups = standardized_rows(channel_axis, weight.shape)
    eps = epsilon(eps)
    dweight = output(out, weight, dy, of="weight")
    scale = _scale(gamma, groups)
    factor = gain_factor(gain, "gain", scale, groups, weight)
    mean, var = moments_for_gradient(weight, stats, groups, out)
    dgain = None if gain is None else np.zeros(groups.view)
    _core.backward(dy, weight, dweight, groups, factor, mean, var, eps, 0, dgain, None)
    if dgain is not None:
        dgain *= scale
    return ScaledWeightStandardizationGradients(
        deliver(dweight, out), parameter_gradient(dgain, gain, "gain")
    )


def _scale(gamma: Any, groups: Groups) -> float:
    """Return gamma / sqrt(F)."""
    return finite(gamma, "gamma") / math.sqrt(max(groups.size, 1))


class ScaledWeightStandardization(Parametrization):
    """Scaled weight standardization as a layer that holds a weight and the gains of its rows.

    ``layer()`` is the weight to use, ``layer.backward(dw)`` takes the gradient of the loss with
    respect to it back to `weight`, and `grads` has that of both parameters.

    Parameters
    ----------
    weight : array of float16, bfloat16, float32 or float64
        The weight of a convolution or linear layer. It is copied.
    gamma : float, default 1.0
        The gain of the activation before the layer, such as ``ACTIVATION_GAINS["relu"]``.
    channel_axis : int, default 0
        The axis of the outputs.
    eps : float, default 1e-6
        Added to the variance, inside the root.
    affine : bool, default True
        Have a gain (initially 1).

    Attributes
    ----------
    weight : ndarray
        The weight as it is learned.
    gain : ndarray or None
        Factor of each row, of shape (out, 1, ..., 1) and of weight's dtype, as in timm.
    grads : dict of str to ndarray
        Gradients of `weight` and `gain` from the last `backward`.
    training : bool
        Has no effect here.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a row has one value, `gamma` is not finite, or `eps` is negative or not finite.

    See Also
    --------
    scaled_weight_standardization : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.ScaledWeightStandardization(np.array([[1.0, 3.0, 1.0, 3.0]]), eps=0)
    >>> layer()
    array([[-0.5,  0.5, -0.5,  0.5]])
    """

    _learned = ("gain",)
    _stored = ("weight", "gain")
    _shown = ("shape", "gamma", "channel_axis", "eps", "affine")

    gain: Array | None

    def __init__(
        self,
        weight: ArrayInput,
        gamma: float = 1.0,
        channel_axis: int = 0,
        eps: float = 1e-6,
        affine: bool = True,
    ) -> None:
        super().__init__(weight)
        self.gamma = finite(gamma, "gamma")
        self.channel_axis = integer(channel_axis, "channel_axis")
        self.eps = epsilon(eps)
        self.affine = affine
        groups = standardized_rows(self.channel_axis, self.shape)
        self.gain = np.ones(groups.view, array(weight, "weight").dtype) if affine else None

    def _options(self) -> dict[str, Any]:
        return {"gamma": self.gamma, "channel_axis": self.channel_axis, "eps": self.eps}

    def _forward(self, weight: Array) -> tuple[Array, tuple[Any, ...]]:
        options = self._options()
        w, stats = scaled_weight_standardization(weight, self.gain, return_stats=True, **options)
        return w, (weight, stats)

    def _backward(self, dy: ArrayInput, weight: Array, stats: Moments) -> Any:
        return scaled_weight_standardization_backward(
            dy, weight, self.gain, stats=stats, **self._options()
        )
