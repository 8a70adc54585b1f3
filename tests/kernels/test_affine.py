# SPDX-License-Identifier: BSD-3-Clause
"""y = (x - mean) * rstd * w + b, the narrowing of its coefficients, and streamed stores."""

from __future__ import annotations

import threading
from itertools import product

import numpy as np
import pytest

from kernels.calls import BASELINE, MEANS, SIZES, TILES, VARIANTS, bits, call, compute, draw, real
from kernels.exact import compute_unit, exact, normalized, normalized_terms, weight
from sizes import LANES
from tolerance import assert_within, stored

# hi, lo, r itself, times r, w itself, times w, b itself, plus b; for float64 the oracle's as well.
ROUNDINGS = 2 * 8


@pytest.mark.parametrize(("rows", "n"), TILES)
def test_affine(isa, kind, rows, n, rng):
    for words, mean in product(VARIANTS["affine"], MEANS):
        arguments = draw("affine", words, kind, rows, n, rng, mean)
        y = compute(isa, kind, "affine", arguments)
        b = exact(arguments, "b" if "b" in arguments else "b0")
        expected = normalized(arguments) * weight(arguments) + b
        terms = np.abs(weight(arguments)) * normalized_terms(arguments, kind) + np.abs(b)
        bound = stored(expected, y.dtype) + ROUNDINGS * compute_unit(kind) * terms
        assert_within(y, expected, bound, f"{words}, mean {mean}: y")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_spoilt_value_stays_where_it_is(isa, kind, bad, rng):
    for words in VARIANTS["affine"]:
        for at in (0, LANES + 3, 2 * LANES + 4):
            arguments = draw("affine", words, kind, 2, 2 * LANES + 5, rng)
            arguments["x"][1, at] = bad
            y = call(isa, kind, "affine", arguments)
            assert np.argwhere(~np.isfinite(y)).tolist() == [[1, at]]
            if "w" not in words:
                assert bits(np.sign(y[1, at])) == bits(np.sign(y.dtype.type(bad)))


@pytest.mark.parametrize("n", SIZES)
def test_split(isa, kind, n, rng):
    v = draw("split", (), kind, 1, n, rng)["v"]
    hi, lo = compute(isa, kind, "split", {"v": v})
    assert hi.dtype == lo.dtype == real(kind)
    assert bits(hi) == bits(v.astype(hi.dtype))
    assert bits(lo) == bits((v - hi).astype(hi.dtype))


def test_fence(isa, kind, rng):
    """Other threads see what was streamed."""
    arguments = draw("affine", ("stream",), kind, 5, 1000, rng)
    expected = bits(call(BASELINE, kind, "affine", arguments | {"stream": False}))
    y = call(isa, kind, "affine", arguments)
    seen = []
    other = threading.Thread(target=lambda: seen.append(bits(y)))
    other.start()
    other.join()
    assert seen == [expected]
