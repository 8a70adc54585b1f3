# SPDX-License-Identifier: BSD-3-Clause
"""Spectral normalization in plain NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnorm.compare.numpy_twin.shared import Array, buffer, deliver, widen

Triplet = tuple[Array, Array, Array]


class SpectralNormGradients(NamedTuple):
    """Gradients of the differentiable arguments."""

    weight: Array


def spectral_norm(
    weight: Array,
    u: Array,
    *,
    n_power_iterations: int = 1,
    training: bool = True,
    channel_axis: int = 0,
    eps: float = 1e-12,
    out: Array | None = None,
) -> tuple[Array, Triplet]:
    """w = weight / sigma, sigma = |W^T u|, u after some steps of power iteration."""
    values = widen(weight)
    matrix = _matrix(values, channel_axis)
    if training:
        for _ in range(n_power_iterations):
            u[...] = _unit(matrix @ _unit(u @ matrix))
    left = _unit(u).astype(values.dtype)
    right = left @ matrix
    sigma = np.maximum(np.linalg.norm(right), eps)
    w = np.divide(values, sigma, out=buffer(out, values))
    return deliver(w, weight, out), (sigma, left, right / sigma)


def spectral_norm_backward(
    dy: Array,
    weight: Array,
    u: Array,
    *,
    n_power_iterations: int = 1,
    training: bool = True,
    channel_axis: int = 0,
    eps: float = 1e-12,
    stats: Triplet,
    out: Array | None = None,
) -> SpectralNormGradients:
    """dW = (dy - sum(dy w) u v^T) / sigma."""
    sigma, left, right = stats
    upstream = widen(dy)
    share = np.vdot(upstream, widen(weight)) / sigma
    rank_one = np.multiply.outer(share * left, right)
    front = np.moveaxis(upstream, channel_axis, 0).shape
    dweight = np.subtract(
        upstream,
        np.moveaxis(rank_one.reshape(front), 0, channel_axis),
        out=buffer(out, upstream),
    )
    dweight /= sigma
    return SpectralNormGradients(deliver(dweight, weight, out))


def _matrix(weight: Array, channel_axis: int) -> Array:
    """The outputs times all the rest; a view where the outputs come first or last."""
    if channel_axis in (-1, weight.ndim - 1):
        return weight.reshape(-1, weight.shape[-1]).T
    return np.moveaxis(weight, channel_axis, 0).reshape(weight.shape[channel_axis], -1)


def _unit(values: Array) -> Array:
    """The vector over its norm."""
    return np.asarray(values / np.linalg.norm(values))
