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

The formulas are `moments` and, for most others, two functions in `standardize.py`. The package
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
from fastnorm.reference.denormalize import DenormalizeGradients, denormalize, denormalize_backward
from fastnorm.reference.dynamic_tanh import (
    DynamicTanhGradients,
    dynamic_tanh,
    dynamic_tanh_backward,
)
from fastnorm.reference.evonorm_b0 import (
    EvoNormGradients,
    EvoNormMoments,
    evonorm_b0,
    evonorm_b0_backward,
)
from fastnorm.reference.evonorm_s0 import evonorm_s0, evonorm_s0_backward
from fastnorm.reference.filter_response_norm import (
    FilterResponseNormGradients,
    filter_response_norm,
    filter_response_norm_backward,
)
from fastnorm.reference.global_response_norm import (
    global_response_norm,
    global_response_norm_backward,
)
from fastnorm.reference.group_norm import group_norm, group_norm_backward
from fastnorm.reference.instance_norm import instance_norm, instance_norm_backward
from fastnorm.reference.layer_norm import layer_norm, layer_norm_backward
from fastnorm.reference.local_response_norm import (
    LocalResponseNormGradients,
    local_response_norm,
    local_response_norm_backward,
)
from fastnorm.reference.lp_normalize import (
    LpNormalizeGradients,
    LpNorms,
    lp_normalize,
    lp_normalize_backward,
)
from fastnorm.reference.moments import Moments, RawMoments, moments
from fastnorm.reference.rms_norm import RMSNormGradients, rms_norm, rms_norm_backward
from fastnorm.reference.scaled_weight_standardization import (
    ScaledWeightStandardizationGradients,
    scaled_weight_standardization,
    scaled_weight_standardization_backward,
)
from fastnorm.reference.spectral_norm import (
    SingularTriplet,
    SpectralNormGradients,
    spectral_norm,
    spectral_norm_backward,
)
from fastnorm.reference.standardize import Gradients, standardize, standardize_backward
from fastnorm.reference.sync_batch_norm import sync_batch_norm, sync_batch_norm_backward
from fastnorm.reference.variance_norm import variance_norm, variance_norm_backward
from fastnorm.reference.weight_norm import WeightNormGradients, weight_norm, weight_norm_backward
from fastnorm.reference.weight_standardization import (
    WeightStandardizationGradients,
    weight_standardization,
    weight_standardization_backward,
)
from fastnorm.reference.whiten import WhiteningGradients, WhiteningStats, whiten, whiten_backward

__all__ = [
    "AdaptiveInstanceNormGradients",
    "AdaptiveMoments",
    "AddLayerNormGradients",
    "AddRMSNormGradients",
    "DenormalizeGradients",
    "DynamicTanhGradients",
    "EvoNormGradients",
    "EvoNormMoments",
    "FilterResponseNormGradients",
    "Gradients",
    "LocalResponseNormGradients",
    "LpNormalizeGradients",
    "LpNorms",
    "Moments",
    "RMSNormGradients",
    "RawMoments",
    "RenormMoments",
    "ScaledWeightStandardizationGradients",
    "SingularTriplet",
    "SpectralNormGradients",
    "WeightNormGradients",
    "WeightStandardizationGradients",
    "WhiteningGradients",
    "WhiteningStats",
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
