# SPDX-License-Identifier: BSD-3-Clause
"""What property tests draw: cases of every normalizer, and memory layouts for their arrays."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from cases import OPS, Case
from layouts import Layout
from sizes import IN_FLIGHT, LANES

# Lengths of an axis: mostly short, since there are up to five; a vector's boundaries among them.
LENGTHS = st.one_of(
    st.integers(1, 5), st.sampled_from([LANES - 1, LANES, LANES + 1, IN_FLIGHT + 1]), st.just(1)
)


@st.composite
def shapes(
    draw, min_dims: int = 1, max_dims: int = 5, max_size: int = 5000, empty=True, large=False
):
    """Shapes of `min_dims` to `max_dims` axes; sometimes one axis is long, sometimes one is 0.

    large: lengthen an axis until the size is near `max_size`, always.
    """
    ndim = draw(st.integers(min_dims, max_dims))
    shape = [draw(LENGTHS) for _ in range(ndim)]
    while math.prod(shape) > max_size:
        shape[shape.index(max(shape))] = draw(st.integers(1, 3))
    special = draw(st.integers(0, 9))
    if special >= 6 or large:
        most = max(max_size // math.prod(shape), 1)
        axis = draw(st.integers(0, ndim - 1))
        shape[axis] *= draw(st.integers(-(-most // 2) if large else 1, most))
    elif special == 0 and empty:
        shape[draw(st.integers(0, ndim - 1))] = 0
    return tuple(shape)


@st.composite
def cases(draw, max_size: int = 5000, ops=("moments", *OPS), empty=True, large=False):
    """A function of `ops` on a shape that it accepts, channels anywhere, any axes."""
    op = draw(st.sampled_from(ops))
    sizes = {"max_size": max_size, "empty": empty, "large": large}
    if op in ("moments", "standardize", "layer_norm", "rms_norm"):
        shape = draw(shapes(**sizes))
        ndim = len(shape)
        axes = draw(st.sets(st.integers(0, ndim - 1), min_size=1).map(sorted))
        negative = draw(st.booleans())
        axis = tuple(axis - ndim if negative else axis for axis in axes)
        if len(axis) == 1 and draw(st.booleans()):
            axis = axis[0]
        return Case(op, shape, {"axis": axis})

    least = {"batch_norm": 2, "instance_norm": 3, "group_norm": 2}[op]
    shape = draw(shapes(least, **sizes))
    ndim = len(shape)
    channel = draw(st.integers(0 if op == "batch_norm" else 1, ndim - 1))
    config = {"channel_axis": draw(st.sampled_from([channel, channel - ndim]))}
    if op == "group_norm":
        width = shape[channel]
        divisors = [g for g in range(1, width + 1) if width % g == 0] or [1]
        config["num_groups"] = draw(st.sampled_from(divisors))
    if op == "batch_norm" and draw(st.booleans()):
        return Case(op, shape, config | {"training": False})
    return widened(Case(op, shape, config))


def widened(case: Case) -> Case:
    """The case, an axis longer where each group would have one value, which is refused."""
    shape, config, channel = case.shape, dict(case.config), case.channel
    groups = math.prod(shape[axis] for axis in case.group_axes)
    if case.op == "group_norm":
        groups = groups // max(shape[channel], 1) * config["num_groups"]
    if 0 in shape or math.prod(shape) > groups:
        return case
    if case.op == "group_norm":
        config["num_groups"] = max(1, shape[channel] // 2)
        shape = replaced(shape, channel, 2 * config["num_groups"])
    else:
        free = next(axis for axis in range(len(shape)) if axis not in case.group_axes)
        shape = replaced(shape, free, 2)
    return Case(case.op, shape, config)


def replaced(shape: tuple[int, ...], axis: int, n: int) -> tuple[int, ...]:
    """`shape` with length `n` at `axis`."""
    return tuple(n if i == axis else length for i, length in enumerate(shape))


@st.composite
def layouts(draw, ndim: int, repeat: bool = True):
    """Any memory order, gaps, negative strides, a missed alignment; 0 strides with `repeat`."""
    steps = (1, 1, 1, 2, -1, -2, 0) if repeat else (1, 1, 1, 2, -1, -2)
    return Layout(
        order=tuple(draw(st.permutations(range(ndim)))),
        steps=tuple(draw(st.sampled_from(steps)) for _ in range(ndim)),
        pads=tuple(draw(st.sampled_from((0, 0, 1, 3))) for _ in range(ndim)),
        shift=draw(st.sampled_from((0, 0, 1, 2, 4, 8))),
        writeable=draw(st.booleans()),
    )
