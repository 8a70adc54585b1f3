# SPDX-License-Identifier: BSD-3-Clause
"""Dynamic tanh."""

from __future__ import annotations

import fastnorm
from families import Family, each_element


def torch(x, alpha, weight, bias, *, channel_axis=-1):
    """As the paper writes it."""
    moved = x.movedim(channel_axis, -1)
    return ((alpha * moved).tanh() * weight + bias).movedim(-1, channel_axis)


def layer(case, arguments):
    """Its parameters in place of those it was made with."""
    channel_axis = case.options.get("channel_axis", -1)
    made = fastnorm.DynamicTanh(case.shape[channel_axis], channel_axis=channel_axis)
    made.load_state_dict(arguments)
    return made, ()


FAMILY = Family(
    op="dynamic_tanh",
    calls=(
        ((9, 7), {}),
        ((3, 5, 33), {}),
        ((2, 3, 5, 6), {"channel_axis": 1}),
        ((2, 5, 6, 3), {}),
        ((4, 6, 5), {"channel_axis": 0}),
    ),
    shared=((30, 100, 128), {}),
    groups=each_element,
    torch=torch,
    layer=layer,
    learned=(("alpha", "alpha"), ("weight", "weight"), ("bias", "bias")),
    centred=False,
    smooth_eps=None,
    statistics=False,
)
