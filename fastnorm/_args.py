# SPDX-License-Identifier: BSD-3-Clause
"""Arguments: the checks, conversions, allocations and error texts of the public functions.

A function of the API first offers its arguments to the compiled core as they are, which carries out
the usual call by itself (src/drivers/usual.pyx). For any other it reads its arrays here, asks how
they fall into statistics groups, allocates, and makes one call of the core, which checks nothing.
What the core relies on is decided here: arrays in native byte order, of one of the four float
types; parameters in the type the core computes in and with as many axes as the core sees in x;
statistics in C-contiguous float64; an output that overlaps no input but the one it replaces.
Everything here raises before anything of the caller's is written.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnorm._numbers import integer, positive

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._core import Groups
    from fastnorm._types import Array, Shape

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)

# The type in which the core takes the parameters, for each type of x. bfloat16 belongs to the
# package ml_dtypes, which whoever owns such an array has imported; it is entered when first seen.
COMPUTE_TYPE: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.float16): FLOAT32,
    FLOAT32: FLOAT32,
    FLOAT64: FLOAT64,
}

# How many steps NumPy takes to tell two interleaved arrays apart before they count as overlapping.
# Slices that alternate within one buffer take a few.
EFFORT = 1000


# ---- arrays -------------------------------------------------------------------------------------


def array(value: Any, name: str) -> Array:
    """Return `value` as an ndarray of one of the four float types, in native byte order.

    Nothing is copied, except to change the byte order.
    """
    if type(value) is np.ndarray and value.dtype in COMPUTE_TYPE:
        return value
    values = plain(value, name)
    dtype = values.dtype if values.dtype.isnative else values.dtype.newbyteorder("=")
    if dtype not in COMPUTE_TYPE:
        if dtype.name != "bfloat16":
            raise TypeError(
                f"{name} has dtype {values.dtype}, expected float16, bfloat16, float32 or float64"
            )
        COMPUTE_TYPE[dtype] = FLOAT32
    return values.astype(dtype, copy=False)


def plain(value: Any, name: str) -> Array:
    """Return `value` as a plain ndarray of any type: the one place that reads foreign objects."""
    if isinstance(value, np.ndarray):
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array, whose mask would be ignored; fill it first")
        return np.asarray(value)
    refusal: Exception | None = None
    if hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            refusal = error  # NumPy's DLPack knows no bfloat16, where __array__ may do better
    if not (hasattr(value, "__array__") or hasattr(value, "__array_interface__")):
        try:
            value = memoryview(value)
        except TypeError:
            raise TypeError(
                f"{name} must be an array (of NumPy, or an object with DLPack, __array__ or a "
                f"buffer), got {type(value).__name__}"
            ) from refusal
    try:
        return np.asarray(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(f"{name} ({type(value).__name__}) has no NumPy view: {error}") from error


def float_dtype(value: DTypeLike) -> np.dtype[Any]:
    """Return the dtype of a layer's parameters; "bfloat16" names that of ml_dtypes."""
    if isinstance(value, str) and value == "bfloat16":
        import ml_dtypes  # only here may its name come before its import

        value = ml_dtypes.bfloat16
    dtype = np.dtype(value)
    if dtype.name not in ("float16", "bfloat16", "float32", "float64") or not dtype.isnative:
        raise TypeError(f"dtype is {dtype}, expected float16, bfloat16, float32 or float64")
    return dtype


def gradient(dy: Any, x: Array, name: str = "x") -> Array:
    """Return the gradient with respect to y, which is like x; `name` is what the caller calls x."""
    values = array(dy, "dy")
    if values.shape != x.shape:
        raise ValueError(f"dy has shape {values.shape}, expected {x.shape} = the shape of {name}")
    if values.dtype != x.dtype:
        raise TypeError(f"dy has dtype {values.dtype}, expected {x.dtype} = the dtype of {name}")
    return values


# ---- parameters ---------------------------------------------------------------------------------


def parameter(value: Any, name: str, groups: Groups, x: Array, out: Array | None) -> Array | None:
    """Return a parameter of the family's own shape as the core takes it."""
    if value is None:
        return None
    return _for_core(parameter_values(value, name, groups), groups.view, x, out)


def parameter_values(value: Any, name: str, groups: Groups) -> Array:
    """Return an array that has the shape of the family's parameters."""
    values = array(value, name)
    if values.shape != groups.shape:
        raise ValueError(
            f"{name} has shape {values.shape}, expected {groups.shape} = {groups.where}"
        )
    return values


def broadcast_parameter(value: Any, name: str, x: Array, out: Array | None) -> Array | None:
    """Return a parameter that broadcasts against x as the core takes it."""
    if value is None:
        return None
    values = array(value, name)
    return _for_core(values, view_against(values.shape, name, x.shape), x, out)


@lru_cache(maxsize=512)
def view_against(shape: Shape, name: str, target: Shape) -> Shape:
    """Return `shape` with as many axes as that of x, `target`, which it must broadcast to."""
    view = (1,) * (len(target) - len(shape)) + shape
    if len(view) > len(target) or any(n not in (1, m) for n, m in zip(view, target, strict=True)):
        raise ValueError(
            f"{name} has shape {shape}, which does not broadcast to {target} = the shape of x"
        )
    return view


def _for_core(values: Array, view: Shape, x: Array, out: Array | None) -> Array:
    compute_type = COMPUTE_TYPE[x.dtype]
    if values.dtype != compute_type or not values.flags.aligned:
        values = values.astype(compute_type)
    elif out is not None and np.may_share_memory(out, values):
        values = values.copy()
    return values.reshape(view)


def gradient_sum(parameter: Array | None, shape: Shape) -> Array | None:
    """Return zeros in which the core sums the gradient of a parameter, None for none."""
    return None if parameter is None else np.zeros(shape)


def parameter_gradient(total: Array | None, like: Any, name: str) -> Array | None:
    """Return the float64 gradient `total` in the shape and, rounded once, the dtype of `like`."""
    if total is None:
        return None
    like = array(like, name)
    total = total.reshape(like.shape)
    if like.dtype.itemsize > 2:
        return total.astype(like.dtype, copy=False)
    with np.errstate(over="ignore"):  # beyond float16 it is inf, as an element of dx would be
        return total.astype(like.dtype)


# ---- statistics ---------------------------------------------------------------------------------


def given_moments(stats: Any, groups: Groups, size: Any, out: Array | None) -> tuple[Array, Array]:
    """Return mean and variance of `stats` as the core takes them; `size`: their count, None any."""
    try:
        mean, var, count = stats
    except (TypeError, ValueError):
        raise TypeError(
            f"stats must be what return_stats=True gave, (mean, var, count), got {stats!r}"
        ) from None
    check_count(count, size)
    return (
        given_statistic(mean, "stats.mean", groups, out),
        given_statistic(var, "stats.var", groups, out),
    )


def given_mean_square(
    stats: Any, groups: Groups, out: Array | None, name: str = "mean_square"
) -> Array:
    """Return the mean square of `stats` as the core takes it, or what takes its place: `name`."""
    try:
        statistic, count = stats
    except (TypeError, ValueError):
        raise TypeError(
            f"stats must be what return_stats=True gave, ({name}, count), got {stats!r}"
        ) from None
    check_count(count, groups.size)
    return given_statistic(statistic, f"stats.{name}", groups, out)


def check_count(count: Any, size: int | None) -> None:
    """Raise where statistics are not of `size` values; None for any number."""
    if integer(count, "stats.count") != size and size is not None:
        raise ValueError(f"stats.count is {count}, expected {size}: they are of another x or mode")


def given_statistic(value: Any, name: str, groups: Groups, out: Array | None) -> Array:
    """Return a statistic that was handed on, of which there is one for each group."""
    values = array(value, name)
    if values.shape not in (groups.free, groups.kept):
        raise ValueError(
            f"{name} has shape {values.shape}, expected {groups.free} = the axes of x that are not "
            f"reduced"
        )
    if values.dtype != FLOAT64 or not values.flags.carray:
        values = values.astype(np.float64, order="C")
    elif out is not None and np.may_share_memory(out, values):
        values = values.copy()
    return values


def new_statistic(groups: Groups) -> Array:
    """Return an array for a statistic of every group: the core fills it, if there is a value."""
    return np.empty(groups.free) if groups.size else np.full(groups.free, np.nan)


# ---- outputs ------------------------------------------------------------------------------------


def output(
    out: Any, x: Array, other: Array | None = None, name: str = "out", of: str = "x"
) -> Array:
    """Return the array that the core writes: new, or the memory of `out` where that is safe.

    `out` may be an input as it is. Where it overlaps one in any other way the answer is a temporary
    array, and `deliver` copies it.
    """
    if out is None:
        return np.empty_like(x)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(out).__name__}")
    if out.shape != x.shape:
        raise ValueError(f"{name} has shape {out.shape}, expected {x.shape} = the shape of {of}")
    if out.dtype != x.dtype:
        raise TypeError(f"{name} has dtype {out.dtype}, expected {x.dtype} = the dtype of {of}")
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only")
    target = plain(out, name)
    for source in (x,) if other is None else (x, other):
        if _overlaps_partly(target, source):
            return np.empty_like(x)
    return target


def deliver(y: Array, out: Array | None) -> Array:
    """Return the result to the caller: `y`, or `out`, filled now if `y` is a temporary."""
    if out is None:
        return y
    if not np.may_share_memory(y, out):
        out[...] = y
    return out


def _overlaps_partly(target: Array, source: Array) -> bool:
    """Whether two arrays of one shape and dtype share memory without being the same elements."""
    if target is source:
        return False
    if not np.may_share_memory(target, source, max_work=EFFORT):  # type: ignore[arg-type]
        return False  # any number of steps may be asked for, whatever NumPy's stubs say
    start, source_start = (a.__array_interface__["data"][0] for a in (target, source))
    return target.strides != source.strides or bool(start != source_start)


# ---- layers -------------------------------------------------------------------------------------


def channels(x: Any, channel_axis: int, expected: int, name: str) -> Array:
    """Return the input of a layer that was made for `expected` channels."""
    values = array(x, "x")
    refuse_channels(values.shape, channel_axis, expected, name)
    return values


def refuse_channels(shape: Shape, channel_axis: int, expected: int, name: str) -> None:
    """Raise where an x of `shape` has not the channels that a layer was made for."""
    if not -len(shape) <= channel_axis < len(shape) or shape[channel_axis] != expected:
        raise ValueError(
            f"x has shape {shape}, expected {name}={expected} along axis {channel_axis}"
        )


def divisor(value: Any, channels: int, name: str = "num_groups") -> int:
    """Return the number of groups that neighbouring channels are put into."""
    number = positive(value, name)
    if channels % number:
        raise ValueError(f"{name}={number} does not divide the {channels} channels of x")
    return number


def trailing_shape(value: Any) -> Shape:
    """Return the lengths of the trailing axes that a layer is made for."""
    if not isinstance(value, tuple | list):
        return (positive(value, "normalized_shape"),)
    if not value:
        raise ValueError("normalized_shape must name at least one axis, got an empty one")
    return tuple(positive(n, "normalized_shape") for n in value)


def trailing(x: Any, expected: Shape) -> Array:
    """Return the input of a layer that was made for the trailing axes `expected`."""
    values = array(x, "x")
    refuse_trailing(values.shape, expected)
    return values


def refuse_trailing(shape: Shape, expected: Shape) -> None:
    """Raise where an x of `shape` has not the trailing axes that a layer was made for."""
    if shape[-len(expected) :] != expected:
        raise ValueError(f"x has shape {shape}, expected {expected} = normalized_shape last")


def state_entry(value: Any, name: str, target: Array) -> Array:
    """Return an entry of a state dict that may be assigned to `target`, a layer's array."""
    values = plain(value, name) if target.dtype.kind == "i" else array(value, name)
    if values.shape != target.shape:
        raise ValueError(f"{name} has shape {values.shape}, expected {target.shape}")
    if target.dtype.kind == "i" and values.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {values.dtype}, expected an integer type")
    if not target.flags.writeable:
        raise ValueError(f"{name} of the layer is read-only")
    return values
