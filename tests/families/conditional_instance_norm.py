# SPDX-License-Identifier: BSD-3-Clause
"""Conditional instance norm."""

from __future__ import annotations

import fastnorm
from families import Family, each_plane
from fastnorm.compare.arguments import CLASSES


def torch(x, labels, weight, bias, *, eps, channel_axis=1):
    """PyTorch wants the channels at axis 1, and has no classes."""
    from torch.nn import functional

    moved = x.movedim(channel_axis, 1)
    chosen = [
        table[labels].reshape(*moved.shape[:2], *[1] * (x.ndim - 2)) for table in (weight, bias)
    ]
    y = functional.instance_norm(moved, eps=eps) * chosen[0] + chosen[1]
    return y.movedim(1, channel_axis)


def layer(case, arguments):
    """Its parameters in place of those it was made with; the labels are an input."""
    channel_axis = case.options.get("channel_axis", 1)
    made = fastnorm.ConditionalInstanceNorm(
        case.shape[channel_axis], CLASSES, channel_axis=channel_axis
    )
    made.load_state_dict({name: arguments[name] for name in ("weight", "bias")})
    return made, (arguments["labels"],)


FAMILY = Family(
    op="conditional_instance_norm",
    calls=(
        ((3, 4, 17), {}),
        ((6, 3, 5, 6), {}),
        ((2, 5, 6, 3), {"channel_axis": -1}),
        ((2, 3, 2, 3, 4), {}),
    ),
    shared=((3, 40, 50, 60), {}),
    groups=each_plane,
    torch=torch,
    layer=layer,
)
