# SPDX-License-Identifier: BSD-3-Clause
"""`_core.backward` with a gradient that comes to x by another way, which is added to dx."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import fastnorm
from cases import DTYPES, assert_same_bits
from fastnorm import _core
from fastnorm._core import Groups
from layouts import lay_out
from residuals import check_sum
from strategies import layouts, shapes


@st.composite
def calls(draw):
    """Groups, the shape of x, and the axes that a weight and its gradient run along."""
    shape = draw(shapes(empty=False) | shapes(2, 4, max_size=200_000, empty=False, large=True))
    axes = draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    along = tuple(n if draw(st.booleans()) else 1 for n in shape)
    return Groups(shape, tuple(sorted(axes)), (), ""), shape, along


@given(
    call=calls(),
    kind=st.sampled_from(DTYPES),
    flags=st.sampled_from((0, _core.RAW, _core.ACTIVATIONS["silu"])),
    wanted=st.booleans(),
    threads=st.sampled_from((1, 2, 3)),
    data=st.data(),
)
def test_is_the_sum(call, kind, flags, wanted, threads, data):
    groups, shape, along = call
    rng = np.random.default_rng(len(shape))
    compute = np.float64 if kind == np.float64 else np.float32
    dy, x, onward = (
        lay_out(rng.standard_normal(shape).astype(kind), data.draw(layouts(len(shape))))
        for _ in range(3)
    )
    weight = (1 + 0.5 * rng.standard_normal(along)).astype(compute)
    mean, var = rng.standard_normal(groups.free), rng.uniform(0.5, 2.0, groups.free)
    given_ones = None if flags == _core.RAW else mean, var, 0.1, flags
    results = []
    for rest, count in ((None, 1), (onward, threads)):
        step = data.draw(st.sampled_from((1, 2)))
        dx = np.empty((*shape[:-1], step * shape[-1]), kind)[..., ::step]
        sums = (np.zeros(along), np.zeros(along)) if wanted else (None, None)
        with fastnorm.num_threads(count):
            _core.backward(dy, x, dx, groups, weight, *given_ones, *sums, onward=rest)
        results.append({"x": dx} | ({"weight": sums[0], "bias": sums[1]} if wanted else {}))
    apart, together = results
    check_sum(together.pop("x"), apart.pop("x"), onward)
    assert_same_bits(together, apart, f"{threads} threads")
