# SPDX-License-Identifier: BSD-3-Clause
"""`layer_norm` against the reference, forward and backward, and its edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnorm
from cases import DTYPES, Case, draw
from layouts import lay_out
from oracle import check_backward, check_forward
from sizes import COLUMN_SIZES, ROW_SIZES
from strategies import cases, layouts


@given(data=st.data(), seed=st.integers(0, 2**32))
def test_any_axes_strides_and_types(data, seed):
    case = data.draw(cases(ops=("layer_norm",)))
    kind, parameter_kind = (data.draw(st.sampled_from(DTYPES)) for _ in range(2))
    arguments = draw(case, np.random.default_rng(seed), kind, parameter_dtype=parameter_kind)
    arguments.x = lay_out(arguments.x, data.draw(layouts(len(case.shape))))
    arguments.dy = lay_out(arguments.dy, data.draw(layouts(len(case.shape))))
    _, stats = check_forward(case, arguments)
    check_backward(case, arguments)
    check_backward(case, arguments, stats=stats)


@pytest.mark.parametrize("n", ROW_SIZES)
def test_rows(n, dtype, rng):
    case = Case("layer_norm", (5, n))
    arguments = draw(case, rng, dtype, mean=3.0)
    check_forward(case, arguments)
    check_backward(case, arguments)


@pytest.mark.parametrize(("rows", "columns"), COLUMN_SIZES)
def test_columns(rows, columns, dtype, rng):
    """The first axis: what is reduced lies apart in memory."""
    case = Case("layer_norm", (rows, columns), {"axis": 0})
    arguments = draw(case, rng, dtype, mean=3.0)
    check_forward(case, arguments)
    check_backward(case, arguments)


@pytest.mark.parametrize("axis", [1, (1, 2, 3), (1, 3), (-1, 0), (2,)])
def test_feature_axes(axis, dtype, rng):
    """Over the channels of NCHW, whole images, and sets of axes with kept ones between them."""
    case = Case("layer_norm", (3, 20, 5, 7), {"axis": axis})
    arguments = draw(case, rng, dtype, mean=3.0)
    check_forward(case, arguments)
    check_backward(case, arguments)


@pytest.mark.parametrize("missing", [("weight",), ("bias",), ("weight", "bias")])
def test_missing_parameters(missing, dtype, rng):
    case = Case("layer_norm", (4, 70))
    arguments = draw(case, rng, dtype)
    for name in missing:
        arguments.parameters[name] = None
    check_forward(case, arguments)
    check_backward(case, arguments)


def test_weight_and_bias_of_different_types(rng):
    case = Case("layer_norm", (4, 70))
    arguments = draw(case, rng, np.float16, parameter_dtype=np.float64)
    arguments.parameters["bias"] = arguments.parameters["bias"].astype(np.float32)
    check_forward(case, arguments)
    check_backward(case, arguments)


def test_one_value_per_row(dtype, rng):
    """A row of one value is its own mean: y is the bias, and nothing flows back to x or weight."""
    case = Case("layer_norm", (6, 1))
    arguments = draw(case, rng, dtype, mean=1e4)
    y = fastnorm.layer_norm(arguments.x, **arguments.parameters)
    assert (y == arguments.parameters["bias"]).all()
    gradients = check_backward(case, arguments)
    assert (gradients.x == 0).all()
    assert (gradients.weight == 0).all()


def test_two_values_per_row():
    """They become -1 and 1, whatever they were; scaled by eps alone."""
    x = np.array([[3.0, 5.0], [-1e6, 1e6]], np.float32)
    np.testing.assert_allclose(fastnorm.layer_norm(x, eps=0.0), [[-1, 1], [-1, 1]], rtol=1e-7)


def test_zero_eps_and_zero_variance(dtype):
    """Where var + eps is 0 the reciprocal of the root is 0: y is the bias, dx is 0."""
    x = np.array([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]], dtype)
    dy = np.array([[1.0, -2.0, 5.0], [1.0, -2.0, 5.0]], dtype)
    weight, bias = np.array([1.0, 2.0, 3.0], dtype), np.array([0.5, 0.25, 4.0], dtype)
    y = fastnorm.layer_norm(x, weight, bias, eps=0.0)
    assert (y[0] == bias).all()
    gradients = fastnorm.layer_norm_backward(dy, x, weight, bias, eps=0.0)
    assert (gradients.x[0] == 0).all()
    alone = fastnorm.layer_norm_backward(dy[1:], x[1:], weight, bias, eps=0.0)
    assert (gradients.x[1] == alone.x[0]).all()
    assert (gradients.weight == alone.weight).all()


@pytest.mark.parametrize("shape", [(0, 8), (8, 0), (0, 0), (2, 0, 3)])
def test_empty(shape, dtype):
    x = np.empty(shape, dtype)
    weight = np.ones(shape[-1:], dtype)
    y, stats = fastnorm.layer_norm(x, weight, weight, return_stats=True)
    assert y.shape == shape
    assert y.dtype == dtype
    assert stats.mean.shape == shape[:-1]
    gradients = fastnorm.layer_norm_backward(x, x, weight, weight)
    assert gradients.x.shape == shape
    assert (gradients.weight == 0).all()
    assert (gradients.bias == 0).all()
    assert gradients.weight.shape == weight.shape


@given(case=cases(ops=("layer_norm",), empty=False), data=st.data())
def test_memory_order_of_the_result(case, data):
    """y and dx lie as NumPy's ``empty_like(x, order="K")`` would: x's order, without gaps."""
    arguments = draw(case, np.random.default_rng(0))
    x = lay_out(arguments.x, data.draw(layouts(len(case.shape), repeat=False)))
    expected = np.empty_like(x, order="K", subok=False)
    for result in (
        fastnorm.layer_norm(x, **case.config),
        fastnorm.layer_norm_backward(arguments.dy, x, **case.config).x,
    ):
        for n, stride, like in zip(x.shape, result.strides, expected.strides, strict=True):
            assert n == 1 or stride == like
