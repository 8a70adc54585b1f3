# SPDX-License-Identifier: BSD-3-Clause
"""Conditional instance normalization: instance norm with a weight and a bias for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastnorm import _core
from fastnorm._args import (
    array,
    broadcast_parameter,
    channels,
    deliver,
    gradient,
    new_statistic,
    output,
    plain,
)
from fastnorm._groups import over_instances
from fastnorm._layer import Layer
from fastnorm._numbers import epsilon, integer, positive
from fastnorm.moments import Moments, moments_for_gradient, moments_of_groups
from fastnorm.standardize import Gradients, gradients_of

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._core import Groups
    from fastnorm._types import Array, ArrayInput


@overload
def conditional_instance_norm(
    x: ArrayInput,
    labels: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def conditional_instance_norm(
    x: ArrayInput,
    labels: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, Moments]: ...
def conditional_instance_norm(
    x: ArrayInput,
    labels: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, Moments]:
    r"""Normalize each channel of each sample, then scale and shift it as the sample's class says.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of shape (N, C, ...) with at least one axis after these, or with the channels
        elsewhere, and of any strides.
    labels : array of shape (N,)
        The class of each sample, from 0 to ``classes - 1``, of any integer type. Negative ones do
        not count from the end.
    weight, bias : array of shape (classes, C)
        Factors and summands of the channels, a row for each class, of any of the four types.
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
        If an array is of no supported type, the labels of no integer type, or a number is none.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 3 axes or one value per channel of a sample, a label is negative or
        names no row, a shape does not fit, `out` is read-only, or `eps` is negative or not finite.

    Notes
    -----
    With mean :math:`\mu` and biased variance :math:`v` of one channel of one sample, and the class
    :math:`k` of the sample,

    .. math:: y = w_k\,\frac{x - \mu}{\sqrt{v + \epsilon}} + b_k .

    It is `instance_norm` with a row of the tables chosen for each sample. A blend of two styles is
    the same with a row that blends theirs. Batch norm's conditional form differs in its statistics
    alone, which are those of the batch. Some publish the factor as ``1 + w``: add the 1 to the
    table. A constant channel gives the bias, also with ``eps=0``, where the reciprocal of the root
    is defined as 0.

    References
    ----------
    V. Dumoulin, J. Shlens, M. Kudlur, "A Learned Representation for Artistic Style", ICLR 2017,
    arXiv:1610.07629, section 2.2.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[[1.0, 3.0]], [[10.0, 30.0]]], dtype=np.float32)
    >>> weight, bias = np.array([[1.0], [5.0]]), np.array([[0.0], [7.0]])
    >>> fastnorm.conditional_instance_norm(x, np.array([1, 0]), weight, bias, eps=0)
    array([[[ 2., 12.]],
    <BLANKLINE>
           [[-1.,  1.]]], dtype=float32)
    """
    x = array(x, "x")
    groups = over_instances(channel_axis, x.shape)
    y = output(out, x)
    tables = _tables(weight, bias, groups)
    chosen = _rows_of(labels, groups, len(tables[0]))
    factor, summand = (_chosen(table, chosen, groups, x) for table in tables)
    mean, var = new_statistic(groups), new_statistic(groups)
    _core.forward(x, y, groups, factor, summand, mean, var, epsilon(eps), 0)
    y = deliver(y, out)
    return (y, moments_of_groups(mean, var, groups)) if return_stats else y


def conditional_instance_norm_backward(
    dy: ArrayInput,
    x: ArrayInput,
    labels: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Moments | tuple[Any, Any, int] | None = None,
    out: Array | None = None,
) -> Gradients:
    r"""Gradient of `conditional_instance_norm`; the labels have none.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, labels, weight, bias, eps, channel_axis
        As given to `conditional_instance_norm`. Of `bias` only shape and dtype matter.
    stats : Moments, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
    out : ndarray, optional
        Receives the gradient with respect to x; of its shape and dtype. It may be `dy` or `x`.

    Returns
    -------
    Gradients
        Fields `x`, `weight` and `bias`, of the shapes and dtypes of these arguments. The sums
        behind the latter two run in float64, samples of one class in order, and are rounded once.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of x's, the labels are of no integer type,
        or `stats` is not what `conditional_instance_norm` returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 3 axes or one value per channel of a sample, a label is negative or
        names no row, a shape does not fit, `stats` belong to another input, `out` is read-only, or
        `eps` is negative or not finite.

    Notes
    -----
    With :math:`k` the class of the sample, :math:`g = w_k\,dy`, :math:`r = 1/\sqrt{v + \epsilon}`,
    :math:`\hat x = (x - \mu) r` and means over one channel of one sample,

    .. math:: dx = r \left( g - \overline{g} - \hat x\,\overline{g \hat x} \right), \qquad
              dw_k = \sum dy\,\hat x, \qquad db_k = \sum dy ,

    the sums running over space and all samples of class k; where there is none they are exactly 0.

    References
    ----------
    V. Dumoulin, J. Shlens, M. Kudlur, "A Learned Representation for Artistic Style", ICLR 2017,
    arXiv:1610.07629, section 2.2.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[[1.0, 3.0, 1.0, 3.0]]]), np.array([[[1.0, 0.0, 0.0, 0.0]]])
    >>> weight, bias = np.ones((3, 1)), np.zeros((3, 1))
    >>> gradients = fastnorm.conditional_instance_norm_backward(
    ...     dy, x, np.array([2]), weight, bias, eps=0
    ... )
    >>> gradients.x, gradients.bias.ravel()
    (array([[[ 0.5,  0. , -0.5,  0. ]]]), array([0., 0., 1.]))
    """
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_instances(channel_axis, x.shape)
    eps = epsilon(eps)
    dx = output(out, x, dy)
    tables = _tables(weight, bias, groups)
    chosen = _rows_of(labels, groups, len(tables[0]))
    factor = _chosen(tables[0], chosen, groups, x)
    mean, var = moments_for_gradient(x, stats, groups, out)
    dweight, dbias = np.zeros(groups.kept), np.zeros(groups.kept)
    _core.backward(dy, x, dx, groups, factor, mean, var, eps, 0, dweight, dbias)
    dweight, dbias = (_sum_by_class(rows, chosen, tables[0]) for rows in (dweight, dbias))
    return gradients_of(dx, out, dweight, weight, dbias, bias)


def _tables(weight: Any, bias: Any, groups: Groups) -> tuple[Array, Array]:
    """Return weight and bias, of one shape: a row for each class, a column for each channel."""
    tables = array(weight, "weight"), array(bias, "bias")
    (width,) = groups.shape
    shape = tables[0].shape
    if len(shape) != 2 or shape[1] != width:
        raise ValueError(
            f"weight has shape {shape}, expected (classes, {width}): a row for each class along "
            f"{groups.where}"
        )
    if tables[1].shape != shape:
        raise ValueError(
            f"bias has shape {tables[1].shape}, expected {shape} = the shape of weight"
        )
    return tables


def _rows_of(labels: Any, groups: Groups, classes: int) -> Array:
    """Return the row of the tables that each sample takes."""
    values = plain(labels, "labels")
    if values.dtype.kind not in "iu":
        raise TypeError(f"labels has dtype {values.dtype}, expected an integer type")
    samples = groups.split[:1]
    if values.shape != samples:
        raise ValueError(f"labels has shape {values.shape}, expected {samples}: one for a sample")
    outside = (values < 0) | (values >= classes)
    if outside.any():
        raise ValueError(
            f"labels has a {values[outside][0]}, but weight has {classes} rows, which count from 0"
        )
    return values.astype(np.intp)


def _chosen(table: Array, rows: Array, groups: Groups, x: Array) -> Array | None:
    """Return the entries of the tables for each channel of each sample, as the core takes them."""
    return broadcast_parameter(table[rows].reshape(groups.kept), "weight", x, None)


def _sum_by_class(gradients: Array, rows: Array, table: Array) -> Array:
    """Add the gradients of the rows that were chosen, one after the other."""
    total = np.zeros(table.shape)
    np.add.at(total, rows, gradients.reshape(len(rows), table.shape[1]))
    return total


class ConditionalInstanceNorm(Layer):
    """Conditional instance normalization as a layer; it is called on the input and the labels.

    Parameters
    ----------
    num_features : int
        Number of channels C.
    num_classes : int
        Number of classes, or styles: rows of the tables.
    eps : float, default 1e-5
        Added to the variance, inside the root.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last. Axis 0 is that of the samples.
    dtype : dtype, default float32
        Type of the parameters: float16, bfloat16, float32 or float64. That of the input may differ.

    Attributes
    ----------
    weight, bias : ndarray of shape (num_classes, num_features)
        The parameters, initially 1 and 0.
    grads : dict of str to ndarray
        Gradients of the parameters from the last `backward`.
    training : bool
        Has no effect here.

    Raises
    ------
    ValueError
        If `num_features` or `num_classes` is below 1, or `eps` is negative or not finite.
    TypeError
        If an argument is of the wrong type.

    See Also
    --------
    conditional_instance_norm : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.ConditionalInstanceNorm(1, num_classes=2, eps=0)
    >>> layer.weight[1] = 5
    >>> layer(np.array([[[1.0, 3.0]]], dtype=np.float32), np.array([1]))
    array([[[-5.,  5.]]], dtype=float32)
    """

    weight: Array
    bias: Array

    _shown = ("num_features", "num_classes", "eps", "channel_axis")

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        eps: float = 1e-5,
        channel_axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.num_features = positive(num_features, "num_features")
        self.num_classes = positive(num_classes, "num_classes")
        self.eps = epsilon(eps)
        self.channel_axis = integer(channel_axis, "channel_axis")
        self._make_affine((self.num_classes, self.num_features), dtype, weight=True, bias=True)

    def _forward(self, x: ArrayInput, labels: ArrayInput) -> tuple[Array, tuple[Any, ...]]:
        options: dict[str, Any] = {"eps": self.eps, "channel_axis": self.channel_axis}
        x = channels(x, self.channel_axis, self.num_features, "num_features")
        y, stats = conditional_instance_norm(
            x, labels, self.weight, self.bias, return_stats=True, **options
        )
        return y, (x, labels, stats)

    def _backward(self, dy: ArrayInput, x: Array, labels: ArrayInput, stats: Moments) -> Any:
        options: dict[str, Any] = {"eps": self.eps, "channel_axis": self.channel_axis}
        return conditional_instance_norm_backward(
            dy, x, labels, self.weight, self.bias, stats=stats, **options
        )
