# SPDX-License-Identifier: BSD-3-Clause
"""s1 = sum(g) and s2 = sum(g * xh), g = dy * w: of rows, of all rows together and of columns.

Where m is the same for all terms of a sum, it is left to the caller: xh is (x - hi) * r.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from kernels.calls import BLOCKS, MEANS, ROWS, VARIANTS, call, compute, draw
from kernels.exact import (
    ALONG,
    centred,
    check_sum,
    exact,
    in_halves,
    normalized,
    normalized_terms,
    of_columns,
    optional,
    row_additions,
)
from sizes import COL_BLOCK, LANES

TILES = {"grad_sums_rows": ROWS, "grad_sums_cols": BLOCKS}


def terms(method: str, words, arguments: dict):
    """g, what it is multiplied by, the size of what is rounded in that, and how they are summed."""
    g = exact(words, arguments, "dy") * optional(words, arguments, "w", 1)
    summed = ALONG[words[0]] if method == "grad_sums_rows" else of_columns
    varies = ("columns" in words) == (method == "grad_sums_rows")
    if varies:
        return g, normalized(words, arguments), normalized_terms(words, arguments), summed
    xh = centred(words, arguments)
    return g, xh, np.abs(xh), summed


def check(isa, kind, method, words, rows, n, mean, additions, rng) -> None:
    """Compare with the oracle: g is rounded once, xh three times, their product once."""
    arguments = draw(method, words, kind, rows, n, rng, mean)
    sums = compute(isa, kind, method, arguments)
    g, xh, sizes, summed = terms(method, words, arguments)
    what = f"{words}, mean {mean}"
    check_sum(sums[0], g, np.abs(g), summed, kind, 1 + additions, f"{what}: s1")
    check_sum(sums[1], g * xh, np.abs(g) * sizes, summed, kind, 5 + additions, f"{what}: s2")


@pytest.mark.parametrize(("rows", "n"), ROWS)
def test_grad_sums_rows(isa, kind, rows, n, rng):
    for words, mean in product(VARIANTS["grad_sums_rows"], MEANS):
        additions = row_additions(kind, n)
        check(isa, kind, "grad_sums_rows", words, rows, n, mean, additions, rng)


@pytest.mark.parametrize(("rows", "n"), BLOCKS)
def test_grad_sums_cols(isa, kind, rows, n, rng):
    for words, mean in product(VARIANTS["grad_sums_cols"], MEANS):
        check(isa, kind, "grad_sums_cols", words, rows, n, mean, COL_BLOCK, rng)


@pytest.mark.parametrize("method", TILES)
def test_every_value_counts_once(isa, kind, method, rng):
    for words, (rows, n) in product(VARIANTS[method], TILES[method]):
        arguments = in_halves(draw(method, words, kind, rows, n, rng))
        g, xh, _, summed = terms(method, words, arguments)
        s1, s2 = call(isa, kind, method, arguments)
        assert np.array_equal(s1, summed(g)), f"{words}, {rows} x {n}: s1"
        assert np.array_equal(s2, summed(g * xh)), f"{words}, {rows} x {n}: s2"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["x", "dy"])
def test_a_spoilt_value_stays_in_its_sum(isa, kind, name, bad, rng):
    row, column = 2, 2 * LANES + 3
    along = {"rows": row, "one": 0, "columns": row}
    reached = [0, 1] if name == "dy" else [1]  # s1 does not depend on x
    for method in TILES:
        for words in VARIANTS[method]:
            arguments = draw(method, words, kind, 5, 3 * LANES + 5, rng)
            arguments[name][row, column] = bad
            at = along[words[0]] if method == "grad_sums_rows" else column
            finite = np.isfinite(call(isa, kind, method, arguments))
            assert np.argwhere(~finite).tolist() == [[s, at] for s in reached], words
