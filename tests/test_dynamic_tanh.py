# SPDX-License-Identifier: BSD-3-Clause
"""`dynamic_tanh`: its slope, saturation, and missing parameters."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from cases import same_bits
from fastnorm import reference
from tolerance import assert_within, largest, relative, stored


def check(dy, x, *parameters, **options):
    """y and all gradients within a few roundings of their largest terms."""
    y = fastnorm.dynamic_tanh(x, *parameters, **options)
    y64 = reference.dynamic_tanh(x, *parameters, **options)
    assert_within(y, y64, stored(y64, x.dtype) + 8 * relative(x) * largest(y64), "y")
    got = fastnorm.dynamic_tanh_backward(dy, x, *parameters, **options)
    want = reference.dynamic_tanh_backward(dy, x, *parameters, **options)
    for name, gradient, gradient64 in zip(want._fields, got, want, strict=True):
        assert (gradient is None) == (gradient64 is None), name
        if gradient is not None:
            bound = stored(gradient64, gradient.dtype) + 32 * relative(x) * largest(gradient64)
            assert_within(gradient, gradient64, bound, name)


@pytest.mark.parametrize("shape", [(), (1,)], ids=str)
@pytest.mark.parametrize("alpha", [0.0, 1e-3, 0.5, -2.0, 40.0])
def test_slopes(shape, alpha, dtype, rng):
    x, dy = rng.standard_normal((2, 7, 20)).astype(dtype)
    weight, bias = rng.standard_normal((2, 20)).astype(np.float32)
    slope = np.full(shape, alpha, np.float32)
    check(dy, x, slope, weight, bias)
    assert fastnorm.dynamic_tanh_backward(dy, x, slope).alpha.shape == shape


def test_missing_parameters(dtype, rng):
    x, dy = rng.standard_normal((2, 4, 3, 5)).astype(dtype)
    weight, bias = rng.standard_normal((2, 3)).astype(np.float32)
    alpha = np.full(1, 0.7, np.float32)
    for given in ((None, None), (weight, None), (None, bias)):
        check(dy, x, alpha, *given, channel_axis=1)


def test_saturation(dtype, rng):
    """Far from 0 it is +-1, exactly, and its gradient 0."""
    x = np.array([[-1e4, -200.0, 200.0, 1e4]]).astype(dtype)
    alpha = np.ones(1, dtype)
    assert np.array_equal(fastnorm.dynamic_tanh(x, alpha), np.sign(x.astype(float)))
    gradients = fastnorm.dynamic_tanh_backward(np.ones_like(x), x, alpha)
    assert not gradients.x.any()
    assert not gradients.alpha.any()


def test_small_values_keep_their_digits():
    """tanh(z) is z there, also where exp(z) - 1 would cancel."""
    x = np.array([[1e-30, -3e-12, 2e-7, 1e-4]], np.float32)
    y = fastnorm.dynamic_tanh(x, np.ones(1, np.float32))
    np.testing.assert_allclose(y, np.tanh(x.astype(float)), rtol=3e-7)


def test_infinite_values_and_nan():
    x = np.array([[np.inf, -np.inf, np.nan, 0.0]], np.float32)
    y = fastnorm.dynamic_tanh(x, np.ones(1))
    np.testing.assert_array_equal(y, [[1.0, -1.0, np.nan, 0.0]])
    np.testing.assert_array_equal(fastnorm.dynamic_tanh(x, np.zeros(1))[0, :2], [np.nan, np.nan])


def test_both_layouts_are_one_function(rng):
    x, weight = rng.standard_normal((2, 5, 6, 3), dtype=np.float32), np.float32([1, 2, 3])
    last = fastnorm.dynamic_tanh(x, np.float32([0.5]), weight)
    first = fastnorm.dynamic_tanh(
        np.ascontiguousarray(x.transpose(0, 3, 1, 2)), np.float32([0.5]), weight, channel_axis=1
    )
    assert same_bits(np.ascontiguousarray(first.transpose(0, 2, 3, 1)), last)


def test_layer_of_an_image_network(rng):
    layer = fastnorm.DynamicTanh(3, alpha_init=0.8, affine=False, channel_axis=1)
    assert list(layer.state_dict()) == ["alpha"]
    x = rng.standard_normal((2, 3, 4), dtype=np.float32)
    np.testing.assert_allclose(layer(x), np.tanh(np.float32(0.8) * x.astype(float)), atol=1e-6)
    layer.backward(x)
    assert list(layer.grads) == ["alpha"]


@pytest.mark.parametrize("shape", [(2,), (1, 1), (0,)])
def test_alpha_is_one_number(shape):
    with pytest.raises(ValueError, match="alpha has shape"):
        fastnorm.dynamic_tanh(np.ones((2, 3)), np.ones(shape))
    with pytest.raises(ValueError, match="alpha has shape"):
        fastnorm.dynamic_tanh_backward(np.ones((2, 3)), np.ones((2, 3)), np.ones(shape))


def test_alpha_is_needed():
    with pytest.raises(TypeError, match="alpha must be an array"):
        fastnorm.dynamic_tanh(np.ones((2, 3)), None)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (2, 0, 3)])
def test_empty(shape, dtype):
    x, weight = np.empty(shape, dtype), np.ones(shape[-1], dtype)
    assert fastnorm.dynamic_tanh(x, np.ones(1), weight, weight).shape == shape
    gradients = fastnorm.dynamic_tanh_backward(x, x, np.ones(1), weight, weight)
    assert gradients.x.shape == shape
    assert not any(gradient.any() for gradient in gradients[1:])
