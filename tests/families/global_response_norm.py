# SPDX-License-Identifier: BSD-3-Clause
"""Global response normalization."""

from __future__ import annotations

import fastnorm
from families import Family, each_sample


def torch(x, weight, bias, *, eps, channel_axis=1):
    """As ConvNeXt V2 and timm write it, channels-last."""
    x = x.movedim(channel_axis, -1)
    norm = x.square().sum(tuple(range(1, x.ndim - 1)), keepdim=True).sqrt()
    ratio = norm / (norm.mean(-1, keepdim=True) + eps)
    return (weight * (x * ratio) + bias + x).movedim(-1, channel_axis)


def layer(case, arguments):
    """Its parameters in place of those it was made with."""
    channel_axis = case.options.get("channel_axis", 1)
    made = fastnorm.GlobalResponseNorm(case.shape[channel_axis], channel_axis=channel_axis)
    made.load_state_dict(arguments)
    return made, ()


FAMILY = Family(
    op="global_response_norm",
    calls=(
        ((3, 4, 17), {}),
        ((2, 3, 5, 6), {}),
        ((2, 5, 6, 3), {"channel_axis": -1}),
        ((2, 3, 2, 3, 4), {}),
        ((3, 7, 1, 1), {}),
    ),
    shared=((3, 40, 50, 60), {}),
    groups=each_sample,
    torch=torch,
    layer=layer,
    centred=False,
)
