# SPDX-License-Identifier: BSD-3-Clause
"""Training: stochastic gradient descent with momentum, and what is recorded on the way."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from examples.beyond_batchnorm import stopwatch
from examples.beyond_batchnorm.data import CLASSES, SIZE, digits
from examples.beyond_batchnorm.nets import Design, build, watched
from examples.beyond_batchnorm.network import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from examples.beyond_batchnorm.data import Images
    from examples.beyond_batchnorm.network import Array, Learned, Module


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    batch: images in a step.
    rate: learning rate for 64 images; it is in proportion to their number.
    momentum: of the optimizer.
    epochs: walks through the images.
    """

    batch: int = 64
    rate: float = 0.05
    momentum: float = 0.9
    epochs: int = 10


class Descent:
    """Gradient descent with momentum, in place."""

    def __init__(self, rate: float, momentum: float) -> None:
        self.rate, self.momentum = rate, momentum
        self.velocities: dict[int, Array] = {}

    def step(self, learned: Iterable[Learned]) -> None:
        """Change every parameter; the arrays stay the same ones."""
        for _, value, grad in learned:
            velocity = self.velocities.setdefault(id(value), np.zeros_like(value))
            velocity *= self.momentum
            velocity += grad
            value -= self.rate * velocity


def norm(values: Array) -> float:
    """Return the Euclidean norm of all values."""
    return float(np.linalg.norm(values.ravel()))


def accuracy(net: Module, images: Images, batch: int | None = None) -> tuple[float, float]:
    """Return the share of images that are recognized, and the loss.

    In evaluation mode, or with `batch` in training mode, by statistics of so many images at once:
    what batch normalization trains with, and what it is used with, are two functions.
    """
    net.train(batch is not None)
    size = batch or len(images.x)
    right, losses = [], []
    for start in range(0, len(images.x) - size + 1, size):
        labels = images.labels[start : start + size]
        logits = net(images.x[start : start + size])
        losses.append(cross_entropy(logits, labels)[0])
        right.append(float((logits.argmax(1) == labels).mean()))
    return float(np.mean(right)), float(np.mean(losses))


def train(
    design: Design,
    recipe: Recipe,
    seed: int,
    *,
    by_reference: bool = False,
    before_step: Callable[[Module, Descent], None] | None = None,
) -> dict[str, Any]:
    """Train a network and return what was seen.

    Everything random follows from the seed. A loss that is no finite number ends the training; the
    epochs that are left count with the loss of guessing, and an accuracy of guessing.
    """
    learned, tested = digits()
    rng = np.random.default_rng([seed, 1])
    net = build(design, SIZE, CLASSES, np.random.default_rng(seed), by_reference=by_reference)
    optimizer = Descent(recipe.rate * recipe.batch / 64, recipe.momentum)
    first = watched(net, "convolution")[0]

    stopwatch.spent.clear()
    start = time.perf_counter()
    losses, test, gradients = [], [], []
    with np.errstate(over="ignore", invalid="ignore"):  # a training that diverges says so itself
        for _ in range(recipe.epochs):
            net.train()
            seen, sizes = [], []
            for images in learned.batches(recipe.batch, rng):
                loss, gradient = cross_entropy(net(images.x), images.labels)
                if not np.isfinite(loss):
                    break
                net.backward(gradient)
                if before_step is not None:
                    before_step(net, optimizer)
                optimizer.step(net.learned())
                seen.append(loss)
                sizes.append(norm(first.dy))
            else:
                losses.append(float(np.mean(seen)))
                gradients.append(float(np.mean(sizes)))
                test.append(accuracy(net, tested)[0])
                continue
            break
        seconds = time.perf_counter() - start
        result = {
            "diverged": len(losses) < recipe.epochs,
            "loss": losses + [float(np.log(CLASSES))] * (recipe.epochs - len(losses)),
            "accuracy": test + [1 / CLASSES] * (recipe.epochs - len(test)),
            "first_gradient": gradients,
            "seconds": {"all": seconds, **stopwatch.spent},
        }
        if not result["diverged"]:
            by_batch, own = accuracy(net, tested, recipe.batch), accuracy(net, tested)
            result["by_batch"] = {"accuracy": by_batch[0], "loss": by_batch[1]}
            result["evaluation"] = {"accuracy": own[0], "loss": own[1]}
    return result
