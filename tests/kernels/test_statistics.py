# SPDX-License-Identifier: BSD-3-Clause
"""What happens between two sweeps: sums to statistics, these to coefficients.

Every operation is a single one of IEEE double, as NumPy's are, so the bits are NumPy's.
"""

from __future__ import annotations

import numpy as np
import pytest

from kernels.calls import VARIANTS, bits, call, compute, draw, real

# Each side of the groups taken at once, and of the widest vectors of them.
GROUPS = (1, 2, 7, 8, 9, 63, 64, 65, 130)


def in_double(arguments: dict, name: str, none: float, n: int) -> np.ndarray:
    """A value per group, in double."""
    return np.broadcast_to(np.float64(arguments.get(name, none)), n)


@pytest.mark.parametrize("n", GROUPS)
def test_statistics(isa, kind, n, rng):
    for words in VARIANTS["statistics"]:
        arguments = draw("statistics", words, kind, 1, n, rng)
        mean, low, m2, again = compute(isa, kind, "statistics", arguments)
        shift, s1, s2 = (arguments[name] for name in ("shift", "s1", "s2"))
        d = s1 * (1 / arguments["count"]) * (not arguments["raw"])
        assert bits(mean) == bits(shift + d)
        # The rounding error of that sum, by the way of Knuth.
        back = mean - shift
        assert np.array_equal(low, (shift - (mean - back)) + (d - back))
        assert bits(m2) == bits(s2 - s1 * d)
        assert not again.any()


def test_statistics_tell_what_to_sum_again(isa, kind):
    """A poor shift, sums that left the range of the compute type, and neither."""
    s2 = np.array([9.0, 9.0, np.inf, np.nan, 1e-40, 0.0, 9.0])
    s1 = np.array([0.5, 11.0, 0.5, 0.5, 0.0, 0.0, np.nan])
    shift = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    arguments = {"count": 16.0, "shift": shift, "s1": s1, "s2": s2}
    tiny = 0 if real(kind) is np.float64 else 2  # a float32 square may have vanished
    again = compute(isa, kind, "statistics", arguments)[-1]
    assert again.tolist() == [0, 1, 2, 2, tiny, 0, 2]


@pytest.mark.parametrize("n", GROUPS)
def test_centres(isa, kind, n, rng):
    for words in VARIANTS["centres"]:
        arguments = draw("centres", words, kind, 1, n, rng)
        size = n if "rows" in words or "w" in words else 1
        hi, r, m, rstd, low = compute(isa, kind, "centres", arguments)
        mean, w, b = (
            in_double(arguments, *given, size) for given in (("mean", 0), ("w", 1), ("b", 0))
        )
        exact = np.broadcast_to(1 / np.sqrt(arguments["var"] + arguments["eps"]), size)
        rest = (mean.astype(real(kind)) - mean) * exact
        assert bits(hi) == bits(mean.astype(real(kind)))
        assert bits(rstd) == bits(exact)
        assert bits(r) == bits((exact * w).astype(real(kind)))
        assert np.array_equal(low, rest)
        assert np.array_equal(m, (rest * w + b).astype(real(kind)))


def test_a_variance_of_nothing_has_no_scale(isa, kind):
    arguments = {"mean": np.ones(3), "var": np.array([0.0, 4.0, np.nan]), "eps": 0.0}
    rstd = compute(isa, kind, "centres", arguments)[3]
    assert np.array_equal(rstd, [0, 0.5, np.nan], equal_nan=True)


@pytest.mark.parametrize("n", GROUPS)
def test_slopes(isa, kind, n, rng):
    for words in VARIANTS["slopes"]:
        arguments = draw("slopes", words, kind, 1, n, rng)
        a, b, c = compute(isa, kind, "slopes", arguments)
        w = in_double(arguments, "w", 1, n)
        c0, c1 = (in_double(arguments, name, 0, n) for name in ("c0", "c1"))
        assert bits(a) == bits((arguments["rstd"] * w).astype(real(kind)))
        assert bits(b) == bits(c1.astype(real(kind)))
        assert bits(c) == bits((c0 + arguments["low"] * c1).astype(real(kind)))


def test_groups_may_lie_apart(isa, kind, rng):
    """Statistics and parameters of every third group, as views of other arrays."""
    arguments = draw("centres", ("rows", "w", "b"), kind, 1, 3 * 70, rng)
    apart = {k: v[::3] if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    packed = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in apart.items()}
    assert bits(call(isa, kind, "centres", apart)) == bits(call(isa, kind, "centres", packed))
