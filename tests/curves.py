# SPDX-License-Identifier: BSD-3-Clause
"""The pointwise functions of `_core.curve` in plain NumPy, and the sizes of what is rounded."""

from __future__ import annotations

import numpy as np

COEFS = {"floor": 3, "ratio": 5, "swish": 3, "tanh": 3}
# Roundings of the compute type from a value to a result, of terms as large as those below say: a
# few operations, and at most 3 units for a sigmoid, a tanh or e^x.
ROUNDINGS = 16


def logistic(z):
    """1 / (1 + e^-z) and its derivative; neither cancels."""
    e = np.exp(-np.abs(z))
    return np.where(z > 0, 1, e) / (1 + e), e / (1 + e) ** 2


def value(which: str, x, coefs):
    """y and the size of its terms, float64."""
    a, b, c, *rest = coefs
    z = a * x
    if which == "floor":
        return np.maximum(z + b, c), np.abs(z) + np.abs(b)
    if which == "ratio":
        d, e = rest
        y = x / np.maximum(a, b * x + c) * d
        return y + e, np.abs(y) + np.abs(e)
    if which == "swish":
        s, _ = logistic(z)
        return x * s * b + c, np.abs(x * s * b) * (1 + np.abs(z)) + np.abs(c)
    y = np.tanh(z) * b
    return y + c, np.abs(y) + np.abs(z * b / np.cosh(z) ** 2) + np.abs(c)


def gradient(which: str, x, dy, coefs):
    """dx and dy * df/dc for every coefficient c, each with the size of its terms."""
    a, b, c, *rest = coefs
    z, size = a * x, 1 + np.abs(a * x)
    if which == "floor":
        above = z + b > c
        parts = [dy * above * a, dy * x * above, dy * above, dy * ~above]
        return [(part, np.abs(part)) for part in parts]
    if which == "ratio":
        d, _ = rest
        above, most = b * x + c > a, np.maximum(a, b * x + c)
        fall = -dy * d * x / most**2
        dx = dy * d / most, fall * b * above
        parts = [fall * ~above, fall * x * above, fall * above, dy * x / most, dy + 0 * most]
        return [(sum(dx), sum(map(np.abs, dx))), *((part, np.abs(part)) for part in parts)]
    g = dy * b
    if which == "swish":
        s, slope = logistic(z)
        dx, dx_size = g * (s + z * slope), np.abs(g) * (s + np.abs(z) * slope) * size
        da, db = g * x * x * slope, dy * x * s
        return [(dx, dx_size), (da, np.abs(da) * size), (db, np.abs(db) * size), (dy, np.abs(dy))]
    t = np.tanh(z)
    slope = 1 / np.cosh(z) ** 2
    return [
        (g * a * slope, np.abs(g * a)),
        (g * x * slope, np.abs(g * x)),
        (dy * t, np.abs(dy) * (np.abs(t) + np.abs(z) * slope)),
        (dy, np.abs(dy)),
    ]


def on_grid(values):
    """Multiples of 1/4, so that maxima of either function are exact, and so is their choice."""
    return np.asarray(np.rint(4 * values.astype(np.float64)) / 4, dtype=values.dtype)


def draw_coefs(which: str, shapes, real, rng) -> list[np.ndarray]:
    """Coefficients; the maxima take either side, and the divisor stays away from 0."""
    coefs = [0.5 + 0.5 * rng.standard_normal(shape) for shape in shapes]
    if which == "ratio":
        coefs[0] = np.abs(coefs[0]) + 0.5
    return [on_grid(np.asarray(coef, dtype=real)) for coef in coefs]
