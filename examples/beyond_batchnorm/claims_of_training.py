# SPDX-License-Identifier: BSD-3-Clause
"""Claims about how networks learn: by normalizer, by group size, by batch size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from examples.beyond_batchnorm.nets import NETWORKS
from examples.beyond_batchnorm.normalizers import GROUP_SIZES, KINDS
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
    from collections.abc import Callable, Iterable, Mapping

    from examples.beyond_batchnorm.results import Result, Results

POINT = 0.01  # of accuracy; 360 test images and 3 seeds make one standard error of half a point
LOSS = "mean training loss, "
SETS = ("by_batch", "evaluation")  # whose statistics a trained network is tested with


def _in_both(ask: Callable[[bool], tuple[bool, str]], before: str = "") -> Verdict:
    """Ask the plain and the residual network; `ask` returns whether it held, and what was seen."""
    found = {words: ask(residual) for words, residual in NETWORKS.items()}
    text = "; ".join(f"{words}: {seen}" for words, (_, seen) in found.items())
    return held_if([held for held, _ in found.values()], before + text)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _percents(values: Iterable[float]) -> str:
    return ", ".join(map(_percent, values))


def _named(values: Mapping[str, float], show: Callable[[float], str] = number) -> str:
    return ", ".join(f"{name} {show(value)}" for name, value in values.items())


def _losses(results: Results, residual: bool, *names: str) -> dict[str, float]:
    return {name: mean_loss(results.curves(name, residual=residual)) for name in names}


def _accuracies(results: Results, name: str, residual: bool) -> dict[int, float]:
    found = results.batches(name, residual=residual)
    return {size: final_accuracy(seeds) for size, seeds in found.items()}


def faster_than_none(results: Results) -> Verdict:
    def ask(residual: bool) -> tuple[bool, str]:
        loss = _losses(results, residual, "batch", "none")
        return loss["batch"] < loss["none"], _named(loss)

    return _in_both(ask, LOSS)


def layer_slower(results: Results) -> Verdict:
    def ask(residual: bool) -> tuple[bool, str]:
        loss = _losses(results, residual, "batch", "layer")
        return loss["layer"] > loss["batch"], _named(loss)

    return _in_both(ask, LOSS)


def trade_off(results: Results) -> Verdict:
    def ask(residual: bool) -> tuple[bool, str]:
        losses = list(_losses(results, residual, *GROUP_SIZES).values())
        return 0 < int(np.argmin(losses)) < len(losses) - 1, orders(losses)

    return _in_both(ask, "mean training loss, sizes 1, 2, 4, 8, 32, ")


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
    by_size = {name: results.batches(name, residual=False) for name in ("instance", "group-8")}
    found = {name: sizes[min(sizes)] for name, sizes in by_size.items()}
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
    text = f"residual, test accuracy: {_named(found, _percent)}"
    if abs(found["batch"] - found["instance"]) < POINT:
        return Verdict(TOO_SMALL, f"{text}, less than a point apart")
    return held_if(found["instance"] < found["batch"], text)


def batch_degrades(results: Results) -> Verdict:
    def ask(residual: bool) -> tuple[bool, str]:
        by_size = _accuracies(results, "batch", residual)
        small = [value for size, value in by_size.items() if size < 8]
        large = [value for size, value in by_size.items() if size >= 8]
        worse = max(small) < min(large) and small[0] < max(large) - 2 * POINT
        return worse, _percents(by_size.values())

    sizes = orders(list(results.batches("batch", residual=False)))
    return _in_both(ask, f"test accuracy at batches of {sizes}, ")


def group_flat(results: Results) -> Verdict:
    def ask(residual: bool) -> tuple[bool, str]:
        found = _accuracies(results, "group-8", residual).values()
        return max(found) - min(found) < 2 * POINT, _percents(found)

    return _in_both(ask, "groups of 8, ")


def renorm_between(results: Results) -> Verdict:
    smallest = min(results.batches("batch", residual=False))

    def ask(residual: bool) -> tuple[bool, str]:
        names = ("batch", "batch-renorm", "group-8")
        at = {name: _accuracies(results, name, residual)[smallest] for name in names}
        return at["batch"] < at["batch-renorm"] < at["group-8"], _named(at, _percent)

    return _in_both(ask, f"batches of {smallest}, ")


def mismatch_grows(results: Results) -> Verdict:
    def ask(residual: bool) -> tuple[bool, str]:
        gaps = [mismatch(seeds) for seeds in results.batches("batch", residual=residual).values()]
        return gaps[0] == max(gaps) and gaps[-1] == min(gaps), orders(gaps)

    return _in_both(ask, "|loss by running statistics - loss by those of the batch|, ")


def renorm_mismatch(results: Results) -> Verdict:
    def ask(residual: bool) -> tuple[bool, str]:
        found = [results.batches(name, residual=residual) for name in ("batch", "batch-renorm")]
        gaps = [mismatch(by_size[min(by_size)]) for by_size in found]
        return gaps[1] < gaps[0], f"{number(gaps[0])} and {number(gaps[1])}"

    return _in_both(ask, "smallest batch, the same gap of batch norm and batch renorm, ")


def noise_harmless(results: Results) -> Verdict:
    def ask(residual: bool) -> tuple[bool, str]:
        loss = _losses(results, residual, "batch", "batch-noise", "none")
        near = loss["batch-noise"] - loss["batch"] < loss["none"] - loss["batch-noise"]
        return near, _named(loss)

    return _in_both(ask, LOSS)


def residual_levels(results: Results) -> Verdict:
    names = [name for name, kind in KINDS.items() if kind.of_activations and not kind.noisy]
    spread = {}
    for words, residual in NETWORKS.items():
        losses = _losses(results, residual, *names).values()
        spread[words] = max(losses) / min(losses)
    text = f"spread (largest over smallest mean loss): {_named(spread, '{:.2f}'.format)}"
    return held_if(spread["residual"] < spread["plain"], text)


def instance_is_group(results: Results) -> Verdict:
    def ask(residual: bool) -> tuple[bool, str]:
        pairs = zip(
            results.curves("instance", residual=residual),
            results.curves("group-1", residual=residual),
            strict=True,
        )
        off = max(abs(np.array(a["loss"]) / np.array(b["loss"]) - 1).max() for a, b in pairs)
        return off < 1e-2, number(off)

    return _in_both(ask, "largest relative difference of two curves, ")


def whitening_helps(results: Results) -> Verdict:
    def ask(residual: bool) -> tuple[bool, str]:
        loss = _losses(results, residual, "batch", "whitening")
        pairs = zip(
            results.curves("whitening", residual=residual),
            results.curves("batch", residual=residual),
            strict=True,
        )
        lower = [np.mean(ours["loss"]) < np.mean(theirs["loss"]) for ours, theirs in pairs]
        return all(lower), f"{_named(loss)}, lower in {sum(lower)} of {len(lower)} seeds"

    return _in_both(ask, f"one layer, {LOSS}")


def whitening_in_evaluation(results: Results) -> Verdict:
    def right(seeds: list[Result], by: str) -> float:
        return float(np.mean([seed[by]["accuracy"] for seed in seeds if not seed["diverged"]]))

    def ask(residual: bool) -> tuple[bool, str]:
        found = {
            name: [right(results.curves(name, residual=residual), by) for by in SETS]
            for name in ("batch", "whitening")
        }
        text = ", ".join(f"{name} {' and '.join(map(_percent, v))}" for name, v in found.items())
        return found["whitening"][1] > found["whitening"][0] - 2 * POINT, text

    return _in_both(ask, "test accuracy by statistics of the batch and by running ones, ")


def evonorms(results: Results) -> Verdict:
    def ask(residual: bool) -> tuple[bool, str]:
        losses = _losses(results, residual, *KINDS)
        ranked = sorted(losses, key=losses.__getitem__)
        b0, s0, batch = (ranked.index(name) + 1 for name in ("evonorm-b0", "evonorm-s0", "batch"))
        return min(b0, s0) < batch, f"B0 {b0}, S0 {s0}, batch {batch} of {len(ranked)}"

    return _in_both(ask, "rank by mean training loss, ")


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
