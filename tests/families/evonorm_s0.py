# SPDX-License-Identifier: BSD-3-Clause
"""EvoNorm-S0."""

from __future__ import annotations

import numpy as np

import fastnorm
from families import Family, each_plane


def groups(shape, options):
    """Neighbouring channels of a sample."""
    channels = shape[options.get("channel_axis", 1)]
    size = channels // options["num_groups"]
    return np.asarray(each_plane(shape, options)) // size


def torch(x, num_groups, weight, bias, v, *, eps, channel_axis=1):
    """As the authors have it, with a biased variance."""
    moved = x.movedim(channel_axis, 1)
    tail = (-1, *[1] * (x.ndim - 2))
    split = moved.reshape(x.shape[0], num_groups, -1)
    std = (split.var(2, correction=0, keepdim=True) + eps).sqrt()
    swish = moved * (v.reshape(tail) * moved).sigmoid()
    y = (swish.reshape(split.shape) / std).reshape(moved.shape)
    return (y * weight.reshape(tail) + bias.reshape(tail)).movedim(1, channel_axis)


def layer(case, arguments):
    """Its parameters in place of those it was made with."""
    axis = case.options.get("channel_axis", 1)
    made = fastnorm.EvoNormS0(case.shape[axis], case.options["num_groups"], channel_axis=axis)
    made.load_state_dict(arguments)
    return made, ()


FAMILY = Family(
    op="evonorm_s0",
    calls=(
        ((3, 4, 17), {"num_groups": 2}),
        ((2, 6, 5, 4), {"num_groups": 3}),
        ((2, 5, 4, 6), {"num_groups": 2, "channel_axis": -1}),
        ((2, 4, 2, 3, 4), {"num_groups": 4}),
        ((5, 12), {"num_groups": 3}),
    ),
    shared=((3, 40, 50, 60), {"num_groups": 8}),
    groups=groups,
    torch=torch,
    layer=layer,
    learned=(("weight", "weight"), ("bias", "bias"), ("v", "v")),
)
