# SPDX-License-Identifier: BSD-3-Clause
"""Coefficients: the small arrays that a recipe makes of statistics and parameters.

They are made in float64, where folding a reciprocal root, a weight and a mean into one number costs
no digit that float32 has, and are rounded once to the type in which the core computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fastnorm._types import Array


def reciprocal_root(power: Array, eps: float) -> Array:
    """Return 1 / sqrt(power + eps) in float64, and 0 where that sum is 0, as the core has it."""
    total = power + eps
    root: Array = np.zeros_like(total)
    with np.errstate(invalid="ignore"):  # a NaN stays one
        np.divide(1.0, np.sqrt(total), out=root, where=total != 0.0)
    return root
