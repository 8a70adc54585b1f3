# SPDX-License-Identifier: BSD-3-Clause
"""`weight_standardization`: rows without a variance, invariances, forms of others, the layer."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from cases import same_bits
from fastnorm import reference

SHAPE = (6, 5, 3, 2)


def drawn(rng, dtype=np.float64):
    """dy and weight."""
    return (rng.normal(m, 1.0, SHAPE).astype(dtype) for m in (0.0, 2.0))


def rows(values):
    return values.reshape(len(values), -1)


def test_it_is_standardize_over_the_rows(rng, dtype):
    dy, weight = drawn(rng, dtype)
    expected = fastnorm.standardize(weight, axis=(1, 2, 3))
    assert same_bits(fastnorm.weight_standardization(weight), expected)
    gradient = fastnorm.standardize_backward(dy, weight, axis=(1, 2, 3)).x
    assert same_bits(fastnorm.weight_standardization_backward(dy, weight).weight, gradient)


@pytest.mark.parametrize(("shape", "axis"), [((8, 1, 1, 1), 0), ((1, 1, 1, 8), -1), ((5,), 0)])
def test_one_value_per_row_is_refused(shape, axis):
    """A depthwise 1x1 convolution: its weight would become 0."""
    weight = np.ones(shape)
    for module in (fastnorm, reference):
        with pytest.raises(ValueError, match="value in each"):
            module.weight_standardization(weight, channel_axis=axis)
        with pytest.raises(ValueError, match="value in each"):
            module.weight_standardization_backward(weight, weight, channel_axis=axis)
    with pytest.raises(ValueError, match=r"a weight of shape .* has a single value"):
        fastnorm.WeightStandardization(weight, axis)


def test_no_axis_of_outputs_is_refused(rng):
    _, weight = drawn(rng)
    with pytest.raises(TypeError, match="channel_axis"):
        fastnorm.weight_standardization(weight, channel_axis=None)


@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_a_constant_row_gives_zeros(eps, rng, dtype):
    dy, weight = drawn(rng, dtype)
    weight[1] = 7
    assert not fastnorm.weight_standardization(weight, eps=eps)[1].any()
    gradient = fastnorm.weight_standardization_backward(dy, weight, eps=eps).weight
    assert np.isfinite(gradient.astype(np.float64)).all()
    assert gradient[1].any() == (eps > 0)


def test_scale_of_the_weight_does_not_matter(rng):
    """It shows in the gradient, which becomes smaller as the weight becomes larger."""
    dy, weight = drawn(rng)
    y = fastnorm.weight_standardization(weight, eps=0)
    one, four = (
        fastnorm.weight_standardization_backward(dy, s * weight, eps=0).weight for s in (1, 4)
    )
    assert same_bits(fastnorm.weight_standardization(4 * weight, eps=0), y)
    np.testing.assert_allclose(
        fastnorm.weight_standardization(4 * weight + 3, eps=0), y, atol=1e-14
    )
    assert same_bits(4 * four, one)
    np.testing.assert_allclose((rows(one) * rows(weight)).sum(axis=1), 0.0, atol=1e-13)
    np.testing.assert_allclose(rows(one).sum(axis=1), 0.0, atol=1e-13)


@pytest.mark.parametrize("ddof", [0, 1])
def test_forms_with_eps_outside_the_root(ddof, rng):
    """Those of the authors, from this one as the documentation says."""
    _, weight = drawn(rng)
    y, stats = fastnorm.weight_standardization(weight, eps=0, return_stats=True)
    spread = np.sqrt(stats.var * (stats.count / (stats.count - ddof)))
    ours = rows(y) * (np.sqrt(stats.var) / (spread + 1e-5))[:, None]
    values = rows(weight)
    std = values.std(axis=1, ddof=ddof, keepdims=True)
    theirs = (values - values.mean(axis=1, keepdims=True)) / (std + 1e-5)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_layer_holds_a_copy(rng):
    dy, weight = drawn(rng, np.float32)
    layer = fastnorm.WeightStandardization(weight, eps=1e-6)
    expected = fastnorm.weight_standardization(weight, eps=1e-6)
    gradient = fastnorm.weight_standardization_backward(dy, weight, eps=1e-6).weight
    weight[...] = 0
    assert same_bits(layer(), expected)
    assert same_bits(layer.backward(dy), gradient)
    assert list(layer.grads) == ["weight"]
    assert layer.bias is None
    assert layer.shape == SHAPE


def test_layer_needs_a_call_before_backward(rng):
    dy, weight = drawn(rng)
    with pytest.raises(RuntimeError, match="call the layer first"):
        fastnorm.WeightStandardization(weight).backward(dy)
