# SPDX-License-Identifier: BSD-3-Clause
"""Weight standardization."""

from __future__ import annotations

import fastnorm
from families import Family, each_row


def torch(weight, *, eps, channel_axis=0):
    """As the rows of a batch norm."""
    from torch.nn import functional

    rows = weight.movedim(channel_axis, 0)
    y = functional.batch_norm(
        rows.reshape(1, rows.shape[0], -1), None, None, training=True, eps=eps
    )
    return y.reshape(rows.shape).movedim(0, channel_axis)


def layer(case, arguments):
    """Made of the weight."""
    return fastnorm.WeightStandardization(arguments["x"], **case.options), ()


FAMILY = Family(
    op="weight_standardization",
    calls=(
        ((6, 17), {}),
        ((4, 3, 3, 2), {}),
        ((3, 2, 5, 4), {"channel_axis": -1}),
        ((3, 4, 5), {"channel_axis": 1}),
    ),
    shared=((256, 256, 3, 3), {}),
    groups=each_row,
    torch=torch,
    layer=layer,
    learned=(("weight", "weight"),),
    parametric=True,
)
