# SPDX-License-Identifier: BSD-3-Clause
"""What the normalizations of x + residual share: their two outputs, and the sum made again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnorm import _core
from fastnorm._activation import gradient_output
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


def terms_or_sum(x: Any, residual: Any) -> tuple[Array, Array | None]:
    """Return both terms, or the sum and None."""
    return (array(x, "x"), None) if residual is None else terms(x, residual)


def onward_of(dresidual: Any, x: Array, out: Any, *, late: bool) -> Array | None:
    """Return the gradient that comes to the sum by another way, which is like x.

    late: it is read after something else was written into `out`.
    """
    if dresidual is None:
        return None
    onward = array(dresidual, "dresidual")
    if onward.shape != x.shape:
        raise ValueError(f"dresidual has shape {onward.shape}, expected {x.shape} = that of x")
    if onward.dtype != x.dtype:
        raise TypeError(f"dresidual has dtype {onward.dtype}, expected {x.dtype} = that of x")
    if isinstance(out, np.ndarray) and np.may_share_memory(onward, out):
        same = onward.__array_interface__ == out.__array_interface__  # place, shape and strides
        return onward.copy() if late or not same else onward
    return onward


def sum_for_gradient(
    x: Array,
    residual: Array | None,
    out: Any,
    dy: Array,
    groups: Groups,
    statistics: tuple[Array | None, Array],
    flags: int,
    *,
    known: bool,
) -> tuple[Array, Array]:
    """Return the sum, whose statistics are written unless known, and the array for its gradient."""
    raw = flags & _core.RAW
    if residual is None:
        if not known:
            _core.forward(x, None, groups, None, None, *statistics, 0.0, raw)
        return x, gradient_output(out, x, dy, flags)
    total = output(out, x, residual)
    if out is not None and np.may_share_memory(total, dy):  # which is read after the sum is made
        total = np.empty_like(x)
    _core.forward(total, None, groups, None, None, *statistics, 0.0, raw, x, residual)
    return total, np.empty_like(total) if flags >= _core.ACTIVATED else total
