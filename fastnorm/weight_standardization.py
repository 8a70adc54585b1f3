# SPDX-License-Identifier: BSD-3-Clause
"""Weight standardization: each row of a weight by its own mean and variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from fastnorm import _core
from fastnorm._args import array, deliver, gradient, new_statistic, output
from fastnorm._numbers import epsilon, integer
from fastnorm._weights import Parametrization, standardized_rows
from fastnorm.moments import Moments, moments_for_gradient, moments_of_groups

if TYPE_CHECKING:
    from fastnorm._types import Array, ArrayInput


class WeightStandardizationGradients(NamedTuple):
    """Gradient of a scalar loss with respect to the argument of `weight_standardization`.

    Attributes
    ----------
    weight : ndarray
        Gradient with respect to the weight, of its shape and dtype.
    """

    weight: Array


@overload
def weight_standardization(
    weight: ArrayInput,
    *,
    channel_axis: int = 0,
    eps: float = 1e-5,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def weight_standardization(
    weight: ArrayInput,
    *,
    channel_axis: int = 0,
    eps: float = 1e-5,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, Moments]: ...
def weight_standardization(
    weight: ArrayInput,
    *,
    channel_axis: int = 0,
    eps: float = 1e-5,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Moments]:
    r"""Shift and scale each row of a weight to mean 0 and variance 1.

    Parameters
    ----------
    weight : array of float16, bfloat16, float32 or float64
        The weight of a convolution or linear layer: (out, in, ...) or with the outputs elsewhere.
    channel_axis : int, default 0
        The axis of the outputs; a row is all the rest. It is 0 in PyTorch, -1 in Keras.
    eps : float, default 1e-5
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
        If `weight` is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a row has one value, as in a depthwise 1x1 convolution; if `out` does not fit or is
        read-only, or `eps` is negative or not finite.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of a row W,

    .. math:: w = \frac{W - \mu}{\sqrt{v + \epsilon}} .

    This is the form of Big Transfer (eps 1e-10) and of timm (eps 1e-6). The code of the authors
    divides by :math:`\sigma + 10^{-5}`, with the biased standard deviation in TensorFlow and the
    unbiased one in PyTorch: for that, take ``eps=0`` and multiply the result by
    ``sqrt(var) / (sqrt(var) + 1e-5)``, for PyTorch with ``var * m / (m - 1)`` as the variance in
    the denominator, m values to a row. In every form a row has the length sqrt(m), not 1: a
    normalizer of the activations is meant to follow, or `scaled_weight_standardization` to be
    taken. A constant row gives zeros, also with ``eps=0``, where the reciprocal of the root is
    defined as 0.

    References
    ----------
    S. Qiao, H. Wang, C. Liu, W. Shen, A. Yuille, "Micro-Batch Training with Batch-Channel
    Normalization and Weight Standardization", 2019, arXiv:1903.10520.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> weight = np.array([[1.0, 3.0], [5.0, 1.0]], dtype=np.float32)
    >>> fastnorm.weight_standardization(weight, eps=0)
    array([[-1.,  1.],
           [ 1., -1.]], dtype=float32)
    """
    weight = array(weight, "weight")
    groups = standardized_rows(channel_axis, weight.shape)
    w = output(out, weight, of="weight")
    mean, var = new_statistic(groups), new_statistic(groups)
    _core.forward(weight, w, groups, None, None, mean, var, epsilon(eps), 0)
    w = deliver(w, out)
    return (w, moments_of_groups(mean, var, groups)) if return_stats else w


def weight_standardization_backward(
    dy: ArrayInput,
    weight: ArrayInput,
    *,
    channel_axis: int = 0,
    eps: float = 1e-5,
    stats: Moments | tuple[Any, Any, int] | None = None,
    out: Array | None = None,
) -> WeightStandardizationGradients:
    r"""Gradient of `weight_standardization`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to the standardized weight, of weight's shape and dtype.
    weight, channel_axis, eps
        As given to `weight_standardization`.
    stats : Moments, optional
        What ``return_stats=True`` gave; recomputed from `weight` if None.
    out : ndarray, optional
        Receives the gradient; of weight's shape and dtype. It may be `dy` or `weight`.

    Returns
    -------
    WeightStandardizationGradients
        The field `weight`, of its shape and dtype.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of weight's, or `stats` is not what
        `weight_standardization` returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a row has one value, a shape does not fit, `stats` belong to another input, `out` is
        read-only, or `eps` is negative or not finite.

    Notes
    -----
    With :math:`r = 1/\sqrt{v + \epsilon}`, :math:`w = (W - \mu) r` and means over the row,

    .. math:: dW = r \left( dy - \overline{dy} - w\,\overline{dy\,w} \right) .

    It sums to 0 in each row and, with ``eps=0``, is orthogonal to W.

    References
    ----------
    S. Qiao et al., "Micro-Batch Training with Batch-Channel Normalization and Weight
    Standardization", 2019, arXiv:1903.10520.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> weight, dy = np.array([[1.0, 3.0, 1.0, 3.0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> fastnorm.weight_standardization_backward(dy, weight, eps=0).weight
    array([[ 0.5,  0. , -0.5,  0. ]])
    """
    weight = array(weight, "weight")
    dy = gradient(dy, weight, "weight")
    groups = standardized_rows(channel_axis, weight.shape)
    eps = epsilon(eps)
    dweight = output(out, weight, dy, of="weight")
    mean, var = moments_for_gradient(weight, stats, groups, out)
    _core.backward(dy, weight, dweight, groups, None, mean, var, eps, 0, None, None)
    return WeightStandardizationGradients(deliver(dweight, out))


class WeightStandardization(Parametrization):
    """Weight standardization as a layer that holds a weight and gives it standardized.

    ``layer()`` is the standardized weight, ``layer.backward(dw)`` takes the gradient of the loss
    with respect to it back to `weight`.

    Parameters
    ----------
    weight : array of float16, bfloat16, float32 or float64
        The weight of a convolution or linear layer. It is copied.
    channel_axis : int, default 0
        The axis of the outputs.
    eps : float, default 1e-5
        Added to the variance, inside the root.

    Attributes
    ----------
    weight : ndarray
        The weight as it is learned.
    grads : dict of str to ndarray
        Gradient of `weight` from the last `backward`.
    training : bool
        Has no effect here.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a row has one value, or `eps` is negative or not finite.

    See Also
    --------
    weight_standardization : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.WeightStandardization(np.array([[1.0, 3.0]]), eps=0)
    >>> layer()
    array([[-1.,  1.]])
    """

    _learned = ()
    _stored = ("weight",)
    _shown = ("shape", "channel_axis", "eps")

    def __init__(self, weight: ArrayInput, channel_axis: int = 0, eps: float = 1e-5) -> None:
        super().__init__(weight)
        self.channel_axis = integer(channel_axis, "channel_axis")
        self.eps = epsilon(eps)
        standardized_rows(self.channel_axis, self.shape)

    def _forward(self, weight: Array) -> tuple[Array, tuple[Any, ...]]:
        w, stats = weight_standardization(
            weight, channel_axis=self.channel_axis, eps=self.eps, return_stats=True
        )
        return w, (weight, stats)

    def _backward(self, dy: ArrayInput, weight: Array, stats: Moments) -> Any:
        return weight_standardization_backward(
            dy, weight, channel_axis=self.channel_axis, eps=self.eps, stats=stats
        )
