# SPDX-License-Identifier: BSD-3-Clause
"""The normalizers of the study: each a layer of fastnorm, or the same by its NumPy reference.

`KINDS` is the one list. A normalizer of activations stands before a ReLU, in one pass with it where
its layer offers that, or brings a nonlinearity of its own; one of weights is part of a convolution.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import fastnorm
from examples.beyond_batchnorm.network import Chain, Learned, Module, ReLU
from examples.beyond_batchnorm.stopwatch import NORMALIZERS, timed
from fastnorm import reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import DTypeLike

    from examples.beyond_batchnorm.network import Array

    Shape = tuple[int, int, int]  # of an image: height, width, channels

RELU = {"activation": "relu"}


@dataclass(frozen=True)
class Kind:
    """How a network is normalized.

    Attributes
    ----------
    label: what figures and tables call it.
    function: the name of the function behind it, in fastnorm and in fastnorm.reference.
    of_activations: from the shape of an image and a dtype, the layer; None for what has none.
    of_weights: from a weight, the layer.
    activates: whether the layer's output has passed a nonlinearity.
    noisy: whether noise comes after it.
    """

    label: str
    function: str = ""
    of_activations: Callable[[Shape, DTypeLike], fastnorm.Layer] | None = None
    of_weights: Callable[[Array], fastnorm.Layer] | None = None
    activates: bool = False
    noisy: bool = False


def _by_channel(
    label: str,
    function: str,
    layer: type[fastnorm.Layer],
    *,
    activates: bool = False,
    noisy: bool = False,
    **options: object,
) -> Kind:
    """Return the kind of a layer that is made for a number of channels."""

    def make(shape: Shape, dtype: DTypeLike) -> fastnorm.Layer:
        return layer(shape[-1], dtype=dtype, channel_axis=-1, **options)

    return Kind(label, function, make, activates=activates, noisy=noisy)


def _group(size: int | None) -> Kind:
    def make(shape: Shape, dtype: DTypeLike) -> fastnorm.Layer:
        channels = shape[-1]
        groups = channels // (size or channels)
        return fastnorm.GroupNorm(groups, channels, channel_axis=-1, dtype=dtype, **RELU)

    return Kind(f"group, size {size or 'all'}", "group_norm", make, activates=True)


KINDS = {
    "none": Kind("none"),
    "batch": _by_channel("batch", "batch_norm", fastnorm.BatchNorm, activates=True, **RELU),
    "batch-noise": _by_channel("batch, then noise", "batch_norm", fastnorm.BatchNorm, noisy=True),
    "layer": Kind(
        "layer",
        "layer_norm",
        lambda shape, dtype: fastnorm.LayerNorm(shape, dtype=dtype, **RELU),
        activates=True,
    ),
    "instance": _by_channel(
        "instance", "instance_norm", fastnorm.InstanceNorm, activates=True, affine=True, **RELU
    ),
    "group-1": _group(1),
    "group-2": _group(2),
    "group-4": _group(4),
    "group-8": _group(8),
    "group-all": _group(None),
    "filter-response": _by_channel(
        "filter response", "filter_response_norm", fastnorm.FilterResponseNorm, activates=True
    ),
    "variance": _by_channel("variance", "variance_norm", fastnorm.VarianceNorm),
    "evonorm-b0": _by_channel("EvoNorm-B0", "evonorm_b0", fastnorm.EvoNormB0, activates=True),
    "evonorm-s0": Kind(
        "EvoNorm-S0",
        "evonorm_s0",
        lambda shape, dtype: fastnorm.EvoNormS0(
            shape[-1], shape[-1] // 4, channel_axis=-1, dtype=dtype
        ),
        activates=True,
    ),
    "weight": Kind("weight", "weight_norm", of_weights=fastnorm.WeightNorm),
    "scaled-weight-std": Kind(
        "scaled weight std.",
        "scaled_weight_standardization",
        of_weights=lambda weight: fastnorm.ScaledWeightStandardization(
            weight, gamma=fastnorm.ACTIVATION_GAINS["relu"]
        ),
    ),
    # 0.1 as batch norm has it: 0.01, made for long runs, would not have arrived here.
    "batch-renorm": _by_channel("batch renorm", "batch_renorm", fastnorm.BatchRenorm, momentum=0.1),
    "whitening": _by_channel("whitening, then batch", "whiten", fastnorm.Whitening, affine=False),
}
GROUP_SIZES = ("group-1", "group-2", "group-4", "group-8", "group-all")
# Those that "Beyond BatchNorm" is about, with three group sizes; two more are layer and instance.
OF_PAPER = (
    *("batch", "layer", "instance", "group-2", "group-4", "group-8", "filter-response", "variance"),
    *("evonorm-b0", "evonorm-s0", "weight", "scaled-weight-std"),
)
OF_ACTIVATIONS = tuple(name for name, kind in KINDS.items() if kind.of_activations)
OF_WEIGHTS = tuple(name for name, kind in KINDS.items() if kind.of_weights)


# Arguments of a function that bear another name in its layer.
ALIASES = {
    "threshold": "tau",
    "learned_eps": "eps_learned",
    "running_whitening": "running_wm",
    "v": "weight_v",
    "g": "weight_g",
}


class Normalized:
    """A layer of fastnorm whose arithmetic is its own or, to compare, that of the reference.

    Its parameters and buffers are the layer's in both cases. The reference computes in float64;
    what leaves here has the type of what came in, so that the rest of the network is the same.
    """

    def __init__(
        self, layer: fastnorm.Layer, function: str, dtype: DTypeLike, *, by_reference: bool
    ) -> None:
        self.layer, self.dtype, self.by_reference = layer, dtype, by_reference
        self.function = getattr(reference, function)
        self.gradient = getattr(reference, f"{function}_backward")
        self.options = [
            name
            for name in inspect.signature(self.function).parameters
            if hasattr(layer, self._attribute(name))
        ]

    def __call__(self, *x: Array) -> Array:
        if not self.by_reference:
            return self.layer(*x)
        arguments = {name: getattr(self.layer, self._attribute(name)) for name in self.options}
        if isinstance(self.layer, fastnorm.LayerNorm):
            arguments["axis"] = tuple(range(-len(self.layer.normalized_shape), 0))
        y, stats = self.function(*x, **arguments, return_stats=True)
        self.saved = (*x, arguments, stats)
        return np.asarray(y, self.dtype)

    def backward(self, dy: Array) -> Array:
        if not self.by_reference:
            return self.layer.backward(dy)
        *x, arguments, stats = self.saved
        found = self.gradient(dy, *x, **arguments, stats=stats)
        own = self.layer.parameters()
        self.layer.grads = {
            self._attribute(name): np.asarray(value, self.dtype)
            for name, value in found._asdict().items()
            if self._attribute(name) in own
        }
        return np.asarray(found[0], self.dtype)

    def learned(self) -> Iterator[Learned]:
        """Walk through the parameters of the layer, once there are gradients."""
        for name, grad in self.layer.grads.items():
            yield Learned(name, self.layer.parameters()[name], grad)

    def _attribute(self, argument: str) -> str:
        other = ALIASES.get(argument, argument)
        return other if hasattr(self.layer, other) else argument


class Normalization(Module):
    """A normalizer of activations as a module."""

    def __init__(self, normalized: Normalized) -> None:
        self.normalized = normalized

    def __call__(self, x: Array) -> Array:
        self.normalized.layer.train(self.training)
        with timed(NORMALIZERS):
            return self.normalized(x)

    def backward(self, dy: Array) -> Array:
        with timed(NORMALIZERS):
            return self.normalized.backward(dy)

    def learned(self) -> Iterator[Learned]:
        yield from self.normalized.learned()


class Noise(Module):
    """Santurkar et al.: what a normalizer has set right, set wrong, in every step otherwise.

    In training every channel of every image gets a factor and a summand, from distributions that
    are drawn anew for the channel in every step; a normalizer before it has no say in them.
    """

    # Of the order of what was set right: means up to half a deviation, deviations up to 1.25.
    SHIFT, SCALE, SPREAD = 0.5, 1.25, 0.1

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def __call__(self, x: Array) -> Array:
        self.factor = np.ones(1, x.dtype)
        if not self.training:
            return x
        each, channel = (len(x), 1, 1, x.shape[-1]), (1, 1, 1, x.shape[-1])
        shift = self.rng.uniform(-self.SHIFT, self.SHIFT, channel)
        scale = self.rng.uniform(1.0, self.SCALE, channel)
        shift = shift + self.rng.uniform(-self.SPREAD, self.SPREAD, each)
        self.factor = self.rng.normal(scale, self.SPREAD, each).astype(x.dtype)
        return x * self.factor + shift.astype(x.dtype)

    def backward(self, dy: Array) -> Array:
        return dy * self.factor


def activation(
    name: str,
    shape: Shape,
    rng: np.random.Generator,
    dtype: DTypeLike = np.float32,
    *,
    by_reference: bool = False,
) -> Module:
    """Return what stands between two convolutions: the normalizer, if it is one of activations,
    and the ReLU, if that is not part of it.
    """
    kind = KINDS[name]
    if kind.of_activations is None:
        return ReLU()
    layer = kind.of_activations(shape, dtype)
    module = Normalization(Normalized(layer, kind.function, dtype, by_reference=by_reference))
    if kind.activates:
        return module
    return Chain(module, Noise(rng), ReLU()) if kind.noisy else Chain(module, ReLU())


def weight(name: str, value: Array, *, by_reference: bool = False) -> Normalized | None:
    """Return the normalizer of the weights of a convolution, if it has one."""
    kind = KINDS[name]
    if kind.of_weights is None:
        return None
    layer = kind.of_weights(value)
    return Normalized(layer, kind.function, value.dtype, by_reference=by_reference)
