# SPDX-License-Identifier: BSD-3-Clause
"""Pointwise functions with coefficients, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest

from curves import COEFS, ROUNDINGS, gradient, value
from kernels.calls import TILES, VARIANTS, bits, call, compute, draw, fresh, real, run
from kernels.exact import check_sum, compute_unit, exact, of_columns, of_each_row
from kernels.places import Watched, among_nan, blank
from sizes import BAND, COL_BLOCK, CURVE_BLOCK, LANES
from tolerance import assert_within, stored

LENGTHS = (1, LANES - 1, LANES, 3 * LANES + 5, CURVE_BLOCK, CURVE_BLOCK + LANES + 1)


def coefs_of(words, arguments: dict) -> list[np.ndarray]:
    """The coefficients in float64, against x."""
    return [exact(words, arguments, name) for name in "abcde"[: COEFS[arguments["which"]]]]


@pytest.mark.parametrize(("rows", "n"), TILES)
def test_curve(isa, kind, rows, n, rng):
    for words in VARIANTS["curve"]:
        arguments = draw("curve", words, kind, rows, n, rng)
        y = compute(isa, kind, "curve", arguments)
        x = exact(words, arguments, "x")
        expected, terms = value(arguments["which"], x, coefs_of(words, arguments))
        bound = stored(expected, y.dtype) + ROUNDINGS * compute_unit(kind) * terms
        assert_within(y, expected, bound, f"{words}: y")


@pytest.mark.parametrize(("rows", "n"), TILES)
def test_curve_gradient(isa, kind, rows, n, rng):
    for words in VARIANTS["curve_gradient"]:
        arguments = draw("curve_gradient", words, kind, rows, n, rng)
        arguments["sums"][...] = 0
        dx, sums = compute(isa, kind, "curve_gradient", arguments)
        x, dy = (exact(words, arguments, name) for name in ("x", "dy"))
        (expected, terms), *parts = gradient(arguments["which"], x, dy, coefs_of(words, arguments))
        bound = stored(expected, dx.dtype) + ROUNDINGS * compute_unit(kind) * terms
        assert_within(dx, expected, bound, f"{words}: dx")
        summed = of_columns if "columns" in words else of_each_row
        additions = rows if "columns" in words else COL_BLOCK + LANES
        for k, (part, terms) in enumerate(parts):
            what = f"{words}: sum {k}"
            check_sum(sums[k], part, terms, summed, kind, ROUNDINGS + additions, what)


@pytest.mark.parametrize("n", LENGTHS)
def test_every_value_counts_once(isa, kind, n, rng):
    """The sum of dy, where it is exact: the last of all kinds, for floor of the two last."""
    for words in VARIANTS["curve_gradient"]:
        arguments = draw("curve_gradient", words, kind, BAND + 2, n, rng)
        arguments["sums"][...] = 0
        arguments["dy"] = np.rint(arguments["dy"].astype(np.float64)).astype(arguments["x"].dtype)
        _, sums = call(isa, kind, "curve_gradient", arguments)
        of_dy = sums[1:].sum(axis=0) if "floor" in words else sums[-1]
        axis = 0 if "columns" in words else 1
        assert np.array_equal(of_dy, arguments["dy"].astype(np.float64).sum(axis=axis)), words


@pytest.mark.parametrize("n", LENGTHS)
def test_sums_do_not_depend_on_other_rows_or_columns(isa, kind, n, rng):
    for words in VARIANTS["curve_gradient"]:
        arguments = draw("curve_gradient", words, kind, LANES + 3, n, rng)
        dx, sums = call(isa, kind, "curve_gradient", arguments)
        columns = "columns" in words
        for at in {0, (n if columns else LANES + 3) - 1}:
            one = np.s_[:, at : at + 1] if columns else np.s_[at : at + 1]
            names = {"x", "dy"} | ({*"abcde"} & arguments.keys() if words[0] != "one" else set())
            alone = arguments | {
                name: np.ascontiguousarray(
                    arguments[name][one if name in {"x", "dy"} else slice(at, at + 1)]
                )
                for name in names
            }
            alone["sums"] = arguments["sums"][:, at : at + 1].copy()
            dx_alone, sums_alone = call(isa, kind, "curve_gradient", alone)
            assert bits(dx_alone) == bits(dx[one].copy())
            assert bits(sums_alone) == bits(sums[:, at : at + 1].copy()), words


def test_sums_along_a_row_may_be_cut_at_blocks(isa, kind, rng):
    for words in VARIANTS["curve_gradient"]:
        if "rows" not in words:
            continue
        arguments = draw("curve_gradient", words, kind, 3, 2 * CURVE_BLOCK + LANES + 5, rng)
        arguments["sums"][...] = 0
        _, expected = call(isa, kind, "curve_gradient", arguments)
        cut = fresh(arguments)
        for start in (0, CURVE_BLOCK, 2 * CURVE_BLOCK):
            part = {
                name: np.ascontiguousarray(cut[name][:, start : start + CURVE_BLOCK])
                for name in ("x", "dy")
            }
            run(isa, kind, "curve_gradient", cut | part)
        assert bits(cut["sums"]) == bits(expected)


def test_streaming_rows_in_parts_changes_no_bit(isa, kind, rng):
    """Rows with gaps, and long ones, are streamed a part at a time; sums go on from part to part."""
    for words in VARIANTS["curve_gradient"]:
        if "stream" not in words:
            continue
        for n in (CURVE_BLOCK - 3, CURVE_BLOCK, 5 * CURVE_BLOCK + LANES + 1):
            arguments = draw("curve_gradient", words, kind, BAND + 3, n, rng)
            expected = call(isa, kind, "curve_gradient", arguments | {"stream": False})
            for pad in (0, 7):
                output = Watched(blank(arguments["x"]), lambda v, pad=pad: among_nan(v, pad=pad))
                result = run(isa, kind, "curve_gradient", fresh(arguments), output.view)
                assert bits(result) == bits(expected), f"{words}, {n}"
                output.taken()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["curve", "curve_gradient"])
def test_a_spoilt_value_stays_where_it_is(isa, kind, method, bad, rng):
    for words in VARIANTS[method]:
        for name in {"x", "dy"} if method == "curve_gradient" else {"x"}:
            arguments = draw(method, words, kind, BAND + 2, 2 * LANES + 5, rng)
            expected = call(isa, kind, method, arguments)
            arguments[name][BAND, LANES + 3] = bad
            result = call(isa, kind, method, arguments)
            if method == "curve_gradient":
                result, sums = result
                expected, kept = expected
                sums = np.delete(sums, LANES + 3 if "columns" in words else BAND, axis=1)
                kept = np.delete(kept, LANES + 3 if "columns" in words else BAND, axis=1)
                assert bits(sums) == bits(kept), words
            elif np.isnan(bad):
                assert np.isnan(result[BAND, LANES + 3]), words
            result[BAND, LANES + 3] = expected[BAND, LANES + 3]
            assert bits(result) == bits(expected), words


@pytest.mark.parametrize("name", [*"abcde"])
def test_a_coefficient_that_is_nan_comes_through(isa, kind, name, rng):
    for words in VARIANTS["curve"]:
        if name not in "abcde"[: COEFS[words[1]]]:
            continue
        arguments = draw("curve", words, kind, 1, LANES + 3, rng)
        arguments[name][...] = np.nan
        assert np.isnan(call(isa, kind, "curve", arguments)).all(), words


def test_ties(isa, kind):
    """At a tie of max(a x + b, c) and of max(a, b x + c) the derivative is that of the coefficient."""
    x = np.ones(
        (1, 2), draw("curve", ("one", "floor"), kind, 1, 2, np.random.default_rng(0))["x"].dtype
    )

    def sums_of(which, coefs):
        named = {
            name: np.full(1, coef, real(kind)) for name, coef in zip("abcde", coefs, strict=False)
        }
        sums = np.zeros((len(coefs), 1))
        arguments = {"x": x, "dy": x, "which": which, "by_row": True, "sums": sums} | named
        return run(isa, kind, "curve_gradient", arguments)[1][:, 0].tolist()

    assert sums_of("floor", (2, 1, 3)) == [0, 0, 2]
    assert sums_of("ratio", (2, 1, 1, 1, 0)) == [-0.5, 0, 0, 1, 2]
