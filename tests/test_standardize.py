# SPDX-License-Identifier: BSD-3-Clause
"""`standardize` against the reference: any axes, strides and types, parameters that broadcast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnorm
from cases import DTYPES, Case, draw
from fastnorm import reference
from layouts import lay_out
from oracle import check_backward, check_forward
from strategies import cases, layouts
from tolerance import largest


@given(data=st.data(), seed=st.integers(0, 2**32))
def test_any_axes_strides_and_types(data, seed):
    case = data.draw(cases(ops=("standardize",)))
    kind, parameter_kind = (data.draw(st.sampled_from(DTYPES)) for _ in range(2))
    arguments = draw(case, np.random.default_rng(seed), kind, parameter_dtype=parameter_kind)
    arguments.x = lay_out(arguments.x, data.draw(layouts(len(case.shape))))
    arguments.dy = lay_out(arguments.dy, data.draw(layouts(len(case.shape))))
    _, stats = check_forward(case, arguments)
    check_backward(case, arguments)
    check_backward(case, arguments, stats=stats)


@given(data=st.data(), seed=st.integers(0, 2**32))
def test_parameters_broadcast(data, seed):
    """Weight and bias of any shape that broadcasts against x, fewer axes included."""
    case = data.draw(cases(ops=("standardize",), empty=False))
    start = data.draw(st.integers(0, len(case.shape)))
    affine = tuple(n if data.draw(st.booleans()) else 1 for n in case.shape[start:])
    case = Case(case.op, case.shape, case.config, affine)
    arguments = draw(case, np.random.default_rng(seed), data.draw(st.sampled_from(DTYPES)))
    _, stats = check_forward(case, arguments)
    check_backward(case, arguments)
    check_backward(case, arguments, stats=stats)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize("samples", [6, 50])
def test_weights_along_a_reduced_axis(samples, n, shared, dtype, rng):
    """One for each run of a group, the next group has the same, or others; groups of x and dy that
    follow each other, or lie apart."""
    case = Case("standardize", (samples, 4, n), {"axis": (1, 2)}, (1 if shared else samples, 4, 1))
    arguments = draw(case, rng, dtype, mean=3.0)
    apart = {name: np.zeros((2 * samples, 4, n), dtype)[::2] for name in ("x", "dy")}
    for name, view in apart.items():
        view[...] = getattr(arguments, name)
    for views in ({}, {"x": apart["x"]}, {"dy": apart["dy"]}, apart):
        some = replace(arguments, **views)
        check_forward(case, some)
        check_backward(case, some)


def test_weight_and_bias_of_different_shapes(rng):
    x, dy = (rng.standard_normal((4, 5, 6), dtype=np.float32) for _ in range(2))
    weight = rng.standard_normal((5, 1), dtype=np.float32)
    bias = rng.standard_normal(6, dtype=np.float32)
    y = fastnorm.standardize(x, weight, bias, axis=(0, 2))
    assert largest(y - reference.standardize(x, weight, bias, axis=(0, 2))) < 1e-5
    ours = fastnorm.standardize_backward(dy, x, weight, bias, axis=(0, 2))
    theirs = reference.standardize_backward(dy, x, weight, bias, axis=(0, 2))
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert largest(a - b) < 1e-5 * max(1.0, largest(b))


def test_scalar_parameters(dtype, rng):
    """0-d weight and bias: one factor for all of x."""
    case = Case("standardize", (4, 30), {"axis": 1}, affine=())
    arguments = draw(case, rng, dtype)
    arguments.parameters = {k: np.asarray(v) for k, v in arguments.parameters.items()}
    check_forward(case, arguments)
    gradients = check_backward(case, arguments)
    assert np.shape(gradients.weight) == np.shape(gradients.bias) == ()


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_one_parameter(name, dtype, rng):
    case = Case("standardize", (3, 4, 5), {"axis": (0, 2)})
    arguments = draw(case, rng, dtype)
    arguments.parameters[name] = None
    check_forward(case, arguments)
    assert getattr(check_backward(case, arguments), name) is None


def test_axis_is_required(rng):
    with pytest.raises(TypeError, match="axis"):
        fastnorm.standardize(rng.standard_normal((3, 4)))


def test_no_axes(rng):
    """axis=(): every value is its own group, of variance 0: y is the bias, dx is 0."""
    x, dy = rng.standard_normal((2, 3, 4))
    y, stats = fastnorm.standardize(x, bias=np.float64(2.0), axis=(), return_stats=True)
    assert (y == 2.0).all()
    assert stats.count == 1
    assert (fastnorm.standardize_backward(dy, x, axis=()).x == 0).all()


def test_matches_the_named_normalizers(rng):
    """Layer, batch and instance norm are this function with their axes."""
    x = rng.standard_normal((4, 6, 5, 7), dtype=np.float32)
    weight, bias = rng.standard_normal((2, 6), dtype=np.float32)
    per_channel = [p[:, None, None] for p in (weight, bias)]
    pairs = [
        (fastnorm.batch_norm(x, weight, bias), (0, 2, 3), per_channel),
        (fastnorm.instance_norm(x, weight, bias), (2, 3), per_channel),
        (fastnorm.layer_norm(x, axis=(1, 2, 3)), (1, 2, 3), [None, None]),
    ]
    for expected, axis, parameters in pairs:
        np.testing.assert_array_equal(fastnorm.standardize(x, *parameters, axis=axis), expected)
