# SPDX-License-Identifier: BSD-3-Clause
"""`evonorm_s0`: the swish of x over the deviation of its group."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from cases import same_bits
from fastnorm import reference
from tolerance import largest


def draw(rng, shape=(3, 6, 5, 4)):
    """dy, x, and the parameters."""
    dy, x = rng.standard_normal((2, *shape))
    return dy, x, (rng.normal(1, 0.1, 6), rng.normal(0, 0.1, 6), rng.normal(1, 0.5, 6))


def test_limits_of_the_slope(rng):
    """v = 0 halves x, a large v cuts it at 0."""
    _, x, _ = draw(rng)
    one, zero = np.ones(6), np.zeros(6)
    std = np.sqrt(x.reshape(3, 2, -1).var(2) + 1e-5).repeat(3, axis=1)[..., np.newaxis, np.newaxis]
    half = fastnorm.evonorm_s0(x, 2, one, zero, zero)
    np.testing.assert_allclose(half, x / 2 / std, rtol=1e-13)
    cut = fastnorm.evonorm_s0(x, 2, one, zero, 1e6 * one)
    np.testing.assert_allclose(cut, np.maximum(x, 0) / std, rtol=1e-13, atol=1e-3)


def test_groups_are_consecutive_channels(rng):
    _, x, parameters = draw(rng)
    y = fastnorm.evonorm_s0(x, 3, *parameters)
    for start in (0, 2, 4):
        channels = slice(start, start + 2)
        own = [values[channels] for values in parameters]
        alone = fastnorm.evonorm_s0(x[:, channels], 1, *own)
        np.testing.assert_allclose(y[:, channels], alone, rtol=1e-12, atol=1e-14)


def test_samples_do_not_touch_each_other(rng, dtype):
    dy, x, parameters = draw(rng)
    dy, x = dy.astype(dtype), x.astype(dtype)
    whole = fastnorm.evonorm_s0(x, 2, *parameters)
    dx = fastnorm.evonorm_s0_backward(dy, x, 2, *parameters).x
    for one in (slice(i, i + 1) for i in range(len(x))):
        assert same_bits(fastnorm.evonorm_s0(x[one], 2, *parameters), whole[one])
        alone = fastnorm.evonorm_s0_backward(dy[one], x[one], 2, *parameters).x
        assert same_bits(alone, dx[one])


@pytest.mark.parametrize("value", [0.0, 3.0, -7.0])
def test_constant_groups(value):
    """Nothing is centred: the swish over sqrt(eps); the bias where eps is 0."""
    x = np.full((2, 6, 4), value, np.float32)
    one, bias = np.ones(6), np.arange(6.0)
    y = fastnorm.evonorm_s0(x, 2, one, 0 * bias, one)
    swish = value / (1 + np.exp(-value))
    np.testing.assert_allclose(y, np.full_like(y, swish / np.sqrt(1e-5)), rtol=1e-6)
    y = fastnorm.evonorm_s0(x, 2, one, bias, one, eps=0)
    assert (y == bias[:, np.newaxis]).all()
    assert not fastnorm.evonorm_s0_backward(np.ones_like(x), x, 2, one, bias, one, eps=0).x.any()


@pytest.mark.parametrize("slope", [-50.0, -1.0, 1.0, 50.0])
def test_both_tails_of_the_logistic_function(slope, rng):
    """Neither it nor 1 minus it may cancel or overflow."""
    dy, x, (weight, bias, _) = draw(rng)
    x, dy = (10 * x).astype(np.float32), dy.astype(np.float32)
    v = np.full(6, slope)
    y, wanted = (f.evonorm_s0(x, 2, weight, 0 * bias, v) for f in (fastnorm, reference))
    assert np.isfinite(y).all()
    small = np.abs(wanted) > 1e-30
    np.testing.assert_allclose(y[small], wanted[small], rtol=2e-4)
    ours, theirs = (f.evonorm_s0_backward(dy, x, 2, weight, bias, v) for f in (fastnorm, reference))
    for name in ("x", "weight", "v"):
        got, want = getattr(ours, name), getattr(theirs, name)
        assert np.max(np.abs(got - want)) <= 1e-5 * largest(want), name


def test_what_is_refused(rng):
    dy, x, parameters = draw(rng)
    for i, name in enumerate(("weight", "bias", "v")):
        given = [None if k == i else value for k, value in enumerate(parameters)]
        with pytest.raises(TypeError, match=f"^{name} must be an array"):
            fastnorm.evonorm_s0(x, 2, *given)
    with pytest.raises(ValueError, match="num_groups=4 does not divide"):
        fastnorm.evonorm_s0(x, 4, *parameters)
    with pytest.raises(ValueError, match="a single value"):
        fastnorm.evonorm_s0(x[:, :, 0, 0], 6, *parameters)
    _, stats = fastnorm.evonorm_s0(x, 2, *parameters, return_stats=True)
    with pytest.raises(ValueError, match="count"):
        fastnorm.evonorm_s0_backward(dy, x, 3, *parameters, stats=stats)
    with pytest.raises(ValueError, match="num_groups"):
        fastnorm.EvoNormS0(6)


@pytest.mark.parametrize("shape", [(0, 6, 3), (2, 0, 3), (2, 6, 0), (0, 6)])
def test_empty(shape, dtype):
    x, one = np.empty(shape, dtype), np.ones(shape[1], dtype)
    assert fastnorm.evonorm_s0(x, 2, one, one, one).shape == shape
    gradients = fastnorm.evonorm_s0_backward(x, x, 2, one, one, one)
    assert gradients.x.shape == shape
    assert not any(gradient.any() for gradient in gradients[1:])
