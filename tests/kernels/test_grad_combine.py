# SPDX-License-Identifier: BSD-3-Clause
"""dx = ((dy * w - c0) - xh * c1) * rstd."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from fastnorm._core.probe import Probe
from kernels.calls import BASELINE, KINDS, MEANS, SIZES, TILES, VARIANTS, call, compute, draw
from kernels.exact import centre, compute_unit, exact, normalized, normalized_terms, weight
from sizes import COL_BLOCK, LANES
from tolerance import assert_within, stored

# xh 4, c1 itself, times c1, w itself and times w, minus c0 and c0 itself, minus the product,
# times r and r itself; for float64 the oracle's as well.
ROUNDINGS = 2 * 12


@pytest.mark.parametrize(("rows", "n"), TILES)
def test_grad_combine(isa, kind, rows, n, rng):
    for words, mean in product(VARIANTS["grad_combine"], MEANS):
        arguments = draw("grad_combine", words, kind, rows, n, rng, mean)
        dx = compute(isa, kind, "grad_combine", arguments)
        names = ("c0", "c1") if "c0" in arguments else ("c00", "c10")
        c0, c1 = (exact(arguments, name) for name in names)
        g, rstd = exact(arguments, "dy") * weight(arguments), centre(arguments)[1]
        expected = ((g - c0) - normalized(arguments) * c1) * rstd
        terms = np.abs(g) + np.abs(c0) + normalized_terms(arguments, kind) * np.abs(c1)
        bound = stored(expected, dx.dtype) + ROUNDINGS * compute_unit(kind) * terms * rstd
        assert_within(dx, expected, bound, f"{words}, mean {mean}: dx")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["x", "dy"])
def test_a_spoilt_value_stays_where_it_is(isa, kind, name, bad, rng):
    for words in VARIANTS["grad_combine"]:
        for at in (0, LANES + 3, 2 * LANES + 4):
            arguments = draw("grad_combine", words, kind, 2, 2 * LANES + 5, rng)
            arguments[name][1, at] = bad
            dx = call(isa, kind, "grad_combine", arguments)
            assert np.argwhere(~np.isfinite(dx)).tolist() == [[1, at]]


def row_after_row(isa, kind, x, dy, means, rstds):
    """Return dx of every row, and the totals of dy * xh and dy that were taken on the way."""
    probe, n = Probe(isa, kind), x.shape[1]
    parts = np.zeros((2, n), probe.real)
    totals = np.zeros((2, n))
    dx = [
        probe.grad_combine(
            x[i : i + 1], dy[i : i + 1], mean=means[i], rstd=rstds[i], dw=parts[0], db=parts[1]
        )
        for i in range(len(x))
    ]
    for part, total in zip(parts, totals, strict=True):
        probe.settle(part, total)
    assert not parts.any()
    return np.concatenate(dx), totals


@pytest.mark.parametrize("n", SIZES)
def test_settle(isa, kind, n, rng):
    """Sums taken on the way have the column kernel's bits, on every tier; dx is what it was."""
    rows = COL_BLOCK
    x, dy = (rng.normal(3.0, 2.0, (rows, n)).astype(KINDS[kind]) for _ in range(2))
    means, rstds = rng.normal(3.0, 0.1, rows), rng.uniform(0.4, 0.6, rows)
    dx, (dw, db) = row_after_row(isa, kind, x, dy, means, rstds)

    probe = Probe(isa, kind)
    hi, lo = probe.split(means)
    centres = {"hi": hi, "lo": lo, "r": probe.split(rstds)[0]}
    sums = probe.grad_sums_cols(x, dy, **centres, by_row=True)
    assert sums.tobytes() == np.stack([db, dw]).tobytes()

    plain = [
        probe.grad_combine(x[i : i + 1], dy[i : i + 1], mean=means[i], rstd=rstds[i])
        for i in range(rows)
    ]
    assert dx.tobytes() == np.concatenate(plain).tobytes()
    dx_baseline, totals = row_after_row(BASELINE, kind, x, dy, means, rstds)
    assert dx.tobytes() == dx_baseline.tobytes()
    assert np.stack([dw, db]).tobytes() == totals.tobytes()
