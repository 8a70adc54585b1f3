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
from fastnorm.compare.numpy_twin.dynamic_tanh import dynamic_tanh, dynamic_tanh_backward
from fastnorm.compare.numpy_twin.evonorm_b0 import evonorm_b0, evonorm_b0_backward
from fastnorm.compare.numpy_twin.evonorm_s0 import evonorm_s0, evonorm_s0_backward
from fastnorm.compare.numpy_twin.filter_response_norm import (
    filter_response_norm,
    filter_response_norm_backward,
)
from fastnorm.compare.numpy_twin.global_response_norm import (
    global_response_norm,
    global_response_norm_backward,
)
from fastnorm.compare.numpy_twin.local_response_norm import (
    local_response_norm,
    local_response_norm_backward,
)
from fastnorm.compare.numpy_twin.lp_normalize import lp_normalize, lp_normalize_backward
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
from fastnorm.compare.numpy_twin.sync_batch_norm import sync_batch_norm, sync_batch_norm_backward
from fastnorm.compare.numpy_twin.variance_norm import variance_norm, variance_norm_backward
from fastnorm.compare.numpy_twin.weight_norm import weight_norm, weight_norm_backward
from fastnorm.compare.numpy_twin.weight_standardization import (
    scaled_weight_standardization,
    scaled_weight_standardization_backward,
    weight_standardization,
    weight_standardization_backward,
)
from fastnorm.compare.numpy_twin.whiten import whiten, whiten_backward

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
    "dynamic_tanh",
    "dynamic_tanh_backward",
    "evonorm_b0",
    "evonorm_b0_backward",
    "evonorm_s0",
    "evonorm_s0_backward",
    "filter_response_norm",
    "filter_response_norm_backward",
    "global_response_norm",
    "global_response_norm_backward",
    "group_norm",
    "group_norm_backward",
    "instance_norm",
    "instance_norm_backward",
    "layer_norm",
    "layer_norm_backward",
    "local_response_norm",
    "local_response_norm_backward",
    "lp_normalize",
    "lp_normalize_backward",
    "moments",
    "rms_norm",
    "rms_norm_backward",
    "scaled_weight_standardization",
    "scaled_weight_standardization_backward",
    "spectral_norm",
    "spectral_norm_backward",
    "standardize",
    "standardize_backward",
    "sync_batch_norm",
    "sync_batch_norm_backward",
    "variance_norm",
    "variance_norm_backward",
    "weight_norm",
    "weight_norm_backward",
    "weight_standardization",
    "weight_standardization_backward",
    "whiten",
    "whiten_backward",
]
