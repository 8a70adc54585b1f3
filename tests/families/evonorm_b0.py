# SPDX-License-Identifier: BSD-3-Clause
"""EvoNorm-B0."""

from __future__ import annotations

import fastnorm
from families import Family, each_channel, each_plane


def groups(shape, options):
    """The batch variance ties a channel together; in evaluation only the plane."""
    return (each_channel if options.get("training", True) else each_plane)(shape, options)


def torch(x, weight, bias, v, running_var, *, eps, training=True, channel_axis=1):
    """As the authors have it, with biased variances."""
    moved = x.movedim(channel_axis, 1)
    tail = (-1, *[1] * (x.ndim - 2))
    spatial = tuple(range(2, x.ndim))
    batch = moved.var((0, *spatial), correction=0) if training else running_var
    instance = moved.var(spatial, correction=0, keepdim=True)
    rising = v.reshape(tail) * moved + (instance + eps).sqrt()
    larger = (batch + eps).sqrt().reshape(tail).maximum(rising)
    return (moved / larger * weight.reshape(tail) + bias.reshape(tail)).movedim(1, channel_axis)


def layer(case, arguments):
    """Its parameters in place of those it was made with."""
    axis = case.options.get("channel_axis", 1)
    made = fastnorm.EvoNormB0(case.shape[axis], channel_axis=axis)
    made.load_state_dict(arguments)
    return made.train(case.options.get("training", True)), ()


FAMILY = Family(
    op="evonorm_b0",
    calls=(
        ((3, 4, 17), {}),
        ((4, 3, 5, 6), {}),
        ((4, 5, 6, 3), {"channel_axis": -1}),
        ((2, 3, 2, 3, 4), {}),
        ((4, 3, 5, 6), {"training": False}),
        ((4, 5, 3, 3), {"channel_axis": 2}),
    ),
    shared=((30, 40, 20, 21), {}),
    groups=groups,
    torch=torch,
    layer=layer,
    learned=(("weight", "weight"), ("bias", "bias"), ("v", "v")),
)
