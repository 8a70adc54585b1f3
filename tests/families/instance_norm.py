# SPDX-License-Identifier: BSD-3-Clause
"""Instance norm."""

from __future__ import annotations

import fastnorm
from families import Family, each_plane


def torch(x, weight, bias, *, eps, channel_axis=1):
    """PyTorch wants the channels at axis 1."""
    from torch.nn import functional

    moved = x.movedim(channel_axis, 1)
    y = functional.instance_norm(moved, weight=weight, bias=bias, eps=eps)
    return y.movedim(1, channel_axis)


def layer(case, arguments):
    """Its parameters in place of those it was made with."""
    made = fastnorm.InstanceNorm(
        case.shape[case.options.get("channel_axis", 1)],
        affine=True,
        channel_axis=case.options.get("channel_axis", 1),
    )
    made.load_state_dict(arguments)
    return made, ()


FAMILY = Family(
    op="instance_norm",
    calls=(
        ((3, 4, 17), {}),
        ((2, 3, 5, 6), {}),
        ((2, 5, 6, 3), {"channel_axis": -1}),
        ((2, 3, 2, 3, 4), {}),
    ),
    shared=((3, 40, 50, 60), {}),
    groups=each_plane,
    torch=torch,
    layer=layer,
)
