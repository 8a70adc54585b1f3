# SPDX-License-Identifier: BSD-3-Clause
"""Layer norm of a sum, which is kept for the gradient with the statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnorm.compare.numpy_twin.shared import Array, Axis
from fastnorm.compare.numpy_twin.standard import layer_norm, layer_norm_backward


def add_layer_norm(
    x: Array,
    residual: Array,
    weight: Array,
    bias: Array,
    *,
    axis: Axis = -1,
    eps: float = 1e-5,
    out: Array | None = None,
    residual_out: Array | None = None,
) -> tuple[Array, Any]:
    """`layer_norm` of x + residual."""
    total = np.add(x, residual, out=residual_out)
    y, stats = layer_norm(total, weight, bias, axis=axis, eps=eps, out=out)
    return y, (total, stats)


def add_layer_norm_backward(
    dy: Array,
    x: Array,
    residual: Array,
    weight: Array,
    bias: Array,
    *,
    axis: Axis = -1,
    eps: float = 1e-5,
    stats: Any,
    out: Array | None = None,
) -> Any:
    """Gradient of `add_layer_norm`, by that of `layer_norm`."""
    total, found = stats
    return layer_norm_backward(dy, total, weight, bias, axis=axis, eps=eps, stats=found, out=out)
