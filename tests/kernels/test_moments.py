# SPDX-License-Identifier: BSD-3-Clause
"""Sums about a shift, per lane of a run and per column; and the shift itself."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.calls import BLOCKS, KINDS, SIZES, call, compute, draw, real
from kernels.exact import by_column, by_lane, check_sum, compute_unit, exact, lanes, row_additions
from sizes import COL_BLOCK, LANES
from tolerance import UNIT64, assert_within


def check(sums, d, summed, kind: str, additions: int) -> None:
    """Compare s1 with the sum of d = x - shift, rounded once, and s2 with that of d**2, thrice."""
    check_sum(sums[0], d, np.abs(d), summed, kind, 1 + additions, "s1")
    check_sum(sums[1], d * d, d * d, summed, kind, 3 + additions, "s2")


@pytest.mark.parametrize("n", SIZES)
def test_moments_rows(isa, kind, n, rng):
    arguments = draw("moments_rows", (), kind, 1, n, rng)
    d = exact(arguments, "x") - float(real(kind)(arguments["shift"]))
    sums = compute(isa, kind, "moments_rows", arguments)
    check(sums, d, by_lane(kind), kind, row_additions(kind))


@pytest.mark.parametrize("n", SIZES)
def test_moments_rows_wide(isa, kind, n, rng):
    arguments = draw("moments_rows", ("wide",), kind, 1, n, rng)
    d = exact(arguments, "x") - arguments["shift"]
    sums = compute(isa, kind, "moments_rows", arguments)
    check(sums, d, by_lane(kind), "f64", 0)


@pytest.mark.parametrize(("rows", "n"), BLOCKS)
def test_moments_cols(isa, kind, rows, n, rng):
    arguments = draw("moments_cols", (), kind, rows, n, rng)
    d = exact(arguments, "x") - exact(arguments, "shift")
    sums = compute(isa, kind, "moments_cols", arguments)
    check(sums, d, by_column, kind, COL_BLOCK)


@pytest.mark.parametrize(("rows", "n"), BLOCKS)
def test_moments_cols_wide(isa, kind, rows, n, rng):
    arguments = draw("moments_cols", ("wide",), kind, rows, n, rng)
    d = exact(arguments, "x") - arguments["shift"]
    sums = compute(isa, kind, "moments_cols", arguments)
    check(sums, d, by_column, "f64", 0)


@pytest.mark.parametrize("wide", [False, True])
def test_every_value_counts_once(isa, kind, wide, rng):
    """Sums of small integers are exact, whatever the order."""
    for n in SIZES:
        x = rng.integers(-8, 9, n).astype(KINDS[kind])
        d = x.astype(np.float64) - 3
        rows = call(isa, kind, "moments_rows", {"x": x, "shift": 3.0, "wide": wide})
        assert rows.sum(axis=1).tolist() == [d.sum(), (d * d).sum()]
        shift = np.array([3], np.float64 if wide else real(kind))
        column = {"x": x[:, None], "shift": shift, "wide": wide}
        cols = call(isa, kind, "moments_cols", column)
        assert cols[:, 0].tolist() == [d.sum(), (d * d).sum()]


@pytest.mark.parametrize("n", [1, LANES - 1, LANES, 5 * LANES + 3])
def test_wide_squares_do_not_overflow(isa, n, rng):
    """1e30 squared is beyond float32, 1e-30 squared beneath it."""
    for scale in (1e30, 1e-30):
        x = (scale * rng.standard_normal(n)).astype(np.float32)
        d = x.astype(np.float64) - scale
        arguments = {"x": x, "shift": scale, "wide": True}
        check(compute(isa, "f32", "moments_rows", arguments), d, by_lane("f32"), "f64", 0)
        arguments = {"x": x[None], "shift": np.full(n, scale), "wide": True}
        check(compute(isa, "f32", "moments_cols", arguments), d[None], by_column, "f64", 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("wide", [False, True])
def test_a_spoilt_value_stays_in_its_sum(isa, kind, wide, bad, rng):
    n = 3 * LANES + 5
    at = 2 * LANES + 3
    words = ("wide",) if wide else ()
    run = draw("moments_rows", words, kind, 1, n, rng)
    run["x"][at] = bad
    finite = np.isfinite(call(isa, kind, "moments_rows", run)).all(axis=0)
    assert np.flatnonzero(~finite).tolist() == [at % lanes(kind)]
    block = draw("moments_cols", words, kind, 5, n, rng)
    block["x"][2, at] = bad
    finite = np.isfinite(call(isa, kind, "moments_cols", block)).all(axis=0)
    assert np.flatnonzero(~finite).tolist() == [at]


def test_shift_rows(isa, kind, rng):
    for n in range(1, lanes(kind) + 1):
        arguments = draw("shift_rows", (), kind, 4, n, rng)
        x = exact(arguments, "samples")
        # Pairs of samples and of lanes, or sums in double; the result is of the compute type.
        additions = 2 + lanes(kind).bit_length() - 1 if n == lanes(kind) else 0
        bound = (1 + additions) * compute_unit(kind) + 2 * UNIT64 * x.size
        shift = np.float64(compute(isa, kind, "shift_rows", arguments))
        assert_within(shift, x.mean(), bound * np.abs(x).mean(), f"shift of {n}")
        assert shift == real(kind)(shift)


def test_shift_of_equal_values_is_that_value(isa, kind):
    for value in np.array([0.1, -3.3, 1e-3, 777.7]).astype(KINDS[kind]):
        samples = np.full((4, lanes(kind)), value)
        assert call(isa, kind, "shift_rows", {"samples": samples}) == float(value)
