# SPDX-License-Identifier: BSD-3-Clause
"""Whitening matrices of covariances, and their gradients: small matrices, one for each group.

All arrays are float64 of shape (groups, d, d), or (groups, d) for eigenvalues. A covariance that is
not finite makes its own group NaN, and never reaches LAPACK, which would give up on all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fastnorm._types import Array

METHODS = ("zca", "pca", "cholesky", "iterative")
EIGEN = ("zca", "pca")  # those that need eigenvalues

# An eigenvector's sign is that of its first entry of this share of its largest. Entries that are
# equal but for rounding are so told apart; the ratio is that of no common basis (cosines).
LEADING = 0.6


def method_argument(value: Any) -> str:
    """Return `value`, the name of a method."""
    if not isinstance(value, str):
        raise TypeError(f"method must be a string, got {value!r}")
    if value not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {value!r}")
    return value


def factorize(
    covariance: Array, eps: float, method: str, iterations: int
) -> tuple[Array, Array | None, Array | None]:
    """Return the whitening matrices and, where the method needs them, eigenvalues and vectors.

    The eigenvalues, with eps in them, descend; the vectors are columns.
    """
    d = covariance.shape[-1]
    finite: Array = np.asarray(np.isfinite(covariance).all(axis=(1, 2)))
    safe = np.where(finite[:, None, None], covariance, np.eye(d))
    spoilt = np.where(finite, 1.0, np.nan)[:, None, None]
    if method == "cholesky":
        return _cholesky(safe, eps) * spoilt, None, None
    if method == "iterative":
        powers, trace = iterate(normalized(safe, eps)[0], iterations), _trace(safe, eps)
        return powers[-1] * reciprocal_root(trace) * spoilt, None, None
    values, vectors = eigenpairs(safe, eps)
    whitening = reciprocal_root(values)[:, :, None] * vectors.swapaxes(-2, -1)
    if method == "zca":
        whitening = np.matmul(vectors, whitening)
    return whitening * spoilt, values * spoilt[..., 0], vectors * spoilt


def covariance_gradient(
    upstream: Array,
    whitening: Array,
    covariance: Array,
    values: Array | None,
    vectors: Array | None,
    eps: float,
    method: str,
    iterations: int,
) -> Array:
    """Return the gradient with respect to the covariance, given `upstream`, that of the whitening.

    It is symmetric. `values` and `vectors` are those of `factorize`.
    """
    if method == "cholesky":
        return _cholesky_gradient(upstream, whitening)
    if method == "iterative":
        return _iterative_gradient(upstream, covariance, eps, iterations)
    assert values is not None
    assert vectors is not None
    return (_zca_gradient if method == "zca" else _pca_gradient)(upstream, values, vectors)


def reciprocal_root(values: Array) -> Array:
    """1 / sqrt(values), and 0 where that is 1 / 0: no gain along a direction without variance."""
    return np.where(values == 0.0, 0.0, 1.0 / np.sqrt(values))


# ---- eigenvectors -------------------------------------------------------------------------------


def eigenpairs(covariance: Array, eps: float) -> tuple[Array, Array]:
    """Eigenvalues of covariance + eps, descending, and eigenvectors, with a sign of their own.

    A covariance has no negative eigenvalue, and none of less than the rounding error of the largest
    that means anything: these count as 0.
    """
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[:, ::-1], vectors[:, :, ::-1]
    values = np.where(values <= _rounding(values[:, :1], covariance), 0.0, values) + eps
    size = np.abs(vectors)
    leading = np.argmax(size >= LEADING * size.max(axis=1, keepdims=True, initial=0.0), axis=1)
    signs = np.sign(np.take_along_axis(vectors, leading[:, None, :], axis=1))
    return values, vectors * signs


def _zca_gradient(upstream: Array, values: Array, vectors: Array) -> Array:
    """With the divided differences of 1/sqrt, which stay finite where eigenvalues are equal."""
    back = vectors.swapaxes(-2, -1)
    inner = back @ _symmetric(upstream) @ vectors
    roots, inverse = np.sqrt(values), reciprocal_root(values)
    sums = roots[:, :, None] + roots[:, None, :]
    differences = -inverse[:, :, None] * inverse[:, None, :] / np.where(sums == 0.0, 1.0, sums)
    return _symmetric(vectors @ (differences * inner) @ back)


def _pca_gradient(upstream: Array, values: Array, vectors: Array) -> Array:
    """With 1 / (difference of eigenvalues), and 0 for it where they are equal."""
    back, inverse = vectors.swapaxes(-2, -1), reciprocal_root(values)
    rotation = back @ (upstream.swapaxes(-2, -1) * inverse[:, None, :])
    gaps = values[:, None, :] - values[:, :, None]
    inner = np.where(gaps == 0.0, 0.0, rotation / np.where(gaps == 0.0, 1.0, gaps))
    stretch = -0.5 * inverse**3 * (upstream * back).sum(axis=-1)
    diagonal = np.arange(values.shape[-1])
    inner[:, diagonal, diagonal] = stretch
    return _symmetric(vectors @ inner @ back)


# ---- Cholesky -----------------------------------------------------------------------------------


def _cholesky(covariance: Array, eps: float) -> Array:
    """Inverse of the lower Cholesky factor; ValueError where there is none."""
    identity = np.eye(covariance.shape[-1])
    shifted = covariance + eps * identity
    try:
        factors = np.linalg.cholesky(shifted)
    except np.linalg.LinAlgError:
        factors = np.zeros_like(shifted)
    pivots = np.diagonal(factors, axis1=1, axis2=2) ** 2
    if (pivots <= _rounding(np.diagonal(shifted, axis1=1, axis2=2), shifted)).any():
        raise ValueError(
            f"eps={eps} is too small for method='cholesky': the covariance of the channels of x is "
            f"singular to the precision of float64"
        )
    return np.tril(np.linalg.solve(factors, np.broadcast_to(identity, factors.shape)))


def _cholesky_gradient(upstream: Array, whitening: Array) -> Array:
    back = whitening.swapaxes(-2, -1)
    lower = np.tril(upstream @ back)
    inner = lower + lower.swapaxes(-2, -1)  # twice the diagonal
    diagonal = np.arange(inner.shape[-1])
    inner[:, diagonal, diagonal] *= 0.5
    symmetric: Array = -0.5 * (back @ inner @ whitening)
    return symmetric


# ---- Newton's iterations ------------------------------------------------------------------------


def normalized(covariance: Array, eps: float) -> tuple[Array, Array]:
    """Covariance with eps, divided by its trace, and one over the trace; both 0 where that is 0."""
    trace = _trace(covariance, eps)
    inverse = np.where(trace == 0.0, 0.0, 1.0 / trace)
    return (covariance + eps * np.eye(covariance.shape[-1])) * inverse, inverse


def iterate(matrices: Array, iterations: int) -> list[Array]:
    """The iterates from the identity towards the inverse root of `matrices`, of trace 1."""
    powers = [np.broadcast_to(np.eye(matrices.shape[-1]), matrices.shape)]
    for _ in range(iterations):
        last = powers[-1]
        powers.append(1.5 * last - 0.5 * (last @ last @ last @ matrices))
    return powers


def _trace(covariance: Array, eps: float) -> Array:
    trace = np.trace(covariance, axis1=1, axis2=2) + eps * covariance.shape[-1]
    whole: Array = np.asarray(trace)[:, None, None]
    return whole


def _iterative_gradient(upstream: Array, covariance: Array, eps: float, iterations: int) -> Array:
    """Back through the iterations, then through the division by the trace."""
    matrices, inverse = normalized(covariance, eps)
    powers = iterate(matrices, iterations)
    root = np.sqrt(inverse)
    back = matrices.swapaxes(-2, -1)
    total = np.zeros_like(upstream)
    gradient = upstream * root
    for power in powers[-2::-1]:
        power = power.swapaxes(-2, -1)
        square = power @ power
        total -= 0.5 * (square @ power @ gradient)
        step = gradient @ back
        gradient = 1.5 * gradient - 0.5 * (step @ square + power @ step @ power + square @ step)
    along = -0.5 * root * inverse * _inner(upstream, powers[-1]) - inverse * _inner(total, matrices)
    return _symmetric(total * inverse + along * np.eye(upstream.shape[-1]))


# ---- shared -------------------------------------------------------------------------------------


def _symmetric(matrices: Array) -> Array:
    return 0.5 * (matrices + matrices.swapaxes(-2, -1))


def _inner(a: Array, b: Array) -> Array:
    """Sum of the products of all entries of each matrix."""
    summed: Array = (a * b).sum(axis=(1, 2), keepdims=True)
    return summed


def _rounding(values: Array, matrices: Array) -> Array:
    """Rounding error of a decomposition of `matrices` whose entries are as large as `values`."""
    error: Array = values * (np.finfo(np.float64).eps * matrices.shape[-1])
    return error
