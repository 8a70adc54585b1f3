# SPDX-License-Identifier: BSD-3-Clause
"""`global_response_norm`: its identity at first, zeros, and the ends of the range."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from cases import same_bits
from fastnorm import reference
from tolerance import assert_within, largest, relative, stored


def check(dy, x, weight, bias, **options):
    """y and dx within a few roundings of their largest terms."""
    y = fastnorm.global_response_norm(x, weight, bias, **options)
    y64 = reference.global_response_norm(x, weight, bias, **options)
    bound = stored(y64, x.dtype) + 8 * relative(x) * largest(y64)
    assert_within(y, y64, bound, "y")
    got = fastnorm.global_response_norm_backward(dy, x, weight, bias, **options)
    want = reference.global_response_norm_backward(dy, x, weight, bias, **options)
    for name, gradient, gradient64 in zip(want._fields, got, want, strict=True):
        bound = stored(gradient64, gradient.dtype) + 32 * relative(x) * largest(gradient64)
        assert_within(gradient, gradient64, bound, name)


def test_the_layer_begins_as_the_identity(dtype, rng):
    x, dy = rng.standard_normal((2, 3, 8, 5, 4)).astype(dtype)
    layer = fastnorm.GlobalResponseNorm(8)
    assert same_bits(layer(x), x)
    assert same_bits(layer.backward(dy), dy)
    assert layer.grads["weight"].any()
    np.testing.assert_allclose(
        layer.grads["bias"], dy.astype(float).sum((0, 2, 3)), rtol=1e-5, atol=1e-5
    )


def test_equal_norms_have_ratio_one(rng):
    x = np.sign(rng.standard_normal((2, 6, 9)))
    y = fastnorm.global_response_norm(x, np.full(6, 0.5), np.full(6, 3.0), eps=0)
    np.testing.assert_allclose(y, 1.5 * x + 3.0, rtol=1e-15)


def test_a_scale_of_the_sample_goes_through(rng):
    """The ratios do not change with it, at eps = 0."""
    x, (weight, bias) = rng.standard_normal((2, 6, 9)), rng.standard_normal((2, 6))
    y = fastnorm.global_response_norm(x, weight, 0 * bias, eps=0)
    np.testing.assert_allclose(
        fastnorm.global_response_norm(4 * x, weight, bias, eps=0),
        4 * y + bias[:, None],
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_a_sample_of_zeros(eps, dtype, rng):
    """Its ratios are 0, also with eps = 0: y is the bias, and dx is dy."""
    x, dy = rng.standard_normal((2, 3, 4, 7)).astype(dtype)
    weight, bias = rng.standard_normal((2, 4)).astype(np.float32)
    x[1] = 0
    check(dy, x, weight, bias, eps=eps)
    y = fastnorm.global_response_norm(x, weight, bias, eps=eps)
    assert same_bits(y[1], np.broadcast_to(bias[:, None], (4, 7)).astype(dtype))
    dx = fastnorm.global_response_norm_backward(dy, x, weight, bias, eps=eps).x
    assert same_bits(dx[1], dy[1])


def test_a_channel_of_zeros(dtype, rng):
    x, dy = rng.standard_normal((2, 3, 4, 7)).astype(dtype)
    weight, bias = rng.standard_normal((2, 4)).astype(np.float32)
    x[:, 2] = 0
    check(dy, x, weight, bias)
    dx = fastnorm.global_response_norm_backward(dy, x, weight, bias).x
    assert same_bits(dx[:, 2], dy[:, 2])


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e30])
@pytest.mark.parametrize("axis", [1, -1])
def test_near_the_ends_of_the_range(scale, axis, rng):
    """The squares do not fit float32, the results do."""
    x, dy = rng.standard_normal((2, 2, 8, 10, 8), dtype=np.float32)
    weight, bias = rng.standard_normal((2, 8), dtype=np.float32)
    bias *= np.float32(scale)
    check(dy, x * np.float32(scale), weight, bias, channel_axis=axis, eps=0)


def test_two_axes(dtype, rng):
    """Without space the norm of a channel is its absolute value."""
    x, dy = rng.standard_normal((2, 5, 6)).astype(dtype)
    weight, bias = rng.standard_normal((2, 6)).astype(np.float32)
    check(dy, x, weight, bias)
    wide = x[:, :, None]
    assert same_bits(
        fastnorm.global_response_norm(wide, weight, bias)[:, :, 0],
        fastnorm.global_response_norm(x, weight, bias),
    )


def test_samples_do_not_touch_each_other(rng):
    x = rng.standard_normal((4, 6, 5, 3), dtype=np.float32)
    weight, bias = rng.standard_normal((2, 6), dtype=np.float32)
    batch = fastnorm.global_response_norm(x, weight, bias)
    for sample in range(4):
        alone = fastnorm.global_response_norm(x[sample : sample + 1], weight, bias)
        assert same_bits(alone, batch[sample : sample + 1])


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3), (2, 5, 0)])
def test_empty(shape, dtype):
    x = np.empty(shape, dtype)
    weight = np.ones(shape[1], dtype)
    assert fastnorm.global_response_norm(x, weight, weight).shape == shape
    gradients = fastnorm.global_response_norm_backward(x, x, weight, weight)
    assert gradients.x.shape == shape
    assert (gradients.weight == 0).all()
    assert (gradients.bias == 0).all()


def test_parameters_are_needed():
    x, one = np.ones((2, 3, 4)), np.ones(3)
    for weight, bias, name in ((None, one, "weight"), (one, None, "bias")):
        for function in (
            lambda w, b: fastnorm.global_response_norm(x, w, b),
            lambda w, b: fastnorm.global_response_norm_backward(x, x, w, b),
        ):
            with pytest.raises(TypeError, match=f"{name} must be an array"):
                function(weight, bias)


def test_channels_on_the_axis_of_the_samples_are_refused():
    with pytest.raises(ValueError, match="axis 0"):
        fastnorm.global_response_norm(np.ones((2, 3)), np.ones(2), np.ones(2), channel_axis=0)
    with pytest.raises(ValueError, match="at least 2 axes"):
        fastnorm.global_response_norm(np.ones(3), np.ones(3), np.ones(3))
