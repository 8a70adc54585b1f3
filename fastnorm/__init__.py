# SPDX-License-Identifier: BSD-3-Clause
"""Normalization layers for NumPy arrays on CPUs: exact, reproducible, as fast as a memory copy.

One function per normalizer and one for its gradient, each with a layer class::

    y = fastnorm.layer_norm(x, weight, bias)
    dx, dweight, dbias = fastnorm.layer_norm_backward(dy, x, weight, bias)

They take float16, bfloat16, float32 and float64 arrays of any strides, reduce over any axes, and
give the same bits for any number of threads. An *array*, in the docstrings, is a NumPy array or any
object with DLPack, ``__array__`` or the buffer protocol; a list is not. Nothing is copied, except
to bring another byte order into that of the machine. `fastnorm.reference` has the same functions as
plain NumPy formulas in float64.
"""

from typing import Any

__version__ = "0.1.0"

try:
    import fastnorm._core  # noqa: F401  # first, to say so if it is not there
except ImportError as error:
    # What a core that is there refuses to run on, and why, is its own to say
    if not (error.name or "").startswith("fastnorm._core") or (error.path or "").endswith(".so"):
        raise
    raise ImportError(
        "fastnorm: the compiled core is missing; in a source tree run: pip install -e ."
    ) from error

from fastnorm._batch_norm_layer import BatchNorm
from fastnorm._batch_renorm_layer import BatchRenorm
from fastnorm._evonorm import EvoNormGradients, EvoNormMoments
from fastnorm._instance_norm_layer import InstanceNorm
from fastnorm._layer import Layer
from fastnorm._ranks import SingleProcess
from fastnorm._spectrum import SingularTriplet
from fastnorm._sync_batch_norm_layer import SyncBatchNorm
from fastnorm._whitening import WhiteningStats
from fastnorm.adaptive_instance_norm import (
    AdaptiveInstanceNorm,
    AdaptiveInstanceNormGradients,
    AdaptiveMoments,
    adaptive_instance_norm,
    adaptive_instance_norm_backward,
)
from fastnorm.add_layer_norm import (
    AddLayerNorm,
    AddLayerNormGradients,
    add_layer_norm,
    add_layer_norm_backward,
)
from fastnorm.add_rms_norm import (
    AddRMSNorm,
    AddRMSNormGradients,
    add_rms_norm,
    add_rms_norm_backward,
)
from fastnorm.batch_norm import batch_norm, batch_norm_backward
from fastnorm.batch_renorm import RenormMoments, batch_renorm, batch_renorm_backward
from fastnorm.conditional_instance_norm import (
    ConditionalInstanceNorm,
    conditional_instance_norm,
    conditional_instance_norm_backward,
)
from fastnorm.config import get_num_threads, num_threads, set_num_threads, show_config
from fastnorm.denormalize import DenormalizeGradients, denormalize, denormalize_backward
from fastnorm.dynamic_tanh import (
    DynamicTanh,
    DynamicTanhGradients,
    dynamic_tanh,
    dynamic_tanh_backward,
)
from fastnorm.evonorm_b0 import EvoNormB0, evonorm_b0, evonorm_b0_backward
from fastnorm.evonorm_s0 import EvoNormS0, evonorm_s0, evonorm_s0_backward
from fastnorm.filter_response_norm import (
    FilterResponseNorm,
    FilterResponseNormGradients,
    filter_response_norm,
    filter_response_norm_backward,
)
from fastnorm.global_response_norm import (
    GlobalResponseNorm,
    global_response_norm,
    global_response_norm_backward,
)
from fastnorm.group_norm import GroupNorm, group_norm, group_norm_backward
from fastnorm.instance_norm import instance_norm, instance_norm_backward
from fastnorm.layer_norm import LayerNorm, layer_norm, layer_norm_backward
from fastnorm.local_response_norm import (
    LocalResponseNorm,
    LocalResponseNormGradients,
    local_response_norm,
    local_response_norm_backward,
)
from fastnorm.lp_normalize import (
    LpNormalize,
    LpNormalizeGradients,
    LpNorms,
    lp_normalize,
    lp_normalize_backward,
)
from fastnorm.moments import Moments, RawMoments, moments
from fastnorm.rms_norm import RMSNorm, RMSNormGradients, rms_norm, rms_norm_backward
from fastnorm.scaled_weight_standardization import (
    ACTIVATION_GAINS,
    ScaledWeightStandardization,
    ScaledWeightStandardizationGradients,
    scaled_weight_standardization,
    scaled_weight_standardization_backward,
)
from fastnorm.spectral_norm import (
    SpectralNorm,
    SpectralNormGradients,
    spectral_norm,
    spectral_norm_backward,
)
from fastnorm.standardize import Gradients, standardize, standardize_backward
from fastnorm.sync_batch_norm import sync_batch_norm, sync_batch_norm_backward
from fastnorm.variance_norm import VarianceNorm, variance_norm, variance_norm_backward
from fastnorm.weight_norm import WeightNorm, WeightNormGradients, weight_norm, weight_norm_backward
from fastnorm.weight_standardization import (
    WeightStandardization,
    WeightStandardizationGradients,
    weight_standardization,
    weight_standardization_backward,
)
from fastnorm.whiten import Whitening, WhiteningGradients, whiten, whiten_backward

__all__ = [
    "ACTIVATION_GAINS",
    "AdaptiveInstanceNorm",
    "AdaptiveInstanceNormGradients",
    "AdaptiveMoments",
    "AddLayerNorm",
    "AddLayerNormGradients",
    "AddRMSNorm",
    "AddRMSNormGradients",
    "BatchNorm",
    "BatchRenorm",
    "ConditionalInstanceNorm",
    "DenormalizeGradients",
    "DynamicTanh",
    "DynamicTanhGradients",
    "EvoNormB0",
    "EvoNormGradients",
    "EvoNormMoments",
    "EvoNormS0",
    "FilterResponseNorm",
    "FilterResponseNormGradients",
    "GlobalResponseNorm",
    "Gradients",
    "GroupNorm",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "LocalResponseNorm",
    "LocalResponseNormGradients",
    "LpNormalize",
    "LpNormalizeGradients",
    "LpNorms",
    "Moments",
    "RMSNorm",
    "RMSNormGradients",
    "RawMoments",
    "RenormMoments",
    "ScaledWeightStandardization",
    "ScaledWeightStandardizationGradients",
    "SingleProcess",
    "SingularTriplet",
    "SpectralNorm",
    "SpectralNormGradients",
    "SyncBatchNorm",
    "VarianceNorm",
    "WeightNorm",
    "WeightNormGradients",
    "WeightStandardization",
    "WeightStandardizationGradients",
    "Whitening",
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
    "get_num_threads",
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
    "num_threads",
    "rms_norm",
    "rms_norm_backward",
    "scaled_weight_standardization",
    "scaled_weight_standardization_backward",
    "set_num_threads",
    "show_config",
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


def __getattr__(name: str) -> Any:
    # numpy.typing, which the reference imports, takes longer to import than all of fastnorm
    if name == "reference":
        import fastnorm.reference as reference

        return reference
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
