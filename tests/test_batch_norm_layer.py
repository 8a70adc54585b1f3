# SPDX-License-Identifier: BSD-3-Clause
"""`BatchNorm`: the layer with two modes, and statistics that outlive a call."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from cases import assert_same_bits


def test_training_tracks_and_evaluation_uses(rng):
    layer = fastnorm.BatchNorm(3, momentum=0.25)
    x = rng.normal(2.0, 3.0, (8, 3)).astype(np.float32)
    layer(x)
    np.testing.assert_allclose(layer.running_mean, 0.25 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.running_var, 0.75 + 0.25 * x.var(0, ddof=1), rtol=1e-5)
    assert layer.num_batches_tracked == 1

    before = layer.state_dict()
    y, dx = layer.eval()(x), layer.backward(np.ones_like(x))
    assert_same_bits(layer.state_dict(), before, "the state")
    std = np.sqrt(layer.running_var + 1e-5)
    np.testing.assert_allclose(y, (x - layer.running_mean) / std, atol=1e-5)
    np.testing.assert_allclose(dx, np.broadcast_to(1 / std, x.shape), rtol=1e-5)


def test_backward_belongs_to_the_mode_of_its_forward(rng):
    layer = fastnorm.BatchNorm(3)
    x, dy = rng.normal(size=(2, 8, 3))
    layer(x)
    wanted = layer.backward(dy)
    layer.eval()
    np.testing.assert_array_equal(layer.backward(dy), wanted)


def test_evaluation_forward_fixes_the_statistics_of_its_backward(rng):
    """Tracking another batch in between must not change a gradient still to be taken."""
    layer = fastnorm.BatchNorm(3).eval()
    x, dy = rng.normal(size=(2, 8, 3))
    layer(x)
    wanted = layer.backward(dy)
    layer.running_var[...] = 100
    np.testing.assert_array_equal(layer.backward(dy), wanted)


def test_cumulative_average(rng):
    """momentum=None: the mean of the statistics of all batches, each with the same weight."""
    layer = fastnorm.BatchNorm(3, momentum=None, dtype=np.float64)
    batches = [rng.normal(i, 1 + i, (8, 3)) for i in range(5)]
    for batch in batches:
        layer(batch)
    np.testing.assert_allclose(layer.running_mean, np.mean([b.mean(0) for b in batches], 0))
    np.testing.assert_allclose(layer.running_var, np.mean([b.var(0, ddof=1) for b in batches], 0))
    assert layer.num_batches_tracked == 5


def test_without_tracking_the_batch_counts_in_evaluation_too(rng):
    layer = fastnorm.BatchNorm(3, track_running_stats=False)
    assert list(layer.state_dict()) == ["weight", "bias"]
    x, dy = rng.normal(size=(2, 8, 3))
    y, dx = layer(x), layer.backward(dy)
    np.testing.assert_array_equal(layer.eval()(x), y)
    np.testing.assert_array_equal(layer.backward(dy), dx)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_an_empty_batch_does_not_count(momentum, rng):
    layer = fastnorm.BatchNorm(3, momentum=momentum)
    layer(rng.normal(size=(8, 3)))
    before = layer.state_dict()
    layer(np.empty((0, 3)))
    assert_same_bits(layer.state_dict(), before, "the state")


def test_a_call_that_fails_does_not_count():
    layer = fastnorm.BatchNorm(3)
    before = layer.state_dict()
    for x in (np.ones((1, 3)), np.ones((4, 2)), np.ones((4, 3), int)):
        with pytest.raises((ValueError, TypeError)):
            layer(x)
    assert_same_bits(layer.state_dict(), before, "the state")


def test_reset(rng):
    layer = fastnorm.BatchNorm(3)
    fresh = layer.state_dict()
    layer(np.full((8, 3), np.nan))
    assert np.isnan(layer.running_mean).all()
    layer.reset_running_stats()
    assert_same_bits(layer.state_dict(), fresh, "the state")


def test_a_sequence_of_batches_leaves_what_it_leaves_in_pytorch(rng):
    torch = pytest.importorskip("torch")
    for momentum in (0.3, None):
        module, layer = (
            torch.nn.BatchNorm1d(3, momentum=momentum),
            fastnorm.BatchNorm(3, momentum=momentum),
        )
        for _ in range(4):
            x = rng.normal(1.0, 2.0, (8, 3)).astype(np.float32)
            module(torch.from_numpy(x))
            layer(x)
        for name, value in module.state_dict().items():
            np.testing.assert_allclose(layer.state_dict()[name], value.numpy(), rtol=1e-5)
