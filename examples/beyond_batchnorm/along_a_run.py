# SPDX-License-Identifier: BSD-3-Clause
"""What happens to the weights while a network learns: their lengths, and the steps they feel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from examples.beyond_batchnorm.network import Convolution
from examples.beyond_batchnorm.training import norm, train

if TYPE_CHECKING:
    from examples.beyond_batchnorm.nets import Design
    from examples.beyond_batchnorm.network import Array, Module
    from examples.beyond_batchnorm.training import Descent, Recipe


class Lengths:
    """Follows the weights of the convolutions, step by step.

    For rows that a gradient is orthogonal to, a step of plain descent of relative length c makes a
    row longer by sqrt(1 + c^2): that is what `predicted` has, from what came before each step.
    """

    def __init__(self) -> None:
        self.length: list[float] = []  # mean over the convolutions, after every step
        self.predicted: list[float] = []  # the same, from the lengths at first and the steps alone
        self.cosine: list[float] = []  # largest |cos| between a row and its gradient
        self.effective: list[float] = []  # learning rate over squared length, mean of convolutions
        self._expected: list[Array] = []

    def __call__(self, net: Module, optimizer: Descent) -> None:
        """Look at the gradients of a step before it is taken."""
        held = [
            next(part.learned())
            for part in net.modules()
            if isinstance(part, Convolution)
        ]  # fmt: skip
        rows = [value.reshape(len(value), -1).astype(np.float64) for _, value, _ in held]
        grads = [grad.reshape(len(grad), -1).astype(np.float64) for _, _, grad in held]
        if not self._expected:
            self._expected = [np.square(values).sum(1) for values in rows]
        cosines = [
            abs((r * g).sum(1)) / np.linalg.norm(r, axis=1) / np.linalg.norm(g, axis=1)
            for r, g in zip(rows, grads, strict=True)
        ]
        self.length.append(float(np.mean([norm(values) for values in rows])))
        self.predicted.append(float(np.mean([np.sqrt(sq.sum()) for sq in self._expected])))
        self.cosine.append(float(max(c.max() for c in cosines)))
        rate = optimizer.rate / (1.0 - optimizer.momentum)
        self.effective.append(float(np.mean([rate / norm(values) ** 2 for values in rows])))
        for squares, grad in zip(self._expected, grads, strict=True):
            squares += np.square(optimizer.rate * grad).sum(1)


def measure(
    design: Design, recipe: Recipe, seed: int, *, by_reference: bool = False
) -> dict[str, Any]:
    """Train, and return besides what `training.train` does the lengths of the weights."""
    lengths = Lengths()
    result = train(design, recipe, seed, by_reference=by_reference, before_step=lengths)
    return result | {
        "length": lengths.length,
        "predicted": lengths.predicted,
        "cosine": lengths.cosine,
        "effective": lengths.effective,
    }
