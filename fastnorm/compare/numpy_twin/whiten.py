# SPDX-License-Identifier: BSD-3-Clause
"""Whitening in plain NumPy: the channels in front, one matrix product for each step.

NumPy's products and decompositions run on as many threads as its BLAS library takes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnorm.compare.numpy_twin.shared import Array, deliver, widen


class WhiteningStats(NamedTuple):
    """What the gradient needs: the centred samples, and where W came from."""

    centred: Array
    whitening: Array
    sigma: Array
    values: Array | None
    vectors: Array | None


class WhiteningGradients(NamedTuple):
    """Gradient of the array argument."""

    x: Array


def whiten(
    x: Array,
    running_mean: Array | None = None,
    running_whitening: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    method: str = "zca",
    groups: int = 1,
    iterations: int = 5,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
) -> tuple[Array, WhiteningStats]:
    """y = W (x - mean), the samples of every group as the columns of a matrix."""
    samples = _columns(widen(x), groups, channel_axis)
    values = vectors = None
    if training:
        mean = samples.mean(axis=-1, keepdims=True)
        centred = samples - mean
        sigma = centred @ centred.swapaxes(-2, -1) / centred.shape[-1]
        sigma += eps * np.eye(sigma.shape[-1], dtype=sigma.dtype)
        if method == "cholesky":
            whitening = np.linalg.inv(np.linalg.cholesky(sigma))
        elif method == "iterative":
            whitening = _iterates(sigma, iterations)[-1] / np.sqrt(_trace(sigma))
        else:
            values, vectors = np.linalg.eigh(sigma)
            values, vectors = values[:, ::-1], vectors[:, :, ::-1]
            size = np.abs(vectors)
            leading = np.argmax(size >= 0.6 * size.max(axis=1, keepdims=True), axis=1)
            vectors *= np.sign(np.take_along_axis(vectors, leading[:, None], axis=1))
            whitening = vectors.swapaxes(-2, -1) / np.sqrt(values)[:, :, None]
            if method == "zca":
                whitening = vectors @ whitening
        if running_mean is not None:
            running_mean += momentum * (mean.reshape(-1) - running_mean)
        if running_whitening is not None:
            running_whitening += momentum * (whitening - running_whitening)
    else:
        assert running_mean is not None
        assert running_whitening is not None
        centred = samples - running_mean.reshape(*samples.shape[:2], 1)
        whitening = sigma = running_whitening
    y = _like(whitening @ centred, x, channel_axis)
    return deliver(y, x, out), WhiteningStats(centred, whitening, sigma, values, vectors)


def whiten_backward(
    dy: Array,
    x: Array,
    running_mean: Array | None = None,
    running_whitening: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    method: str = "zca",
    groups: int = 1,
    iterations: int = 5,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: WhiteningStats,
    out: Array | None = None,
) -> WhiteningGradients:
    """dx = W^T (dy - mean(dy)) + 2/m sym(dSigma) (x - mean)."""
    centred, w, sigma, values, vectors = stats
    g = _columns(widen(dy), groups, channel_axis)
    dx = w.swapaxes(-2, -1) @ g
    if training:
        dw = g @ centred.swapaxes(-2, -1)
        if method == "cholesky":
            lower = np.tril(dw @ w.swapaxes(-2, -1))
            lower *= 1 - 0.5 * np.eye(w.shape[-1], dtype=w.dtype)
            dsigma = -w.swapaxes(-2, -1) @ lower @ w
        elif method == "iterative":
            dsigma = _back_through_iterations(dw, sigma, iterations)
        else:
            assert values is not None
            assert vectors is not None
            back = vectors.swapaxes(-2, -1)
            q = np.sqrt(values)
            if method == "zca":
                k = -1 / (q[:, :, None] * q[:, None, :] * (q[:, :, None] + q[:, None, :]))
                inner = k * (back @ dw @ vectors)
            else:
                gaps = values[:, None, :] - values[:, :, None] + np.eye(q.shape[-1], dtype=q.dtype)
                inner = back @ (dw.swapaxes(-2, -1) / q[:, None, :]) / gaps
                stretch = -0.5 / q**3 * (dw * back).sum(axis=-1)
                np.einsum("gii->gi", inner)[...] = stretch
            dsigma = vectors @ inner @ back
        dx += (dsigma + dsigma.swapaxes(-2, -1)) @ centred / np.asarray(g.shape[-1], dx.dtype)
        dx -= dx.mean(axis=-1, keepdims=True)
    return WhiteningGradients(deliver(_like(dx, x, channel_axis), x, out))


def _columns(x: Array, groups: int, channel_axis: int) -> Array:
    """`x` as (groups, channels of a group, samples): a copy, where channels are not in front."""
    moved = np.moveaxis(x, channel_axis, 0)
    return moved.reshape(groups, moved.shape[0] // groups, -1)


def _like(samples: Array, x: Array, channel_axis: int) -> Array:
    """A view in x's shape."""
    shape = np.moveaxis(x, channel_axis, 0).shape
    return np.moveaxis(samples.reshape(shape), 0, channel_axis)


def _trace(matrices: Array) -> Array:
    trace: Array = np.trace(matrices, axis1=1, axis2=2)[:, None, None]
    return trace


def _iterates(sigma: Array, iterations: int) -> list[Array]:
    normalized = sigma / _trace(sigma)
    iterates = [np.broadcast_to(np.eye(sigma.shape[-1], dtype=sigma.dtype), sigma.shape)]
    for _ in range(iterations):
        p = iterates[-1]
        iterates.append(1.5 * p - 0.5 * (p @ p @ p @ normalized))
    return iterates


def _back_through_iterations(dw: Array, sigma: Array, iterations: int) -> Array:
    trace = _trace(sigma)
    normalized, iterates = sigma / trace, _iterates(sigma, iterations)
    dp, dnormalized = dw / np.sqrt(trace), np.zeros_like(sigma)
    dtrace = -0.5 * trace**-1.5 * (dw * iterates[-1]).sum(axis=(1, 2), keepdims=True)
    for p in reversed(iterates[:-1]):
        dnormalized -= 0.5 * p @ p @ p @ dp
        a, square = dp @ normalized, p @ p
        dp = 1.5 * dp - 0.5 * (a @ square + p @ a @ p + square @ a)
    dtrace -= (dnormalized * sigma).sum(axis=(1, 2), keepdims=True) / trace**2
    dsigma: Array = dnormalized / trace
    dsigma += dtrace * np.eye(sigma.shape[-1], dtype=sigma.dtype)
    return dsigma
