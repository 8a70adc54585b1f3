# SPDX-License-Identifier: BSD-3-Clause
"""The normalizers of fastnorm as plain NumPy formulas in float64, forward and backward.

Every function has the name and the signature of its counterpart in `fastnorm` and computes the same
quantity, so that a result can be compared with what the textbook formula gives::

    y = fastnorm.layer_norm(x, weight, bias)
    error = abs(y - fastnorm.reference.layer_norm(x, weight, bias)).max()

What differs, on purpose:

- Results and gradients are float64 whatever the types of the arguments; only a given `out` makes a
  result take another type. Narrower inputs are converted exactly.
- Arguments are trusted: the only errors are NumPy's own, and a ValueError where a formula has no
  meaning (one value per group, evaluation without running statistics).
- `Moments` and `RawMoments` are plain named tuples. Statistics of either package serve as `stats`.
- Nothing is fast or saves memory: a call makes several float64 arrays of the size of x.

The formulas are `moments` and, for everything else, two functions in `standardize.py`. The package
needs NumPy alone, and nothing of the rest of fastnorm.
"""

from fastnorm.reference.adaptive_instance_norm import (
    AdaptiveInstanceNormGradients,
    AdaptiveMoments,
    adaptive_instance_norm,
    adaptive_instance_norm_backward,
)
from fastnorm.reference.add_layer_norm import (
    AddLayerNormGradients,
    add_layer_norm,
    add_layer_norm_backward,
)
from fastnorm.reference.add_rms_norm import AddRMSNormGradients, add_rms_norm, add_rms_norm_backward
from fastnorm.reference.batch_norm import batch_norm, batch_norm_backward
from fastnorm.reference.batch_renorm import RenormMoments, batch_renorm, batch_renorm_backward
from fastnorm.reference.conditional_instance_norm import (
    conditional_instance_norm,
    conditional_instance_norm_backward,
)
from fastnorm.reference.denormalize import (
    DenormalizeGradients,
    denormalize,
    denormalize_backward,
)
from fastnorm.reference.group_norm import group_norm, group_norm_backward
from fastnorm.reference.instance_norm import instance_norm, instance_norm_backward
from fastnorm.reference.layer_norm import layer_norm, layer_norm_backward
from fastnorm.reference.moments import Moments, RawMoments, moments
from fastnorm.reference.rms_norm import RMSNormGradients, rms_norm, rms_norm_backward
from fastnorm.reference.standardize import Gradients, standardize, standardize_backward

__all__ = [
    "AdaptiveInstanceNormGradients",
    "AdaptiveMoments",
    "AddLayerNormGradients",
    "AddRMSNormGradients",
    "DenormalizeGradients",
    "Gradients",
    "Moments",
    "RMSNormGradients",
    "RawMoments",
    "RenormMoments",
    "adaptive_instance_norm",
    "adaptive_instance_norm_backward",
    "add_layer_norm",
    "add_layer_norm_backward",
    "add_rms_norm",
    "add_rms_norm_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_renorm",
    "batch_renorm_backward",
    "conditional_instance_norm",
    "conditional_instance_norm_backward",
    "denormalize",
    "denormalize_backward",
    "group_norm",
    "group_norm_backward",
    "instance_norm",
    "instance_norm_backward",
    "layer_norm",
    "layer_norm_backward",
    "moments",
    "rms_norm",
    "rms_norm_backward",
    "standardize",
    "standardize_backward",
]
