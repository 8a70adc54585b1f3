# SPDX-License-Identifier: BSD-3-Clause
"""Responses in a window that slides along or down the rows, and their gradient."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.calls import VARIANTS, WINDOW, bits, call, compute, draw, real
from kernels.exact import compute_unit
from sizes import IN_FLIGHT, LANES, around
from tolerance import UNIT64, assert_within, stored

BLOCKS = (
    *((1, n) for n in (1, 2, 3, *around(LANES))),
    *((5, n) for n in (1, *around(LANES), *around(IN_FLIGHT))),
    *((rows, LANES + 5) for rows in (2, 3, 4, 13, 40)),
)
WINDOWS = ((0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (2, 2), (3, 3), (6, 7))
BETAS = (0.5, 0.75, 1.0, 1.3)
# Scaled squares, four additions deep, k, twice the power, the quotient; the products once more.
ROUNDINGS = 24


def oracle(words, arguments: dict):
    """The formula in float64, and the size of the terms that it subtracts."""
    axis = 1 if arguments["along"] else 0
    before, after = arguments["before"], arguments["after"]

    def windows(values, before, after):
        padded = np.pad(values, ((before, after), (0, 0)))
        return sum(padded[i : i + len(values)] for i in range(before + after + 1))

    x, dy = (
        np.moveaxis(arguments.get(name, arguments["x"]).astype(np.float64), axis, 0)
        for name in ("x", "dy")
    )
    base = arguments["k"] + windows(np.square(arguments["scale"] * x), before, after)
    power = base ** arguments["beta"]
    if "dy" not in words:
        return np.moveaxis(x / power, 0, axis), np.moveaxis(np.abs(x / power), 0, axis)
    products = dy * x / power / base
    share = 2 * arguments["beta"] * arguments["scale"] ** 2 * x
    dx = dy / power - share * windows(products, after, before)
    terms = np.abs(dy / power) + np.abs(share) * windows(np.abs(products), after, before)
    return np.moveaxis(dx, 0, axis), np.moveaxis(terms, 0, axis)


def check(isa, kind, words, arguments):
    """Compare one call with the formula; all tiers have the same bits."""
    y = compute(isa, kind, "window", arguments)
    expected, terms = oracle(words, arguments)
    bound = stored(expected, y.dtype) + ROUNDINGS * compute_unit(kind) * terms
    assert_within(y, expected, bound, f"{words}, {arguments}")


@pytest.mark.parametrize(("rows", "n"), BLOCKS)
def test_window(isa, kind, rows, n, rng):
    for words in VARIANTS["window"]:
        for before, after in WINDOWS:
            entries = n if "along" in words else rows
            if max(before, after) < entries:
                arguments = draw("window", words, kind, rows, n, rng)
                check(isa, kind, words, arguments | {"before": before, "after": after})


@pytest.mark.parametrize("beta", BETAS)
def test_powers(isa, kind, beta, rng):
    """Of sums from next to nothing, which is k, to thousands."""
    k = 2.0**-4 if kind == "f16" else 2.0**-20  # float16 holds no larger quotients
    for words in VARIANTS["window"]:
        for exponent in range(-8, 9, 2):
            arguments = draw("window", words, kind, 5, 2 * LANES + 3, rng)
            x = arguments["x"].astype(np.float64) * 2.0**exponent
            x = np.where(x == 0, 2.0**exponent, x).astype(arguments["x"].dtype)
            check(isa, kind, words, arguments | {"x": x, "beta": beta, "k": k})


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_three_quarters_over_all_exponents(isa, kind, rng):
    """x D^(-3/4) where D = k, the window being empty: 2.1 units, and those of NumPy's power."""
    x = np.ones((1, 3), real(kind))
    for k in (2.0 ** rng.uniform(-55, 55, 500)).astype(np.float32).astype(float):
        y = call(isa, kind, "window", {"x": x} | WINDOW | {"along": True, "scale": 0.0, "k": k})
        error = np.abs(y.astype(np.float64) / k**-0.75 - 1)
        assert error.max() <= 2.5 * compute_unit(kind) + 2 * UNIT64, k


def test_places_out_of_range_are_done_in_double(isa, kind, rng):
    """With all of them out of range, or one: others keep their bits."""
    for words in VARIANTS["window"]:
        arguments = draw("window", words, kind, 9, 9, rng)
        whole = call(isa, kind, "window", arguments)
        check(isa, kind, words, arguments | {"high": 1.0})
        spoilt = arguments | {"x": arguments["x"].copy()}
        spoilt["x"][4, 5] = 200
        check(isa, kind, words, spoilt | {"high": 2.0**10})
        y = call(isa, kind, "window", spoilt | {"high": 2.0**10})
        along = arguments["along"]
        assert bits(np.delete(y, 4 if along else 5, 0 if along else 1)) == bits(
            np.delete(whole, 4 if along else 5, 0 if along else 1)
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_spoilt_value_stays_in_its_windows(isa, kind, bad, rng):
    for words in VARIANTS["window"]:
        arguments = draw("window", words, kind, 20, 20, rng)
        expected = call(isa, kind, "window", arguments)
        arguments["x"][9, 9] = bad
        y = call(isa, kind, "window", arguments)
        reach = slice(9 - 2 * 2, 9 + 2 * 2 + 1)
        near = np.s_[9, reach] if arguments["along"] else np.s_[reach, 9]
        assert np.isnan(y[9, 9])
        keep = np.ones(y.shape, bool)
        keep[near] = False
        if np.isnan(bad):  # else its line is done again in double
            assert bits(y[keep]) == bits(expected[keep])
        assert np.isfinite(y[keep]).all()
