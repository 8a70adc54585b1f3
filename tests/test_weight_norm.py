# SPDX-License-Identifier: BSD-3-Clause
"""`weight_norm`: shapes of the lengths, rows of zeros, what its gradient does to v, the layer."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from cases import same_bits
from fastnorm import reference

SHAPE = (6, 5, 3, 2)


def drawn(rng, dtype=np.float64):
    """dy, v and g."""
    dy, v = (rng.standard_normal(SHAPE).astype(dtype) for _ in range(2))
    return dy, v, rng.normal(1.0, 0.2, (6, 1, 1, 1)).astype(dtype)


def norms(v):
    """Of the rows."""
    return np.sqrt((v.astype(np.float64) ** 2).sum(axis=(1, 2, 3)))


def test_rows_get_the_lengths(rng):
    _, v, g = drawn(rng)
    np.testing.assert_allclose(norms(fastnorm.weight_norm(v, g)), abs(g.ravel()), rtol=1e-14)
    whole = fastnorm.weight_norm(v, np.float64(3.0) * np.ones(()), channel_axis=None)
    assert np.linalg.norm(whole) == pytest.approx(3.0, rel=1e-14)


def test_lengths_of_one_axis_give_the_same(rng, dtype):
    dy, v, g = drawn(rng, dtype)
    assert same_bits(fastnorm.weight_norm(v, g.ravel()), fastnorm.weight_norm(v, g))
    flat = fastnorm.weight_norm_backward(dy, v, g.ravel())
    full = fastnorm.weight_norm_backward(dy, v, g)
    assert flat.g.shape == (6,)
    assert full.g.shape == (6, 1, 1, 1)
    assert same_bits(flat.g, full.g.ravel())
    assert same_bits(flat.v, full.v)


@pytest.mark.parametrize("shape", [(), (5, 1, 1, 1), (6, 1, 1), (1, 6, 1, 1), (6, 5, 3, 2)])
def test_other_shapes_of_lengths_are_refused(shape, rng):
    dy, v, _ = drawn(rng)
    g = np.ones(shape)
    with pytest.raises(ValueError, match=r"g has shape .* expected \(6, 1, 1, 1\) or \(6,\)"):
        fastnorm.weight_norm(v, g)
    with pytest.raises(ValueError, match="g has shape"):
        fastnorm.weight_norm_backward(dy, v, g)


def test_a_row_of_zeros_gives_zeros_and_no_gradient(rng, dtype):
    """PyTorch gives NaN: the reciprocal of a norm of 0 is 0 here."""
    dy, v, g = drawn(rng, dtype)
    v[2] = 0
    w = fastnorm.weight_norm(v, g)
    gradients = fastnorm.weight_norm_backward(dy, v, g)
    for values in (w, gradients.v, gradients.g):
        assert not values[2].any()
        assert np.isfinite(values.astype(np.float64)).all()
    assert same_bits(w[3:], fastnorm.weight_norm(v[3:], g[3:]))
    assert not reference.weight_norm(v, g)[2].any()


def test_rows_of_one_value_are_its_sign(dtype):
    v, g = np.array([3, -2, 0], dtype), np.array([2, 5, 7], dtype)
    assert fastnorm.weight_norm(v, g).tolist() == [2, -5, 0]
    dv, dg = fastnorm.weight_norm_backward(np.ones(3, dtype), v, g)
    assert dg.tolist() == [1, -1, 0]
    assert abs(dv.astype(np.float64)).max() < 1e-6


def test_large_and_small_rows_keep_their_directions(rng):
    _, v, g = drawn(rng, np.float32)
    expected = fastnorm.weight_norm(v, g)
    for scale in (1e30, 1e-30):
        scaled = fastnorm.weight_norm(v * np.float32(scale), g)
        np.testing.assert_allclose(scaled, expected, rtol=1e-6)


def test_gradient_is_orthogonal_to_v(rng):
    dy, v, g = drawn(rng)
    dv = fastnorm.weight_norm_backward(dy, v, g).v
    products = (dv * v).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(products, 0.0, atol=1e-13)


def test_a_step_makes_v_longer_as_pythagoras_says(rng):
    dy, v, g = drawn(rng)
    step = 0.3 * fastnorm.weight_norm_backward(dy, v, g).v
    relative = norms(step) / norms(v)
    np.testing.assert_allclose(norms(v - step), np.sqrt(1 + relative**2) * norms(v), rtol=1e-14)


def test_scale_of_v_does_not_matter(rng):
    dy, v, g = drawn(rng)
    assert same_bits(fastnorm.weight_norm(4 * v, g), fastnorm.weight_norm(v, g))
    one, four = (fastnorm.weight_norm_backward(dy, s * v, g) for s in (1, 4))
    assert same_bits(4 * four.v, one.v)
    assert same_bits(four.g, one.g)


def test_layer_begins_as_the_weight(rng, dtype):
    weight = rng.standard_normal(SHAPE).astype(dtype)
    for axis in (0, 1, -1, None):
        layer = fastnorm.WeightNorm(weight, channel_axis=axis)
        tolerance = 4 * float(np.finfo(np.float32).eps) if dtype.itemsize > 2 else 1e-2
        np.testing.assert_allclose(
            layer().astype(np.float64), weight.astype(np.float64), rtol=tolerance
        )
    assert layer.weight_g.shape == ()
    assert "(6, 5, 3, 2)" in repr(layer)
    held = layer.weight_v.copy()
    weight[...] = 0
    assert same_bits(layer.weight_v, held)


def test_layer_loads_the_state_of_a_module():
    torch = pytest.importorskip("torch", reason="the comparison with PyTorch needs PyTorch")
    with pytest.warns(FutureWarning):
        module = torch.nn.utils.weight_norm(torch.nn.Conv2d(3, 4, 2, bias=False))
    layer = fastnorm.WeightNorm(np.zeros((4, 3, 2, 2), np.float32))
    layer.load_state_dict(module.state_dict())
    assert set(layer.state_dict()) == set(module.state_dict())
    expected = torch._weight_norm(module.weight_v, module.weight_g, 0)
    np.testing.assert_allclose(layer(), expected.detach().numpy(), rtol=1e-6)
    expected.sum().backward()
    dv = layer.backward(np.ones((4, 3, 2, 2), np.float32))
    assert dv is layer.grads["weight_v"]
    np.testing.assert_allclose(dv, module.weight_v.grad, atol=1e-6)
    np.testing.assert_allclose(layer.grads["weight_g"], module.weight_g.grad, atol=1e-6)


@pytest.mark.parametrize("channel_axis", [0, 1])
def test_initialization_gives_outputs_of_variance_1(channel_axis, rng):
    weight, x = rng.standard_normal((4, 7)), rng.normal(3.0, 2.0, (200, 7))
    layer = fastnorm.WeightNorm(weight if channel_axis == 0 else weight.T, channel_axis)

    def outputs():
        held = layer()
        return x @ (held.T if channel_axis == 0 else held)

    bias = layer.initialize(outputs())
    t = outputs() + bias
    np.testing.assert_allclose(t.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(t.var(axis=0), 1.0, rtol=1e-12)


def test_initialization_by_an_output_that_does_not_vary(rng):
    layer = fastnorm.WeightNorm(rng.standard_normal((2, 3)))
    before = layer.weight_g.copy()
    bias = layer.initialize(np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert bias.tolist() == [-2.0, -5.0]
    assert same_bits(layer.weight_g, before)


def test_initialization_refuses_other_outputs(rng):
    layer = fastnorm.WeightNorm(rng.standard_normal((2, 3)))
    with pytest.raises(ValueError, match="t has shape"):
        layer.initialize(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="weight_g has shape"):
        fastnorm.WeightNorm(np.ones((2, 3)), None).initialize(np.zeros((5, 2)))
