# SPDX-License-Identifier: BSD-3-Clause
"""`_core.backward` with an activation: dy times its slope, made where the sums read it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import fastnorm
from cases import DTYPES, assert_same_bits
from fastnorm import _core
from fastnorm._core import Groups
from layouts import lay_out
from strategies import layouts, shapes


@st.composite
def calls(draw):
    """Arguments of `_core.backward`, with a bias along some axes and perhaps a weight beside it.

    A bias alone goes along all axes: along others it changes how the runs are cut into pieces.
    """
    shape = draw(shapes(empty=False) | shapes(2, 4, max_size=200_000, empty=False, large=True))
    axes = draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    weighted = draw(st.booleans())
    along = tuple(n if not weighted or draw(st.booleans()) else 1 for n in shape)
    return Groups(shape, tuple(sorted(axes)), (), ""), shape, along, weighted


@given(
    call=calls(),
    kind=st.sampled_from(DTYPES),
    activation=st.sampled_from(tuple(_core.ACTIVATIONS.values())),
    raw=st.booleans(),
    threads=st.sampled_from((1, 2, 3)),
    data=st.data(),
)
def test_has_the_bits_of_two_steps(call, kind, activation, raw, threads, data):
    groups, shape, along, weighted = call
    rng = np.random.default_rng(len(shape))
    compute = np.float64 if kind == np.float64 else np.float32
    dy, x = (
        lay_out(rng.standard_normal(shape).astype(kind), data.draw(layouts(len(shape))))
        for _ in range(2)
    )
    bias = rng.standard_normal(along).astype(compute)
    weight = (1 + 0.5 * rng.standard_normal(along)).astype(compute) if weighted else None
    mean, var = rng.standard_normal(groups.free), rng.uniform(0.5, 2.0, groups.free)
    statistics = None if raw else mean, var, 0.1

    def sums():
        return np.zeros(along) if weighted else None, np.zeros(along)

    dz, slow, fast = (np.empty(shape, kind) for _ in range(3))
    slow_sums, fast_sums = sums(), sums()
    flags = _core.RAW if raw else 0
    _core.slope(dy, x, dz, groups, weight, bias, *statistics, flags | activation)
    _core.backward(dz, x, slow, groups, weight, *statistics, flags, *slow_sums)
    with fastnorm.num_threads(threads):
        arguments = groups, weight, *statistics, flags | activation, *fast_sums, None, bias
        _core.backward(dy, x, fast, *arguments)

    def named(dx, gradients):
        results = {"x": dx, "weight": gradients[0], "bias": gradients[1]}
        return {name: values for name, values in results.items() if values is not None}

    assert_same_bits(named(fast, fast_sums), named(slow, slow_sums), f"{threads} threads")
