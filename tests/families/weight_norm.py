# SPDX-License-Identifier: BSD-3-Clause
"""Weight norm."""

from __future__ import annotations

import fastnorm
from families import Family, each_row


def torch(v, g, *, channel_axis=0):
    """PyTorch calls the axis dim; its None is -1 below the surface."""
    from torch import _weight_norm

    if channel_axis is None:
        return _weight_norm(v, g, -1)
    return _weight_norm(v, g, channel_axis % v.ndim)


def layer(case, arguments):
    """Made of the directions; the lengths in place of those it has."""
    made = fastnorm.WeightNorm(arguments["x"], **case.options)
    made.load_state_dict({"weight_v": arguments["x"], "weight_g": arguments["g"]})
    return made, ()


FAMILY = Family(
    op="weight_norm",
    calls=(
        ((6, 17), {}),
        ((4, 3, 3, 2), {}),
        ((3, 2, 5, 4), {"channel_axis": -1}),
        ((3, 4, 5), {"channel_axis": 1}),
        ((3, 5, 2), {"channel_axis": None}),
    ),
    shared=((256, 256, 3, 3), {}),
    groups=each_row,
    torch=torch,
    layer=layer,
    learned=(("weight_g", "g"), ("weight_v", "v")),
    centred=False,
    smooth_eps=None,
    parametric=True,
)
