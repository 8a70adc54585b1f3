# SPDX-License-Identifier: BSD-3-Clause
"""How an array falls into statistics groups: axes in, shapes out, no data touched.

Every normalizer here is one computation over another choice of axes; this module makes that choice
for each family, and holds the checks of `axis`, `channel_axis` and `num_groups`. The answer depends
on the arguments and the shape alone, so it is computed once for each and then looked up; what the
compiled entry looks up itself, it asks of the functions here through a `Recent`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnorm._args import divisor, refuse_channels, refuse_trailing
from fastnorm._core import Groups, Recent
from fastnorm._numbers import integer, positive

if TYPE_CHECKING:
    from fastnorm._types import Axis, Shape


def over_axes(axis: Any, shape: Shape) -> Groups:
    """Groups that extend along `axis`: an int, a tuple of ints, or None for all axes.

    Parameters have the shape of these axes.
    """
    if type(axis) is not int:
        axis = _axis_argument(axis)
    return _over_axes(axis, shape)


def over_batch(channel_axis: Any, shape: Shape) -> Groups:
    """Groups that extend along all axes but that of the channels."""
    return _over_batch(_channel_argument(channel_axis), shape)


def over_instances(channel_axis: Any, shape: Shape, name: str = "x") -> Groups:
    """Groups that extend along all axes but axis 0 and that of the channels.

    The argument whose shape it is has the name `name`.
    """
    return _over_instances(_channel_argument(channel_axis), shape, name)


def instance_channel(channel_axis: Any, shape: Shape) -> int:
    """Return the axis of the channels, counted from the front, of an x that has instances."""
    return _index_instance_channels(_channel_argument(channel_axis), shape, "x")


def over_planes(channel_axis: Any, shape: Shape) -> Groups:
    """`over_instances`, for a normalizer that has a meaning where a plane is a single value."""
    return _over_planes(_channel_argument(channel_axis), shape, "x", 3)


def over_samples(channel_axis: Any, shape: Shape) -> Groups:
    """`over_planes`, where x need not have planes: each channel of each sample, were it a value."""
    return _over_planes(_channel_argument(channel_axis), shape, "x", 2)


def channel_index(channel_axis: Any, shape: Shape) -> int:
    """The axis of the channels, counted from the front, of an x that need not have groups."""
    return _index_channels(_channel_argument(channel_axis), shape, 2)


def over_channel_groups(num_groups: Any, channel_axis: Any, shape: Shape) -> Groups:
    """Groups of neighbouring channels of one instance; x is seen with its channels split."""
    if type(num_groups) is not int or num_groups < 1:
        num_groups = positive(num_groups, "num_groups")
    return _over_channel_groups(num_groups, _channel_argument(channel_axis), shape)


def over_rows(channel_axis: Any, shape: Shape) -> Groups:
    """Groups of the weights that lead to one output: all axes but that of the outputs."""
    return _over_rows(_channel_argument(channel_axis), shape)


def over_layer_axes(axis: Axis, expected: Shape, shape: Shape) -> Groups:
    """`over_axes` for a layer that was made for trailing axes of the lengths `expected`."""
    refuse_trailing(shape, expected)
    return over_axes(axis, shape)


def over_layer_batch(channel_axis: int, expected: int, shape: Shape) -> Groups:
    """`over_batch` for a layer that was made for `expected` channels."""
    refuse_channels(shape, channel_axis, expected, "num_features")
    return over_batch(channel_axis, shape)


def over_layer_instances(channel_axis: int, expected: int, shape: Shape) -> Groups:
    """`over_instances` for a layer that was made for `expected` channels."""
    refuse_channels(shape, channel_axis, expected, "num_features")
    return over_instances(channel_axis, shape)


def over_layer_channel_groups(
    num_groups: int, channel_axis: int, expected: int, shape: Shape
) -> Groups:
    """`over_channel_groups` for a layer that was made for `expected` channels."""
    refuse_channels(shape, channel_axis, expected, "num_channels")
    return over_channel_groups(num_groups, channel_axis, shape)


AXES = Recent(over_axes, 1)
BATCH = Recent(over_batch, 1)
INSTANCES = Recent(over_instances, 1)
CHANNEL_GROUPS = Recent(over_channel_groups, 2)
LAYER_AXES = Recent(over_layer_axes, 2)
LAYER_BATCH = Recent(over_layer_batch, 2)
LAYER_INSTANCES = Recent(over_layer_instances, 2)
LAYER_CHANNEL_GROUPS = Recent(over_layer_channel_groups, 3)


def refuse_single_values(groups: Groups, shape: Shape, name: str = "x") -> None:
    """Raise where each group of an x of `shape` holds one value, whose variance says nothing."""
    if groups.size == 1 and 0 not in shape:
        raise ValueError(
            f"{name} of shape {shape} has a single value in each statistics group, at least two "
            f"are needed"
        )


def _axis_argument(axis: Any) -> Axis:
    """Return `axis` in exact ints, which are safe keys of a cache: 1 and True are equal."""
    if type(axis) is tuple:
        for value in axis:
            if type(value) is not int:
                return tuple(integer(entry, "an entry of axis") for entry in axis)
        return axis
    if isinstance(axis, list):
        raise TypeError(f"axis must be an integer or a tuple of integers, got {axis!r}")
    return None if axis is None else integer(axis, "axis")


def _channel_argument(channel_axis: Any) -> int:
    return channel_axis if type(channel_axis) is int else integer(channel_axis, "channel_axis")


def _index_axis(axis: int, shape: Shape, word: str, name: str = "x") -> int:
    """Return `axis`, the argument `word`, counted from the front."""
    if not -len(shape) <= axis < len(shape):
        raise np.exceptions.AxisError(f"{word}={axis} is out of range for {name} of shape {shape}")
    return axis % len(shape)


def _index_channels(channel_axis: int, shape: Shape, least: int, name: str = "x") -> int:
    """Return the axis of the channels, counted from the front, of an x of at least `least` axes."""
    if len(shape) < least:
        raise ValueError(f"{name} has shape {shape}, at least {least} axes are needed")
    return _index_axis(channel_axis, shape, "channel_axis", name)


def _index_instance_channels(channel_axis: int, shape: Shape, name: str, least: int = 3) -> int:
    """`_index_channels` for an x whose axis 0 numbers samples, and which has space."""
    channel = _index_channels(channel_axis, shape, least, name)
    _refuse_batch_axis(channel, channel_axis, name)
    return channel


@lru_cache(maxsize=512)
def _over_axes(axis: Axis, shape: Shape) -> Groups:
    if axis is None:
        axis = tuple(range(len(shape)))
    listed = axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(sorted(_index_axis(value, shape, "axis") for value in listed))
    if len(set(axes)) < len(axes):
        raise ValueError(f"axis={axis} names an axis of x twice; x has shape {shape}")
    return Groups(shape, axes, axes, f"the shape of axis {axis} of x")


@lru_cache(maxsize=512)
def _over_batch(channel_axis: int, shape: Shape) -> Groups:
    channel = _index_channels(channel_axis, shape, 2)
    axes = tuple(axis for axis in range(len(shape)) if axis != channel)
    return Groups(shape, axes, (channel,), f"the channels of x, axis {channel_axis}")


@lru_cache(maxsize=512)
def over_whole(shape: Shape) -> Groups:
    """One group, and parameters without axes."""
    return Groups(shape, tuple(range(len(shape))), (), "a scalar: there is one group")


@lru_cache(maxsize=512)
def _over_rows(channel_axis: int, shape: Shape) -> Groups:
    output = _index_axis(channel_axis, shape, "channel_axis", "a weight")
    axes = tuple(axis for axis in range(len(shape)) if axis != output)
    return Groups(shape, axes, (output,), f"the outputs of the weight, axis {channel_axis}")


@lru_cache(maxsize=512)
def _over_instances(channel_axis: int, shape: Shape, name: str) -> Groups:
    groups = _over_planes(channel_axis, shape, name, 3)
    refuse_single_values(groups, shape, name)
    return groups


@lru_cache(maxsize=512)
def _over_planes(channel_axis: int, shape: Shape, name: str, least: int) -> Groups:
    channel = _index_instance_channels(channel_axis, shape, name, least)
    axes = tuple(axis for axis in range(1, len(shape)) if axis != channel)
    return Groups(shape, axes, (channel,), f"the channels of {name}, axis {channel_axis}")


@lru_cache(maxsize=512)
def _over_channel_groups(num_groups: int, channel_axis: int, shape: Shape) -> Groups:
    channel = _index_channels(channel_axis, shape, 2)
    _refuse_batch_axis(channel, channel_axis)
    channels = shape[channel]
    divisor(num_groups, channels)
    split = (*shape[:channel], num_groups, channels // num_groups, *shape[channel + 1 :])
    axes = tuple(axis for axis in range(1, len(split)) if axis != channel)
    where = f"the channels of x, axis {channel_axis}"
    groups = Groups(split, axes, (channel, channel + 1), where, channel)
    refuse_single_values(groups, shape)
    return groups


def _refuse_batch_axis(channel: int, channel_axis: int, name: str = "x") -> None:
    if channel == 0:
        raise ValueError(
            f"channel_axis={channel_axis} is axis 0 of {name}, which is that of the batch"
        )
