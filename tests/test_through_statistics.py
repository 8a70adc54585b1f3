# SPDX-License-Identifier: BSD-3-Clause
"""Gradients that go by parts: float16 and bfloat16 widened, and x overwritten, without a copy."""

from __future__ import annotations

import tracemalloc

import ml_dtypes
import numpy as np
import pytest

import fastnorm
from cases import same_bits
from fastnorm._curves import PART
from tolerance import stored

ONE = np.ones(4, np.float32)
FAMILIES = {
    "filter_response_norm": ((), (ONE, ONE, 0.5 * ONE)),
    "evonorm_b0": ((), (ONE, ONE, ONE)),
    "evonorm_s0": ((2,), (ONE, ONE, ONE)),
}
every_family = pytest.mark.parametrize("op", FAMILIES)


def backward(op, dy, x, **options):
    """The gradient of x."""
    groups, parameters = FAMILIES[op]
    return getattr(fastnorm, f"{op}_backward")(dy, x, *groups, *parameters, **options).x


@every_family
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((3, 4, PART // 4, 3), 1),  # a sample has many parts
        ((5, PART // 7, 4), -1),  # a part has a sample, not of its length
        ((40, 4, 7, 7), 1),  # and all samples
    ],
)
def test_parts_make_the_whole(op, shape, axis, rng):
    """In place, which goes by parts, the bits are those of the whole; narrow ones round it once."""
    dy, x = rng.standard_normal((2, *shape), dtype=np.float32).astype(ml_dtypes.bfloat16)
    wide = [a.astype(np.float32) for a in (dy, x)]
    whole = backward(op, *wide, channel_axis=axis)
    for i in (0, 1):
        inputs = [a.copy() for a in wide]
        backward(op, *inputs, channel_axis=axis, out=inputs[i])
        assert same_bits(inputs[i], whole)
    narrow = backward(op, dy, x, channel_axis=axis).astype(np.float64)
    assert (np.abs(narrow - whole) <= stored(whole, ml_dtypes.bfloat16) / 2 + 1e-6).all()


@every_family
@pytest.mark.parametrize("samples", [1, 16])
def test_no_copy_of_a_narrow_input(op, samples):
    x = np.zeros((samples, 4, 4 * PART // samples, 4), np.float16)
    out = np.empty_like(x)
    tracemalloc.start()
    backward(op, x, x, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 4
