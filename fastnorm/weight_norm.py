# SPDX-License-Identifier: BSD-3-Clause
"""Weight normalization: the length of each row of a weight is a parameter of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from fastnorm import _core
from fastnorm._args import (
    array,
    deliver,
    given_mean_square,
    gradient,
    new_statistic,
    output,
    parameter_gradient,
)
from fastnorm._groups import over_batch, over_rows, over_whole
from fastnorm._numbers import integer
from fastnorm._weights import Parametrization, gain_factor
from fastnorm.moments import RawMoments, moments

if TYPE_CHECKING:
    from fastnorm._core import Groups
    from fastnorm._types import Array, ArrayInput, Shape


class WeightNormGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of `weight_norm`.

    Attributes
    ----------
    v : ndarray
        Gradient with respect to v, of v's shape and dtype; orthogonal to v in every row.
    g : ndarray
        Gradient with respect to g, of its shape and dtype.
    """

    v: Array
    g: Array


@overload
def weight_norm(
    v: ArrayInput,
    g: ArrayInput,
    *,
    channel_axis: int | None = 0,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def weight_norm(
    v: ArrayInput,
    g: ArrayInput,
    *,
    channel_axis: int | None = 0,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, RawMoments]: ...
def weight_norm(
    v: ArrayInput,
    g: ArrayInput,
    *,
    channel_axis: int | None = 0,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, RawMoments]:
    r"""Give each row of a weight the direction of `v` and the length `g`.

    Parameters
    ----------
    v : array of float16, bfloat16, float32 or float64
        The directions, of the shape of the weight: (out, in, ...) or with the outputs elsewhere.
    g : array
        The lengths, of any of the four types and of shape (out, 1, ..., 1), as PyTorch has them, or
        (out,); with ``channel_axis=None`` a single value of shape () or (1, ..., 1).
    channel_axis : int or None, default 0
        The axis of the outputs; a row is all the rest. It is 0 in PyTorch, -1 in Keras, and 1 for
        the outputs of a transposed convolution. None: all of `v` is one row.
    out : ndarray, optional
        Receives the result; of v's shape and dtype. It may be `v`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    w : ndarray
        The weight, of v's shape and dtype and, if new, memory order; or `out`.
    stats : RawMoments
        Only with `return_stats`: the mean square of each row in float64, of shape (out,) or ();
        the norm is ``sqrt(mean_square * count)``.

    Raises
    ------
    TypeError
        If an array is of no supported type, or `channel_axis` no integer.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a shape does not fit, or `out` is read-only.

    Notes
    -----
    For each row,

    .. math:: w = g\,\frac{v}{\lVert v \rVert_2} .

    There is no eps, as in PyTorch and in the paper; Flax adds 1e-12 to the squared norm, and the
    code of "Beyond BatchNorm" 1e-5 to the norm. A row of zeros, which is NaN in PyTorch, gives
    zeros: the reciprocal of its norm is defined as 0, as in all of this package with ``eps=0``.

    References
    ----------
    T. Salimans, D. P. Kingma, "Weight Normalization: A Simple Reparameterization to Accelerate
    Training of Deep Neural Networks", NeurIPS 2016, arXiv:1602.07868.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> v = np.array([[3.0, 4.0], [0.0, -2.0]], dtype=np.float32)
    >>> fastnorm.weight_norm(v, np.array([[10.0], [1.0]]))
    array([[ 6.,  8.],
           [ 0., -1.]], dtype=float32)
    """
    v = array(v, "v")
    groups = _rows(channel_axis, v.shape)
    w = output(out, v, of="v")
    factor = gain_factor(g, "g", _per_root_mean_square(groups), groups, v)
    mean_square = new_statistic(groups)
    _core.forward(v, w, groups, factor, None, None, mean_square, 0.0, _core.RAW)
    w = deliver(w, out)
    return (w, RawMoments(mean_square, groups.size)) if return_stats else w


def weight_norm_backward(
    dy: ArrayInput,
    v: ArrayInput,
    g: ArrayInput,
    *,
    channel_axis: int | None = 0,
    stats: RawMoments | tuple[Any, int] | None = None,
    out: Array | None = None,
) -> WeightNormGradients:
    r"""Gradient of `weight_norm`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to the weight w, of v's shape and dtype.
    v, g, channel_axis
        As given to `weight_norm`.
    stats : RawMoments, optional
        What ``return_stats=True`` gave; recomputed from `v` if None.
    out : ndarray, optional
        Receives the gradient with respect to v; of its shape and dtype. It may be `dy` or `v`.

    Returns
    -------
    WeightNormGradients
        Fields `v` and `g`, of the shapes and dtypes of these arguments. The sums behind them run
        in float64 and are rounded once.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of v's, `channel_axis` no integer, or
        `stats` is not what `weight_norm` returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a shape does not fit, `stats` belong to another input, or `out` is read-only.

    Notes
    -----
    With :math:`\hat v = v / \lVert v \rVert_2` and the inner product :math:`\langle , \rangle` of
    a row,

    .. math:: dg = \langle dy, \hat v \rangle, \qquad
              dv = \frac{g}{\lVert v \rVert_2} \left( dy - \hat v\,dg \right) .

    dv is orthogonal to v: a step of plain gradient descent of relative length c makes v longer by
    :math:`\sqrt{1 + c^2}`, which lowers the effective learning rate where gradients are large.
    Both gradients of a row of zeros are 0.

    References
    ----------
    T. Salimans, D. P. Kingma, "Weight Normalization", NeurIPS 2016, arXiv:1602.07868, section 2.1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> v, g, dy = np.array([[3.0, 4.0]]), np.array([[10.0]]), np.array([[5.0, 0.0]])
    >>> fastnorm.weight_norm_backward(dy, v, g)
    WeightNormGradients(v=array([[ 6.4, -4.8]]), g=array([[3.]]))
    """
    v = array(v, "v")
    dy = gradient(dy, v, "v")
    groups = _rows(channel_axis, v.shape)
    dv = output(out, v, dy, of="v")
    scale = _per_root_mean_square(groups)
    factor = gain_factor(g, "g", scale, groups, v)
    if stats is None:
        mean_square = new_statistic(groups)
        _core.forward(v, None, groups, None, None, None, mean_square, 0.0, _core.RAW)
    else:
        mean_square = given_mean_square(stats, groups, out)
    dg = np.zeros(groups.view)
    _core.backward(dy, v, dv, groups, factor, None, mean_square, 0.0, _core.RAW, dg, None)
    dg *= scale
    found = parameter_gradient(dg, g, "g")
    assert found is not None
    return WeightNormGradients(deliver(dv, out), found)


def _rows(channel_axis: int | None, shape: Shape) -> Groups:
    return over_whole(shape) if channel_axis is None else over_rows(channel_axis, shape)


def _per_root_mean_square(groups: Groups) -> float:
    """Return 1 / sqrt(m): so much is the root mean square of a row of length 1."""
    return 1.0 / math.sqrt(max(groups.size, 1))


class WeightNorm(Parametrization):
    """Weight normalization as a layer that holds directions and lengths of the rows of a weight.

    ``layer()`` is the weight, at first the one that it was made of. ``layer.backward(dw)`` takes
    the gradient of the loss with respect to it back to `weight_v`, and `grads` has that of both.

    Parameters
    ----------
    weight : array of float16, bfloat16, float32 or float64
        The weight of a linear layer or convolution. It is copied.
    channel_axis : int or None, default 0
        The axis of the outputs. None: one length for all of the weight.

    Attributes
    ----------
    weight_v : ndarray
        The directions, of weight's shape and dtype; at first `weight`.
    weight_g : ndarray
        The lengths, of weight's dtype and of shape (out, 1, ..., 1), with ``channel_axis=None`` of
        shape (); at first the norms of the rows. The names are those of
        ``torch.nn.utils.weight_norm``.
    grads : dict of str to ndarray
        Gradients of `weight_v` and `weight_g` from the last `backward`.
    training : bool
        Has no effect here.

    Raises
    ------
    TypeError
        If `weight` is of no supported type, or `channel_axis` no integer.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.

    See Also
    --------
    weight_norm : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.WeightNorm(np.array([[3.0, 4.0]]))
    >>> layer.weight_g
    array([[5.]])
    >>> layer()
    array([[3., 4.]])
    """

    _learned = ("weight_g",)
    _stored = ("weight_g", "weight_v")
    _shown = ("shape", "channel_axis")
    _raw = "weight_v"

    weight_g: Array
    weight_v: Array

    def __init__(self, weight: ArrayInput, channel_axis: int | None = 0) -> None:
        super().__init__(weight)
        self.channel_axis = None if channel_axis is None else integer(channel_axis, "channel_axis")
        groups = _rows(channel_axis, self.shape)
        mean_square = new_statistic(groups)
        _core.forward(self.weight_v, None, groups, None, None, None, mean_square, 0.0, _core.RAW)
        norms = np.asarray(np.sqrt(mean_square * groups.size), self.weight_v.dtype)
        self.weight_g = norms.reshape(groups.view if groups.free else ())

    def initialize(self, t: ArrayInput, channel_axis: int = 1) -> Array:
        r"""Scale the weight so that each output has variance 1 on a batch; return the bias for it.

        Parameters
        ----------
        t : array
            What the layer that uses the weight gives for a batch with the weight as it is now and
            without a bias: of shape (N, out, ...), or with the outputs elsewhere.
        channel_axis : int, default 1
            The axis of `t` of the outputs.

        Returns
        -------
        ndarray of shape (out,)
            The bias that makes the mean of each output 0, of the type of `weight_g`.

        Raises
        ------
        TypeError
            If `t` is of no supported type, or `channel_axis` no integer.
        numpy.exceptions.AxisError
            If `channel_axis` is out of range.
        ValueError
            If `t` has not as many outputs as the weight, or the weight has one length alone.

        Notes
        -----
        With mean :math:`\mu` and biased standard deviation :math:`\sigma` of each output,
        :math:`g \leftarrow g / \sigma` and :math:`b = -\mu / \sigma`. For the g = 1 of the paper
        this is its initialization. An output that does not vary keeps its g, and gets
        :math:`b = -\mu`.

        References
        ----------
        T. Salimans, D. P. Kingma, "Weight Normalization", NeurIPS 2016, arXiv:1602.07868,
        section 3.
        """
        t = array(t, "t")
        outputs = over_batch(channel_axis, t.shape)
        if self.weight_g.ndim == 0 or outputs.shape != (self.weight_g.size,):
            raise ValueError(
                f"t has shape {t.shape}, of {outputs.shape} outputs along axis {channel_axis}; "
                f"weight_g has shape {self.weight_g.shape}"
            )
        mean, var, _ = moments(t, outputs.axes)
        deviation = np.sqrt(np.where(var == 0.0, 1.0, var))
        self.weight_g[...] = self.weight_g / deviation.reshape(self.weight_g.shape)
        return np.asarray(-mean / deviation, self.weight_g.dtype)

    def _forward(self, v: Array) -> tuple[Array, tuple[Any, ...]]:
        w, stats = weight_norm(v, self.weight_g, channel_axis=self.channel_axis, return_stats=True)
        return w, (v, stats)

    def _backward(self, dy: ArrayInput, v: Array, stats: RawMoments) -> Any:
        return weight_norm_backward(
            dy, v, self.weight_g, channel_axis=self.channel_axis, stats=stats
        )
