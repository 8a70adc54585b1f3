# SPDX-License-Identifier: BSD-3-Clause
"""Activations that follow a normalization, and their slopes."""

from __future__ import annotations

import math

import numpy as np

from fastnorm.reference.moments import Float64Array

# Of the cubic in the usual approximation of the Gaussian distribution by a hyperbolic tangent,
# D. Hendrycks, K. Gimpel, "Gaussian Error Linear Units", 2016, arXiv:1606.08415, section 2.
CUBIC = 0.044715


def activate(z: Float64Array, activation: str | None) -> Float64Array:
    """Return the activation of `z`: relu, silu, gelu, gelu_tanh, or None for `z` itself.

    The limits are those of the functions: silu and gelu of -inf are 0.
    """
    if activation is None:
        return z
    with np.errstate(all="ignore"):
        if activation == "relu":
            return np.maximum(z, 0.0)
        factor = {"silu": _sigmoid, "gelu": _normal, "gelu_tanh": _almost_normal}[activation](z)
        return np.where(z == -np.inf, 0.0, z * factor)


def slope(z: Float64Array, activation: str | None) -> Float64Array:
    """Return the derivative of `activate` at `z`; that of relu is 0 at 0."""
    if activation is None:
        return np.ones_like(z)
    with np.errstate(all="ignore"):
        if activation == "relu":
            return np.where(np.isnan(z), z, z > 0)
        bounded = np.clip(z, -1e3, 1e3)  # where the derivatives are 0 and 1 to the last digit
        if activation == "silu":
            share = _sigmoid(bounded)
            return share * (1.0 + bounded * (1.0 - share))
        if activation == "gelu":
            density = np.exp(-0.5 * bounded**2) / math.sqrt(2.0 * math.pi)
            return _normal(bounded) + bounded * density
        share = _almost_normal(bounded)
        inner = 2.0 * math.sqrt(2.0 / math.pi) * (1.0 + 3.0 * CUBIC * bounded**2)
        return share + bounded * share * (1.0 - share) * inner


def _sigmoid(z: Float64Array) -> Float64Array:
    small = np.exp(-np.abs(z))
    return np.where(z < 0, small, 1.0) / (1.0 + small)


def _normal(z: Float64Array) -> Float64Array:
    """The distribution function of the standard normal distribution."""
    tail = [0.5 * math.erfc(-v / math.sqrt(2.0)) for v in np.ravel(z)]
    return np.reshape(np.array(tail, dtype=np.float64), np.shape(z))


def _almost_normal(z: Float64Array) -> Float64Array:
    """(1 + tanh(u)) / 2, which is the sigmoid of 2 u."""
    return _sigmoid(2.0 * math.sqrt(2.0 / math.pi) * (z + CUBIC * z**3))
