# SPDX-License-Identifier: BSD-3-Clause
"""What is special about `conditional_instance_norm`: labels that choose from tables."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from cases import same_bits

LABELS = np.array([3, 1, 3, 3, 0])


@pytest.fixture
def call(rng):
    """x, labels, weight and bias of five samples, some of one class, some classes of none."""
    x = rng.normal(2.0, 3.0, (5, 4, 6, 7)).astype(np.float32)
    weight, bias = rng.normal(1.0, 0.5, (2, 6, 4)).astype(np.float32)
    return x, LABELS, weight, bias


def test_each_sample_is_instance_norm_with_the_row_of_its_class(call):
    x, labels, weight, bias = call
    y = fastnorm.conditional_instance_norm(x, labels, weight, bias)
    for sample, k in enumerate(labels):
        one = x[sample : sample + 1]
        assert same_bits(fastnorm.instance_norm(one, weight[k], bias[k]), y[sample : sample + 1])


def test_one_class_is_instance_norm(call, rng):
    x, _, weight, bias = call
    labels = np.full(5, 2, np.uint8)
    y = fastnorm.conditional_instance_norm(x, labels, weight, bias)
    assert same_bits(y, fastnorm.instance_norm(x, weight[2], bias[2]))
    dy = rng.standard_normal(x.shape).astype(np.float32)
    gradients = fastnorm.conditional_instance_norm_backward(dy, x, labels, weight, bias)
    plain = fastnorm.instance_norm_backward(dy, x, weight[2], bias[2])
    assert same_bits(gradients.x, plain.x)
    np.testing.assert_allclose(gradients.weight[2], plain.weight, rtol=1e-6)
    np.testing.assert_allclose(gradients.bias[2], plain.bias, rtol=1e-6, atol=1e-6)


def test_repeated_labels_add_up_and_unused_rows_are_zero(call, rng):
    """In float64: what three samples leave is not rounded to float32 in between."""
    x, labels, weight, bias = call
    dy = rng.standard_normal(x.shape).astype(np.float32)
    gradients = fastnorm.conditional_instance_norm_backward(dy, x, labels, weight, bias)
    wide = weight.astype(np.float64), bias.astype(np.float64)
    parts = [
        fastnorm.conditional_instance_norm_backward(dy[s], x[s], labels[s], *wide)
        for s in (slice(i, i + 1) for i in range(5))
    ]
    for name in ("weight", "bias"):
        total = sum(getattr(part, name) for part in parts)
        np.testing.assert_array_equal(getattr(gradients, name), total.astype(np.float32))
        assert not getattr(gradients, name)[[2, 4, 5]].any()


@pytest.mark.parametrize("kind", "bBhHiIlLqQ")
def test_any_integer_type(call, kind):
    x, labels, weight, bias = call
    y = fastnorm.conditional_instance_norm(x, labels.astype(kind), weight, bias)
    assert same_bits(y, fastnorm.conditional_instance_norm(*call))


def test_a_narrow_type_and_many_classes(rng):
    """The number of rows need not be a number of the labels' type."""
    x = rng.standard_normal((2, 3, 5))
    tables = np.ones((300, 3)), np.zeros((300, 3))
    y = fastnorm.conditional_instance_norm(x, np.array([0, 127], np.int8), *tables)
    np.testing.assert_array_equal(y, fastnorm.instance_norm(x))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"labels": np.array([0, 1, 6, 0, 0])}, ValueError, r"labels has a 6, .* 6 rows"),
        ({"labels": np.array([0, 1, -1, 0, 0])}, ValueError, "labels has a -1"),
        ({"labels": np.full(5, 2**63, np.uint64)}, ValueError, f"labels has a {2**63}"),
        ({"labels": np.zeros(4, int)}, ValueError, r"labels has shape \(4,\), expected \(5,\)"),
        ({"labels": np.zeros((5, 1), int)}, ValueError, r"labels has shape \(5, 1\)"),
        ({"labels": np.zeros(5)}, TypeError, "labels has dtype float64"),
        ({"labels": np.zeros(5, bool)}, TypeError, "labels has dtype bool"),
        ({"labels": [0, 0, 0, 0, 0]}, TypeError, "labels .* list"),
        ({"labels": None}, TypeError, "labels .* NoneType"),
        ({"weight": None}, TypeError, "weight .* NoneType"),
        ({"bias": None}, TypeError, "bias .* NoneType"),
        ({"weight": np.ones(4)}, ValueError, r"weight has shape \(4,\), expected \(classes, 4\)"),
        ({"weight": np.ones((6, 5))}, ValueError, r"weight has shape \(6, 5\)"),
        ({"bias": np.ones((5, 4))}, ValueError, r"bias has shape \(5, 4\), expected \(6, 4\)"),
    ],
)
def test_refuses_what_makes_no_sense(call, change, error, words):
    named = dict(zip(("x", "labels", "weight", "bias"), call, strict=True))
    out = np.full_like(call[0], 7)
    with pytest.raises(error, match=words):
        fastnorm.conditional_instance_norm(**(named | change), out=out)
    with pytest.raises(error, match=words):
        fastnorm.conditional_instance_norm_backward(call[0], **(named | change), out=out)
    assert (out == 7).all()


def test_the_layer_wants_labels(call):
    layer = fastnorm.ConditionalInstanceNorm(4, 6)
    with pytest.raises(TypeError, match="labels"):
        layer(call[0])
    with pytest.raises(ValueError, match="num_features=4"):
        layer(call[0][:, :3], LABELS)
    with pytest.raises(ValueError, match="num_classes"):
        fastnorm.ConditionalInstanceNorm(4, 0)
