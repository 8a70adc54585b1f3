# SPDX-License-Identifier: BSD-3-Clause
"""The two networks of the study: a plain one, and one of residual blocks, of any normalizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from examples.beyond_batchnorm import normalizers
from examples.beyond_batchnorm.network import (
    KERNEL,
    Chain,
    Convolution,
    HalfSize,
    Linear,
    MeanOverImage,
    Module,
    Residual,
    Weight,
    he_normal,
)

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from examples.beyond_batchnorm.network import Array

NETWORKS = {"plain": False, "residual": True}  # what they are called, and `Design.residual`


@dataclass(frozen=True)
class Design:
    """A network.

    Attributes
    ----------
    normalizer: a key of `normalizers.KINDS`.
    residual: blocks of two convolutions beside a shortcut, not one convolution after another.
    depth: convolutions after the first one in each stage; a stage has half the image of the last.
    stages: their number; 3 end at 2x2 pixels.
    channels: of every convolution.
    corrected: the last gains of a branch start small, 1/sqrt(number of blocks): weight norm alone.
    """

    normalizer: str
    residual: bool = False
    depth: int = 4
    stages: int = 3
    channels: int = 32
    corrected: bool = False


class Watch(Module):
    """Changes nothing, and keeps what went through: activations forward, gradients backward."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __call__(self, x: Array) -> Array:
        self.x = x
        return x

    def backward(self, dy: Array) -> Array:
        self.dy = dy
        return dy


class _Builder:
    """Makes the parts of one network, in the order of the data."""

    def __init__(
        self, design: Design, size: int, rng: np.random.Generator, dtype: DTypeLike, reference: bool
    ) -> None:
        self.design, self.size, self.rng, self.dtype = design, size, rng, dtype
        self.by_reference = reference
        self.whitened = False

    def convolution(self, inputs: int | None = None, gain: float = 1.0) -> Module:
        channels = self.design.channels
        shape = (channels, KERNEL, KERNEL, inputs or channels)
        value = he_normal(self.rng, shape, self.dtype)
        value *= self.dtype.type(gain)
        name = self.design.normalizer
        normalized = normalizers.weight(name, value, by_reference=self.by_reference)
        return Chain(Convolution(Weight(value, normalized)), Watch("convolution"))

    def activation(self) -> Module:
        name = self.design.normalizer
        if name == "whitening" and self.whitened:
            name = "batch"  # a decomposition in every step is dear: the first layer alone has it
        self.whitened = True
        shape = (self.size, self.size, self.design.channels)
        made = normalizers.activation(
            name, shape, self.rng, self.dtype, by_reference=self.by_reference
        )
        return Chain(made, Watch("activation"))

    def plain(self) -> list[Module]:
        parts = []
        for _ in range(self.design.depth):
            parts += [self.convolution(), self.activation()]
        return parts

    def residual(self) -> list[Module]:
        parts: list[Module] = []
        blocks = self.design.stages * self.design.depth // 2
        gain = blocks**-0.5 if self.design.corrected else 1.0
        for _ in range(self.design.depth // 2):
            branch = [self.activation(), self.convolution()]
            branch += [self.activation(), self.convolution(gain=gain)]
            parts += [Residual(Chain(*branch)), Watch("block")]
        return parts


def build(
    design: Design,
    size: int,
    classes: int,
    rng: np.random.Generator,
    dtype: DTypeLike = np.float32,
    *,
    by_reference: bool = False,
) -> Chain:
    """Return the network of a design for images of `size` times `size` pixels of one channel."""
    builder = _Builder(design, size, rng, np.dtype(dtype), by_reference)
    parts = [builder.convolution(inputs=1)]
    if not design.residual:
        parts.append(builder.activation())
    for stage in range(design.stages):
        if stage:
            parts.append(HalfSize())
            builder.size //= 2
        parts += builder.residual() if design.residual else builder.plain()
    if design.residual:
        parts.append(builder.activation())
    weight = he_normal(rng, (classes, design.channels), builder.dtype)
    return Chain(*parts, MeanOverImage(), Linear(weight))


def watched(net: Module, what: str) -> list[Watch]:
    """Return the places of a kind, "convolution", "activation" or "block", from input to output."""
    return [part for part in net.modules() if isinstance(part, Watch) and part.what == what]
