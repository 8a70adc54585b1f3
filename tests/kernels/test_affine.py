# SPDX-License-Identifier: BSD-3-Clause
"""y = ((x - hi) * r + m) * w + b, the narrowing of its coefficients, and streamed stores."""

from __future__ import annotations

import threading
from itertools import product

import numpy as np
import pytest

from kernels.calls import BASELINE, MEANS, SIZES, TILES, VARIANTS, bits, call, compute, draw, real
from kernels.exact import compute_unit, normalized, normalized_terms, optional
from sizes import BAND, LANES
from tolerance import assert_within, stored

# Minus hi, times r, plus m, times w, plus b; for float64 the oracle's as well.
ROUNDINGS = 2 * 5


@pytest.mark.parametrize(("rows", "n"), TILES)
def test_affine(isa, kind, rows, n, rng):
    for words, mean in product(VARIANTS["affine"], MEANS):
        arguments = draw("affine", words, kind, rows, n, rng, mean)
        y = compute(isa, kind, "affine", arguments)
        w, b = (optional(words, arguments, name, none) for name, none in (("w", 1), ("b", 0)))
        expected = normalized(words, arguments) * w + b
        terms = np.abs(w) * normalized_terms(words, arguments) + np.abs(b)
        bound = stored(expected, y.dtype) + ROUNDINGS * compute_unit(kind) * terms
        assert_within(y, expected, bound, f"{words}, mean {mean}: y")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_spoilt_value_stays_where_it_is(isa, kind, bad, rng):
    for words in VARIANTS["affine"]:
        for at in (0, LANES + 3, 2 * LANES + 4):
            arguments = draw("affine", words, kind, BAND + 2, 2 * LANES + 5, rng)
            arguments["x"][BAND, at] = bad
            y = call(isa, kind, "affine", arguments)
            assert np.argwhere(~np.isfinite(y)).tolist() == [[BAND, at]]
            if "w" not in arguments:
                assert bits(np.sign(y[BAND, at])) == bits(np.sign(y.dtype.type(bad)))


@pytest.mark.parametrize("n", SIZES)
def test_narrow(isa, kind, n, rng):
    arguments = draw("narrow", (), kind, 1, n, rng)
    to = compute(isa, kind, "narrow", arguments)
    assert to.dtype == real(kind)
    assert bits(to) == bits(arguments["v"].astype(to.dtype))


def test_fence(isa, kind, rng):
    """Other threads see what was streamed."""
    arguments = draw("affine", ("rows", "stream"), kind, 5, 1000, rng)
    expected = bits(call(BASELINE, kind, "affine", arguments | {"stream": False}))
    y = call(isa, kind, "affine", arguments)
    seen = []
    other = threading.Thread(target=lambda: seen.append(bits(y)))
    other.start()
    other.join()
    assert seen == [expected]
