# SPDX-License-Identifier: BSD-3-Clause
"""Gradients by central finite differences in float64."""

from __future__ import annotations

import numpy as np

STEP = 1e-5


def central_differences(loss, value):
    """Return the gradient of the scalar function `loss` at `value`, entry by entry."""
    gradient = np.empty_like(value)
    for index in np.ndindex(value.shape):
        shifted = value.copy()
        shifted[index] = value[index] + STEP
        above = loss(shifted)
        shifted[index] = value[index] - STEP
        gradient[index] = (above - loss(shifted)) / (2.0 * STEP)
    return gradient


def assert_gradients(forward, gradients, dy, arguments):
    """Compare `gradients` with those of ``sum(dy * forward(*arguments))``, argument by argument.

    Central differences err by STEP**2 / 6 times the third derivative and by the rounding of the
    loss over STEP. For normalizers with eps >= 0.1 and data of order 1 the third derivative is
    below 1e3 per unit of dy, so that both stay below 1e-7 of the gradient's scale.
    """
    assert len(gradients) == len(arguments)
    for position, gradient in enumerate(gradients):
        before, value, after = (
            arguments[:position],
            arguments[position],
            arguments[position + 1 :],
        )
        expected = central_differences(
            lambda v, before=before, after=after: np.sum(dy * forward(*before, v, *after)), value
        )
        assert gradient.shape == expected.shape
        scale = 1.0 + abs(dy).sum()
        np.testing.assert_allclose(gradient, expected, rtol=0.0, atol=1e-7 * scale)
