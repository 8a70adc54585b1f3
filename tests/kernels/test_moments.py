# SPDX-License-Identifier: BSD-3-Clause
"""Sums about a shift, of rows, of all rows together and of columns; and the shift itself."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from kernels.calls import (
    BLOCKS,
    KINDS,
    ROWS,
    SIZES,
    VARIANTS,
    bits,
    call,
    choices,
    compute,
    draw,
    real,
)
from kernels.exact import (
    ALONG,
    check_sum,
    compute_unit,
    exact,
    in_halves,
    lanes,
    of_columns,
    row_additions,
)
from sizes import COL_BLOCK, LANES, ROW_BLOCK, around
from tolerance import UNIT64, assert_within


def shifted(words, arguments) -> tuple[np.ndarray, np.ndarray]:
    """What s1 is the sum of and s2 that of the squares: x - shift. Raw: nothing, and x."""
    x = exact(words, arguments, "x")
    if "raw" in words:
        return 0 * x, x
    d = x - exact(words, arguments, "shift")
    return d, d


def check(sums, words, arguments, summed, kind: str, additions: int) -> None:
    """Compare s1 with the sum of d = x - shift, rounded once, and s2 with that of d**2, thrice."""
    first, d = shifted(words, arguments)
    check_sum(sums[0], first, np.abs(first), summed, kind, 1 + additions, f"{words}: s1")
    check_sum(sums[1], d * d, d * d, summed, kind, 3 + additions, f"{words}: s2")


@pytest.mark.parametrize(("rows", "n"), ROWS)
def test_moments_rows(isa, kind, rows, n, rng):
    for words in choices(("rows", "one"), ("", "raw")):
        arguments = draw("moments_rows", words, kind, rows, n, rng)
        sums = compute(isa, kind, "moments_rows", arguments)
        additions = row_additions(kind, n)
        check(sums, words, arguments, ALONG[words[0]], kind, additions)


@pytest.mark.parametrize(("rows", "n"), ROWS)
def test_moments_rows_wide(isa, kind, rows, n, rng):
    for words in choices(("rows", "one"), ("wide",), ("", "raw")):
        arguments = draw("moments_rows", words, kind, rows, n, rng)
        sums = compute(isa, kind, "moments_rows", arguments)
        check(sums, words, arguments, ALONG[words[0]], "f64", 0)


@pytest.mark.parametrize(("rows", "n"), ROWS)
def test_sampled_rows(isa, kind, rows, n, rng):
    """The shift, and about it the sums."""
    arguments = draw("sampled_rows", (), kind, rows, n, rng)
    shift, *sums = compute(isa, kind, "sampled_rows", arguments)
    assert bits(shift) == bits(call(isa, kind, "shift_rows", arguments))
    for i in range(rows):
        row = {"x": arguments["x"][i : i + 1], "shift": shift[i : i + 1]}
        expected = call(isa, kind, "moments_rows", row)
        assert bits(np.array([s[i] for s in sums])) == bits(expected)


@pytest.mark.parametrize(("rows", "n"), ROWS)
def test_moments_sum(isa, kind, rows, n, rng):
    """The sum, and of every row of it what moments_rows gives."""
    for words in VARIANTS["moments_sum"]:
        arguments = draw("moments_sum", words, kind, rows, n, rng)
        made, sums = compute(isa, kind, "moments_sum", arguments)
        terms = {name: arguments[name] for name in ("x", "other")}
        assert bits(made) == bits(call(isa, kind, "sum", terms))
        for i, shift in enumerate(arguments["shift"]):
            row = {"x": made[i : i + 1], "shift": np.array([shift]), "raw": arguments["raw"]}
            assert bits(sums[:, i : i + 1]) == bits(call(isa, kind, "moments_rows", row))


@pytest.mark.parametrize("n", [*around(4 * LANES)[1:], 7 * LANES + 5, ROW_BLOCK])
def test_moments_sum_sampled(isa, kind, n, rng):
    """The shift is that of the sum."""
    arguments = draw("moments_sum", ("rows",), kind, 19, n, rng)
    expected = call(isa, kind, "sum", {name: arguments[name] for name in ("x", "other")})
    shift = call(isa, kind, "shift_rows", {"x": expected})
    sums = call(isa, kind, "moments_rows", {"x": expected, "shift": shift})
    made, found = compute(isa, kind, "moments_sum", arguments | {"sampled": True})
    assert bits(made) == bits(expected)
    assert bits(found) == bits(sums)


@pytest.mark.parametrize(("rows", "n"), BLOCKS)
def test_moments_cols(isa, kind, rows, n, rng):
    for words in choices(("columns",), ("", "raw")):
        arguments = draw("moments_cols", words, kind, rows, n, rng)
        sums = compute(isa, kind, "moments_cols", arguments)
        check(sums, words, arguments, of_columns, kind, COL_BLOCK)


@pytest.mark.parametrize(("rows", "n"), BLOCKS)
def test_moments_cols_wide(isa, kind, rows, n, rng):
    for words in choices(("columns",), ("wide",), ("", "raw")):
        arguments = draw("moments_cols", words, kind, rows, n, rng)
        sums = compute(isa, kind, "moments_cols", arguments)
        check(sums, words, arguments, of_columns, "f64", 0)


@pytest.mark.parametrize(
    ("method", "tiles"), [("moments_rows", ROWS), ("moments_cols", BLOCKS)], ids=["rows", "cols"]
)
def test_every_value_counts_once(isa, kind, method, tiles, rng):
    for words, (rows, n) in product(VARIANTS[method], tiles):
        arguments = in_halves(draw(method, words, kind, rows, n, rng))
        first, d = shifted(words, arguments)
        summed = ALONG[words[0]] if method == "moments_rows" else of_columns
        s1, s2 = call(isa, kind, method, arguments)
        assert np.array_equal(s1, summed(first)), f"{words}, {rows} x {n}: s1"
        assert np.array_equal(s2, summed(d * d)), f"{words}, {rows} x {n}: s2"


@pytest.mark.parametrize("n", [1, LANES - 1, LANES, 5 * LANES + 3])
def test_wide_squares_do_not_overflow(isa, n, rng):
    """1e30 squared is beyond float32, 1e-30 squared beneath it."""
    for scale in (1e30, 1e-30):
        x = (scale * rng.standard_normal((2, n))).astype(np.float32)
        for method, words, size in (
            ("moments_rows", ("rows",), 2),
            ("moments_rows", ("one",), 1),
            ("moments_cols", ("columns",), n),
        ):
            arguments = {"x": x, "shift": np.full(size, scale), "wide": True}
            summed = ALONG[words[0]] if method == "moments_rows" else of_columns
            sums = compute(isa, "f32", method, arguments)
            check(sums, words, arguments, summed, "f64", 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_spoilt_value_stays_in_its_sum(isa, kind, bad, rng):
    row, column = 2, 2 * LANES + 3
    spoilt = {"rows": [row], "one": [0], "columns": [column]}
    for method in ("moments_rows", "moments_cols"):
        for words in VARIANTS[method]:
            arguments = draw(method, words, kind, 5, 3 * LANES + 5, rng)
            arguments["x"][row, column] = bad
            finite = np.isfinite(call(isa, kind, method, arguments))
            assert np.flatnonzero(~finite.all(axis=0)).tolist() == spoilt[words[0]]
            if "raw" not in words:  # else s1 is 0
                assert np.flatnonzero(~finite.any(axis=0)).tolist() == spoilt[words[0]]


@pytest.mark.parametrize("n", SIZES)
def test_shift_rows(isa, kind, n, rng):
    """The mean of four vectors, the first of a row, or spread over a long one, or of a power of two
    values of one shorter than a vector."""
    x = draw("shift_rows", (), kind, 5, n, rng)["x"]
    shift = compute(isa, kind, "shift_rows", {"x": x})
    if n < lanes(kind):
        samples = np.float64(x[:, : 1 << (n.bit_length() - 1)])
    else:
        last = 3 * lanes(kind) if 4 * lanes(kind) <= n <= ROW_BLOCK else n - lanes(kind)
        starts = (0, last // 3, 2 * last // 3, last)
        samples = np.hstack([x[:, at : at + lanes(kind)] for at in starts], dtype=np.float64)
    # Pairs of vectors and of lanes; a power of two divides exactly.
    roundings = samples.shape[1].bit_length() - 1
    bound = roundings * compute_unit(kind) + 2 * UNIT64 * samples.shape[1]
    assert_within(shift, samples.mean(axis=1), bound * np.abs(samples).mean(axis=1), "shift")
    assert np.array_equal(shift, shift.astype(real(kind)))


@pytest.mark.parametrize("n", SIZES)
def test_shift_of_equal_values_is_that_value(isa, kind, n, rng):
    values = rng.standard_normal(50) * 10.0 ** rng.integers(-4, 4, 50)
    values = values.astype(KINDS[kind])
    shift = compute(isa, kind, "shift_rows", {"x": np.repeat(values[:, None], n, axis=1)})
    wrong = values[shift != values.astype(np.float64)]
    assert wrong.size == 0, f"the shift of {n} times {wrong[0]!r} is another value"


def test_a_spoilt_row_has_its_own_shift(isa, kind, rng):
    for n in (3, LANES, 3 * LANES + 5):
        x = draw("shift_rows", (), kind, 4, n, rng)["x"]
        x[1, 0] = np.nan
        assert np.flatnonzero(np.isnan(call(isa, kind, "shift_rows", {"x": x}))).tolist() == [1]
