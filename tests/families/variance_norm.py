# SPDX-License-Identifier: BSD-3-Clause
"""Variance norm."""

from __future__ import annotations

import fastnorm
from families import Family, each_channel, each_element


def groups(shape, options):
    """Those of batch norm; the running variance ties no values together."""
    return (each_channel if options.get("training", True) else each_element)(shape, options)


def torch(x, weight, bias, running_var, *, eps, training=True, channel_axis=1):
    """As the code of Lubana et al. has it: the biased variance, and no centre."""
    moved = x.movedim(channel_axis, -1)
    axes = tuple(range(x.ndim - 1))
    var = moved.var(axes, correction=0) if training else running_var
    return (moved / (var + eps).sqrt() * weight + bias).movedim(-1, channel_axis)


def layer(case, arguments):
    """Its parameters in place of those it was made with."""
    axis = case.options.get("channel_axis", 1)
    made = fastnorm.VarianceNorm(case.shape[axis], channel_axis=axis)
    made.load_state_dict(arguments)
    return made.train(case.options.get("training", True)), ()


FAMILY = Family(
    op="variance_norm",
    calls=(
        ((9, 5), {}),
        ((3, 4, 17), {}),
        ((4, 3, 5, 6), {}),
        ((4, 5, 6, 3), {"channel_axis": -1}),
        ((4, 3, 5, 6), {"training": False}),
    ),
    shared=((30, 40, 20, 21), {}),
    groups=groups,
    torch=torch,
    layer=layer,
)
