# SPDX-License-Identifier: BSD-3-Clause
"""s1 = sum(g) and s2 = sum(g * xh), g = dy * w, per lane of a run and per column."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from kernels.calls import BLOCKS, MEANS, SIZES, VARIANTS, call, compute, draw
from kernels.exact import (
    by_column,
    by_lane,
    check_sum,
    exact,
    lanes,
    normalized,
    normalized_terms,
    row_additions,
    weight,
)
from sizes import COL_BLOCK, LANES


def check(sums, arguments: dict, summed, kind: str, additions: int, what: str) -> None:
    """Compare with the oracle: g is rounded once, xh four times, their product once."""
    g = exact(arguments, "dy") * weight(arguments)
    sizes = np.abs(g) * normalized_terms(arguments, kind)
    check_sum(sums[0], g, np.abs(g), summed, kind, 1 + additions, f"{what}: s1")
    products = g * normalized(arguments)
    check_sum(sums[1], products, sizes, summed, kind, 6 + additions, f"{what}: s2")


@pytest.mark.parametrize("n", SIZES)
def test_grad_sums_rows(isa, kind, n, rng):
    for words, mean in product(VARIANTS["grad_sums_rows"], MEANS):
        arguments = draw("grad_sums_rows", words, kind, 1, n, rng, mean)
        sums = compute(isa, kind, "grad_sums_rows", arguments)
        check(sums, arguments, by_lane(kind), kind, row_additions(kind), f"{words}, mean {mean}")


@pytest.mark.parametrize(("rows", "n"), BLOCKS)
def test_grad_sums_cols(isa, kind, rows, n, rng):
    for words, mean in product(VARIANTS["grad_sums_cols"], MEANS):
        arguments = draw("grad_sums_cols", words, kind, rows, n, rng, mean)
        sums = compute(isa, kind, "grad_sums_cols", arguments)
        check(sums, arguments, by_column, kind, COL_BLOCK, f"{words}, mean {mean}")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["x", "dy"])
def test_a_spoilt_value_stays_in_its_sum(isa, kind, name, bad, rng):
    n = 3 * LANES + 5
    at = 2 * LANES + 3
    reached = [0, 1] if name == "dy" else [1]  # s1 does not depend on x
    for words in VARIANTS["grad_sums_rows"]:
        run = draw("grad_sums_rows", words, kind, 1, n, rng)
        run[name][at] = bad
        finite = np.isfinite(call(isa, kind, "grad_sums_rows", run))
        assert np.argwhere(~finite).tolist() == [[s, at % lanes(kind)] for s in reached]
    for words in VARIANTS["grad_sums_cols"]:
        block = draw("grad_sums_cols", words, kind, 5, n, rng)
        block[name][2, at] = bad
        finite = np.isfinite(call(isa, kind, "grad_sums_cols", block))
        assert np.argwhere(~finite).tolist() == [[s, at] for s in reached]
