# SPDX-License-Identifier: BSD-3-Clause
"""Scaled weight standardization."""

from __future__ import annotations

import fastnorm
from families import Family, each_row


def torch(weight, gain, *, eps, gamma=1.0, channel_axis=0):
    """As timm has it: the rows of a batch norm with the gains as its weight."""
    from torch.nn import functional

    rows = weight.movedim(channel_axis, 0)
    count = rows.shape[0]
    factor = gain.reshape(count) * gamma * (rows.numel() / count) ** -0.5
    y = functional.batch_norm(
        rows.reshape(1, count, -1), None, None, weight=factor, training=True, eps=eps
    )
    return y.reshape(rows.shape).movedim(0, channel_axis)


def layer(case, arguments):
    """Made of the weight; the gains in place of 1."""
    made = fastnorm.ScaledWeightStandardization(arguments["x"], **case.options)
    made.load_state_dict({"weight": arguments["x"], "gain": arguments["gain"]})
    return made, ()


FAMILY = Family(
    op="scaled_weight_standardization",
    calls=(
        ((6, 17), {}),
        ((4, 3, 3, 2), {"gamma": fastnorm.ACTIVATION_GAINS["relu"]}),
        ((3, 2, 5, 4), {"channel_axis": -1, "gamma": -2}),
        ((3, 4, 5), {"channel_axis": 1}),
    ),
    shared=((256, 256, 3, 3), {"gamma": 1.7}),
    groups=each_row,
    torch=torch,
    layer=layer,
    learned=(("gain", "gain"), ("weight", "weight")),
    parametric=True,
)
