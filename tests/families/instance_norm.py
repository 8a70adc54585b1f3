# SPDX-License-Identifier: BSD-3-Clause
"""Instance norm, without and with running statistics."""

from __future__ import annotations

import numpy as np

import fastnorm
from families import Family, each_element, each_plane


def torch(
    x, weight, bias, running_mean=None, running_var=None, *, eps, channel_axis=1, training=True
):
    """PyTorch wants the channels at axis 1."""
    from torch.nn import functional

    moved = x.movedim(channel_axis, 1)
    y = functional.instance_norm(
        moved, running_mean, running_var, weight, bias, use_input_stats=training, eps=eps
    )
    return y.movedim(1, channel_axis)


def layer(case, arguments):
    """Its parameters in place of those it was made with; running statistics where there are any."""
    tracked = "running_mean" in arguments
    made = fastnorm.InstanceNorm(
        case.shape[case.options.get("channel_axis", 1)],
        affine=True,
        track_running_stats=tracked,
        channel_axis=case.options.get("channel_axis", 1),
    )
    made.load_state_dict(arguments | ({"num_batches_tracked": np.array(0)} if tracked else {}))
    return made.train(case.options.get("training", True)), ()


def groups(shape, options):
    """In evaluation by running statistics every value stands by itself."""
    return (each_plane if options.get("training", True) else each_element)(shape, options)


FAMILY = Family(
    op="instance_norm",
    calls=(
        ((3, 4, 17), {}),
        ((2, 3, 5, 6), {}),
        ((2, 5, 6, 3), {"channel_axis": -1}),
        ((2, 3, 2, 3, 4), {}),
        ((3, 4, 5, 6), {"training": True}),
        ((2, 5, 6, 3), {"training": True, "channel_axis": -1}),
        ((3, 4, 5, 6), {"training": False}),
        ((2, 5, 6, 3), {"training": False, "channel_axis": -1}),
    ),
    shared=((3, 40, 50, 60), {}),
    groups=groups,
    torch=torch,
    layer=layer,
)
