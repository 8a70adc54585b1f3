# SPDX-License-Identifier: BSD-3-Clause
"""Batch renorm.

Finite differences see the correction change with x, the gradient does not: but for the evaluation
the limits here are so narrow that all of it lies at them. tests/test_batch_renorm.py has the rest.
"""

from __future__ import annotations

import numpy as np

import fastnorm
from families import Family, each_channel, each_element

NARROW = {"r_max": 1.01, "d_max": 0.01}


def torch(
    x, weight, bias, running_mean, running_std, *,
    eps, r_max=3.0, d_max=5.0, channel_axis=1, training=True,
):  # fmt: skip
    """PyTorch has no such function; detached is what has no gradient."""
    axes = tuple(axis for axis in range(x.ndim) if axis != channel_axis % x.ndim)
    shape = [-1 if axis not in axes else 1 for axis in range(x.ndim)]
    weight, bias, running_mean, running_std = (
        values.reshape(shape) for values in (weight, bias, running_mean, running_std)
    )
    if not training:
        return (x - running_mean) / running_std * weight + bias
    mean = x.mean(axes, keepdim=True)
    std = (x.var(axes, correction=0, keepdim=True) + eps).sqrt()
    r = (std / running_std).clamp(1 / r_max, r_max).detach()
    d = ((mean - running_mean) / running_std).clamp(-d_max, d_max).detach()
    return ((x - mean) / std * r + d) * weight + bias


def layer(case, arguments):
    """Its parameters and running statistics in place of those it was made with."""
    channel_axis = case.options.get("channel_axis", 1)
    limits = {name: case.options[name] for name in NARROW if name in case.options}
    made = fastnorm.BatchRenorm(case.shape[channel_axis], channel_axis=channel_axis, **limits)
    made.load_state_dict(arguments | {"num_batches_tracked": np.array(0)})
    return made.train(case.options.get("training", True)), ()


def groups(shape, options):
    """In evaluation every value stands by itself."""
    return (each_channel if options.get("training", True) else each_element)(shape, options)


FAMILY = Family(
    op="batch_renorm",
    calls=(
        ((6, 5), NARROW),
        ((3, 4, 5, 6), NARROW),
        ((2, 5, 6, 3), {"channel_axis": -1, **NARROW}),
        ((5, 3, 7), {"r_max": 1.0, "d_max": 0.0}),
        ((3, 4, 5, 6), {"training": False}),
        ((2, 5, 6, 3), {"training": False, "channel_axis": -1}),
    ),
    shared=((8, 40, 50, 40), {}),
    groups=groups,
    torch=torch,
    layer=layer,
)
