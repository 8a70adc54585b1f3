# SPDX-License-Identifier: BSD-3-Clause
"""Claims about how networks learn: by normalizer, by group size, by batch size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from examples.beyond_batchnorm.normalizers import GROUP_SIZES, KINDS, OF_ACTIVATIONS
from examples.beyond_batchnorm.results import diverged, final_accuracy, mean_loss, mismatch
from examples.beyond_batchnorm.verdicts import (
    BA,
    HUANG,
    IOFFE,
    LUBANA,
    RENORM,
    SANTURKAR,
    TOO_SMALL,
    ULYANOV,
    WU_HE,
    Claim,
    Verdict,
    held_if,
    number,
    orders,
)

if TYPE_CHECKING:
    from examples.beyond_batchnorm.results import Results

SETS = ("by_batch", "evaluation")
POINT = 0.01  # of accuracy; 360 test images and 3 seeds make one standard error of half a point


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _losses(results: Results, names: tuple[str, ...], residual: bool) -> dict[str, float]:
    return {name: mean_loss(results.curves(name, residual=residual)) for name in names}


def faster_than_none(results: Results) -> Verdict:
    found = [_losses(results, ("batch", "none"), residual) for residual in (False, True)]
    text = "; ".join(
        f"{words}: batch {number(loss['batch'])}, none {number(loss['none'])}"
        for words, loss in zip(("plain", "residual"), found, strict=True)
    )
    return held_if([loss["batch"] < loss["none"] for loss in found], f"mean training loss, {text}")


def layer_slower(results: Results) -> Verdict:
    found = [_losses(results, ("batch", "layer"), residual) for residual in (False, True)]
    text = "; ".join(
        f"{words}: batch {number(loss['batch'])}, layer {number(loss['layer'])}"
        for words, loss in zip(("plain", "residual"), found, strict=True)
    )
    return held_if([loss["layer"] > loss["batch"] for loss in found], f"mean training loss, {text}")


def trade_off(results: Results) -> Verdict:
    found = [list(_losses(results, GROUP_SIZES, residual).values()) for residual in (False, True)]
    text = f"mean training loss, sizes 1, 2, 4, 8, 32, plain: {orders(found[0])}"
    text += f"; residual: {orders(found[1])}"
    return held_if([0 < int(np.argmin(losses)) < 4 for losses in found], text)


def weight_norm_fails(results: Results) -> Verdict:
    alone, batch = (results.curves(name, residual=True) for name in ("weight", "batch"))
    text = (
        f"residual: {diverged(alone)} of {len(alone)} seeds diverged, test accuracy "
        f"{_percent(final_accuracy(alone))}; batch norm {_percent(final_accuracy(batch))}"
    )
    fails = diverged(alone) > 0 or final_accuracy(alone) < final_accuracy(batch) - 5 * POINT
    return held_if(fails, text)


def weight_norm_corrected(results: Results) -> Verdict:
    alone = results.curves("weight", residual=True)
    corrected = results.curves("weight", residual=True, corrected=True)
    text = (
        f"mean training loss {number(mean_loss(alone))} alone, {number(mean_loss(corrected))} with "
        f"gains of 1/sqrt(blocks); {diverged(corrected)} diverged"
    )
    better = mean_loss(corrected) < mean_loss(alone) and diverged(corrected) == 0
    return held_if(better, text)


def instance_unstable(results: Results) -> Verdict:
    found = {
        name: results.batches(name, residual=False)[min(results.batches(name, residual=False))]
        for name in ("instance", "group-8")
    }
    text = "; ".join(
        f"{name}: {diverged(seeds)} of {len(seeds)} diverged, {_percent(final_accuracy(seeds))}"
        for name, seeds in found.items()
    )
    fails = diverged(found["instance"]) > diverged(found["group-8"])
    fails |= final_accuracy(found["instance"]) < final_accuracy(found["group-8"]) - 2 * POINT
    return held_if(fails, f"plain, smallest batch, {text}")


def instance_classifies_worse(results: Results) -> Verdict:
    found = {
        name: final_accuracy(results.curves(name, residual=True)) for name in ("batch", "instance")
    }
    text = ", ".join(f"{name} {_percent(value)}" for name, value in found.items())
    if abs(found["batch"] - found["instance"]) < POINT:
        return Verdict(TOO_SMALL, f"residual, test accuracy: {text}, less than a point apart")
    return held_if(found["instance"] < found["batch"], f"residual, test accuracy: {text}")


def _accuracies(results: Results, name: str, residual: bool) -> dict[int, float]:
    found = results.batches(name, residual=residual)
    return {size: final_accuracy(seeds) for size, seeds in found.items()}


def _shown(accuracies: dict[int, float]) -> str:
    return ", ".join(_percent(value) for value in accuracies.values())


def batch_degrades(results: Results) -> Verdict:
    conditions, texts = [], []
    for words, residual in (("plain", False), ("residual", True)):
        by_size = _accuracies(results, "batch", residual)
        small = [value for size, value in by_size.items() if size < 8]
        large = [value for size, value in by_size.items() if size >= 8]
        conditions.append(max(small) < min(large) and small[0] < max(large) - 2 * POINT)
        texts.append(f"{words}: {_shown(by_size)}")
    sizes = orders(list(by_size))
    return held_if(conditions, f"test accuracy at batches of {sizes}, {'; '.join(texts)}")


def group_flat(results: Results) -> Verdict:
    conditions, texts = [], []
    for words, residual in (("plain", False), ("residual", True)):
        group = _accuracies(results, "group-8", residual)
        conditions.append(max(group.values()) - min(group.values()) < 2 * POINT)
        texts.append(f"{words}: {_shown(group)}")
    return held_if(conditions, f"groups of 8, {'; '.join(texts)}")


def renorm_between(results: Results) -> Verdict:
    conditions, texts = [], []
    for words, residual in (("plain", False), ("residual", True)):
        found = {
            name: _accuracies(results, name, residual)
            for name in ("batch", "batch-renorm", "group-8")
        }
        smallest = min(found["batch"])
        at = {name: values[smallest] for name, values in found.items()}
        conditions.append(at["batch"] < at["batch-renorm"] < at["group-8"])
        texts.append(f"{words}: {', '.join(f'{n} {_percent(v)}' for n, v in at.items())}")
    return held_if(conditions, f"batches of {smallest}, {'; '.join(texts)}")


def mismatch_grows(results: Results) -> Verdict:
    conditions, texts = [], []
    for words, residual in (("plain", False), ("residual", True)):
        found = results.batches("batch", residual=residual)
        gaps = [mismatch(seeds) for seeds in found.values()]
        conditions.append(gaps[0] == max(gaps) and gaps[-1] == min(gaps))
        texts.append(f"{words}: {orders(gaps)}")
    text = f"|loss by running statistics - loss by those of the batch|, {'; '.join(texts)}"
    return held_if(conditions, text)


def renorm_mismatch(results: Results) -> Verdict:
    conditions, texts = [], []
    for words, residual in (("plain", False), ("residual", True)):
        found = [results.batches(name, residual=residual) for name in ("batch", "batch-renorm")]
        gaps = [mismatch(by_size[min(by_size)]) for by_size in found]
        conditions.append(gaps[1] < gaps[0])
        texts.append(f"{words}: {number(gaps[0])} and {number(gaps[1])}")
    text = f"smallest batch, the same gap of batch norm and batch renorm, {'; '.join(texts)}"
    return held_if(conditions, text)


def noise_harmless(results: Results) -> Verdict:
    conditions, texts = [], []
    for words, residual in (("plain", False), ("residual", True)):
        loss = _losses(results, ("batch", "batch-noise", "none"), residual)
        conditions.append(loss["batch-noise"] - loss["batch"] < loss["none"] - loss["batch-noise"])
        texts.append(f"{words}: {', '.join(f'{n} {number(v)}' for n, v in loss.items())}")
    return held_if(conditions, f"mean training loss, {'; '.join(texts)}")


def residual_levels(results: Results) -> Verdict:
    names = [name for name in OF_ACTIVATIONS if name != "batch-noise"]
    plain, residual = (
        [mean_loss(results.curves(name, residual=shape)) for name in names]
        for shape in (False, True)
    )
    text = (
        f"spread (largest over smallest mean loss): plain {max(plain) / min(plain):.2f}, residual"
    )
    return held_if(
        max(residual) / min(residual) < max(plain) / min(plain),
        f"{text} {max(residual) / min(residual):.2f}",
    )


def instance_is_group(results: Results) -> Verdict:
    conditions, texts = [], []
    for residual in (False, True):
        pairs = zip(
            results.curves("instance", residual=residual),
            results.curves("group-1", residual=residual),
            strict=True,
        )
        difference = max(abs(np.array(a["loss"]) / np.array(b["loss"]) - 1).max() for a, b in pairs)
        conditions.append(difference < 1e-2)
        texts.append(number(difference))
    return held_if(conditions, f"largest relative difference of two curves: {' and '.join(texts)}")


def whitening_helps(results: Results) -> Verdict:
    conditions, texts = [], []
    for words, residual in (("plain", False), ("residual", True)):
        loss = _losses(results, ("batch", "whitening"), residual)
        pairs = zip(
            results.curves("whitening", residual=residual),
            results.curves("batch", residual=residual),
            strict=True,
        )
        lower = [np.mean(ours["loss"]) < np.mean(theirs["loss"]) for ours, theirs in pairs]
        conditions.append(all(lower))
        texts.append(
            f"{words}: batch {number(loss['batch'])}, whitened {number(loss['whitening'])}, "
            f"lower in {sum(lower)} of {len(lower)} seeds"
        )
    return held_if(conditions, f"one layer, mean training loss, {'; '.join(texts)}")


def whitening_in_evaluation(results: Results) -> Verdict:
    conditions, texts = [], []
    for words, residual in (("plain", False), ("residual", True)):
        found = {name: results.curves(name, residual=residual) for name in ("batch", "whitening")}
        right = {
            name: [
                float(np.mean([seed[by]["accuracy"] for seed in seeds if not seed["diverged"]]))
                for by in SETS
            ]
            for name, seeds in found.items()
        }
        conditions.append(right["whitening"][1] > right["whitening"][0] - 2 * POINT)
        texts.append(
            f"{words}: batch {' and '.join(map(_percent, right['batch']))}, "
            f"whitened {' and '.join(map(_percent, right['whitening']))}"
        )
    text = "test accuracy by statistics of the batch and by running ones"
    return held_if(conditions, f"{text}, {'; '.join(texts)}")


def evonorms(results: Results) -> Verdict:
    best = {
        words: sorted(KINDS, key=lambda name: mean_loss(results.curves(name, residual=residual)))
        for words, residual in (("plain", False), ("residual", True))
    }
    places = {
        words: [names.index(name) + 1 for name in ("evonorm-b0", "evonorm-s0", "batch")]
        for words, names in best.items()
    }
    text = "; ".join(
        f"{words}: B0 {p[0]}, S0 {p[1]}, batch {p[2]} of {len(KINDS)}"
        for words, p in places.items()
    )
    held = [min(p[0], p[1]) < p[2] for p in places.values()]
    return held_if(held, f"rank by mean training loss, {text}")


TRAINING = (
    Claim("Batch norm makes training faster", IOFFE, "curves", faster_than_none),
    Claim(
        "Layer norm is slower than batch norm where both apply",
        f"{LUBANA}; {BA}", "curves", layer_slower,
    ),
    Claim(
        "A group size between the extremes is best: speed against stability",
        LUBANA, "gradient", trade_off,
    ),
    Claim("Weight norm fails on residual networks", LUBANA, "curves", weight_norm_fails),
    Claim(
        "... and a correction of the branches' gains mends it", LUBANA, "curves",
        weight_norm_corrected,
    ),
    Claim(
        "Instance norm is unstable on plain networks with small batches", LUBANA, "batches",
        instance_unstable,
    ),
    Claim(
        "Instance norm classifies worse than batch norm",
        f"{ULYANOV}; {WU_HE}", "curves", instance_classifies_worse,
    ),
    Claim("Batch norm gets worse below a batch of 8", WU_HE, "batches", batch_degrades),
    Claim("Group norm does not depend on the batch size", WU_HE, "batches", group_flat),
    Claim("Batch renorm lies between the two", RENORM, "batches", renorm_between),
    Claim(
        "Batch norm in training and in evaluation differ the more, the smaller the batch",
        RENORM, "batches", mismatch_grows,
    ),
    Claim("... and batch renorm narrows that gap", RENORM, "batches", renorm_mismatch),
    Claim(
        "Noise after batch norm, which undoes what it sets right, does not hurt training",
        SANTURKAR, "curves", noise_harmless,
    ),
    Claim(
        "Residual connections make the choice of a normalizer matter less", LUBANA, "curves",
        residual_levels,
    ),
    Claim(
        "Instance norm is group norm with groups of one channel",
        WU_HE, "curves", instance_is_group,
    ),
    Claim(
        "Whitening a layer makes training faster than batch norm",
        HUANG, "curves", whitening_helps,
    ),
    Claim(
        "... and running averages of whitening matrices serve in evaluation",
        HUANG, "", whitening_in_evaluation,
    ),
    Claim("EvoNorms are ahead of batch norm with ReLU", "Liu et al. 2020", "curves", evonorms),
)  # fmt: skip
