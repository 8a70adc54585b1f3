# SPDX-License-Identifier: BSD-3-Clause
"""Layer norm of a sum."""

from __future__ import annotations

import numpy as np

import fastnorm
from families import Family


def torch(x, residual, weight, bias, *, eps, axis=-1, activation=None):
    """PyTorch wants the reduced axes last."""
    from torch.nn import functional

    moved = (x + residual).movedim(axis, -1)
    y = functional.layer_norm(moved, weight.shape, weight, bias, eps)
    y = y.movedim(-1, axis)
    return y if activation is None else getattr(functional, activation)(y)


def layer(case, arguments):
    """Its parameters in place of those it was made with."""
    made = fastnorm.AddLayerNorm(case.shape[-1], activation=case.options.get("activation"))
    made.load_state_dict({name: arguments[name] for name in made.state_dict()})
    return made, (arguments["residual"],)


def each_row(shape, options):
    """Every row along the axis is a group."""
    axis = options.get("axis", -1) % len(shape)
    kept = [1 if i == axis else n for i, n in enumerate(shape)]
    return np.broadcast_to(np.arange(np.prod(kept)).reshape(kept), shape)


FAMILY = Family(
    op="add_layer_norm",
    calls=(
        ((5, 33), {}),
        ((2, 3, 20), {"activation": "silu"}),
        ((7, 130), {"activation": "relu"}),
    ),
    shared=((500, 768), {}),
    groups=each_row,
    torch=torch,
    layer=layer,
    several=True,
)
