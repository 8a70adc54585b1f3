# SPDX-License-Identifier: BSD-3-Clause
"""Identities of the literature that tie the normalizers and their gradients together."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from fastnorm import reference
from reference_cases import CASES, CENTRED_CASES, backward, draw, forward, group_sums

all_cases = pytest.mark.parametrize("case", CASES, ids=str)
centred_cases = pytest.mark.parametrize("case", CENTRED_CASES, ids=str)


@centred_cases
def test_dx_sums_to_zero_over_each_group(case):
    """A shift of a group leaves y alone."""
    dx = backward(case, *draw(case)).x
    np.testing.assert_allclose(group_sums(case, dx), 0.0, atol=1e-13)


@all_cases
def test_dx_is_orthogonal_to_x_without_eps(case):
    """A scaling of a group leaves y alone at eps=0."""
    dy, x, *parameters = draw(case)
    dx = backward(case, dy, x, *parameters, eps=0.0).x
    np.testing.assert_allclose(group_sums(case, dx * x), 0.0, atol=1e-12)


@all_cases
def test_scale_invariance_without_eps(case):
    dy, x, *parameters = draw(case)
    y, scaled_y = (forward(case, s * x, *parameters, eps=0.0) for s in (1.0, 3.0))
    dx, scaled_dx = (backward(case, dy, s * x, *parameters, eps=0.0).x for s in (1.0, 3.0))
    np.testing.assert_allclose(scaled_y, y, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(3.0 * scaled_dx, dx, rtol=1e-11, atol=1e-13)


@all_cases
def test_gradient_norm(case):
    """The equality behind the bound of Santurkar et al. 2018 (arXiv:1805.11604), at eps=0."""
    dy, x, *_ = draw(case)
    normalized, stats = forward(case, x, eps=0.0, return_stats=True)
    power, count = stats[-2], stats.count
    expected = group_sums(case, dy**2) - group_sums(case, dy * normalized) ** 2 / count
    if case.op != "rms_norm":
        expected -= group_sums(case, dy) ** 2 / count
    dx = backward(case, dy, x, eps=0.0).x
    np.testing.assert_allclose(
        group_sums(case, dx**2) * power.ravel(), expected, rtol=1e-11, atol=1e-13
    )


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "rms_norm"])
def test_weight_scale_invariance(name):
    """After a linear layer x @ w: y(3w) = y(w), dw(3w) = dw(w) / 3 and <w, dw> = 0, at eps=0."""
    forward, backward = getattr(reference, name), getattr(reference, f"{name}_backward")
    rng = np.random.default_rng(1)
    x, w, dy = rng.normal(size=(9, 4)), rng.normal(size=(4, 5)), rng.normal(size=(9, 5))

    def gradient(w):
        return x.T @ backward(dy, x @ w, eps=0.0).x

    np.testing.assert_allclose(forward(x @ (3.0 * w), eps=0.0), forward(x @ w, eps=0.0), rtol=1e-11)
    np.testing.assert_allclose(3.0 * gradient(3.0 * w), gradient(w), rtol=1e-10, atol=1e-12)
    assert abs(np.sum(w * gradient(w))) < 1e-12


def test_bias_before_the_layer_is_dead_in_batch_and_instance_norm_only():
    rng = np.random.default_rng(2)
    dy, x = rng.normal(size=(2, 4, 6, 5, 3))
    weight = rng.normal(size=6)

    def bias_gradient(gradients):
        return abs(gradients.x.sum(axis=(0, 2, 3))).max()

    assert bias_gradient(reference.batch_norm_backward(dy, x, weight)) < 1e-13
    assert bias_gradient(reference.instance_norm_backward(dy, x, weight)) < 1e-13
    assert bias_gradient(reference.group_norm_backward(dy, x, 2, weight)) > 1e-2


def test_statistics_without_gradient_miss_the_two_mean_terms():
    rng = np.random.default_rng(3)
    dy, x = rng.normal(size=(2, 7, 3))
    mean, var, _ = reference.moments(x, axis=0)
    fixed = reference.batch_norm_backward(dy, x, running_mean=mean, running_var=var, training=False)
    root = 1.0 / np.sqrt(var + 1e-5)
    normalized = (x - mean) * root
    missing = root * (dy.mean(axis=0) + normalized * (dy * normalized).mean(axis=0))
    np.testing.assert_allclose(
        fixed.x - missing, reference.batch_norm_backward(dy, x).x, rtol=0.0, atol=1e-14
    )


@pytest.mark.parametrize("channel_axis", [1, -1])
def test_limits_of_group_norm(channel_axis):
    """G = C is instance norm, G = 1 has the statistics of layer norm over all but the batch."""
    rng = np.random.default_rng(4)
    dy, x = (np.moveaxis(rng.normal(size=(2, 6, 3, 4)), 1, channel_axis) for _ in range(2))
    parameters = rng.normal(size=(2, 6))
    config = {"channel_axis": channel_axis}

    per_channel = reference.group_norm(x, 6, *parameters, **config)
    instance = reference.instance_norm(x, *parameters, **config)
    np.testing.assert_allclose(per_channel, instance, rtol=1e-12, atol=1e-14)
    for gradient, expected in zip(
        reference.group_norm_backward(dy, x, 6, *parameters, **config),
        reference.instance_norm_backward(dy, x, *parameters, **config),
        strict=True,
    ):
        np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-13)

    one_group = reference.group_norm(x, 1, **config)
    layer = reference.layer_norm(x, axis=(1, 2, 3))
    np.testing.assert_allclose(one_group, layer, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("axis", [0, 1], ids=["batch norm", "layer norm"])
def test_law_of_total_variance(axis):
    """The variance of a union is the mean variance of its parts plus the variance of the means."""
    x = np.random.default_rng(5).normal(3.0, 2.0, size=(5, 6, 3, 4))
    instance = reference.moments(x, axis=(2, 3))
    within, between = instance.var.mean(axis=axis), reference.moments(instance.mean, axis=axis).var
    union = reference.moments(x, axis=(axis, 2, 3)).var
    np.testing.assert_allclose(within + between, union, rtol=1e-13)


def test_parameters_can_undo_the_normalization():
    x = np.random.default_rng(6).normal(3.0, 2.0, size=(7, 3))
    mean, var, _ = reference.moments(x, axis=0)
    y = reference.batch_norm(x, np.sqrt(var + 1e-3), mean, eps=1e-3)
    np.testing.assert_allclose(y, x, rtol=0.0, atol=1e-14)


@all_cases
def test_memory_order_does_not_matter(case):
    _, x, *parameters = draw(case)
    y = forward(case, np.asfortranarray(x), *parameters)
    np.testing.assert_allclose(y, forward(case, x, *parameters), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("m", [2, 4, 8, 16, 32, 128])
def test_noise_of_batch_statistics(m):
    """Of m standard-normal values the variance is (m - 1) / m on average, and spreads as it says.

    This is what a batch that is too small does: the estimate is low, and noisy.
    """
    groups = 200_000 // m
    x = np.random.default_rng(m).standard_normal((groups, m))
    for moments in (reference.moments, fastnorm.moments):
        var = moments(x, axis=1).var
        deviation = np.sqrt(2 * (m - 1)) / m
        assert abs(var.mean() - (m - 1) / m) < 5 * deviation / np.sqrt(groups)
        assert abs(var.std() / deviation - 1) < 0.05
