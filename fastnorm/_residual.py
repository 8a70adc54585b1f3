# SPDX-License-Identifier: BSD-3-Clause
"""What the normalizations of x + residual share: their two outputs, and the sum made again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnorm import _core
from fastnorm._args import array, output

if TYPE_CHECKING:
    from fastnorm._core import Groups
    from fastnorm._types import Array


def terms(x: Any, residual: Any) -> tuple[Array, Array]:
    """Return x and the residual, which is like it."""
    x = array(x, "x")
    other = array(residual, "residual")
    if other.shape != x.shape:
        raise ValueError(f"residual has shape {other.shape}, expected {x.shape} = the shape of x")
    if other.dtype != x.dtype:
        raise TypeError(f"residual has dtype {other.dtype}, expected {x.dtype} = the dtype of x")
    return x, other


def outputs(out: Any, residual_out: Any, x: Array, residual: Array) -> tuple[Array, Array]:
    """Return the arrays for y and for the sum: new, or those given where that is safe."""
    y = output(out, x, residual)
    total = output(residual_out, x, residual, "residual_out")
    if out is not None and residual_out is not None and np.may_share_memory(out, residual_out):
        raise ValueError("out and residual_out share memory")
    return y, total


def apart(parameter: Array | None, total: Array) -> Array | None:
    """Return a parameter as it is, or a copy if the sum would be written over it."""
    if parameter is not None and np.may_share_memory(parameter, total):
        return parameter.copy()
    return parameter


def sum_for_gradient(
    x: Array,
    residual: Array,
    out: Any,
    dy: Array,
    groups: Groups,
    mean: Any,
    var: Array,
    flags: int,
) -> Array:
    """Return x + residual where the gradient with respect to it will be, with its statistics."""
    total = output(out, x, residual)
    if out is not None and np.may_share_memory(total, dy):  # which is read after the sum is made
        total = np.empty_like(x)
    _core.forward(total, None, groups, None, None, mean, var, 0.0, flags, x, residual)
    return total


def upstream_of(dresidual: Any, x: Array) -> Array | None:
    """Return the gradient with respect to the sum as an output of its own, which is like x."""
    if dresidual is None:
        return None
    upstream = array(dresidual, "dresidual")
    if upstream.shape != x.shape:
        raise ValueError(f"dresidual has shape {upstream.shape}, expected {x.shape} = that of x")
    if upstream.dtype != x.dtype:
        raise TypeError(f"dresidual has dtype {upstream.dtype}, expected {x.dtype} = that of x")
    return upstream


def add_upstream(dx: Array, upstream: Array | None) -> None:
    """Add it to the gradient that came by way of y."""
    if upstream is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            np.add(dx, upstream, out=dx)
