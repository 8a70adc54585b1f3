# SPDX-License-Identifier: BSD-3-Clause
"""`scaled_weight_standardization`: what it does to variances, gains, edges, the forms of others."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastnorm
from cases import same_bits
from fastnorm import ACTIVATION_GAINS

SHAPE = (6, 5, 3, 2)
FAN_IN = 30


def drawn(rng, dtype=np.float64):
    """dy, weight and gain."""
    dy, weight = (rng.normal(m, 1.0, SHAPE).astype(dtype) for m in (0.0, 2.0))
    return dy, weight, rng.normal(1.0, 0.2, (6, 1, 1, 1)).astype(dtype)


def gelu(z):
    return z * np.vectorize(math.erfc)(-z / math.sqrt(2)) / 2


def elu(z):
    return np.where(z > 0, z, np.expm1(z))


ACTIVATIONS = {
    "identity": lambda z: z,
    "celu": elu,
    "elu": elu,
    "gelu": gelu,
    "gelu_tanh": lambda z: z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))) / 2,
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "log_sigmoid": lambda z: -np.log1p(np.exp(-z)),
    "relu": lambda z: np.maximum(z, 0),
    "relu6": lambda z: np.clip(z, 0, 6),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(z)),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "softplus": lambda z: np.log1p(np.exp(z)),
    "softsign": lambda z: z / (1 + abs(z)),
    "tanh": np.tanh,
}


def test_every_activation_is_checked():
    assert set(ACTIVATIONS) == set(ACTIVATION_GAINS)
    with pytest.raises(TypeError):
        ACTIVATION_GAINS["relu"] = 1.0


@pytest.mark.parametrize("name", ACTIVATION_GAINS)
def test_gain_is_that_of_a_standard_normal(name):
    """By Gauss-Legendre quadrature between the points where an activation has a kink."""
    nodes, weights = np.polynomial.legendre.leggauss(120)
    edges = np.array([-12.0, -6.0, 0.0, 6.0, 12.0])
    middle, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    z = (middle[:, None] + half[:, None] * nodes).ravel()
    share = (half[:, None] * weights).ravel() * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    f = ACTIVATIONS[name](z)
    mean = (share * f).sum()
    variance = (share * (f - mean) ** 2).sum()
    assert ACTIVATION_GAINS[name] == pytest.approx(variance**-0.5, rel=1e-13)


def test_gain_of_relu_in_closed_form():
    assert ACTIVATION_GAINS["relu"] == pytest.approx(math.sqrt(2 / (1 - 1 / math.pi)), rel=1e-15)


def test_rows_have_the_length_of_their_gain(rng):
    """Then independent inputs of variance 1 give outputs of variance gain^2."""
    _, weight, gain = drawn(rng)
    w = fastnorm.scaled_weight_standardization(weight, gain, eps=0)
    lengths = np.sqrt((w**2).sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(lengths, abs(gain.ravel()), rtol=1e-13)


def test_variance_passes_through_layers_of_relu(rng):
    """Without the gain of relu it would fall by a third in each layer."""
    x = rng.standard_normal((4000, 200))
    for _ in range(4):
        weight = rng.normal(0.3, 1.0, (200, 200))
        w = fastnorm.scaled_weight_standardization(weight, gamma=ACTIVATION_GAINS["relu"])
        x = np.maximum(x, 0) @ w.T
        assert x.var() == pytest.approx(1.0, abs=0.15)


def test_it_is_weight_standardization_times_a_factor(rng):
    dy, weight, gain = drawn(rng)
    plain = fastnorm.weight_standardization(weight, eps=1e-3)
    factor = 1.7 / math.sqrt(FAN_IN)
    w = fastnorm.scaled_weight_standardization(weight, gain, gamma=1.7, eps=1e-3)
    np.testing.assert_allclose(w, gain * factor * plain, rtol=1e-14)
    without = fastnorm.scaled_weight_standardization(weight, gamma=1.7, eps=1e-3)
    np.testing.assert_allclose(without, factor * plain, rtol=1e-14)
    dweight, dgain = fastnorm.scaled_weight_standardization_backward(
        dy, weight, gamma=1.7, eps=1e-3
    )
    assert dgain is None
    expected = fastnorm.weight_standardization_backward(factor * dy, weight, eps=1e-3).weight
    np.testing.assert_allclose(dweight, expected, rtol=1e-12, atol=1e-14)


def test_gains_of_one_axis_give_the_same(rng, dtype):
    dy, weight, gain = drawn(rng, dtype)
    full = fastnorm.scaled_weight_standardization(weight, gain)
    assert same_bits(fastnorm.scaled_weight_standardization(weight, gain.ravel()), full)
    flat = fastnorm.scaled_weight_standardization_backward(dy, weight, gain.ravel())
    full = fastnorm.scaled_weight_standardization_backward(dy, weight, gain)
    assert flat.gain.shape == (6,)
    assert same_bits(flat.gain, full.gain.ravel())
    assert same_bits(flat.weight, full.weight)


def test_form_of_nfnet_where_its_floor_does_not_matter(rng):
    _, weight, gain = drawn(rng)
    values = weight.reshape(6, -1)
    centred = values - values.mean(axis=1, keepdims=True)
    floored = np.sqrt(np.maximum(FAN_IN * values.var(axis=1, keepdims=True), 1e-4))
    theirs = (gain.reshape(6, 1) * centred / floored).reshape(SHAPE)
    ours = fastnorm.scaled_weight_standardization(weight, gain, eps=0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_a_constant_row_gives_zeros(eps, rng, dtype):
    dy, weight, gain = drawn(rng, dtype)
    weight[1] = 7
    assert not fastnorm.scaled_weight_standardization(weight, gain, eps=eps)[1].any()
    gradients = fastnorm.scaled_weight_standardization_backward(dy, weight, gain, eps=eps)
    assert np.isfinite(gradients.weight.astype(np.float64)).all()
    assert gradients.gain[1] == 0


def test_one_value_per_row_is_refused():
    with pytest.raises(ValueError, match="single value"):
        fastnorm.scaled_weight_standardization(np.ones((8, 1, 1, 1)))
    with pytest.raises(ValueError, match="single value"):
        fastnorm.ScaledWeightStandardization(np.ones((8, 1, 1, 1)))


@pytest.mark.parametrize("gamma", [math.nan, math.inf, -math.inf])
def test_gamma_must_be_finite(gamma, rng):
    dy, weight, _ = drawn(rng)
    for call in (
        lambda: fastnorm.scaled_weight_standardization(weight, gamma=gamma),
        lambda: fastnorm.scaled_weight_standardization_backward(dy, weight, gamma=gamma),
        lambda: fastnorm.ScaledWeightStandardization(weight, gamma),
    ):
        with pytest.raises(ValueError, match="gamma must be a finite number"):
            call()
    with pytest.raises(TypeError, match="gamma"):
        fastnorm.scaled_weight_standardization(weight, gamma="relu")


def test_layer_without_gain(rng):
    dy, weight, _ = drawn(rng, np.float32)
    layer = fastnorm.ScaledWeightStandardization(weight, affine=False)
    assert same_bits(layer(), fastnorm.scaled_weight_standardization(weight))
    layer.backward(dy)
    assert list(layer.grads) == ["weight"]
    assert list(layer.state_dict()) == ["weight"]


def test_layer_has_gains_of_its_weights_type(rng, dtype):
    _, weight, _ = drawn(rng, dtype)
    layer = fastnorm.ScaledWeightStandardization(weight, channel_axis=1)
    assert layer.gain.dtype == dtype
    assert layer.gain.shape == (1, 5, 1, 1)
    assert (layer.gain == 1).all()
