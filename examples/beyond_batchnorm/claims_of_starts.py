# SPDX-License-Identifier: BSD-3-Clause
"""Claims about a deep network that has not learned anything yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scipy.stats import spearmanr

from examples.beyond_batchnorm.normalizers import GROUP_SIZES, OF_ACTIVATIONS, OF_PAPER, OF_WEIGHTS
from examples.beyond_batchnorm.results import mean_loss
from examples.beyond_batchnorm.verdicts import (
    BROCK,
    LUBANA,
    Claim,
    Verdict,
    falls,
    held_if,
    number,
    orders,
    rises,
    span,
)

if TYPE_CHECKING:
    from examples.beyond_batchnorm.results import Results

# Every block that adds the same makes 20 blocks twice as much as 10; a factor in each of them does
# not stop there. Between the two lies a factor of 4, or 1.15 a block.
LINEAR = 4.0


def _growth(results: Results, name: str) -> float:
    variance = results.by_depth(name, "variance")
    return float(variance[19] / variance[9])


def linear(results: Results) -> Verdict:
    names = [name for name in OF_PAPER if name in OF_ACTIVATIONS]
    growths = [_growth(results, name) for name in names]
    text = (
        f"variance after 20 blocks over that after 10: {span(growths)} ({len(names)} normalizers)"
    )
    return held_if([growth < LINEAR for growth in growths], text)


def exponential(results: Results) -> Verdict:
    growths = [_growth(results, name) for name in (*OF_WEIGHTS, "none")]
    text = f"the same ratio: {orders(growths)} ({', '.join(OF_WEIGHTS)}, none)"
    return held_if([growth > LINEAR for growth in growths], text)


def with_depth(results: Results) -> Verdict:
    found = {name: results.by_depth(name, "cosine") for name in ("none", *GROUP_SIZES)}
    text = "; ".join(f"{name} {orders(cosine[[0, 9, 19]])}" for name, cosine in found.items())
    return held_if(
        [cosine[19] > cosine[0] for cosine in found.values()], f"layers 1, 10, 20: {text}"
    )


def with_group_size(results: Results) -> Verdict:
    values = [float(results.by_depth(name, "cosine")[19]) for name in GROUP_SIZES]
    return held_if(rises(values), f"layer 20, sizes 1, 2, 4, 8, 32: {orders(values)}")


def batch_as_instance(results: Results) -> Verdict:
    batch, instance, layer = (
        float(results.by_depth(name, "cosine")[19]) for name in ("batch", "instance", "layer")
    )
    text = f"layer 20: batch {number(batch)}, instance {number(instance)}, layer {number(layer)}"
    return held_if(abs(batch - instance) < abs(layer - instance) / 2 and batch < layer, text)


def as_batch(results: Results) -> Verdict:
    batch, scaled, layer = (
        float(results.by_depth(name, "cosine")[19])
        for name in ("batch", "scaled-weight-std", "layer")
    )
    text = f"layer 20: batch {number(batch)}, scaled {number(scaled)}, layer {number(layer)}"
    return held_if(abs(scaled - batch) < abs(layer - batch) / 2, text)


def uncentred(results: Results) -> Verdict:
    batch, variance, response = (
        float(results.by_depth(name, "cosine")[19])
        for name in ("batch", "variance", "filter-response")
    )
    text = (
        f"layer 20: batch {number(batch)}, variance {number(variance)}, "
        f"filter response {number(response)}"
    )
    return held_if([variance > batch, response > batch], text)


def with_speed(results: Results) -> Verdict:
    cosines = [float(results.by_depth(name, "cosine")[19]) for name in OF_PAPER]
    found = {}
    for words, residual in (("plain", False), ("residual", True)):
        losses = [mean_loss(results.curves(name, residual=residual)) for name in OF_PAPER]
        found[words] = spearmanr(cosines, losses)
    text = "; ".join(
        f"{words}: rank correlation with the mean training loss {test.statistic:.2f} "
        f"(p = {number(test.pvalue)})"
        for words, test in found.items()
    )
    # Low cosine, fast learning: a small cosine goes with a small loss.
    held = [test.statistic > 0 and test.pvalue < 0.05 for test in found.values()]
    return held_if(held, f"{len(OF_PAPER)} normalizers, {text}")


def _early(results: Results, name: str) -> float:
    gradient = results.by_depth(name, "gradient")
    return float(gradient[0] / gradient[19])


def early_gradient(results: Results) -> Verdict:
    values = [_early(results, name) for name in GROUP_SIZES]
    text = f"layer 1 over layer 20, sizes 1, 2, 4, 8, 32: {orders(values)}"
    return held_if(falls(values), text)


def explodes(results: Results) -> Verdict:
    instance, batch, layer = (_early(results, name) for name in ("instance", "batch", "layer"))
    text = f"instance {number(instance)}, batch {number(batch)}, layer {number(layer)}"
    return held_if(instance > 4 * layer and instance > batch, f"layer 1 over layer 20: {text}")


STARTS = (
    Claim(
        "In residual networks normalizers of activations let the variance grow linearly with depth",
        LUBANA, "variance", linear,
    ),
    Claim("... normalizers of weights alone, exponentially", LUBANA, "variance", exponential),
    Claim(
        "Activations of different images become more alike with depth", LUBANA, "cosine", with_depth
    ),
    Claim("... and more so in larger groups", LUBANA, "cosine", with_group_size),
    Claim(
        "Batch norm keeps images as far apart as instance norm, layer norm does not",
        LUBANA, "cosine", batch_as_instance,
    ),
    Claim(
        "Scaled weight standardization propagates forward as batch norm does",
        f"{BROCK}; {LUBANA}", "cosine", as_batch,
    ),
    Claim(
        "Without subtracting a mean (variance, filter response) images are more alike",
        LUBANA, "cosine", uncentred,
    ),
    Claim("Where images are less alike, learning is faster", LUBANA, "cosine", with_speed),
    Claim(
        "Gradients of early layers are the larger, the smaller the groups",
        LUBANA, "gradient", early_gradient,
    ),
    Claim(
        "With instance norm the gradient explodes towards the first layers",
        LUBANA, "gradient", explodes,
    ),
)  # fmt: skip
