# SPDX-License-Identifier: BSD-3-Clause
"""`group_norm` against the reference, forward and backward, and its edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnorm
from cases import DTYPES, Case, draw, same_bits
from layouts import lay_out
from oracle import check_backward, check_forward
from sizes import MAP_SIZES
from strategies import cases, layouts


@given(data=st.data(), seed=st.integers(0, 2**32))
def test_any_shape_strides_and_types(data, seed):
    case = data.draw(cases(ops=("group_norm",)))
    kind, parameter_kind = (data.draw(st.sampled_from(DTYPES)) for _ in range(2))
    arguments = draw(case, np.random.default_rng(seed), kind, parameter_dtype=parameter_kind)
    arguments.x = lay_out(arguments.x, data.draw(layouts(len(case.shape))))
    arguments.dy = lay_out(arguments.dy, data.draw(layouts(len(case.shape))))
    _, stats = check_forward(case, arguments)
    assert stats.mean.shape == (case.shape[0], case.config["num_groups"])
    check_backward(case, arguments)
    check_backward(case, arguments, stats=stats)


@pytest.mark.parametrize("shape", MAP_SIZES, ids=str)
def test_maps(shape, dtype, rng):
    n, c, h, w = shape
    for groups in {g for g in (1, 2, c // 2, c) if g and c % g == 0 and c // g * h * w > 1}:
        for case in (
            Case("group_norm", shape, {"num_groups": groups}),
            Case("group_norm", (n, h, w, c), {"num_groups": groups, "channel_axis": -1}),
            Case("group_norm", (n, h, c, w), {"num_groups": groups, "channel_axis": 2}),
        ):
            arguments = draw(case, rng, dtype, mean=3.0)
            check_forward(case, arguments)
            check_backward(case, arguments)


@pytest.mark.parametrize("missing", [("weight",), ("bias",), ("weight", "bias")])
def test_missing_parameters(missing, dtype, rng):
    case = Case("group_norm", (4, 6, 5, 3), {"num_groups": 3})
    arguments = draw(case, rng, dtype)
    for name in missing:
        arguments.parameters[name] = None
    check_forward(case, arguments)
    check_backward(case, arguments)


def test_vectors(dtype, rng):
    """(N, C) input is legal: a group is C / G values."""
    case = Case("group_norm", (7, 40), {"num_groups": 8})
    arguments = draw(case, rng, dtype)
    check_forward(case, arguments)
    check_backward(case, arguments)


def test_groups_are_consecutive_channels(rng):
    x = rng.standard_normal((2, 6, 5), dtype=np.float32)
    y = fastnorm.group_norm(x, 3)
    for group in range(3):
        channels = slice(2 * group, 2 * group + 2)
        assert np.max(np.abs(y[:, channels] - fastnorm.group_norm(x[:, channels], 1))) <= 1e-6


def test_limits(rng):
    """As many groups as channels is instance norm; one group is layer norm over everything."""
    x = rng.standard_normal((3, 4, 5, 6), dtype=np.float32)
    weight, bias = rng.standard_normal((2, 4), dtype=np.float32)
    assert same_bits(
        fastnorm.group_norm(x, 4, weight, bias), fastnorm.instance_norm(x, weight, bias)
    )
    assert same_bits(fastnorm.group_norm(x, 1), fastnorm.layer_norm(x, axis=(1, 2, 3)))


@pytest.mark.parametrize("shape", [(0, 6, 3), (2, 0, 3), (2, 6, 0), (0, 6)])
def test_empty(shape, dtype):
    x = np.empty(shape, dtype)
    weight = np.ones(shape[1], dtype)
    assert fastnorm.group_norm(x, 2, weight, weight).shape == shape
    gradients = fastnorm.group_norm_backward(x, x, 2, weight, weight)
    assert gradients.x.shape == shape
    assert (gradients.weight == 0).all()
    assert (gradients.bias == 0).all()
