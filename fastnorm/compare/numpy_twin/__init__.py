# SPDX-License-Identifier: BSD-3-Clause
"""The same formulas in plain NumPy: what speed is compared with.

This is what a careful NumPy user writes: two passes for the statistics, whole-array expressions,
in place where that saves a temporary, into `out` where the caller has a buffer, and the statistics
kept from the forward call for the backward one. It computes in x's own type, 16-bit types through
float32. It is no oracle (that is `fastnorm.reference`, in float64) and it checks no arguments.

Names and arguments are those of `fastnorm`, with one difference: a forward function always returns
``(y, stats)``, and its statistics keep the reduced axes with length 1, ready to broadcast.
"""

from fastnorm.compare.numpy_twin.add_layer_norm import add_layer_norm, add_layer_norm_backward
from fastnorm.compare.numpy_twin.add_rms_norm import add_rms_norm, add_rms_norm_backward
from fastnorm.compare.numpy_twin.spectral_norm import spectral_norm, spectral_norm_backward
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
from fastnorm.compare.numpy_twin.weight_norm import weight_norm, weight_norm_backward
from fastnorm.compare.numpy_twin.weight_standardization import (
    scaled_weight_standardization,
    scaled_weight_standardization_backward,
    weight_standardization,
    weight_standardization_backward,
)

__all__ = [
    "add_layer_norm",
    "add_layer_norm_backward",
    "add_rms_norm",
    "add_rms_norm_backward",
    "batch_norm",
    "batch_norm_backward",
    "group_norm",
    "group_norm_backward",
    "instance_norm",
    "instance_norm_backward",
    "layer_norm",
    "layer_norm_backward",
    "moments",
    "rms_norm",
    "rms_norm_backward",
    "scaled_weight_standardization",
    "scaled_weight_standardization_backward",
    "spectral_norm",
    "spectral_norm_backward",
    "standardize",
    "standardize_backward",
    "weight_norm",
    "weight_norm_backward",
    "weight_standardization",
    "weight_standardization_backward",
]
