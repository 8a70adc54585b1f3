# SPDX-License-Identifier: BSD-3-Clause
"""`instance_norm` against the reference, forward and backward, and its edges."""

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
    case = data.draw(cases(ops=("instance_norm",)))
    kind, parameter_kind = (data.draw(st.sampled_from(DTYPES)) for _ in range(2))
    arguments = draw(case, np.random.default_rng(seed), kind, parameter_dtype=parameter_kind)
    arguments.x = lay_out(arguments.x, data.draw(layouts(len(case.shape))))
    arguments.dy = lay_out(arguments.dy, data.draw(layouts(len(case.shape))))
    _, stats = check_forward(case, arguments)
    assert stats.mean.shape == (case.shape[0], case.shape[case.channel])
    check_backward(case, arguments)
    check_backward(case, arguments, stats=stats)


@pytest.mark.parametrize("shape", [shape for shape in MAP_SIZES if shape[2:] != (1, 1)], ids=str)
def test_maps(shape, dtype, rng):
    n, c, h, w = shape
    for case in (
        Case("instance_norm", shape),
        Case("instance_norm", (n, h, w, c), {"channel_axis": -1}),
        Case("instance_norm", (n, c, h * w)),
        Case("instance_norm", (n, h, c, w), {"channel_axis": 2}),
        Case("instance_norm", (n, 1, h, w, c), {"channel_axis": -1}),
    ):
        arguments = draw(case, rng, dtype, mean=3.0)
        check_forward(case, arguments)
        check_backward(case, arguments)


@pytest.mark.parametrize("missing", [("weight",), ("bias",), ("weight", "bias")])
def test_missing_parameters(missing, dtype, rng):
    case = Case("instance_norm", (4, 6, 5, 3))
    arguments = draw(case, rng, dtype)
    for name in missing:
        arguments.parameters[name] = None
    check_forward(case, arguments)
    check_backward(case, arguments)


def test_samples_do_not_touch_each_other(rng):
    """A sample gives the same bits alone as in a batch."""
    x = rng.standard_normal((4, 6, 5, 3), dtype=np.float32)
    batch = fastnorm.instance_norm(x)
    for sample in range(4):
        alone = fastnorm.instance_norm(x[sample : sample + 1])
        assert same_bits(alone, batch[sample : sample + 1])


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3), (2, 5, 0)])
def test_empty(shape, dtype):
    x = np.empty(shape, dtype)
    weight = np.ones(shape[1], dtype)
    assert fastnorm.instance_norm(x, weight, weight).shape == shape
    gradients = fastnorm.instance_norm_backward(x, x, weight, weight)
    assert gradients.x.shape == shape
    assert (gradients.weight == 0).all()
    assert (gradients.bias == 0).all()
