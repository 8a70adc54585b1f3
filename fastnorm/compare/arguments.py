# SPDX-License-Identifier: BSD-3-Clause
"""Which arrays every operation takes beside x, of what shape, and how they are drawn.

The one list from which `fastnorm compare`, the benchmarks and the tests of the families build their
calls. The drawn values are those of a network in the middle of training: weights from N(1, 0.1),
biases and running means from N(0, 0.1), running variances from [0.5, 1.5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from numpy.typing import NDArray

from fastnorm import SingleProcess
from fastnorm.compare.case import Case

Array = NDArray[Any]
Shape = tuple[int, ...]
Generator = np.random.Generator


def normal(rng: Generator, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Standard-normal values."""
    if dtype == np.float64:
        return rng.standard_normal(shape)
    return rng.standard_normal(shape, dtype=np.float32).astype(dtype, copy=False)


def scale(rng: Generator, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Factors around 1."""
    return np.asarray(1 + 0.1 * normal(rng, shape, dtype))  # arithmetic on 0-d arrays gives scalars


def shift(rng: Generator, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Summands around 0."""
    return 0.1 * normal(rng, shape, dtype)


def spread(rng: Generator, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Variances around 1."""
    return 0.5 + rng.random(shape).astype(dtype)


def near_identity(rng: Generator, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Matrices not far from the identity."""
    return np.eye(shape[-1], dtype=dtype) + 0.1 * normal(rng, shape, dtype)


def alone(rng: Generator, shape: Shape, dtype: np.dtype[Any]) -> SingleProcess:
    """A communicator of one process."""
    return SingleProcess()


def affine(case: Case) -> Shape | None:
    """What the case says; None: no parameters."""
    return case.affine


def no_axes(case: Case) -> Shape:
    """The argument is one object."""
    return ()


def like_x(case: Case) -> Shape:
    """The shape of x."""
    return case.shape


def along_axes(case: Case) -> Shape:
    """The lengths of the axes that are normalized."""
    axes = normalize_axis_tuple(case.options.get("axis", -1), len(case.shape), argname="axis")
    return tuple(case.shape[axis] for axis in sorted(axes))


def channels(case: Case) -> Shape:
    """The number of channels."""
    axis = normalize_axis_index(
        case.options.get("channel_axis", 1), len(case.shape), "channel_axis"
    )
    return (case.shape[axis],)


def samples(case: Case) -> Shape:
    """The number of samples."""
    return case.shape[:1]


CLASSES = 10


def class_tables(case: Case) -> Shape:
    """A row for each class, a column for each channel."""
    return (CLASSES, *channels(case))


def classes(rng: Generator, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Labels of samples."""
    return rng.integers(0, CLASSES, shape)


def style_image(case: Case) -> Shape:
    """Half as large as the content, with its samples and channels."""
    kept = (0, case.options.get("channel_axis", 1) % len(case.shape))
    return tuple(n if axis in kept else max(2, n // 2) for axis, n in enumerate(case.shape))


def single(case: Case) -> Shape:
    """One value for all of x."""
    return (1,)


def channel_matrices(case: Case) -> Shape:
    """A matrix for every group of channels."""
    groups = case.options.get("groups", 1)
    return (groups, channels(case)[0] // groups, channels(case)[0] // groups)


def last_channels(case: Case) -> Shape:
    """The number of channels, which are last unless the case says otherwise."""
    return (case.shape[case.options.get("channel_axis", -1)],)


def outputs(case: Case) -> Shape:
    """The number of rows of a weight."""
    axis = normalize_axis_index(
        case.options.get("channel_axis", 0), len(case.shape), "channel_axis"
    )
    return (case.shape[axis],)


def along_outputs(case: Case) -> Shape:
    """One value per row of a weight, with as many axes as the weight; () if all is one row."""
    axis = case.options.get("channel_axis", 0)
    if axis is None:
        return ()
    (count,) = outputs(case)
    return tuple(count if i == axis % len(case.shape) else 1 for i in range(len(case.shape)))


def other_axes(case: Case) -> Shape:
    """The lengths of the axes that statistics over `axis` are left with."""
    ndim, axis = len(case.shape), case.options.get("axis")
    axes = normalize_axis_tuple(range(ndim) if axis is None else axis, ndim, argname="axis")
    return tuple(n for axis, n in enumerate(case.shape) if axis not in axes)


def given_or_last(case: Case) -> Shape:
    """The number of channels, or where no axis is said to be theirs the length of the last."""
    return channels(case) if "channel_axis" in case.options else case.shape[-1:]


@dataclass(frozen=True)
class Argument:
    """An argument of a function beside x and the case's options.

    Attributes
    ----------
    name : str
        As in the signature.
    shape : callable
        Its shape for a case; None for an argument that the case leaves out.
    draw : callable
        ``draw(rng, shape, dtype)``: its values, in the compute type.
    differentiable : bool
        Whether the gradient has a field of that name.
    updated : bool
        Whether a call may write to it, as training does to running statistics.
    of_x : bool
        Whether it is of x's type, not of the compute type.
    """

    name: str
    shape: Callable[[Case], Shape | None]
    draw: Callable[[Generator, Shape, np.dtype[Any]], Any]
    differentiable: bool = True
    updated: bool = False
    of_x: bool = False


def running(
    name: str,
    draw: Callable[[Generator, Shape, np.dtype[Any]], Array],
    shape: Callable[[Case], Shape | None] = channels,
) -> Argument:
    """A running statistic of every channel."""
    return Argument(name, shape, draw, differentiable=False, updated=True)


def tracked_channels(case: Case) -> Shape | None:
    """The number of channels, where the case says whether it is one of training."""
    return channels(case) if "training" in case.options else None


_CHANNELS = (Argument("weight", channels, scale), Argument("bias", channels, shift))
_RUNNING = (running("running_mean", shift), running("running_var", spread))

# In the order of the signature. An operation that is not here takes x alone.
ARGUMENTS: dict[str, tuple[Argument, ...]] = {
    "standardize": (Argument("weight", affine, scale), Argument("bias", affine, shift)),
    "layer_norm": (Argument("weight", along_axes, scale), Argument("bias", along_axes, shift)),
    "rms_norm": (Argument("weight", along_axes, scale),),
    "add_layer_norm": (
        Argument("residual", like_x, normal, of_x=True),
        Argument("weight", along_axes, scale),
        Argument("bias", along_axes, shift),
    ),
    "add_rms_norm": (
        Argument("residual", like_x, normal, of_x=True),
        Argument("weight", along_axes, scale),
    ),
    "batch_norm": (*_CHANNELS, *_RUNNING),
    "denormalize": (
        Argument("mean", other_axes, shift),
        Argument("var", other_axes, spread),
        Argument("weight", given_or_last, scale),
        Argument("bias", given_or_last, shift),
    ),
    "instance_norm": (
        *_CHANNELS,
        running("running_mean", shift, tracked_channels),
        running("running_var", spread, tracked_channels),
    ),
    "group_norm": _CHANNELS,
    "adaptive_instance_norm": (Argument("style", style_image, normal, of_x=True),),
    "batch_renorm": (*_CHANNELS, running("running_mean", shift), running("running_std", spread)),
    "conditional_instance_norm": (
        Argument("labels", samples, classes, differentiable=False),
        Argument("weight", class_tables, scale),
        Argument("bias", class_tables, shift),
    ),
    "variance_norm": (*_CHANNELS, running("running_var", spread)),
    "filter_response_norm": (
        *_CHANNELS,
        Argument("threshold", channels, shift),
        Argument("learned_eps", single, shift),
    ),
    "evonorm_b0": (
        *_CHANNELS,
        Argument("v", channels, scale),
        running("running_var", spread),
    ),
    "evonorm_s0": (*_CHANNELS, Argument("v", channels, scale)),
    "whiten": (
        running("running_mean", shift),
        Argument("running_whitening", channel_matrices, near_identity, False, True),
    ),
    "sync_batch_norm": (
        *_CHANNELS,
        *_RUNNING,
        Argument("comm", no_axes, alone, differentiable=False),
    ),
    "dynamic_tanh": (
        Argument("alpha", single, scale),
        Argument("weight", last_channels, scale),
        Argument("bias", last_channels, shift),
    ),
    "global_response_norm": _CHANNELS,
    "weight_norm": (Argument("g", along_outputs, scale),),
    "spectral_norm": (Argument("u", outputs, normal, differentiable=False, updated=True),),
    "scaled_weight_standardization": (Argument("gain", along_outputs, scale),),
}


def draw_arguments(
    case: Case, rng: Generator, dtype: np.dtype[Any], x_dtype: np.dtype[Any] | None = None
) -> dict[str, Any]:
    """Return the arguments of `case` beside x under their names, drawn in the type `dtype`.

    x_dtype: the type of x, which some of them share; `dtype` by default.
    """
    drawn = {}
    for argument in ARGUMENTS.get(case.op, ()):
        shape = argument.shape(case)
        if shape is not None:
            kind = x_dtype if argument.of_x and x_dtype is not None else dtype
            drawn[argument.name] = argument.draw(rng, shape, kind)
    return drawn
