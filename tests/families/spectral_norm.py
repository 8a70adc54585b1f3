# SPDX-License-Identifier: BSD-3-Clause
"""Spectral norm."""

from __future__ import annotations

import numpy as np

import fastnorm
from families import Family, one_group

# So many steps that u is the singular vector, whose gradient does not need that of u.
CONVERGED = {"n_power_iterations": 150}


def torch(weight, u, *, training=True, n_power_iterations=1, channel_axis=0):
    """The parametrization of PyTorch, whose v is that of our u."""
    from torch.nn.functional import normalize
    from torch.nn.utils.parametrizations import _SpectralNorm

    fixed = weight.detach()
    module = _SpectralNorm(fixed, n_power_iterations, channel_axis)
    if weight.ndim > 1:
        module._u.copy_(normalize(u, dim=0))
        rows = fixed.movedim(channel_axis, 0).flatten(1)
        module._v.copy_(normalize(rows.T @ module._u, dim=0))
    return module.train(training)(weight)


def layer(case, arguments):
    """Made of the weight; the vector in place of the one it found."""
    options = dict(case.options)
    training = options.pop("training", True)
    made = fastnorm.SpectralNorm(arguments["x"], **options)
    if made.weight_u is not None:
        made.weight_u = np.array(arguments["u"])
    return made.train(training), ()


FAMILY = Family(
    op="spectral_norm",
    settled=True,
    calls=(
        ((4, 3, 3, 2), CONVERGED),
        ((3, 2, 5, 4), {"channel_axis": -1, **CONVERGED}),
        ((7, 9), {"training": False}),
        ((5, 4, 3), {"channel_axis": 1, "training": False}),
        ((17,), {}),
    ),
    shared=((144, 512, 3, 3), {}),
    groups=one_group,
    torch=torch,
    layer=layer,
    learned=(("weight_orig", "weight"),),
    centred=False,
    smooth_eps=None,
    parametric=True,
)
