# SPDX-License-Identifier: BSD-3-Clause
"""The images: scikit-learn's 1797 handwritten digits of 8x8 pixels, split once and for all."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from examples.beyond_batchnorm.network import Array

SIZE, CLASSES = 8, 10
TESTED = 360  # images that no network learns from


class Images(NamedTuple):
    """Images (N, 8, 8, 1) and what they show."""

    x: Array
    labels: NDArray[np.integer]

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Images]:
        """Walk through all images in random order; the few of an incomplete batch are left out."""
        order = rng.permutation(len(self.x))
        for start in range(0, len(order) - size + 1, size):
            chosen = order[start : start + size]
            yield Images(self.x[chosen], self.labels[chosen])


@cache
def digits() -> tuple[Images, Images]:
    """Return the images to learn from and those to test with, of mean 0 and variance 1."""
    from sklearn.datasets import load_digits

    x, labels = load_digits(return_X_y=True)
    x = x.reshape(-1, SIZE, SIZE, 1)
    order = np.random.default_rng(0).permutation(len(x))
    tested, learned = order[:TESTED], order[TESTED:]
    mean, std = x[learned].mean(), x[learned].std()
    x = ((x - mean) / std).astype(np.float32)
    return Images(x[learned], labels[learned]), Images(x[tested], labels[tested])
