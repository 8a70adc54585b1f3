# SPDX-License-Identifier: BSD-3-Clause
"""The same formulas in plain NumPy: what speed is compared with.

This is what a careful NumPy user writes: two passes for the statistics, whole-array expressions,
in place where that saves a temporary, into `out` where the caller has a buffer, and the statistics
kept from the forward call for the backward one. It computes in x's own type, 16-bit types through
float32. It is no oracle (that is `fastnorm.reference`, in float64) and it checks no arguments.

Names and arguments are those of `fastnorm`, with one difference: a forward function always returns
``(y, stats)``, and its statistics keep the reduced axes with length 1, ready to broadcast.
"""

from fastnorm.compare.numpy_twin.adaptive_instance_norm import (
    adaptive_instance_norm,
    adaptive_instance_norm_backward,
)
from fastnorm.compare.numpy_twin.add_layer_norm import add_layer_norm, add_layer_norm_backward
from fastnorm.compare.numpy_twin.add_rms_norm import add_rms_norm, add_rms_norm_backward
from fastnorm.compare.numpy_twin.batch_renorm import batch_renorm, batch_renorm_backward
from fastnorm.compare.numpy_twin.conditional_instance_norm import (
    conditional_instance_norm,
    conditional_instance_norm_backward,
)
from fastnorm.compare.numpy_twin.denormalize import denormalize, denormalize_backward
from fastnorm.compare.numpy_twin.standard import (
    batch_norm,
    batch_norm_backward,
    group_norm,
    group_norm_backward,
    instance_norm,
    instance_norm_backward,
    layer_norm,
    layer_norm_backward,
    moments,
    rms_norm,
    rms_norm_backward,
    standardize,
    standardize_backward,
)

__all__ = [
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
