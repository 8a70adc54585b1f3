# SPDX-License-Identifier: BSD-3-Clause
"""What the formulas of this package share: types, broadcast parameters, sums for gradients."""

from __future__ import annotations

from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Axis = int | tuple[int, ...]
Stats = tuple[Array, Array]


class Gradients(NamedTuple):
    """Gradients of the array arguments; None for a missing one."""

    x: Array
    weight: Array | None
    bias: Array | None


def widen(x: Array) -> Array:
    """`x` in the type to compute in: itself, or a float32 copy of a 16-bit array."""
    return x if x.dtype.itemsize >= 4 else x.astype(np.float32)


def buffer(out: Array | None, values: Array) -> Array | None:
    """`out` where intermediate values may be kept in it, that is where it has their type."""
    return out if out is not None and out.dtype == values.dtype else None


def finish(
    y: Array, weight: Array | None, bias: Array | None, x: Array, out: Array | None
) -> Array:
    """y * weight + bias, computed in place, in x's type."""
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return deliver(y, x, out)


def deliver(result: Array, x: Array, out: Array | None) -> Array:
    """`result` in x's type, or in `out` if given and not there yet."""
    if out is None:
        return result.astype(x.dtype, copy=False)
    if out is not result:
        out[...] = result
    return out


def others(x: Array, *kept: int) -> tuple[int, ...]:
    """All axes but `kept`."""
    return tuple(axis for axis in range(x.ndim) if axis not in {k % x.ndim for k in kept})


@overload
def along(parameter: Array, x: Array, axis: Axis) -> Array: ...
@overload
def along(parameter: Array | None, x: Array, axis: Axis) -> Array | None: ...
def along(parameter: Array | None, x: Array, axis: Axis) -> Array | None:
    """`parameter`, whose values run along `axis` of x, with ones on the other axes."""
    if parameter is None:
        return None
    axes = {a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    return parameter.reshape([n if a in axes else 1 for a, n in enumerate(x.shape)])


def split(x: Array, num_groups: int, channel_axis: int) -> tuple[Array, tuple[int, int]]:
    """View of `x` with its channels as (groups, channels per group), and these two axes."""
    axis = channel_axis % x.ndim
    shape = (*x.shape[:axis], num_groups, x.shape[axis] // num_groups, *x.shape[axis + 1 :])
    return x.reshape(shape), (axis, axis + 1)


def sum_to(values: Array, parameter: Array | None) -> Array | None:
    """`values` summed over the axes that `parameter` is broadcast along."""
    if parameter is None:
        return None
    shape = (1,) * (values.ndim - parameter.ndim) + parameter.shape
    axes = tuple(axis for axis, n in enumerate(shape) if n == 1)
    total: Array = values.sum(axis=axes)
    return total.reshape(parameter.shape)


def shape_as(gradients: Gradients, weight: Array | None, bias: Array | None) -> Gradients:
    """Parameter gradients in the shapes of the caller's parameters."""

    def shape_as(gradient: Array | None, parameter: Array | None) -> Array | None:
        if gradient is None or parameter is None:
            return None
        return gradient.reshape(parameter.shape)

    return Gradients(
        gradients.x, shape_as(gradients.weight, weight), shape_as(gradients.bias, bias)
    )
