# SPDX-License-Identifier: BSD-3-Clause
"""The gradients of the oracle against finite differences, and its interface."""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnorm
from cases import Case
from fastnorm import reference
from gradcheck import assert_gradients
from reference_cases import CASES, backward, draw, forward

all_cases = pytest.mark.parametrize("case", CASES, ids=str)
seeds = st.integers(0, 2**32 - 1)


@all_cases
def test_backward_matches_finite_differences(case):
    dy, *arguments = draw(case)
    gradients = backward(case, dy, *arguments, eps=0.1)
    assert_gradients(lambda *a: forward(case, *a, eps=0.1), gradients, dy, arguments)


@pytest.mark.parametrize("channel_axis", [1, -1])
def test_batch_norm_backward_in_evaluation_matches_finite_differences(channel_axis):
    case = Case("batch_norm", (2, 3, 3), {"training": False, "channel_axis": channel_axis})
    dy, *arguments = draw(case)
    running = {"running_mean": np.array([0.5, -1.0, 2.0]), "running_var": np.array([1.0, 2.0, 0.5])}
    gradients = backward(case, dy, *arguments, **running)
    assert_gradients(lambda *a: forward(case, *a, **running), gradients, dy, arguments)


@st.composite
def layouts(draw):
    """Return a shape, some of its axes in any order and sign, a shape that broadcasts to it."""
    shape = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=4)))
    axes = draw(st.lists(st.integers(0, len(shape) - 1), unique=True))
    signed = tuple(axis - len(shape) * draw(st.booleans()) for axis in axes)
    stretched = tuple(draw(st.sampled_from([1, n])) for n in shape)
    return shape, signed, stretched[draw(st.integers(0, len(shape))) :]


@given(layout=layouts(), seed=seeds)
@settings(max_examples=50, deadline=None)
def test_standardize_backward_on_any_axes(layout, seed):
    shape, axes, parameter = layout
    case = Case("standardize", shape, {"axis": axes, "eps": 0.1}, affine=parameter)
    dy, *arguments = draw(case, seed)
    assert_gradients(lambda *a: forward(case, *a), backward(case, dy, *arguments), dy, arguments)


@given(layout=layouts(), seed=seeds)
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_feature_norm_backward_on_any_axes(name, layout, seed):
    shape, axes, _ = layout
    case = Case(name, shape, {"axis": axes, "eps": 0.1})
    dy, *arguments = draw(case, seed)
    assert_gradients(lambda *a: forward(case, *a), backward(case, dy, *arguments), dy, arguments)


@all_cases
def test_gradients_of_absent_parameters_are_none(case):
    dy, x, *parameters = draw(case)
    gradients = backward(case, dy, x)
    assert gradients[1:] == (None,) * len(parameters)
    ones = [np.ones_like(parameter) for parameter in parameters]
    np.testing.assert_array_equal(gradients.x, backward(case, dy, x, *ones).x)


@all_cases
def test_given_stats_change_nothing(case):
    dy, *arguments = draw(case)
    y, stats = forward(case, *arguments, return_stats=True)
    np.testing.assert_array_equal(y, forward(case, *arguments))
    assert stats[0].size == case.group_numbers().max() + 1
    assert stats.count == np.bincount(case.group_numbers().ravel())[0]
    given_stats = backward(case, dy, *arguments, stats=stats)
    for gradient, expected in zip(given_stats, backward(case, dy, *arguments), strict=True):
        np.testing.assert_array_equal(gradient, expected)


@all_cases
def test_stats_are_used_where_given(case):
    dy, *arguments = draw(case)
    _, stats = forward(case, *arguments, return_stats=True)
    power = stats._fields[-2]
    other = stats._replace(**{power: getattr(stats, power) + 1.0})  # does what 1 more in eps does
    shifted = backward(case, dy, *arguments, stats=other, eps=0.5).x
    np.testing.assert_allclose(
        shifted, backward(case, dy, *arguments, eps=1.5).x, rtol=1e-12, atol=1e-14
    )


@all_cases
def test_stats_have_the_shape_of_the_kept_axes(case):
    expected = [case.shape[axis] for axis in case.group_axes]
    if case.op == "group_norm":
        expected[1] = case.config["num_groups"]
    _, *arguments = draw(case)
    _, stats = forward(case, *arguments, return_stats=True)
    for statistic in stats[:-1]:
        assert statistic.shape == tuple(expected)


@all_cases
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", ">f4", ">f8"])
def test_inputs_of_any_float_type_are_converted_exactly(case, dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes").bfloat16
    narrow = [array.astype(dtype) for array in draw(case)]
    wide = [array.astype(np.float64) for array in narrow]
    y = forward(case, *narrow[1:])
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, forward(case, *wide[1:]))
    for gradient, expected in zip(backward(case, *narrow), backward(case, *wide), strict=True):
        assert gradient.dtype == np.float64
        np.testing.assert_array_equal(gradient, expected)


@all_cases
def test_inputs_may_be_read_only_and_stay_as_they_are(case):
    arrays = draw(case)
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    results = [forward(case, *arrays[1:]), *backward(case, *arrays)]
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    for result in results:
        assert not any(np.shares_memory(result, array) for array in arrays)


@all_cases
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_out_receives_a_cast(case, dtype):
    dy, *arguments = draw(case)
    out, dx = np.empty((2, *case.shape), dtype=dtype)
    assert forward(case, *arguments, out=out) is out
    assert backward(case, dy, *arguments, out=dx).x is dx
    np.testing.assert_array_equal(out, forward(case, *arguments).astype(dtype))
    np.testing.assert_array_equal(dx, backward(case, dy, *arguments).x.astype(dtype))


@all_cases
def test_out_may_be_an_argument(case):
    dy, x, *parameters = draw(case)
    y, dx = forward(case, x, *parameters), backward(case, dy, x, *parameters).x
    np.testing.assert_array_equal(backward(case, dy, x.copy(), *parameters, out=dy).x, dx)
    np.testing.assert_array_equal(forward(case, x, *parameters, out=x), y)


@pytest.mark.parametrize("name", [name for name in reference.__all__ if name.islower()])
def test_signatures_are_those_of_the_public_functions(name):
    def parameters(module):
        signature = inspect.signature(getattr(module, name))
        return {p.name: (p.kind, p.default) for p in signature.parameters.values()}

    assert parameters(reference) == parameters(fastnorm)


def test_import_needs_numpy_alone():
    """With an empty package in the place of fastnorm, nothing compiled is there to import."""
    locations = list(importlib.util.find_spec("fastnorm").submodule_search_locations)
    script = f"""
import sys, types
import numpy
fastnorm = sys.modules["fastnorm"] = types.ModuleType("fastnorm")
fastnorm.__path__ = {locations!r}
before = set(sys.modules)
import fastnorm.reference
for name in sorted(set(sys.modules) - before):
    allowed = {{"numpy", *sys.stdlib_module_names}}
    assert name.startswith("fastnorm.reference") or name.partition(".")[0] in allowed, name
"""
    subprocess.run([sys.executable, "-c", script], check=True)
