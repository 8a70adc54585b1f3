# SPDX-License-Identifier: BSD-3-Clause
"""What happens to the weights while a network learns: how they grow, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from examples.beyond_batchnorm.network import Convolution
from examples.beyond_batchnorm.training import train

if TYPE_CHECKING:
    from examples.beyond_batchnorm.nets import Design
    from examples.beyond_batchnorm.network import Array, Module
    from examples.beyond_batchnorm.training import Descent, Recipe


class Growth:
    """Follows the weights of the convolutions.

    Where a gradient is orthogonal to a row, a step of plain descent of relative length c makes the
    row longer by sqrt(1 + c^2): `predicted` adds up the squares of the steps alone.
    """

    def __init__(self) -> None:
        self.grown: list[float] = []  # length over that at first, less 1; mean of the convolutions
        self.predicted: list[float] = []
        self.cosine: list[float] = []  # largest |cos| between a row and its gradient
        self._first: list[float] = []  # squares of the lengths at first,
        self._steps: list[float] = []  # and of all steps since

    def __call__(self, net: Module, optimizer: Descent) -> None:
        """Look at the weights and their gradients, before a step is taken."""
        convolutions = [part for part in net.modules() if isinstance(part, Convolution)]
        held = [next(convolution.learned()) for convolution in convolutions]
        rows = [_rows(weight.value) for weight in held]
        grads = [_rows(weight.grad) for weight in held]
        squares = [float(np.square(values).sum()) for values in rows]
        self._first = self._first or squares
        self._steps = self._steps or [0.0] * len(held)
        self.grown.append(_mean_growth(squares, self._first))
        expected = np.add(self._first, self._steps)
        self.predicted.append(_mean_growth(expected, self._first))
        self.cosine.append(max(_cosine(r, g) for r, g in zip(rows, grads, strict=True)))
        for place, grad in enumerate(grads):
            self._steps[place] += float(np.square(optimizer.rate * grad).sum())


def _rows(values: Array) -> Array:
    return values.reshape(len(values), -1).astype(np.float64)


def _mean_growth(squares: Any, first: Any) -> float:
    return float(np.mean(np.sqrt(np.divide(squares, first)) - 1.0))


def _cosine(rows: Array, grads: Array) -> float:
    """Return the largest |cos| of the rows; a row without a gradient has none."""
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(grads, axis=1)
    products = abs((rows * grads).sum(1))
    return float(np.divide(products, lengths, np.zeros_like(products), where=lengths > 0).max())


def measure(
    design: Design, recipe: Recipe, seed: int, *, by_reference: bool = False
) -> dict[str, Any]:
    """Train, and return besides what `training.train` does how the weights grew."""
    growth = Growth()
    result = train(design, recipe, seed, by_reference=by_reference, before_step=growth)
    found = {"grown": growth.grown, "predicted": growth.predicted, "cosine": growth.cosine}
    return result | found
