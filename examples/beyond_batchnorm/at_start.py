# SPDX-License-Identifier: BSD-3-Clause
"""What a deep network does before it has learned anything: the quantities of "Beyond BatchNorm".

K. Lubana, R. Dick, H. Tanaka, "Beyond BatchNorm: Towards a Unified Understanding of Normalization
in Deep Learning", NeurIPS 2021, arXiv:2106.05956, as their code measures them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from examples.beyond_batchnorm.data import CLASSES, SIZE, digits
from examples.beyond_batchnorm.nets import Design, build, watched
from examples.beyond_batchnorm.network import cross_entropy
from examples.beyond_batchnorm.training import norm

if TYPE_CHECKING:
    from examples.beyond_batchnorm.network import Array

LAYERS, BLOCKS = 20, 20  # of the plain network, of the residual one
IMAGES = 64


def variance(x: Array) -> float:
    """Return the mean over the channels of their variance over images and pixels."""
    return float(x.astype(np.float64).var((0, 1, 2)).mean())


def cosine(x: Array) -> float:
    """Return the mean cosine between the activations of two different images."""
    rows = x.reshape(len(x), -1).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return float(((rows @ rows.T).sum() - len(x)) / (len(x) * (len(x) - 1)))


def measure(normalizer: str, seed: int, *, by_reference: bool = False) -> dict[str, Any]:
    """Return, by depth: cosines and gradient norms of a plain network, variances of a residual one.

    The gradient norm is that of the loss with respect to the output of a convolution.
    """
    images = next(digits()[0].batches(IMAGES, np.random.default_rng([seed, 1])))
    found = {}
    for residual, depth in ((False, LAYERS - 1), (True, 2 * BLOCKS)):
        design = Design(normalizer, residual, depth, stages=1)
        rng = np.random.default_rng(seed)
        net = build(design, SIZE, CLASSES, rng, by_reference=by_reference)
        logits = net(images.x)
        if residual:
            found["variance"] = [variance(watch.x) for watch in watched(net, "block")]
        else:
            net.backward(cross_entropy(logits, images.labels)[1])
            found["cosine"] = [cosine(watch.x) for watch in watched(net, "activation")]
            found["gradient"] = [norm(watch.dy) for watch in watched(net, "convolution")]
    return found
