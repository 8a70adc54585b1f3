# SPDX-License-Identifier: BSD-3-Clause
"""Filter response norm with threshold and learned eps."""

from __future__ import annotations

import fastnorm
from families import Family, each_plane


def torch(x, weight, bias, threshold, learned_eps, *, eps, channel_axis=1):
    """The formula of the paper; the data have no tie, whose gradient PyTorch would halve."""
    moved = x.movedim(channel_axis, 1)
    tail = (-1, *[1] * (x.ndim - 2))
    square = moved.square().mean(tuple(range(2, x.ndim)), keepdim=True)
    scaled = moved / (square + eps + learned_eps.abs()).sqrt()
    y = (scaled * weight.reshape(tail) + bias.reshape(tail)).maximum(threshold.reshape(tail))
    return y.movedim(1, channel_axis)


def layer(case, arguments):
    """Its parameters in place of those it was made with."""
    axis = case.options.get("channel_axis", 1)
    made = fastnorm.FilterResponseNorm(case.shape[axis], learned_eps=True, channel_axis=axis)
    names = {"threshold": "tau", "learned_eps": "eps_learned"}
    made.load_state_dict({names.get(name, name): value for name, value in arguments.items()})
    return made, ()


FAMILY = Family(
    op="filter_response_norm",
    calls=(
        ((3, 4, 17), {}),
        ((2, 3, 5, 6), {}),
        ((2, 5, 6, 3), {"channel_axis": -1}),
        ((2, 3, 2, 3, 4), {}),
        ((5, 7, 1, 1), {}),
    ),
    shared=((3, 40, 50, 60), {}),
    groups=each_plane,
    torch=torch,
    layer=layer,
    learned=(
        ("weight", "weight"),
        ("bias", "bias"),
        ("tau", "threshold"),
        ("eps_learned", "learned_eps"),
    ),
    centred=False,
)
