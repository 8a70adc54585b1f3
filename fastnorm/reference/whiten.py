# SPDX-License-Identifier: BSD-3-Clause
"""Whitening: the channels of a group decorrelated over the batch, or by running matrices."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from fastnorm.reference.moments import Float64Array, moments
from fastnorm.reference.standardize import as_float64, deliver, refuse_single_values


class WhiteningStats(NamedTuple):
    """What `whiten` found out about x, with d channels in each group.

    Attributes
    ----------
    mean : ndarray of float64, shape (C,)
        Mean of every channel.
    whitening : ndarray of float64, shape (groups, d, d)
        The matrices; their rows are the channels of y.
    covariance : ndarray of float64, shape (groups, d, d), or None
        Biased covariance of each group, without eps; None in evaluation.
    eigenvalues, eigenvectors : ndarray of float64 or None
        Of shapes (groups, d) and (groups, d, d), descending, with eps, vectors as columns; for the
        methods zca and pca in training.
    count : int
        Number of samples; 0 in evaluation.
    """

    mean: Float64Array
    whitening: Float64Array
    covariance: Float64Array | None
    eigenvalues: Float64Array | None
    eigenvectors: Float64Array | None
    count: int  # type: ignore[assignment]  # the field hides tuple.count, as intended


class WhiteningGradients(NamedTuple):
    """Gradient of a scalar loss with respect to the argument of `whiten`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape: float64, or `out` where one was given.
    """

    x: NDArray[Any]


@overload
def whiten(
    x: ArrayLike,
    running_mean: NDArray[Any] | None = None,
    running_whitening: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    method: str = "zca",
    groups: int = 1,
    iterations: int = 5,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[False] = False,
) -> NDArray[Any]: ...
@overload
def whiten(
    x: ArrayLike,
    running_mean: NDArray[Any] | None = None,
    running_whitening: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    method: str = "zca",
    groups: int = 1,
    iterations: int = 5,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: Literal[True],
) -> tuple[NDArray[Any], WhiteningStats]: ...
def whiten(
    x: ArrayLike,
    running_mean: NDArray[Any] | None = None,
    running_whitening: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    method: str = "zca",
    groups: int = 1,
    iterations: int = 5,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> NDArray[Any] | tuple[NDArray[Any], WhiteningStats]:
    r"""Centre the channels and make their covariance within each group the identity.

    Parameters
    ----------
    x : array_like
        Values of any real type, with at least 2 axes; converted to float64.
    running_mean : ndarray of shape (C,), optional
        Running mean of any float type. Updated in place in training if given; needed, and used
        instead of that of the batch, in evaluation.
    running_whitening : ndarray of shape (groups, d, d), optional
        Running whitening matrices, likewise.
    training : bool, default True
        Use the statistics of the batch and update the running ones.
    momentum : float, default 0.1
        Weight of the batch in the running statistics.
    method : {"zca", "pca", "cholesky", "iterative"}, default "zca"
        Which of the matrices that whiten.
    groups : int, default 1
        Number of groups of d = C / groups consecutive channels.
    iterations : int, default 5
        Newton steps of the method iterative.
    eps : float, default 1e-5
        Added to the diagonal of the covariance, in squared units of `x`.
    channel_axis : int, default 1
        The axis of length C.
    out : ndarray, optional
        Array of x's shape that receives the result, cast to its dtype. It may be `x`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        float64 of x's shape, whatever the type of `x`; or `out`.
    stats : WhiteningStats
        Only with `return_stats`.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If there is one sample in training, if the running statistics are missing in evaluation, if
        the method cholesky finds a singular matrix, or a shape does not fit.

    Notes
    -----
    With mean :math:`\mu` and biased covariance :math:`C` of the samples of a group,
    :math:`\Sigma = C + \epsilon I = U \Lambda U^T`, eigenvalues descending, and
    :math:`\Sigma = L L^T`,

    .. math:: y = W (x - \mu), \qquad W = U \Lambda^{-1/2} U^T,\ \Lambda^{-1/2} U^T,\ L^{-1}
              \text{ or } P_T / \sqrt{\mathrm{tr}\,\Sigma}

    for zca, pca, cholesky and iterative, with :math:`P_0 = I` and
    :math:`P_{k+1} = \frac{3}{2} P_k - \frac{1}{2} P_k^3 \Sigma / \mathrm{tr}\,\Sigma`. An
    eigenvector's first entry of at least 0.6 times its largest magnitude is positive. Eigenvalues
    of :math:`C` below the rounding error of the largest count as 0; 1 / 0 is defined as 0.

    References
    ----------
    L. Huang et al., "Decorrelated Batch Normalization", CVPR 2018, arXiv:1804.08450, and "Iterative
    Normalization", CVPR 2019, arXiv:1904.03441.
    """
    values = as_float64(x)
    channel = normalize_axis_index(channel_axis, values.ndim)
    if training:
        stats = _statistics(values, channel, groups, method, iterations, eps)
    else:
        stats = _running_stats(running_mean, running_whitening)
    samples = _samples(values, channel, groups)
    with np.errstate(all="ignore"):
        y = stats.whitening @ (samples - stats.mean.reshape(*samples.shape[:2], 1))
    y = deliver(_unsampled(y, values, channel), out)
    if training and values.size > 0:
        _update(running_mean, stats.mean, momentum)
        _update(running_whitening, stats.whitening, momentum)
    return (y, stats) if return_stats else y


def whiten_backward(
    dy: ArrayLike,
    x: ArrayLike,
    running_mean: NDArray[Any] | None = None,
    running_whitening: NDArray[Any] | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    method: str = "zca",
    groups: int = 1,
    iterations: int = 5,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: WhiteningStats | None = None,
    out: NDArray[Any] | None = None,
) -> WhiteningGradients:
    r"""Gradient of `whiten`; the running statistics are constants, and are not updated.

    Parameters
    ----------
    dy : array_like
        Gradient of the loss with respect to y, of x's shape.
    x, running_mean, running_whitening, training, momentum
        As given to `whiten`; `momentum` does not matter.
    method, groups, iterations, eps, channel_axis
        As given to `whiten`.
    stats : WhiteningStats, optional
        What ``return_stats=True`` gave; recomputed from `x`, or in evaluation taken from the
        running statistics, if None.
    out : ndarray, optional
        Array of x's shape that receives the gradient with respect to x, cast to its dtype. It may
        be `dy` or `x`.

    Returns
    -------
    WhiteningGradients
        One field, `x`.

    Raises
    ------
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        As `whiten`.

    Notes
    -----
    With the :math:`m` centred samples :math:`\bar x`, and the gradient :math:`d\Sigma` of what
    `whiten` says of :math:`W`, given :math:`dW = dy\,\bar x^T`: the gradient with respect to
    :math:`\bar x` is :math:`W^T dy + \frac{2}{m}\,\mathrm{sym}(d\Sigma)\,\bar x`, and that with
    respect to x is this less its mean. In evaluation it is :math:`W^T dy`.

    References
    ----------
    L. Huang et al., "Decorrelated Batch Normalization", CVPR 2018, arXiv:1804.08450, and "Iterative
    Normalization", CVPR 2019, arXiv:1904.03441.
    """
    values = as_float64(x)
    channel = normalize_axis_index(channel_axis, values.ndim)
    if stats is None and training:
        stats = _statistics(values, channel, groups, method, iterations, eps)
    elif stats is None:
        stats = _running_stats(running_mean, running_whitening)
    samples = _samples(values, channel, groups)
    upstream = _samples(as_float64(dy), channel, groups)
    with np.errstate(all="ignore"):
        dx = _transposed(stats.whitening) @ upstream
        if training:
            centred = samples - stats.mean.reshape(*samples.shape[:2], 1)
            dwhitening = upstream @ _transposed(centred)
            dsigma = _dsigma(dwhitening, stats, method, iterations, eps)
            dx = dx + (dsigma + _transposed(dsigma)) @ centred / stats.count
            dx = dx - dx.sum(axis=-1, keepdims=True) / stats.count
    return WhiteningGradients(deliver(_unsampled(dx, values, channel), out))


def _samples(x: Float64Array, channel: int, groups: int) -> Float64Array:
    """See `x` as (groups, channels of a group, samples)."""
    moved = np.moveaxis(x, channel, 0)
    count = math.prod(moved.shape[1:])
    return moved.reshape(groups, len(moved) // groups, count)


def _unsampled(samples: Float64Array, x: Float64Array, channel: int) -> Float64Array:
    """Undo `_samples`."""
    shape = np.moveaxis(x, channel, 0).shape
    return np.moveaxis(samples.reshape(shape), 0, channel)


def _statistics(
    x: Float64Array, channel: int, groups: int, method: str, iterations: int, eps: float
) -> WhiteningStats:
    axes = tuple(axis for axis in range(x.ndim) if axis != channel)
    refuse_single_values(x.shape, axes)
    mean, _, count = moments(x, axes)
    samples = _samples(x, channel, groups)
    with np.errstate(all="ignore"):
        centred = samples - mean.reshape(*samples.shape[:2], 1)
        covariance = centred @ _transposed(centred) / count
        values, vectors = np.empty(covariance.shape[:2]), np.empty(covariance.shape)
        whitening = np.empty(covariance.shape)
        for group, matrix in enumerate(covariance):
            if not np.isfinite(matrix).all():  # LAPACK makes no promises about these
                values[group] = vectors[group] = whitening[group] = np.nan
            elif method in ("zca", "pca"):
                values[group], vectors[group] = _eigenpairs(matrix, eps)
                whitening[group] = _inverse_root(values[group])[:, None] * vectors[group].T
                if method == "zca":
                    whitening[group] = vectors[group] @ whitening[group]
            elif method == "cholesky":
                whitening[group] = np.linalg.inv(
                    np.linalg.cholesky(matrix + eps * np.eye(len(matrix)))
                )
            else:
                sigma = matrix + eps * np.eye(len(matrix))
                whitening[group] = _iterates(sigma, iterations)[-1] * _inverse_root(np.trace(sigma))
    if method not in ("zca", "pca"):
        return WhiteningStats(mean, whitening, covariance, None, None, count)
    return WhiteningStats(mean, whitening, covariance, values, vectors, count)


def _eigenpairs(matrix: Float64Array, eps: float) -> tuple[Float64Array, Float64Array]:
    values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[::-1], vectors[:, ::-1]
    negligible = np.finfo(np.float64).eps * len(matrix) * values[0]
    values = np.where(values <= negligible, 0.0, values) + eps
    for vector in vectors.T:
        size = np.abs(vector)
        vector *= np.sign(vector[np.argmax(size >= 0.6 * size.max())])
    return values, vectors


def _iterates(sigma: Float64Array, iterations: int) -> list[Float64Array]:
    trace = np.trace(sigma)
    iterates = [np.eye(len(sigma))]
    for _ in range(iterations):
        p = iterates[-1]
        step = p @ p @ p @ sigma / trace if trace else 0.0 * p
        iterates.append(1.5 * p - 0.5 * step)
    return iterates


def _dsigma(
    dwhitening: Float64Array, stats: WhiteningStats, method: str, iterations: int, eps: float
) -> Float64Array:
    """Gradient with respect to the covariance of each group; not symmetric."""
    result = np.empty(dwhitening.shape)
    assert stats.covariance is not None
    for group, dw in enumerate(dwhitening):
        w, sigma = stats.whitening[group], stats.covariance[group] + eps * np.eye(len(dw))
        if method == "cholesky":
            lower = np.tril(dw @ w.T)
            result[group] = -w.T @ (lower - 0.5 * np.diag(np.diag(lower))) @ w
        elif method == "iterative":
            result[group] = _iterative_gradient(dw, sigma, iterations)
        else:
            assert stats.eigenvalues is not None
            assert stats.eigenvectors is not None
            lam, u = stats.eigenvalues[group], stats.eigenvectors[group]
            rotate = _zca_gradient if method == "zca" else _pca_gradient
            result[group] = u @ rotate(dw, lam, u) @ u.T
    return result


def _zca_gradient(dw: Float64Array, lam: Float64Array, u: Float64Array) -> Float64Array:
    """In the basis of the eigenvectors: divided differences of 1/sqrt at pairs of eigenvalues."""
    q, inverse = np.sqrt(lam), _inverse_root(lam)
    sums = q[:, None] + q
    k = -np.outer(inverse, inverse) / np.where(sums == 0.0, 1.0, sums)
    return k * (u.T @ (dw + dw.T) @ u) / 2


def _pca_gradient(dw: Float64Array, lam: Float64Array, u: Float64Array) -> Float64Array:
    """In the basis of the eigenvectors, whose own gradient has the gaps as divisors."""
    inverse = _inverse_root(lam)
    gaps = lam - lam[:, None]
    rotation = u.T @ dw.T * inverse
    dlam = -0.5 * inverse**3 * np.diag(dw @ u)
    return np.where(gaps == 0.0, 0.0, rotation / np.where(gaps == 0.0, 1.0, gaps)) + np.diag(dlam)


def _iterative_gradient(dw: Float64Array, sigma: Float64Array, iterations: int) -> Float64Array:
    trace = np.trace(sigma)
    if trace == 0.0:
        return np.zeros_like(sigma)
    iterates, sn = _iterates(sigma, iterations), sigma / trace
    dp, dsn = dw / np.sqrt(trace), np.zeros_like(sigma)
    dtrace = -0.5 * trace**-1.5 * np.sum(dw * iterates[-1])
    for p in reversed(iterates[:-1]):
        dsn -= 0.5 * (p @ p @ p).T @ dp
        a, square = dp @ sn.T, (p @ p).T
        dp = 1.5 * dp - 0.5 * (a @ square + p.T @ a @ p.T + square @ a)
    dtrace -= np.sum(dsn * sigma) / trace**2
    return np.asarray(dsn / trace + dtrace * np.eye(len(sigma)))


def _inverse_root(values: Any) -> Float64Array:
    return np.where(values == 0.0, 0.0, 1.0 / np.sqrt(values))


def _transposed(matrices: Float64Array) -> Float64Array:
    return np.swapaxes(matrices, -2, -1)


def _running_stats(mean: NDArray[Any] | None, whitening: NDArray[Any] | None) -> WhiteningStats:
    """Copy the buffers, so that updating them does not change statistics returned earlier."""
    if mean is None or whitening is None:
        raise ValueError("running_mean and running_whitening are needed where training is False")
    kept = np.array(mean, dtype=np.float64), np.array(whitening, dtype=np.float64)
    return WhiteningStats(*kept, None, None, None, 0)


def _update(running: NDArray[Any] | None, batch: Float64Array, momentum: float) -> None:
    if running is not None:
        deliver((1.0 - momentum) * as_float64(running) + momentum * batch, running)
