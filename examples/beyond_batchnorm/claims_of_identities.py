# SPDX-License-Identifier: BSD-3-Clause
"""Claims that are identities, and those about the weights along a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from examples.beyond_batchnorm.verdicts import (
    ARORA,
    BA,
    HUANG,
    IOFFE,
    LUBANA,
    SALIMANS,
    SANTURKAR,
    WU_HE,
    Claim,
    Verdict,
    falls,
    held_if,
    number,
    orders,
    span,
)

if TYPE_CHECKING:
    from examples.beyond_batchnorm.results import Results

ROUNDING = 1e-12  # float64, sums of some hundred terms
ROUNDING_OF_STEPS = 1e-2  # float32 gradients, some hundred steps


def _worst(results: Results, what: str) -> dict[str, float]:
    """Return by normalizer how far an identity is off, the worst seed."""
    found = [seed["invariances"] for seed in results.identities()]
    return {name: max(seed[name][what] for seed in found) for name in found[0]}


def weight_scale(results: Results) -> Verdict:
    worst = [
        value for what in ("weight", "gradient_data") for value in _worst(results, what).values()
    ]
    return held_if(
        max(worst) < ROUNDING, f"y and dx, weights times 10: off by {number(max(worst))}"
    )


def data_scale(results: Results) -> Verdict:
    worst = max(_worst(results, "data").values())
    return held_if(worst < ROUNDING, f"data times 10: off by {number(worst)}")


def gradient_scale(results: Results) -> Verdict:
    worst = max(_worst(results, "gradient_weight").values())
    return held_if(worst < ROUNDING, f"10 dW(10 W) against dW(W): off by {number(worst)}")


def orthogonal(results: Results) -> Verdict:
    worst = max(_worst(results, "orthogonal").values())
    return held_if(worst < ROUNDING, f"cosine of W and dW, 6 normalizers: at most {number(worst)}")


def dead_bias(results: Results) -> Verdict:
    found = _worst(results, "bias")
    dead = [found["batch"], found["instance"]]
    alive = [found[name] for name in ("layer", "group", "variance", "filter response")]
    text = f"its gradient over its terms': batch, instance {span(dead)}; the others {span(alive)}"
    return held_if([max(dead) < ROUNDING, min(alive) > ROUNDING], text)


def bound(results: Results) -> Verdict:
    worst = max(seed["gradient_norm"] for seed in results.identities())
    return held_if(worst < ROUNDING, f"an equality for the layer itself: off by {number(worst)}")


def transductive(results: Results) -> Verdict:
    found = [seed["neighbours"] for seed in results.identities()]
    changes = {
        name: [max(seed[name][mode] for seed in found) for mode in ("training", "evaluation")]
        for name in found[0]
    }
    by_batch = [changes[name][0] for name in ("batch", "batch-renorm", "variance")]
    others = [changes[name][0] for name in ("none", "layer", "group-4", "instance")]
    later = [values[1] for values in changes.values()]
    text = (
        f"change of an image's scores over their spread: batch, renorm, variance "
        f"{orders(by_batch)}; "
        f"layer, group, instance, none {number(max(others))}; in evaluation {number(max(later))}"
    )
    return held_if([min(by_batch) > 1e-3, max(others) < ROUNDING, max(later) < ROUNDING], text)


def noisy_statistics(results: Results) -> Verdict:
    found = results.identities()[0]["noise"]
    expected = [(size - 1) / size for size in found["values"]]
    close = np.abs(np.divide(found["var"], expected) - 1) < 0.03
    text = (
        f"{orders(found['values'])} values: mean of the variance {orders(found['var'])}, its "
        f"deviation {orders(found['sd_var'])}, mean of 1/std {orders(found['rstd'])}"
    )
    return held_if([*close, falls(found["sd_var"]), falls(found["rstd"])], text)


def white(results: Results) -> Verdict:
    worst = max(seed["white"] for seed in results.identities())
    return held_if(worst < 1e-8, f"covariance of a layer's activations less 1: {number(worst)}")


def weight_norm_orthogonal(results: Results) -> Verdict:
    worst = max(max(run["cosine"]) for run in results.run("weight"))
    return held_if(
        worst < 1e-4, f"largest cosine of a row and its gradient in a run: {number(worst)}"
    )


def weight_norm_grows(results: Results) -> Verdict:
    runs = results.run("weight")
    off = [abs(run["predicted"][-1] / run["grown"][-1] - 1) for run in runs]
    grown = ", ".join(f"{run['grown'][-1]:.1%}" for run in runs)
    growing = all((np.diff(run["grown"]) >= 0).all() for run in runs)
    # Results are kept to five digits: nothing can be said below 1e-4.
    text = f"by {grown} in a run of plain descent; predicted to {max(1e-4, *off):.0e} of that"
    return held_if([growing, max(off) < ROUNDING_OF_STEPS], text)


def effective_rate(results: Results) -> Verdict:
    runs = results.run("batch")
    left = [1 / (1 + run["grown"][-1]) ** 2 for run in runs]
    growing = all((np.diff(run["grown"]) >= 0).all() for run in runs)
    text = f"learning rate over |w|^2 at the end of a run, over that at first: {orders(left)}"
    return held_if([growing, max(left) < 0.99], text)


IDENTITIES = (
    Claim(
        "Outputs and the gradients of the data do not change when all weights are multiplied",
        f"{IOFFE}; {BA}", "", weight_scale,
    ),
    Claim("Nor do outputs when all data are, which weights alone cannot see", BA, "", data_scale),
    Claim("Weights that are larger get gradients that are smaller", IOFFE, "", gradient_scale),
    Claim("The gradient of a normalized weight is orthogonal to it", ARORA, "", orthogonal),
    Claim(
        "A bias before batch or instance norm is dead; before the others it is not",
        IOFFE, "", dead_bias,
    ),
    Claim("The gradient of batch norm is bounded as Santurkar et al. say", SANTURKAR, "", bound),
    Claim(
        "With batch statistics the result for an image depends on its neighbours",
        LUBANA, "", transductive,
    ),
    Claim("Statistics of few values are noisy, and biased", WU_HE, "", noisy_statistics),
    Claim("Whitening leaves unit variances and no correlation", HUANG, "", white),
    Claim(
        "Weight norm's gradient is orthogonal to the weight",
        SALIMANS, "run", weight_norm_orthogonal,
    ),
    Claim(
        "... so that a step makes it longer, by sqrt(1 + c^2)", SALIMANS, "run", weight_norm_grows
    ),
    Claim("Weights before batch norm grow, and slow themselves down", ARORA, "run", effective_rate),
)  # fmt: skip
