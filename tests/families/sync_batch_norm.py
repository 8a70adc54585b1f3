# SPDX-License-Identifier: BSD-3-Clause
"""Batch norm over the ranks of a job, here of one: tests/test_sync_batch_norm.py has more."""

from __future__ import annotations

import fastnorm
from families import Family, each_channel


def torch(x, weight, bias, running_mean, running_var, comm, *, eps, training=True, channel_axis=1):
    """PyTorch's own wants a GPU; batch norm of the joined batch is what it computes."""
    from torch.nn import functional

    y = functional.batch_norm(
        x.movedim(channel_axis, 1), running_mean, running_var, weight, bias, training, eps=eps
    )
    return y.movedim(1, channel_axis)


def layer(case, arguments):
    """Its arrays in place of those it was made with."""
    axis = case.options.get("channel_axis", 1)
    comm = arguments.pop("comm")
    made = fastnorm.SyncBatchNorm(case.shape[axis], channel_axis=axis, comm=comm)
    made.load_state_dict(arguments | {"num_batches_tracked": made.num_batches_tracked})
    return made.train(case.options.get("training", True)), ()


FAMILY = Family(
    op="sync_batch_norm",
    calls=(
        ((40, 7), {}),
        ((4, 3, 5, 6), {}),
        ((4, 5, 6, 3), {"channel_axis": -1}),
        ((3, 4, 2, 3, 4), {}),
        ((4, 3, 5, 6), {"training": False}),
    ),
    shared=((6, 20, 60, 60), {}),
    groups=each_channel,
    torch=torch,
    layer=layer,
)
