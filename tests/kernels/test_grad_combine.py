# SPDX-License-Identifier: BSD-3-Clause
"""dx = ((dy * w - c0) - xh * c1) * rstd."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from kernels.calls import MEANS, TILES, VARIANTS, call, compute, draw
from kernels.exact import centre, compute_unit, exact, normalized, normalized_terms, weight
from sizes import LANES
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
