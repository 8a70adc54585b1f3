# SPDX-License-Identifier: BSD-3-Clause
"""`rms_norm` of a sum, which is the second result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, overload

from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.add_layer_norm import add
from fastnorm.reference.moments import Float64Array, RawMoments
from fastnorm.reference.rms_norm import rms_norm, rms_norm_backward
from fastnorm.reference.standardize import as_float64, deliver


class AddRMSNormGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of `add_rms_norm`.

    Attributes
    ----------
    x, residual : ndarray of float64
        Gradient with respect to either term.
    weight : ndarray of float64 or None
        Of the shape of the parameter; None where that was None.
    """

    x: Float64Array
    residual: Float64Array
    weight: Float64Array | None


@overload
def add_rms_norm(
    x: ArrayLike,
    residual: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    out: NDArray[Any] | None = None,
    residual_out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> tuple[NDArray[Any], NDArray[Any]]: ...
@overload
def add_rms_norm(
    x: ArrayLike,
    residual: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    out: NDArray[Any] | None = None,
    residual_out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], NDArray[Any], RawMoments]: ...
def add_rms_norm(
    x: ArrayLike,
    residual: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    out: NDArray[Any] | None = None,
    residual_out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> tuple[NDArray[Any], NDArray[Any]] | tuple[NDArray[Any], NDArray[Any], RawMoments]:
    r"""Add a residual and normalize.

    Parameters
    ----------
    x, residual : array_like
        The terms, of one shape; converted to float64.
    weight, axis, eps, activation
        As in `rms_norm`.
    out, residual_out : ndarray, optional
        Arrays of x's shape that receive the two results, cast to their dtypes.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y, h : ndarray
        The normalized sum, and the sum.
    stats : RawMoments
        Only with `return_stats`.

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated, or a parameter has the wrong number of entries.

    Notes
    -----
    The sum is rounded to the type of the terms, if that is narrower, before it is normalized.

    References
    ----------
    B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, arXiv:1910.07467.
    """
    total = add(x, residual)
    y, stats = rms_norm(
        total, weight, axis=axis, eps=eps, activation=activation, out=out, return_stats=True
    )
    h = deliver(total, residual_out)
    return (y, h, stats) if return_stats else (y, h)


def add_rms_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    residual: ArrayLike | None,
    weight: ArrayLike | None = None,
    *,
    axis: int | Sequence[int] = -1,
    eps: float = 1e-6,
    activation: str | None = None,
    stats: RawMoments | None = None,
    dresidual: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
) -> AddRMSNormGradients:
    r"""Gradient of `add_rms_norm`.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, residual
        As given to `add_rms_norm`; or its second result, h, and None.
    weight, axis, eps, activation
        As given to `add_rms_norm`.
    stats : RawMoments, optional
        What ``return_stats=True`` gave; recomputed if None.
    dresidual : array_like, optional
        Gradient of the loss with respect to the sum as a result.
    out : ndarray, optional
        Array of x's shape that receives the gradient with respect to the terms, cast to its dtype.

    Returns
    -------
    AddRMSNormGradients
        Fields `x`, `residual`, `weight`.

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If an axis is repeated, or a parameter has the wrong number of entries.

    Notes
    -----
    The gradient of `rms_norm` at the sum, plus `dresidual`.

    References
    ----------
    B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, arXiv:1910.07467.
    """
    total = as_float64(x) if residual is None else add(x, residual)
    dx, *others = rms_norm_backward(
        dy, total, weight, axis=axis, eps=eps, activation=activation, stats=stats
    )
    if dresidual is not None:
        dx = dx + as_float64(dresidual)
    dx = deliver(dx, out)
    return AddRMSNormGradients(dx, dx, *others)
