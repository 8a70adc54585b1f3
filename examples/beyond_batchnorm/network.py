# SPDX-License-Identifier: BSD-3-Clause
"""Layers of a network in NumPy: convolution, ReLU, pooling, a linear layer, the loss.

Images are channels-last, (N, H, W, C), so that a convolution is a product of matrices as they lie
in memory. A module is called with its input, and `backward` takes the gradient of the loss from its
output to its input; `learned()` lists its parameters with their gradients from the last `backward`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from examples.beyond_batchnorm.stopwatch import BLAS, NORMALIZERS, PATCHES, timed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

    from examples.beyond_batchnorm.normalizers import Normalized

    Array = NDArray[np.floating]

KERNEL = 3  # of every convolution; padded by 1, so that an image keeps its size


class Learned(NamedTuple):
    """A parameter, which the optimizer changes in place, and the gradient of the loss."""

    name: str
    value: Array
    grad: Array


class Module:
    """What all parts of a network have; this one changes nothing."""

    training = True

    def __call__(self, x: Array) -> Array:
        """Return the output, and keep what `backward` needs."""
        return x

    def backward(self, dy: Array) -> Array:
        """Return the gradient of the loss with respect to the last input."""
        return dy

    def parts(self) -> Sequence[Module]:
        """List the modules that this one is made of, in the order of the data."""
        return ()

    def modules(self) -> Iterator[Module]:
        """Walk through this module and all that it is made of."""
        yield self
        for part in self.parts():
            yield from part.modules()

    def learned(self) -> Iterator[Learned]:
        """Walk through the parameters of this module and of all that it is made of."""
        for part in self.parts():
            yield from part.learned()

    def train(self, mode: bool = True) -> None:
        """Switch everything to training, or with ``mode=False`` to evaluation."""
        for module in self.modules():
            module.training = mode


class Chain(Module):
    """One module after the other."""

    def __init__(self, *members: Module) -> None:
        self.members = members

    def __call__(self, x: Array) -> Array:
        for member in self.members:
            x = member(x)
        return x

    def backward(self, dy: Array) -> Array:
        for member in reversed(self.members):
            dy = member.backward(dy)
        return dy

    def parts(self) -> Sequence[Module]:
        return self.members


class Residual(Module):
    """What comes in, plus what a branch makes of it."""

    def __init__(self, branch: Module) -> None:
        self.branch = branch

    def __call__(self, x: Array) -> Array:
        return x + self.branch(x)

    def backward(self, dy: Array) -> Array:
        return dy + self.branch.backward(dy)

    def parts(self) -> Sequence[Module]:
        return (self.branch,)


def he_normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Draw a weight of shape (out, ...) that keeps the mean square through a ReLU."""
    fan_in = np.prod(shape[1:])
    return rng.normal(0.0, np.sqrt(2.0 / fan_in), shape).astype(dtype)


class Weight(Module):
    """The weight of a layer: learned as it is, or through a normalizer of weights."""

    def __init__(self, value: Array, normalized: Normalized | None = None) -> None:
        self.value, self.normalized = value, normalized
        self.grad = np.zeros_like(value)

    def __call__(self) -> Array:  # type: ignore[override]  # its input is what it holds
        if self.normalized is None:
            return self.value
        with timed(NORMALIZERS):
            return self.normalized()

    def backward(self, dy: Array) -> Array:
        self.grad = dy
        if self.normalized is not None:
            with timed(NORMALIZERS):
                self.normalized.backward(dy)
        return dy

    def learned(self) -> Iterator[Learned]:
        if self.normalized is None:
            yield Learned("weight", self.value, self.grad)
        else:
            yield from self.normalized.learned()


def patches(x: Array) -> Array:
    """Return the 3x3 pixels around each one as a row, (N H W, 9 C), with zeros around the image."""
    n, height, width, channels = x.shape
    with timed(PATCHES):
        padded = np.zeros((n, height + 2, width + 2, channels), x.dtype)
        padded[:, 1:-1, 1:-1] = x
        rows = np.empty((n, height, width, KERNEL, KERNEL, channels), x.dtype)
        for i in range(KERNEL):
            for j in range(KERNEL):
                rows[:, :, :, i, j] = padded[:, i : i + height, j : j + width]
        return rows.reshape(n * height * width, -1)


class Convolution(Module):
    """3x3 convolution of stride 1 with an optional bias; its weight is (out, 3, 3, in)."""

    def __init__(self, weight: Weight, bias: Array | None = None) -> None:
        self.weight, self.bias = weight, bias
        self.dbias = None if bias is None else np.zeros_like(bias)

    def __call__(self, x: Array) -> Array:
        self.rows, self.used = patches(x), self.weight()
        with timed(BLAS):
            y = self.rows @ self.used.reshape(len(self.used), -1).T
        if self.bias is not None:
            y += self.bias
        return y.reshape(*x.shape[:3], -1)

    def backward(self, dy: Array) -> Array:
        outputs = dy.shape[-1]
        flat = dy.reshape(-1, outputs)
        if self.bias is not None:
            self.dbias = flat.sum(0)
        # The gradient of the input is a convolution too, by the weight turned around.
        turned = self.used[:, ::-1, ::-1].transpose(1, 2, 0, 3).reshape(-1, self.used.shape[-1])
        rows = patches(dy)
        with timed(BLAS):
            dweight = flat.T @ self.rows
            dx = rows @ turned
        self.weight.backward(dweight.reshape(self.used.shape))
        return dx.reshape(*dy.shape[:3], -1)

    def parts(self) -> Sequence[Module]:
        return (self.weight,)

    def learned(self) -> Iterator[Learned]:
        yield from self.weight.learned()
        if self.bias is not None and self.dbias is not None:
            yield Learned("bias", self.bias, self.dbias)


class Linear(Module):
    """The last layer: a product with a weight (out, in), and a bias."""

    def __init__(self, weight: Array) -> None:
        self.weight, self.dweight = weight, np.zeros_like(weight)
        self.bias, self.dbias = (np.zeros(len(weight), weight.dtype) for _ in range(2))

    def __call__(self, x: Array) -> Array:
        self.x = x
        with timed(BLAS):
            return x @ self.weight.T + self.bias

    def backward(self, dy: Array) -> Array:
        self.dbias = dy.sum(0)
        with timed(BLAS):
            self.dweight = dy.T @ self.x
            return dy @ self.weight

    def learned(self) -> Iterator[Learned]:
        yield Learned("weight", self.weight, self.dweight)
        yield Learned("bias", self.bias, self.dbias)


class ReLU(Module):
    """max(x, 0)."""

    def __call__(self, x: Array) -> Array:
        self.y = np.maximum(x, 0)
        return self.y

    def backward(self, dy: Array) -> Array:
        return dy * (self.y > 0)


class HalfSize(Module):
    """The mean of every 2x2 pixels."""

    def __call__(self, x: Array) -> Array:
        n, height, width, channels = x.shape
        return x.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))

    def backward(self, dy: Array) -> Array:
        return (dy / 4).repeat(2, 1).repeat(2, 2)


class MeanOverImage(Module):
    """The mean of every channel over the image: (N, H, W, C) to (N, C)."""

    def __call__(self, x: Array) -> Array:
        self.shape = x.shape
        return x.mean((1, 2))

    def backward(self, dy: Array) -> Array:
        pixels = self.shape[1] * self.shape[2]
        return np.broadcast_to(dy[:, None, None] / pixels, self.shape).astype(dy.dtype)


def cross_entropy(logits: Array, labels: NDArray[np.integer]) -> tuple[float, Array]:
    """Return the mean cross-entropy of a softmax, and its gradient with respect to the logits."""
    shifted = logits - logits.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    rows = np.arange(len(labels))
    gradient = np.exp(logs)
    gradient[rows, labels] -= 1
    return float(-logs[rows, labels].mean()), gradient / len(labels)
