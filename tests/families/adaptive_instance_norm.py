# SPDX-License-Identifier: BSD-3-Clause
"""Adaptive instance norm."""

from __future__ import annotations

import fastnorm
from families import Family, each_plane


def torch(x, style, *, eps, channel_axis=1):
    """PyTorch has no such function."""
    axes = tuple(axis for axis in range(1, x.ndim) if axis != channel_axis % x.ndim)

    def moments(values):
        mean = values.mean(axes, keepdim=True)
        return mean, (values.var(axes, correction=0, keepdim=True) + eps).sqrt()

    (mean, std), (style_mean, style_std) = moments(x), moments(style)
    return (x - mean) / std * style_std + style_mean


def layer(case, arguments):
    """There are no parameters; the style is an input."""
    made = fastnorm.AdaptiveInstanceNorm(channel_axis=case.options.get("channel_axis", 1))
    return made, (arguments["style"],)


FAMILY = Family(
    op="adaptive_instance_norm",
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
    learned=(("style", "style"),),
)
