# SPDX-License-Identifier: BSD-3-Clause
"""`variance_norm`: what it shares with `batch_norm`, and the centre that it leaves out."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from cases import assert_same_bits, same_bits
from fastnorm import reference
from tolerance import assert_within, largest, relative, stored


@pytest.mark.parametrize("missing", [("weight",), ("bias",), ("weight", "bias")])
@pytest.mark.parametrize("training", [True, False])
def test_missing_parameters(missing, training, dtype, rng):
    x, dy = rng.normal(0.5, 1.0, (2, 4, 6, 5)).astype(dtype)
    arguments = {"weight": rng.normal(1, 0.1, 6), "bias": rng.normal(0, 0.1, 6)}
    arguments |= dict.fromkeys(missing)
    options = {"running_var": rng.uniform(0.5, 1.5, 6), "training": training}
    y, wanted = (
        module.variance_norm(x, **arguments, **options) for module in (fastnorm, reference)
    )
    assert_within(y, wanted, stored(wanted, dtype) + 8 * relative(x) * largest(wanted), "y")
    ours, theirs = (
        module.variance_norm_backward(dy, x, **arguments, **options)
        for module in (fastnorm, reference)
    )
    bound = stored(theirs.x, dtype) + 32 * relative(x) * largest(theirs.x)
    assert_within(ours.x, theirs.x, bound, "dx")
    for name, value in arguments.items():
        assert (getattr(ours, name) is None) == (value is None)
        if value is not None:
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-3)


def test_it_is_batch_norm_where_the_mean_is_zero(rng):
    x = rng.normal(size=(8, 3, 10))
    x -= x.mean((0, 2), keepdims=True)
    np.testing.assert_allclose(fastnorm.variance_norm(x), fastnorm.batch_norm(x), atol=1e-13)


def test_the_mean_stays(rng):
    """y = batch_norm(x) + mean / std: a shift of x shifts y."""
    x = rng.normal(3.0, 2.0, (8, 3, 10))
    mean, var, _ = fastnorm.moments(x, (0, 2))
    y, shifted = fastnorm.variance_norm(x), fastnorm.variance_norm(x + 5)
    root = 1 / np.sqrt(var + 1e-5)[:, None]
    np.testing.assert_allclose(y, fastnorm.batch_norm(x) + mean[:, None] * root, atol=1e-13)
    np.testing.assert_allclose(shifted - y, np.broadcast_to(5 * root, y.shape), rtol=1e-12)


@pytest.mark.parametrize("mean", [0.0, 1e4, 1e6])
def test_gradient_of_the_weight_whatever_the_mean(mean, rng):
    """Where dy has a sum of nearly 0, the mean drops out: a sum of dy * x would not show it."""
    x = (mean + rng.normal(size=(64, 2, 30))).astype(np.float32)
    dy = rng.normal(size=x.shape).astype(np.float32)
    dy[1::2] = -dy[::2]
    weight = np.ones(2, np.float32)
    ours = fastnorm.variance_norm_backward(dy, x, weight)
    theirs = reference.variance_norm_backward(dy, x, weight)
    for name in ("x", "weight"):
        got, want = getattr(ours, name), getattr(theirs, name)
        assert np.max(np.abs(got - want)) <= 2e-6 * largest(want), name


@pytest.mark.parametrize("value", [0.0, 10.0, -1e7])
def test_constant_channels(value):
    """The variance is exactly 0: x / sqrt(eps), and with eps=0 the bias."""
    x = np.full((4, 2, 3), value, np.float32)
    bias = np.array([1.0, -2.0], np.float32)
    expected = value / np.sqrt(1e-5)
    np.testing.assert_allclose(fastnorm.variance_norm(x), expected * np.ones_like(x), rtol=1e-6)
    y = fastnorm.variance_norm(x, None, bias, eps=0)
    assert same_bits(y, np.broadcast_to(bias[:, None], x.shape).copy())
    assert not fastnorm.variance_norm_backward(np.ones_like(x), x, eps=0).x.any()


def test_running_variance_is_biased(rng):
    x = rng.normal(2.0, 3.0, (8, 3, 5))
    running = np.full(3, 2.0)
    fastnorm.variance_norm(x, None, None, running, momentum=0.25)
    np.testing.assert_allclose(running, 1.5 + 0.25 * x.var((0, 2)), rtol=1e-14)
    y, stats = fastnorm.variance_norm(x, None, None, running, training=False, return_stats=True)
    np.testing.assert_allclose(y, x / np.sqrt(running + 1e-5)[:, None], rtol=1e-14)
    assert stats.count == 0
    assert not stats.mean.any()
    np.testing.assert_array_equal(stats.var, running)


def test_running_variance_that_cannot_be_used(rng):
    x = rng.normal(size=(8, 3)).astype(np.float32)
    with pytest.raises(ValueError, match="running_var is None"):
        fastnorm.variance_norm(x, training=False)
    with pytest.raises(ValueError, match="running_var is None"):
        fastnorm.variance_norm_backward(x, x, training=False)
    fixed = np.ones(3)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="running_var is read-only"):
        fastnorm.variance_norm(x, running_var=fixed)
    for bad in (1.5, -0.1, None):
        with pytest.raises(ValueError, match="momentum"):
            fastnorm.variance_norm(x, momentum=bad)
    with pytest.raises(ValueError, match="a single value"):
        fastnorm.variance_norm(x[:1])
    with pytest.raises(ValueError, match="count"):
        fastnorm.variance_norm_backward(x, x, stats=fastnorm.moments(x[1:], 0))


def test_evaluation_forward_fixes_the_statistics_of_its_backward(rng):
    layer = fastnorm.VarianceNorm(3).eval()
    x, dy = rng.normal(size=(2, 8, 3))
    layer(x)
    wanted = layer.backward(dy)
    layer.running_var[...] = 100
    assert same_bits(layer.backward(dy), wanted)


def test_reset_and_empty_batches(rng):
    layer = fastnorm.VarianceNorm(3)
    fresh = layer.state_dict()
    layer(np.empty((0, 3)))
    assert_same_bits(layer.state_dict(), fresh, "after an empty batch")
    layer(np.full((8, 3), np.nan))
    assert np.isnan(layer.running_var).all()
    layer.reset_running_stats()
    assert_same_bits(layer.state_dict(), fresh, "after a reset")
    assert list(fastnorm.VarianceNorm(3, affine=False).state_dict()) == ["running_var"]


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3), (2, 5, 0), (0, 5)])
def test_empty(shape, dtype):
    x = np.empty(shape, dtype)
    weight = np.ones(shape[1], dtype)
    assert fastnorm.variance_norm(x, weight, weight).shape == shape
    gradients = fastnorm.variance_norm_backward(x, x, weight, weight)
    assert gradients.x.shape == shape
    assert not gradients.weight.any()
    assert not gradients.bias.any()
