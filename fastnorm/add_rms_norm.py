# SPDX-License-Identifier: BSD-3-Clause
"""Root mean square normalization of x + residual, the second result: one pass over memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from fastnorm import _core
from fastnorm._activation import activation_flags
from fastnorm._args import (
    deliver,
    given_mean_square,
    gradient,
    gradient_sum,
    new_statistic,
    parameter,
    parameter_gradient,
    trailing,
)
from fastnorm._groups import AXES, over_axes
from fastnorm._numbers import epsilon
from fastnorm._residual import (
    apart,
    onward_of,
    outputs,
    sum_for_gradient,
    terms,
    terms_or_sum,
)
from fastnorm.moments import RawMoments, parts_of_mean_square
from fastnorm.rms_norm import RMSNorm

if TYPE_CHECKING:
    from fastnorm._types import Array, ArrayInput


class AddRMSNormGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of `add_rms_norm`.

    Attributes
    ----------
    x, residual : ndarray
        Gradient with respect to either term, which is that with respect to their sum: one array.
    weight : ndarray or None
        Gradient with respect to the parameter; None where the argument was None.
    """

    x: Array
    residual: Array
    weight: Array | None


@overload
def add_rms_norm(
    x: ArrayInput,
    residual: ArrayInput,
    weight: ArrayInput | None = None,
    *,
    axis: int | tuple[int, ...] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    out: Array | None = None,
    residual_out: Array | None = None,
    return_stats: Literal[False] = False,
) -> tuple[Array, Array]: ...
@overload
def add_rms_norm(
    x: ArrayInput,
    residual: ArrayInput,
    weight: ArrayInput | None = None,
    *,
    axis: int | tuple[int, ...] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    out: Array | None = None,
    residual_out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, Array, RawMoments]: ...
def add_rms_norm(
    x: ArrayInput,
    residual: ArrayInput,
    weight: ArrayInput | None = None,
    *,
    axis: int | tuple[int, ...] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    out: Array | None = None,
    residual_out: Array | None = None,
    return_stats: bool = False,
) -> tuple[Array, Array] | tuple[Array, Array, RawMoments]:
    r"""Add a residual and normalize: `rms_norm` of h = x + residual, and h.

    Parameters
    ----------
    x, residual : array of float16, bfloat16, float32 or float64
        The terms, of one shape and one type.
    weight : array, optional
        As in `rms_norm`.
    axis : int or tuple of int, default -1
        Axes over which a group extends.
    eps : float, default 1e-6
        Added to the mean square, inside the root; in squared units of `x`.
    activation : {"relu", "silu", "gelu", "gelu_tanh"}, optional
        Applied to y in the same pass.
    out : ndarray, optional
        Receives y; of x's shape and dtype. It may be `x` or `residual`.
    residual_out : ndarray, optional
        Receives h; of x's shape and dtype. It may be `x` or `residual`, which updates the residual
        stream of a network in place.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        The normalized sum, of x's shape and dtype; or `out`.
    h : ndarray
        x + residual, rounded to x's dtype; or `residual_out`. The statistics are of these values.
    stats : RawMoments
        Only with `return_stats`, as `rms_norm` gives them.

    Raises
    ------
    TypeError
        If an array is of no supported type, `residual` not of x's, or a number is none.
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If a shape does not fit, an output is read-only, both outputs share memory, an axis is
        repeated, or `eps` is negative or not finite.

    See Also
    --------
    rms_norm : The normalization, with its conventions.

    Notes
    -----
    With h = x + residual and its statistics over the group,

    .. math:: y = w\,\frac{h}{\sqrt{\overline{h^2} + \epsilon}} .

    Four arrays are moved, where an addition and a normalization move five and read one of them
    again. As there, h is rounded to x's type before its statistics are taken.

    References
    ----------
    B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, arXiv:1910.07467.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, residual = np.array([[1.0, 1.0]]), np.array([[1.0, -3.0]])
    >>> y, h = fastnorm.add_rms_norm(x, residual, eps=0)
    >>> y, h
    (array([[ 1., -1.]]), array([[ 2., -2.]]))
    """
    flags = _core.RAW | (_core.STATS if return_stats else 0)
    if activation is not None:
        flags |= activation_flags(activation)
    usual = _core.normalize_sum(
        x, residual, weight, None, eps, out, residual_out, flags, AXES, axis
    )
    if usual is not None:
        if not return_stats:
            results: tuple[Array, Array] = usual
            return results
        y, total, _, square, groups = usual
        return y, total, RawMoments(square, groups.size)
    x, residual = terms(x, residual)
    groups = over_axes(axis, x.shape)
    eps = epsilon(eps)
    y, total = outputs(out, residual_out, x, residual)
    factor = apart(parameter(weight, "weight", groups, x, out), total)
    square = new_statistic(groups)
    _core.forward(total, y, groups, factor, None, None, square, eps, flags, x, residual)
    y, total = deliver(y, out), deliver(total, residual_out)
    return (y, total, RawMoments(square, groups.size)) if return_stats else (y, total)


def add_rms_norm_backward(
    dy: ArrayInput,
    x: ArrayInput,
    residual: ArrayInput | None,
    weight: ArrayInput | None = None,
    *,
    axis: int | tuple[int, ...] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    stats: RawMoments | tuple[Any, int] | None = None,
    dresidual: ArrayInput | None = None,
    out: Array | None = None,
) -> AddRMSNormGradients:
    r"""Gradient of `add_rms_norm`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x : array
        As given to `add_rms_norm`; with `residual` None its second result, h.
    residual : array or None
        As given to `add_rms_norm`. None, with h for x, saves the sum: it need not be made again.
    weight, axis, eps, activation
        As given to `add_rms_norm`.
    stats : RawMoments, optional
        What ``return_stats=True`` gave; recomputed if None.
    dresidual : array, optional
        Gradient of the loss with respect to h, the second result, from whatever came after it; of
        x's shape and dtype. None for zeros.
    out : ndarray, optional
        Receives the gradient with respect to the terms. It may be `dy`, `x`,
        `residual` or `dresidual`.

    Returns
    -------
    AddRMSNormGradients
        Fields `x`, `residual` (one array, since both gradients are the same), `weight`.

    Raises
    ------
    TypeError
        If an array is of no supported type, or of another than x.
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If a shape does not fit, an axis is repeated, `stats` belong to another input, `out` is
        read-only, or `eps` is negative or not finite.

    Notes
    -----
    The gradient of `rms_norm` at h = x + residual, plus `dresidual`.

    References
    ----------
    B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, arXiv:1910.07467.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> dy, x = np.array([[1.0, 0.0, 0.0, 0.0]]), np.array([[1.0, 3.0, 1.0, 3.0]])
    >>> residual, dh = np.zeros((1, 4)), np.ones((1, 4))
    >>> fastnorm.add_rms_norm_backward(dy, x, residual, dresidual=dh, eps=4).x.round(3)
    array([[1.324, 0.972, 0.991, 0.972]])
    """
    flags = _core.RAW if activation is None else _core.RAW | activation_flags(activation)
    if residual is None:
        square, count = parts_of_mean_square(stats)
        usual = _core.gradient(
            dy, x, weight, None, None, square, count, eps, out, flags, AXES, axis, onward=dresidual
        )
        if usual is not None:
            return AddRMSNormGradients(usual[0], *usual)
    x, residual = terms_or_sum(x, residual)
    dy = gradient(dy, x)
    groups = over_axes(axis, x.shape)
    eps = epsilon(eps)
    late = residual is not None or activation is not None
    onward = onward_of(dresidual, x, out, late=late)
    factor = parameter(weight, "weight", groups, x, out)
    given = None if stats is None else given_mean_square(stats, groups, out)
    found = new_statistic(groups)
    total, dx = sum_for_gradient(
        x, residual, out, dy, groups, (None, found), flags, known=given is not None
    )
    square = found if given is None else given
    dweight = gradient_sum(factor, groups.view)
    _core.backward(
        dy, total, dx, groups, factor, None, square, eps, flags, dweight, None, onward=onward
    )
    dx = deliver(dx, out)
    return AddRMSNormGradients(dx, dx, parameter_gradient(dweight, weight, "weight"))


class AddRMSNorm(RMSNorm):
    """`add_rms_norm` over the trailing axes as a layer: of x and the residual it gives y and h.

    ``layer(x, residual)`` returns the tuple ``(y, h)``, ``layer.backward(dy, dresidual=dh)`` the
    gradient with respect to either term, where dh is that with respect to h, or None. h is kept for
    the gradient and must stay as it is until then. Parameters and state dict are those of
    `RMSNorm`.

    Parameters
    ----------
    normalized_shape, eps, elementwise_affine, dtype, activation
        As in `RMSNorm`.

    Attributes
    ----------
    weight, grads, training
        As in `RMSNorm`.

    Raises
    ------
    TypeError, ValueError
        As in `RMSNorm`.

    See Also
    --------
    add_rms_norm : The function behind it.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.AddRMSNorm(2, eps=0)
    >>> y, h = layer(np.array([[1.0, 1.0]]), np.array([[1.0, -3.0]]))
    >>> h
    array([[ 2., -2.]])
    """

    def _forward(  # type: ignore[override]  # the call has one input more
        self, x: ArrayInput, residual: ArrayInput
    ) -> tuple[Any, tuple[Any, ...]]:
        x, other = terms(trailing(x, self.normalized_shape), residual)
        options: dict[str, Any] = {"axis": self._axes, "eps": self.eps}
        options |= {"activation": self.activation}
        y, total, stats = add_rms_norm(x, other, self.weight, **options, return_stats=True)
        return (y, total), (total, stats, options)

    def _backward(self, dy: ArrayInput, *saved: Any, dresidual: ArrayInput | None = None) -> Any:
        total, stats, options = saved
        dx, _, *others = add_rms_norm_backward(
            dy, total, None, self.weight, stats=stats, dresidual=dresidual, **options
        )
        return dx, *others
