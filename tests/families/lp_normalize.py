# SPDX-License-Identifier: BSD-3-Clause
"""Lp normalization."""

from __future__ import annotations

import math

import numpy as np

import fastnorm
from families import Family


def groups(shape, options):
    """The values along the axes that are normalized."""
    axis = options.get("axis", -1)
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    reduced = {a % len(shape) for a in axes}
    kept = [1 if a in reduced else n for a, n in enumerate(shape)]
    return np.broadcast_to(np.arange(math.prod(kept)).reshape(kept), shape)


def torch(x, *, eps, p=2.0, axis=-1):
    """`normalize`; None stands for all axes."""
    from torch.nn import functional

    dim = tuple(range(x.ndim)) if axis is None else axis
    return functional.normalize(x, p=p, dim=dim, eps=eps)


def layer(case, arguments):
    """It has no parameters."""
    return fastnorm.LpNormalize(**case.options), ()


FAMILY = Family(
    op="lp_normalize",
    calls=(
        ((6, 40), {}),
        ((6, 40), {"p": 1}),
        ((6, 41), {"p": math.inf}),
        ((4, 30), {"p": 3.5}),
        ((2, 7, 3, 4), {"axis": 1}),
        ((2, 7, 3, 4), {"axis": 1, "p": 1}),
        ((3, 4, 5, 2), {"axis": (0, 2)}),
        ((3, 4, 5, 2), {"axis": (3, 0), "p": math.inf}),
        ((3, 5, 4), {"axis": None, "p": 3}),
    ),
    shared=((300, 40, 50), {"axis": (0, 2)}),
    groups=groups,
    torch=torch,
    layer=layer,
    learned=(),
    centred=False,
)
