# SPDX-License-Identifier: BSD-3-Clause
"""Spectral normalization: a weight over its largest singular value."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.moments import Float64Array
from fastnorm.reference.standardize import as_float64, deliver


class SingularTriplet(NamedTuple):
    """What `spectral_norm` found of a weight W: a singular value and its vectors.

    Attributes
    ----------
    sigma : float
        The norm of W^T u, in units of the weight.
    u : ndarray of float64, of shape (out,)
        The left singular vector, of norm 1.
    v : ndarray of float64, 1-d
        The right one, W^T u / sigma: a value for each entry of a row of the weight.
    """

    sigma: float
    u: Float64Array
    v: Float64Array


class SpectralNormGradients(NamedTuple):
    """Gradient of a scalar loss with respect to the differentiable argument of `spectral_norm`.

    Attributes
    ----------
    weight : ndarray
        Gradient with respect to the weight, of its shape: float64, or `out` where one was given.
    """

    weight: NDArray[Any]


@overload
def spectral_norm(
    weight: ArrayLike,
    u: NDArray[Any] | None,
    *,
    n_power_iterations: int = 1,
    training: bool = True,
    channel_axis: int = 0,
    eps: float = 1e-12,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def spectral_norm(
    weight: ArrayLike,
    u: NDArray[Any] | None,
    *,
    n_power_iterations: int = 1,
    training: bool = True,
    channel_axis: int = 0,
    eps: float = 1e-12,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], SingularTriplet]: ...
def spectral_norm(
    weight: ArrayLike,
    u: NDArray[Any] | None,
    *,
    n_power_iterations: int = 1,
    training: bool = True,
    channel_axis: int = 0,
    eps: float = 1e-12,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], SingularTriplet]:
    r"""Divide a weight by an estimate of its largest singular value.

    Parameters
    ----------
    weight : array_like
        Values of any real type and shape; converted to float64.
    u : ndarray of shape (out,)
        The estimate of the left singular vector, updated in place where `training`. A weight of one
        axis needs none: None.
    n_power_iterations : int, default 1
        Steps by which u is improved where `training`.
    training : bool, default True
        Whether to improve u.
    channel_axis : int, default 0
        The axis of the outputs: of the rows of the matrix.
    eps : float, default 1e-12
        The least value that the weight is divided by, in its units.
    out : ndarray, optional
        Array of weight's shape that receives the result, cast to its dtype. It may be `weight`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    w : ndarray
        float64 of weight's shape, whatever its type; or `out`.
    stats : SingularTriplet
        Only with `return_stats`: ``(sigma, u, v)`` as they were used.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `u` has another shape.

    Notes
    -----
    With the weight as a matrix W of its outputs and all the rest, a step in training is

    .. math:: v = \frac{W^T u}{\lVert W^T u \rVert}, \qquad u = \frac{W v}{\lVert W v \rVert} ,

    and u is rounded to its own type. Then, with u of norm 1,

    .. math:: \sigma = \lVert W^T u \rVert, \qquad w = \frac{W}{\max(\sigma, \epsilon)} .

    u stays as it was where a step ends in zeros or in no finite number.

    References
    ----------
    T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida, "Spectral Normalization for Generative Adversarial
    Networks", ICLR 2018, arXiv:1802.05957.
    """
    values = as_float64(weight)
    matrix = _matrix(values, channel_axis)
    if training and u is not None:
        better = _improve(matrix, as_float64(u), n_power_iterations)
        if better is not None and values.ndim > 1:
            u[...] = better
    stats = _triplet(matrix, u, eps, values.ndim)
    with np.errstate(all="ignore"):
        w = deliver(_divide(values, max(stats.sigma, eps)), out)
    return (w, stats) if return_stats else w


def spectral_norm_backward(
    dy: ArrayLike,
    weight: ArrayLike,
    u: NDArray[Any] | None,
    *,
    n_power_iterations: int = 1,
    training: bool = True,
    channel_axis: int = 0,
    eps: float = 1e-12,
    stats: SingularTriplet | None = None,
    out: NDArray[Any] | None = None,
) -> SpectralNormGradients:
    r"""Gradient of `spectral_norm`, for which u and v are constants.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to w, of weight's shape.
    weight, n_power_iterations, training, channel_axis, eps
        As given to `spectral_norm`; no step is taken.
    u : ndarray of shape (out,)
        As `spectral_norm` left it.
    stats : SingularTriplet, optional
        What ``return_stats=True`` gave; recomputed from `weight` and `u` if None.
    out : ndarray, optional
        Array of weight's shape that receives the gradient, cast to its dtype. It may be `dy` or
        `weight`.

    Returns
    -------
    SpectralNormGradients
        The field `weight`.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `u` has another shape.

    Notes
    -----
    With the sum :math:`\langle , \rangle` of products over all of the weight,

    .. math:: dW = \frac{dy - \langle dy, w \rangle\,u v^T}{\sigma} ,

    without the second term where :math:`\sigma < \epsilon`.

    References
    ----------
    T. Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018,
    arXiv:1802.05957, section 2.1.
    """
    values, dy = as_float64(weight), as_float64(dy)
    matrix = _matrix(values, channel_axis)
    sigma, left, right = _triplet(matrix, u, eps, values.ndim) if stats is None else stats
    divisor = max(sigma, eps)
    with np.errstate(all="ignore"):
        dmatrix = _matrix(dy, channel_axis)
        if sigma >= eps:
            share = np.sum(dmatrix * _divide(matrix, divisor))
            dmatrix = dmatrix - share * np.outer(left, right)
        dmatrix = _divide(dmatrix, divisor)
    axis = normalize_axis_index(channel_axis, values.ndim)
    front = (values.shape[axis], *values.shape[:axis], *values.shape[axis + 1 :])
    dweight = np.moveaxis(dmatrix.reshape(front), 0, axis)
    return SpectralNormGradients(deliver(dweight, out))


def _matrix(weight: Float64Array, channel_axis: int) -> Float64Array:
    """The outputs times all the rest."""
    rows = np.moveaxis(weight, channel_axis, 0)
    return rows.reshape(rows.shape[0], weight.size // max(rows.shape[0], 1))


def _improve(matrix: Float64Array, u: Float64Array, steps: int) -> Float64Array | None:
    """u after some steps of power iteration; None where they lead nowhere."""
    with np.errstate(all="ignore"):
        for _ in range(steps):
            v = _unit(_unit(u) @ matrix)
            u = matrix @ v
            if not 0.0 < np.linalg.norm(u) < np.inf:
                return None
        return _unit(u)


def _triplet(
    matrix: Float64Array, u: NDArray[Any] | None, eps: float, ndim: int
) -> SingularTriplet:
    with np.errstate(all="ignore"):
        if ndim == 1 or u is None:
            sigma = float(np.linalg.norm(matrix))
            return SingularTriplet(sigma, _divide(matrix[:, 0], max(sigma, eps)), np.ones(1))
        left = _unit(as_float64(u))
        product = left @ matrix
        sigma = float(np.linalg.norm(product))
        return SingularTriplet(sigma, left, _divide(product, max(sigma, eps)))


def _unit(values: Float64Array) -> Float64Array:
    return _divide(values, float(np.linalg.norm(values)))


def _divide(values: Float64Array, divisor: float) -> Float64Array:
    """The quotients; 0 where the divisor is 0."""
    return values / divisor if divisor else np.zeros_like(values)
