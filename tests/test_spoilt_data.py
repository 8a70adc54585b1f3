# SPDX-License-Identifier: BSD-3-Clause
"""NaN, Inf and overflow are no errors, and stay inside their own statistics group.

What is in the other groups keeps its bits: y, statistics, gradients, running statistics.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastnorm
from cases import Case, backward, draw, forward, same_bits, statistics

SPOILT = [
    Case("standardize", (6, 20, 30), {"axis": (0, 2)}),
    Case("layer_norm", (8, 300)),
    Case("layer_norm", (300, 40), {"axis": 0}),
    Case("layer_norm", (3, 24, 9, 9), {"axis": 1}),
    Case("rms_norm", (8, 300)),
    Case("rms_norm", (300, 40), {"axis": 0}),
    Case("batch_norm", (40, 33)),
    Case("batch_norm", (4, 24, 7, 7)),
    Case("batch_norm", (4, 24, 32, 33)),
    Case("batch_norm", (4, 7, 7, 24), {"channel_axis": -1}),
    Case("instance_norm", (3, 5, 9, 9)),
    Case("instance_norm", (3, 9, 9, 5), {"channel_axis": -1}),
    Case("group_norm", (3, 12, 7, 7), {"num_groups": 4}),
    Case("group_norm", (3, 7, 7, 12), {"num_groups": 4, "channel_axis": -1}),
]


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("case", SPOILT, ids=str)
def test_a_spoilt_value_of_x_stays_in_its_group(case, poison, dtype, rng):
    clean = draw(case, rng, dtype)
    spoilt = replace(clean, x=clean.x.copy())
    at = tuple(int(rng.integers(n)) for n in case.shape)
    spoilt.x[at] = poison
    numbers = case.group_numbers()
    inside = numbers == numbers[at]

    copies = [
        replace(a, parameters={k: v.copy() for k, v in a.parameters.items()})
        for a in (clean, spoilt)
    ]
    (y, stats), (bad_y, bad_stats) = (forward(fastnorm, case, a) for a in copies)
    good, bad = (backward(fastnorm, case, a) for a in (clean, spoilt))
    assert same_bits(bad_y[~inside], y[~inside])
    assert same_bits(bad.x[~inside], good.x[~inside])
    for before, after in zip(
        statistics(stats).values(), statistics(bad_stats).values(), strict=True
    ):
        others = np.arange(before.size) != numbers[at]
        assert same_bits(after.ravel()[others], before.ravel()[others])
        assert not np.isfinite(after.ravel()[~others]).any()
    if "bias" in good._fields:
        assert same_bits(bad.bias, good.bias)
    if case.op == "batch_norm":
        others = np.arange(y.shape[case.channel]) != at[case.channel]
        assert same_bits(bad.weight[others], good.weight[others])
        for name in ("running_mean", "running_var"):
            before, after = (a.parameters[name] for a in copies)
            assert same_bits(after[others], before[others])

    # Inside, nothing pretends to be a result.  Without a centre Inf / Inf is NaN, x / Inf is 0.
    inside[at] = False
    if case.op == "rms_norm" and np.isinf(poison):
        assert (bad_y[inside] == 0).all()
    else:
        assert np.isnan(bad_y[inside].astype(np.float64)).all()
    assert np.isnan(float(bad_y[at]))


@pytest.mark.parametrize("case", SPOILT, ids=str)
def test_a_spoilt_gradient_stays_in_its_group(case, dtype, rng):
    clean = draw(case, rng, dtype)
    spoilt = replace(clean, dy=clean.dy.copy())
    at = tuple(int(rng.integers(n)) for n in case.shape)
    spoilt.dy[at] = np.nan
    numbers = case.group_numbers()
    inside = numbers == numbers[at]
    good, bad = (backward(fastnorm, case, a) for a in (clean, spoilt))
    assert same_bits(bad.x[~inside], good.x[~inside])
    assert np.isnan(bad.x[inside].astype(np.float64)).all()
    touched = case.sum_to_parameter(np.isnan(spoilt.dy.astype(np.float64))) > 0
    for name in bad._fields[1:]:
        assert np.isnan(getattr(bad, name)[touched].astype(np.float64)).all()
        assert same_bits(getattr(bad, name)[~touched], getattr(good, name)[~touched])


@pytest.mark.parametrize("case", SPOILT, ids=str)
def test_a_group_of_huge_values_among_others(case, rng):
    """Squares beyond float32 in one group neither spoil it nor change the bits of the others."""
    clean = draw(case, rng)
    numbers = case.group_numbers()
    inside = numbers == numbers.max() // 2
    huge = replace(clean, x=np.where(inside, clean.x * np.float32(1e30), clean.x))
    y, bad_y = (forward(fastnorm, case, a)[0] for a in (clean, huge))
    assert same_bits(bad_y[~inside], y[~inside])
    assert np.isfinite(bad_y).all()
    assert np.ptp(bad_y[inside]) > 1
