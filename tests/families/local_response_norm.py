# SPDX-License-Identifier: BSD-3-Clause
"""Local response normalization."""

from __future__ import annotations

import numpy as np

import fastnorm
from families import Family


def each_place(shape, options):
    """All channels of a place: a window reaches some of them."""
    axis = options.get("channel_axis", 1) % len(shape)
    kept = [1 if a == axis else n for a, n in enumerate(shape)]
    return np.broadcast_to(np.arange(np.prod(kept)).reshape(kept), shape)


def torch(x, *, channel_axis=1, **options):
    """PyTorch wants the channels at axis 1, and at least three axes."""
    from torch.nn import functional

    moved = x.movedim(channel_axis, 1)
    wide = moved if moved.ndim > 2 else moved[:, :, None]
    y = functional.local_response_norm(wide, **({"size": 5} | options))
    return y.reshape(moved.shape).movedim(1, channel_axis)


def layer(case, arguments):
    """It has no parameters."""
    return fastnorm.LocalResponseNorm(**({"size": 5} | dict(case.options))), ()


STRONG = {"alpha": 0.7, "k": 0.5}  # so that a misplaced one of them shows


FAMILY = Family(
    op="local_response_norm",
    calls=(
        ((2, 7, 5, 6), {}),
        ((2, 7, 5, 6), {"size": 4, **STRONG}),
        ((2, 5, 6, 9), {"size": 3, "beta": 0.5, "channel_axis": -1, **STRONG}),
        ((2, 5, 6, 9), {"size": 6, "beta": 1.0, "channel_axis": -1, **STRONG}),
        ((3, 20, 2, 3, 2), {"size": 7, "beta": 1.3, **STRONG}),
        ((4, 6, 8), {"size": 3, "channel_axis": 2, **STRONG}),
        ((8, 3), {"size": 9, **STRONG}),
    ),
    shared=((3, 40, 50, 60), {"size": 5, **STRONG}),
    groups=each_place,
    torch=torch,
    layer=layer,
    learned=(),
    centred=False,
    smooth_eps=None,
    statistics=False,
)
