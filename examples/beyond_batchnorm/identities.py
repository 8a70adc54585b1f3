# SPDX-License-Identifier: BSD-3-Clause
"""What holds exactly, or not at all: invariances, the dead bias, who looks at whom.

Everything is float64 and, where a formula has an eps, without it, so that what is left of an
identity is rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import fastnorm
from examples.beyond_batchnorm.data import CLASSES, SIZE, digits
from examples.beyond_batchnorm.nets import Design, build
from examples.beyond_batchnorm.network import Convolution, Weight, he_normal

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.beyond_batchnorm.network import Array

CHANNELS, FACTOR = 8, 10.0
LAST = {"channel_axis": -1, "eps": 0.0}
Pass = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # y, dx, dweight, dbias

# Normalizers of activations, each behind a convolution; a forward and a backward of x and dy.
NORMALIZERS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "batch": (
        lambda x: fastnorm.batch_norm(x, **LAST),
        lambda dy, x: fastnorm.batch_norm_backward(dy, x, **LAST),
    ),
    "layer": (
        lambda x: fastnorm.layer_norm(x, axis=(1, 2, 3), eps=0.0),
        lambda dy, x: fastnorm.layer_norm_backward(dy, x, axis=(1, 2, 3), eps=0.0),
    ),
    "instance": (
        lambda x: fastnorm.instance_norm(x, **LAST),
        lambda dy, x: fastnorm.instance_norm_backward(dy, x, **LAST),
    ),
    "group": (
        lambda x: fastnorm.group_norm(x, 2, **LAST),
        lambda dy, x: fastnorm.group_norm_backward(dy, x, 2, **LAST),
    ),
    "filter response": (
        lambda x: fastnorm.filter_response_norm(x, **LAST),
        lambda dy, x: fastnorm.filter_response_norm_backward(dy, x, **LAST),
    ),
    "variance": (
        lambda x: fastnorm.variance_norm(x, **LAST),
        lambda dy, x: fastnorm.variance_norm_backward(dy, x, **LAST),
    ),
}


def _difference(a: Array, b: Array) -> float:
    return float(abs(a - b).max() / max(abs(b).max(), 1e-3))


def invariances(seed: int) -> dict[str, dict[str, float]]:
    """Return, for a convolution with a normalizer behind it, how far each identity is off.

    weight, data: of y, where all weights or all data are multiplied by a factor.
    gradient_weight, gradient_data: of the weight's gradient, which is divided by the weight's
    factor, and of the data's, which stays.
    orthogonal: the cosine of a weight and its gradient.
    bias: the gradient of the convolution's bias, over the sum of its terms' sizes.
    """
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, 6, 6, 3))
    value = he_normal(rng, (CHANNELS, 3, 3, 3), np.float64)
    dy = rng.standard_normal((4, 6, 6, CHANNELS))
    found = {}
    for name, (forward, backward) in NORMALIZERS.items():

        def through(x: Array, value: Array) -> Pass:
            convolution = Convolution(Weight(value), np.zeros(CHANNELS))
            between = convolution(x)
            inner = backward(dy, between).x  # noqa: B023
            dx = convolution.backward(inner)
            bias = abs(convolution.dbias) / abs(inner).sum((0, 1, 2))
            return forward(between), dx, convolution.weight.grad, bias  # noqa: B023

        y, dx, dweight, dbias = through(x, value)
        wide, wide_dx, wide_dweight, _ = through(x, FACTOR * value)
        found[name] = {
            "weight": _difference(wide, y),
            "data": _difference(through(FACTOR * x, value)[0], y),
            "gradient_weight": _difference(FACTOR * wide_dweight, dweight),
            "gradient_data": _difference(wide_dx, dx),
            "orthogonal": float(
                abs(np.vdot(value, dweight)) / np.linalg.norm(value) / np.linalg.norm(dweight)
            ),
            "bias": float(dbias.max()),
        }
    return found


def gradient_norm(seed: int) -> float:
    """Return how far Santurkar's bound is from an equality for batch norm itself.

    |dx|^2 = (weight / std)^2 (|dy|^2 - sum(dy)^2 / m - sum(dy y)^2 / m) of every channel.
    """
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(3.0, 2.0, (2, 256, CHANNELS))
    weight = rng.uniform(0.5, 2.0, CHANNELS)
    dx = fastnorm.batch_norm_backward(dy, x, weight, **LAST).x
    mean, var, count = fastnorm.moments(x, 0)
    normalized = (x - mean) / np.sqrt(var)
    terms = np.square(dy).sum(0)
    terms -= (np.square(dy.sum(0)) + np.square((dy * normalized).sum(0))) / count
    return _difference(np.square(dx).sum(0), np.square(weight) / var * terms)


def neighbours(seed: int) -> dict[str, dict[str, float]]:
    """Return by normalizer how much an image's scores depend on the rest of its batch.

    The largest change of the first image's scores where the other images are other ones, over the
    spread of the scores, in training and in evaluation.
    """
    rng = np.random.default_rng([seed, 1])
    batches = digits()[0].batches(8, rng)
    first, second = next(batches).x.astype(np.float64), next(batches).x.astype(np.float64)
    second[0] = first[0]
    found = {}
    for name in ("none", "batch", "batch-renorm", "variance", "layer", "group-4", "instance"):
        net = build(Design(name, channels=16), SIZE, CLASSES, np.random.default_rng(seed), "f8")
        changes = {}
        for mode in ("training", "evaluation"):
            net.train(mode == "training")
            scores = net(first)[0]
            changes[mode] = float(abs(net(second)[0] - scores).max() / scores.std())
        found[name] = changes
    return found


def noise(seed: int) -> dict[str, list[float]]:
    """Return by number of values how noisy the statistics of a normal distribution are."""
    rng = np.random.default_rng(seed)
    sizes = [2, 4, 8, 16, 32, 128]
    found: dict[str, list[float]] = {"values": [float(size) for size in sizes]}
    for size in sizes:
        var = fastnorm.moments(rng.standard_normal((20000, size)), -1).var
        rstd = 1.0 / np.sqrt(var + 1e-5)
        for name, value in (("var", var.mean()), ("sd_var", var.std()), ("rstd", rstd.mean())):
            found.setdefault(name, []).append(float(value))
    return found


def white(seed: int) -> float:
    """Return how far the covariance of whitened activations of digits is from the identity."""
    x = next(digits()[0].batches(64, np.random.default_rng([seed, 1]))).x.astype(np.float64)
    value = he_normal(np.random.default_rng(seed), (CHANNELS, 3, 3, 1), np.float64)
    y = fastnorm.whiten(Convolution(Weight(value))(x), **LAST).reshape(-1, CHANNELS)
    return float(abs(np.cov(y.T, ddof=0) - np.eye(CHANNELS)).max())


def measure(seed: int) -> dict[str, Any]:
    """Return all of this module."""
    return {
        "invariances": invariances(seed),
        "gradient_norm": gradient_norm(seed),
        "neighbours": neighbours(seed),
        "noise": noise(seed),
        "white": white(seed),
    }
