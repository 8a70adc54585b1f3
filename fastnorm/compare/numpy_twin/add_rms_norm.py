# SPDX-License-Identifier: BSD-3-Clause
"""RMS norm of a sum, which is kept for the gradient with the statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnorm.compare.numpy_twin.shared import Array, Axis
from fastnorm.compare.numpy_twin.standard import rms_norm, rms_norm_backward


def add_rms_norm(
    x: Array,
    residual: Array,
    weight: Array,
    *,
    axis: Axis = -1,
    eps: float = 1e-6,
    out: Array | None = None,
    residual_out: Array | None = None,
) -> tuple[Array, Any]:
    """`rms_norm` of x + residual."""
    total = np.add(x, residual, out=residual_out)
    y, stats = rms_norm(total, weight, axis=axis, eps=eps, out=out)
    return y, (total, stats)


def add_rms_norm_backward(
    dy: Array,
    x: Array,
    residual: Array,
    weight: Array,
    *,
    axis: Axis = -1,
    eps: float = 1e-6,
    stats: Any,
    out: Array | None = None,
) -> Any:
    """Gradient of `add_rms_norm`, by that of `rms_norm`."""
    total, found = stats
    return rms_norm_backward(dy, total, weight, axis=axis, eps=eps, stats=found, out=out)
