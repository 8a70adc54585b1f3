# SPDX-License-Identifier: BSD-3-Clause
"""`evonorm_b0`: two statistics, the larger of two denominators, training and evaluation."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from cases import assert_same_bits, same_bits
from fastnorm import reference
from tolerance import assert_within, largest, relative, stored


def draw(rng, shape=(4, 3, 5, 6)):
    """dy, x, and the parameters."""
    dy, x = rng.standard_normal((2, *shape))
    return dy, x, (rng.normal(1, 0.1, 3), rng.normal(0, 0.1, 3), rng.normal(1, 0.5, 3))


def test_where_the_denominators_meet_the_first_is_taken():
    """One sample: the deviations of batch and plane are equal, and x = 0 makes a tie."""
    x = np.array([[[-2.0, 0.0, 2.0]]])
    dy = np.array([[[0.0, 1.0, 0.0]]])
    one, zero = np.ones(1), np.zeros(1)
    for module in (fastnorm, reference):
        gradients = module.evonorm_b0_backward(dy, x, one, zero, one)
        assert gradients.v == 0
        np.testing.assert_allclose(gradients.x, dy / np.sqrt(8 / 3 + 1e-5), rtol=1e-14)


@pytest.mark.parametrize("mean", [0.0, 1e4, 1e8])
def test_batch_statistics_are_those_of_the_batch(mean, rng):
    """They are made of those of the samples, which must lose nothing."""
    _, x, parameters = draw(rng)
    x += mean + rng.normal(0, 1, (4, 3, 1, 1))
    _, stats = fastnorm.evonorm_b0(x, *parameters, return_stats=True)
    batch = fastnorm.moments(x, (0, 2, 3))
    np.testing.assert_allclose(stats.batch.var, batch.var, rtol=1e-14 + 1e-15 * mean)
    np.testing.assert_allclose(stats.batch.mean, batch.mean, rtol=1e-15, atol=1e-15)
    assert stats.batch.count == batch.count
    assert stats.instance.mean.shape == (4, 3)


def test_running_variance_is_biased(rng):
    _, x, parameters = draw(rng)
    running = np.full(3, 2.0)
    fastnorm.evonorm_b0(x, *parameters, running, momentum=0.25)
    np.testing.assert_allclose(running, 1.5 + 0.25 * x.var((0, 2, 3)), rtol=1e-14)


def test_evaluation(rng):
    """The running variance in place of the batch's; that of the sample stays its own."""
    dy, x, (weight, bias, v) = draw(rng)
    running = rng.uniform(0.5, 1.5, 3)
    y, stats = fastnorm.evonorm_b0(x, weight, bias, v, running, training=False, return_stats=True)
    at = (slice(None), np.newaxis, np.newaxis)
    rising = v[at] * x + np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)
    larger = np.maximum(rising, np.sqrt(running + 1e-5)[at])
    np.testing.assert_allclose(y, x / larger * weight[at] + bias[at], rtol=1e-12, atol=1e-14)
    assert stats.batch.count == 0
    np.testing.assert_array_equal(stats.batch.var, running)
    given = fastnorm.evonorm_b0_backward(dy, x, weight, bias, v, training=False, stats=stats)
    found = fastnorm.evonorm_b0_backward(dy, x, weight, bias, v, running, training=False)
    assert_same_bits(given._asdict(), found._asdict(), "stats given")


def test_one_value():
    """In evaluation one value of a channel is enough; in training its variance says nothing."""
    x, one = np.full((1, 2, 1, 1), 3.0), np.ones(2)
    y = fastnorm.evonorm_b0(x, one, one, one, np.array([1.0, 100.0]), training=False, eps=0)
    np.testing.assert_allclose(y.ravel(), [2.0, 1.3])
    with pytest.raises(ValueError, match="a single value"):
        fastnorm.evonorm_b0(x, one, one, one)
    with pytest.raises(ValueError, match="a single value"):
        fastnorm.evonorm_b0_backward(x, x, one, one, one)


def test_planes_of_one_value(dtype, rng):
    """The deviation of each is sqrt(eps)."""
    dy, x, parameters = draw(rng, (7, 3, 1, 1))
    dy, x = dy.astype(dtype), x.astype(dtype)
    y, wanted = (module.evonorm_b0(x, *parameters) for module in (fastnorm, reference))
    assert_within(y, wanted, stored(wanted, dtype) + 8 * relative(x) * largest(wanted), "y")
    ours, theirs = (f.evonorm_b0_backward(dy, x, *parameters) for f in (fastnorm, reference))
    for name in ours._fields:
        got, want = getattr(ours, name), getattr(theirs, name)
        bound = stored(want, dtype if name == "x" else np.float64)
        assert_within(got, want, bound + 32 * relative(x) * largest(want), name)


def test_constant_channels():
    """Both deviations are exactly sqrt(eps)."""
    x, one, zero = np.full((3, 2, 4), -7.0, np.float32), np.ones(2), np.zeros(2)
    y = fastnorm.evonorm_b0(x, one, zero, one)
    np.testing.assert_allclose(y, x / np.sqrt(1e-5), rtol=1e-6)
    up = fastnorm.evonorm_b0(-x, one, zero, one, eps=0)
    assert (up == 1).all()  # x / (v x)


@pytest.mark.parametrize("mean", [1e2, 1e4, 1e6])
def test_gradient_whatever_the_mean(mean, rng):
    """dx falls with the square of the mean, and its error with it: no part of it may cancel."""
    dy, x, (weight, bias, v) = draw(rng, (8, 3, 11, 12))
    v = np.abs(v) + 0.5
    x, dy = (x + mean).astype(np.float32), dy.astype(np.float32)
    ours, theirs = (
        module.evonorm_b0_backward(dy, x, weight, bias, v) for module in (fastnorm, reference)
    )
    assert np.max(np.abs(ours.x - theirs.x)) <= 5e-6 * largest(theirs.x)


def test_what_is_refused(rng):
    dy, x, parameters = draw(rng)
    for i, name in enumerate(("weight", "bias", "v")):
        given = [None if k == i else value for k, value in enumerate(parameters)]
        with pytest.raises(TypeError, match=f"^{name} must be an array"):
            fastnorm.evonorm_b0(x, *given)
    with pytest.raises(ValueError, match="running_var is None"):
        fastnorm.evonorm_b0(x, *parameters, training=False)
    with pytest.raises(ValueError, match="running_var is None"):
        fastnorm.evonorm_b0_backward(dy, x, *parameters, training=False)
    with pytest.raises(ValueError, match="at least 3 axes"):
        fastnorm.evonorm_b0(x[0, 0], *parameters)
    _, stats = fastnorm.evonorm_b0(x, *parameters, return_stats=True)
    for bad in (stats.instance, 1, (1, 2)):
        with pytest.raises(TypeError, match="stats must be what"):
            fastnorm.evonorm_b0_backward(dy, x, *parameters, stats=bad)
    with pytest.raises(ValueError, match="count"):
        fastnorm.evonorm_b0_backward(dy, x, *parameters, stats=stats, training=False)


def test_layer_remembers_the_mode_and_forgets_batches(rng):
    dy, x, _ = draw(rng)
    layer = fastnorm.EvoNormB0(3)
    fresh = layer.state_dict()
    assert list(fresh) == ["weight", "bias", "v", "running_var"]
    layer(x)
    wanted = layer.backward(dy)
    layer.eval()
    assert same_bits(layer.backward(dy), wanted)
    layer(x)
    wanted = layer.backward(dy)
    layer.running_var[...] = 100
    assert same_bits(layer.backward(dy), wanted)
    layer.reset_running_stats()
    layer.train()(np.empty((0, 3, 5, 6)))
    assert_same_bits(layer.state_dict(), fresh, "after an empty batch")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_empty(shape, training, dtype):
    x, one = np.empty(shape, dtype), np.ones(shape[1], dtype)
    options = {"running_var": one.copy(), "training": training}
    assert fastnorm.evonorm_b0(x, one, one, one, **options).shape == shape
    assert same_bits(options["running_var"], one)
    gradients = fastnorm.evonorm_b0_backward(x, x, one, one, one, **options)
    assert gradients.x.shape == shape
    assert not any(gradient.any() for gradient in gradients[1:])
