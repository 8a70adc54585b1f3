# SPDX-License-Identifier: BSD-3-Clause
"""Exact arithmetic, constants, empty arrays, non-finite values and running statistics."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import Case
from fastnorm import reference
from reference_cases import CASES, CENTRED_CASES, backward, draw, forward

all_cases = pytest.mark.parametrize("case", CASES, ids=str)
centred_cases = pytest.mark.parametrize("case", CENTRED_CASES, ids=str)


def exact_moments(x):
    """Return mean and biased variance of a vector in rational arithmetic."""
    values = [Fraction(float(value)) for value in x]
    mean = sum(values) / len(values)
    return mean, sum((value - mean) ** 2 for value in values) / len(values)


@pytest.mark.parametrize("mean", [0.0, 1e2, 1e6, 1e12, 1e16])
@pytest.mark.parametrize("size", [2, 3, 100, 4096])
def test_moments_against_exact_arithmetic(mean, size):
    x = np.random.default_rng(size).normal(mean, 3.0, size=size)
    exact_mean, exact_var = exact_moments(x)
    stats = reference.moments(x)
    error = abs(Fraction(float(stats.mean)) - exact_mean)
    assert error <= np.spacing(abs(stats.mean)) + np.finfo(float).eps * 3.0  # 3: the deviation
    assert float(stats.var) == pytest.approx(float(exact_var), rel=1e-13)


def test_variance_survives_a_mean_that_float64_cannot_hold():
    stats = reference.moments(np.array([1e16, 1e16 + 2.0]))
    assert stats.var == 1.0


def test_moments_of_many_ones():
    x = np.broadcast_to(np.float32(1.0), (2_000_000, 2))
    mean, var, count = reference.moments(x, axis=0)
    assert (mean == 1.0).all()
    assert (var == 0.0).all()
    assert count == 2_000_000


@pytest.mark.parametrize("axis", [None, 0, -1, (1, 2), (2, -3), ()])
def test_moments_keepdims(axis):
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    for keepdims in (False, True):
        mean, var, count = reference.moments(x, axis, keepdims=keepdims)
        np.testing.assert_allclose(
            mean, x.mean(axis=axis, keepdims=keepdims), rtol=1e-14, atol=1e-15
        )
        np.testing.assert_allclose(var, x.var(axis=axis, keepdims=keepdims), rtol=1e-13, atol=1e-15)
        assert mean.shape == var.shape
        assert mean.size * count == x.size


@given(
    cuts=st.lists(st.integers(0, 20), max_size=4).map(sorted),
    mean=st.sampled_from([0.0, 1e6]),
)
def test_merge_gives_the_moments_of_the_union(cuts, mean):
    x = np.random.default_rng(1).normal(mean, 1.0, size=(20, 3))
    parts = [reference.moments(part, axis=0) for part in np.split(x, cuts)]
    merged, whole = reference.Moments.merge(*parts), reference.moments(x, axis=0)
    assert merged.count == whole.count
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose(merged.var, whole.var, rtol=1e-9 if mean else 1e-13)
    pairwise = parts[0]
    for part in parts[1:]:
        pairwise = pairwise.merge(part)
    np.testing.assert_array_equal(pairwise.var, merged.var)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e7, 1e30, 5e-324])
@centred_cases
def test_constant_groups_give_exactly_the_bias(case, value):
    dy, x, weight, bias = draw(case)
    constant = np.full_like(x, value)
    y, stats = forward(case, constant, weight, bias, return_stats=True)
    assert (stats.mean == value).all()
    assert (stats.var == 0.0).all()
    zero = forward(case, np.zeros_like(x), weight, bias)
    np.testing.assert_array_equal(y, zero)
    np.testing.assert_array_equal(np.unique(y), np.unique(bias))
    assert np.isfinite(backward(case, dy, constant, weight, bias).x).all()


@pytest.mark.parametrize("value", [0.0, 0.1, -1e7])
@centred_cases
def test_constant_groups_without_eps(case, value):
    dy, x, weight, bias = draw(case)
    constant = np.full_like(x, value)
    y = forward(case, constant, weight, bias, eps=0.0)
    np.testing.assert_array_equal(np.unique(y), np.unique(bias))
    gradients = backward(case, dy, constant, weight, bias, eps=0.0)
    assert not gradients.x.any()
    assert not gradients.weight.any()
    np.testing.assert_array_equal(gradients.bias, backward(case, dy, x, weight, bias).bias)


def test_zero_rows_of_rms_norm_without_eps():
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    y = reference.rms_norm(x, eps=0.0)
    np.testing.assert_allclose(y, [[0.0, 0.0], [3.0 / np.sqrt(12.5), 4.0 / np.sqrt(12.5)]])
    dx = reference.rms_norm_backward(np.ones((2, 2)), x, eps=0.0).x
    assert not dx[0].any()
    assert dx[1].all()


def test_one_value_per_group_where_it_has_a_meaning():
    x, dy = np.array([[2.0], [3.0]]), np.ones((2, 1))
    np.testing.assert_array_equal(reference.layer_norm(x, [5.0], [7.0]), [[7.0], [7.0]])
    assert not reference.layer_norm_backward(dy, x).x.any()
    np.testing.assert_array_equal(reference.standardize(x, axis=()), [[0.0], [0.0]])
    np.testing.assert_array_equal(reference.rms_norm(x, eps=0.0), [[1.0], [1.0]])


@pytest.mark.parametrize(
    ("name", "shape", "groups"),
    [("batch_norm", (1, 3), ()), ("instance_norm", (2, 3, 1), ()), ("group_norm", (2, 3), (3,))],
)
def test_one_value_per_group_is_refused_elsewhere(name, shape, groups):
    x = np.ones(shape)
    with pytest.raises(ValueError, match="only one value"):
        getattr(reference, name)(x, *groups)
    with pytest.raises(ValueError, match="only one value"):
        getattr(reference, f"{name}_backward")(x, x, *groups)


@all_cases
def test_empty_arrays(case):
    """Every axis in turn has length 0; a warning would be an error."""
    for axis in range(len(case.shape)):
        shape = tuple(0 if a == axis else n for a, n in enumerate(case.shape))
        empty = Case(case.op, shape, case.config)
        dy, *arguments = draw(empty)
        y, stats = forward(empty, *arguments, return_stats=True)
        assert y.shape == shape
        assert stats.count > 0 or np.isnan(stats[0]).all()
        dx, *parameters = backward(empty, dy, *arguments)
        assert dx.shape == shape
        for gradient in parameters:
            assert gradient.shape == empty.parameter_shape
            assert not gradient.any()


def test_empty_arrays_of_single_values_are_empty_results():
    """No group exists whose variance would be without meaning, so nothing is refused."""
    assert reference.batch_norm(np.empty((1, 0))).shape == (1, 0)
    assert reference.instance_norm(np.empty((0, 3, 1))).shape == (0, 3, 1)
    assert reference.group_norm(np.empty((0, 3)), 3).shape == (0, 3)


def test_empty_batch_leaves_running_statistics():
    running_mean, running_var = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    reference.batch_norm(np.empty((0, 2, 5)), None, None, running_mean, running_var)
    np.testing.assert_array_equal(running_mean, [1.0, 2.0])
    np.testing.assert_array_equal(running_var, [3.0, 4.0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@all_cases
def test_non_finite_values_stay_in_their_group(case, value):
    dy, x, *parameters = draw(case)
    clean_y, clean_dx = forward(case, x, *parameters), backward(case, dy, x, *parameters).x
    x.flat[0] = value
    y, dx = forward(case, x, *parameters), backward(case, dy, x, *parameters).x
    ids = case.group_numbers()
    others = ids != ids.flat[0]
    np.testing.assert_array_equal(y[others], clean_y[others])
    np.testing.assert_array_equal(dx[others], clean_dx[others])
    assert np.isnan(y.flat[0])
    if case.op != "rms_norm" or np.isnan(value):  # Inf in rms_norm sends the others to 0
        assert np.isnan(y[~others]).all()
        assert np.isnan(dx[~others]).all()


def test_large_values_do_not_overflow():
    x = np.array([[1e30, -1e30, 2e30]], dtype=np.float32)
    np.testing.assert_allclose(
        reference.layer_norm(x), reference.layer_norm(x / np.float32(1e28)), rtol=1e-6
    )
    assert np.isfinite(reference.rms_norm(x)).all()


@pytest.mark.parametrize(
    ("dtype", "precision"), [("float16", 11), ("bfloat16", 8), ("float32", 24), ("float64", 50)]
)
def test_running_statistics(dtype, precision):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes").bfloat16
    x = np.random.default_rng(2).normal(3.0, 2.0, size=(5, 3, 4))
    running_mean, running_var = np.full(3, 0.5, dtype), np.full(3, 2.0, dtype)
    reference.batch_norm(x, None, None, running_mean, running_var, momentum=0.25)
    mean, var = x.mean(axis=(0, 2)), x.var(axis=(0, 2), ddof=1)
    assert running_mean.dtype == running_var.dtype == np.dtype(dtype)
    for running, expected in ((running_mean, 0.375 + 0.25 * mean), (running_var, 1.5 + 0.25 * var)):
        np.testing.assert_allclose(running.astype(float), expected, rtol=2.0**-precision)


def test_evaluation_uses_and_reports_the_running_statistics():
    x = np.random.default_rng(3).normal(size=(5, 3))
    running = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    y, stats = reference.batch_norm(
        x, None, None, *running, training=False, eps=0.0, return_stats=True
    )
    np.testing.assert_allclose(y, (x - running[0]) / np.sqrt(running[1]), rtol=1e-14)
    assert stats.count == 0
    running[0][...] = 9.0
    np.testing.assert_array_equal(stats.mean, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="running_mean and running_var"):
        reference.batch_norm(x, training=False)


def test_axes_out_of_range_or_repeated():
    x = np.ones((2, 3))
    with pytest.raises(np.exceptions.AxisError):
        reference.layer_norm(x, axis=2)
    with pytest.raises(np.exceptions.AxisError):
        reference.batch_norm(x, channel_axis=-3)
    with pytest.raises(ValueError, match="repeated"):
        reference.moments(x, axis=(1, -1))
