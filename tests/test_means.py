# SPDX-License-Identifier: BSD-3-Clause
"""`_core.backward` with means that come from elsewhere: other ranks, a mask, another norm."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from cases import same_bits
from fastnorm import _core
from fastnorm._core import Groups
from layouts import c_order, channels_last, dense, lay_out
from tolerance import ROUNDINGS, assert_within, compute_unit, largest, stored

# shape of x, reduced axes, shape of the weight
CALLS = (
    ((6, 40), (1,), None),
    ((6, 40), (1,), (6, 1)),
    ((6, 40), (1,), (40,)),
    ((3, 5, 7, 7), (0, 2, 3), (5, 1, 1)),
    ((20, 5, 7, 7), (0, 2, 3), (5, 1, 1)),
    ((2, 6, 9, 9), (2, 3), (2, 6, 1, 1)),
    ((2, 6, 4, 9, 9), (2, 3, 4), (6, 4, 1, 1)),
    ((50, 33), (0,), (33,)),
    ((4, 30, 17), (1,), (30, 1)),
    ((4, 30, 17), (1,), (30, 17)),
    ((4, 30, 6, 3), (1, 3), (6, 3)),
    ((1, 3, 300, 301), (0, 2, 3), (3, 1, 1)),
    ((60000, 3), (0,), (3,)),
)


def drawn(shape, axes, weight, rng, kind):
    """dy, x, groups, weight, mean, var and means of a call."""
    compute = np.float64 if kind == np.float64 else np.float32
    groups = Groups(shape, axes, (), "")
    dy, x = (rng.standard_normal(shape).astype(kind) for _ in range(2))
    if weight is not None:
        weight = (1 + 0.5 * rng.standard_normal(weight)).astype(compute)
        weight = weight.reshape((1,) * (len(shape) - weight.ndim) + weight.shape)
    mean, var = rng.standard_normal(groups.free), rng.uniform(0.5, 2.0, groups.free)
    return dy, x, groups, weight, mean, var, rng.standard_normal((2, *groups.free))


@pytest.mark.parametrize(("shape", "axes", "weight"), CALLS)
@pytest.mark.parametrize("threads", [1, 2])
def test_gradient_by_given_means(shape, axes, weight, threads, dtype, rng):
    dy, x, groups, weight, mean, var, means = drawn(shape, axes, weight, rng, dtype)
    m, v, c0, c1 = (a.reshape(groups.kept) for a in (mean, var, *means))
    g = dy.astype(np.float64) if weight is None else dy.astype(np.float64) * weight
    xh = (x.astype(np.float64) - m) / np.sqrt(v + 0.1)
    expected = (g - c0 - xh * c1) / np.sqrt(v + 0.1)
    bound = stored(expected, dtype) + ROUNDINGS * compute_unit(dtype) * largest(expected)
    results = []
    for order in {c_order(len(shape)), channels_last(len(shape))}:
        values = [lay_out(a, dense(order)) for a in (dy, x)]
        dx = np.empty_like(values[1])
        with fastnorm.num_threads(threads):
            _core.backward(*values, dx, groups, weight, mean, var, 0.1, 0, None, None, means)
        assert_within(dx, expected, bound, f"dx, {order}")
        results.append(dx)
        for there in values:  # in place
            other = [a.copy("K") for a in values]
            place = other[0] if there is values[0] else other[1]
            _core.backward(*other, place, groups, weight, mean, var, 0.1, 0, None, None, means)
            assert same_bits(np.array(place), np.array(dx))
