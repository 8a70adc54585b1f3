# SPDX-License-Identifier: BSD-3-Clause
"""The layers of the study: what a convolution is, and the gradient of whole networks."""

from __future__ import annotations

import numpy as np
import pytest

from examples.beyond_batchnorm.nets import Design, build, watched
from examples.beyond_batchnorm.network import (
    Convolution,
    HalfSize,
    MeanOverImage,
    Weight,
    cross_entropy,
)
from examples.beyond_batchnorm.normalizers import KINDS
from examples.beyond_batchnorm.training import Descent

SIZE, CLASSES, IMAGES = 4, 3, 6
STEP = 1e-8  # so small that hardly a ReLU is between two values
# The rounding of the loss, of some hundred operations one after the other, over the step.
TOLERANCE = 100 * np.finfo(np.float64).eps / STEP


def test_convolution(rng):
    x, value = rng.standard_normal((2, 5, 4, 3)), rng.standard_normal((6, 3, 3, 3))
    bias = rng.standard_normal(6)
    y = Convolution(Weight(value), bias)(x)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for n, i, j in np.ndindex(2, 5, 4):
        around = padded[n, i : i + 3, j : j + 3]
        np.testing.assert_allclose(y[n, i, j], (value * around).sum((1, 2, 3)) + bias, atol=1e-12)


def test_pooling(rng):
    x = rng.standard_normal((2, 4, 6, 3))
    np.testing.assert_allclose(HalfSize()(x)[1, 1, 2], x[1, 2:4, 4:6].mean((0, 1)))
    np.testing.assert_allclose(MeanOverImage()(x), x.mean((1, 2)))


def test_cross_entropy_of_certainty():
    loss, gradient = cross_entropy(np.array([[1000.0, 0.0], [0.0, 1000.0]]), np.array([0, 1]))
    assert loss == 0.0
    assert not gradient.any()


class Problem:
    """A small network in float64, with images, and the loss as a function of its parameters."""

    def __init__(self, name, residual, rng, **options):
        self.random = np.random.default_rng(1)
        design = Design(name, residual, depth=2, stages=2, channels=8)
        self.net = build(design, SIZE, CLASSES, self.random, np.float64, **options)
        self.state = self.random.bit_generator.state
        self.x = rng.standard_normal((IMAGES, SIZE, SIZE, 1))
        self.labels = rng.integers(0, CLASSES, IMAGES)

    def loss(self, x=None):
        self.random.bit_generator.state = self.state  # the same noise, where there is some
        scores = self.net(self.x if x is None else x)
        return cross_entropy(scores, self.labels)

    def gradient(self):
        """Return the gradient of x, and the parameters with theirs."""
        dx = self.net.backward(self.loss()[1])
        return dx, list(self.net.learned())


@pytest.fixture(params=[False, True], ids=["plain", "residual"])
def residual(request):
    return request.param


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("name", KINDS)
def test_gradient_of_the_whole_network(name, residual, mode, rng):
    if (name, mode) == ("batch-renorm", "training"):
        pytest.skip("its correction is a constant to the gradient, and none to a difference")
    problem = Problem(name, residual, rng)
    for _ in range(3):  # running statistics that are not those of the start
        problem.loss()
    problem.net.train(mode == "training")
    dx, learned = problem.gradient()

    along = rng.standard_normal(dx.shape)
    up, down = (problem.loss(problem.x + sign * STEP * along)[0] for sign in (1, -1))
    assert (up - down) / (2 * STEP) == pytest.approx(
        np.vdot(dx, along), rel=TOLERANCE, abs=TOLERANCE
    )

    assert len({id(value) for _, value, _ in learned}) == len(learned)
    for word, value, grad in learned:
        along, kept = rng.standard_normal(value.shape), value.copy()
        value[...] = kept + STEP * along
        up = problem.loss()[0]
        value[...] = kept - STEP * along
        down = problem.loss()[0]
        value[...] = kept
        found = np.vdot(grad, along)
        assert (up - down) / (2 * STEP) == pytest.approx(found, rel=TOLERANCE, abs=TOLERANCE), word


@pytest.mark.parametrize("name", KINDS)
def test_reference_in_the_place_of_fastnorm(name, residual, rng):
    """The same network by the NumPy formulas: what it costs may differ, what comes out not."""
    seed = rng.integers(1 << 30)
    ours, theirs = (
        Problem(name, residual, np.random.default_rng(seed), by_reference=chosen)
        for chosen in (False, True)
    )
    for mode in (True, True, False):
        for problem in (ours, theirs):
            problem.net.train(mode)
        assert ours.loss()[0] == pytest.approx(theirs.loss()[0], rel=1e-9)
        (dx, learned), (their_dx, their_learned) = ours.gradient(), theirs.gradient()
        np.testing.assert_allclose(dx, their_dx, rtol=1e-8, atol=1e-10)
        for own, other in zip(learned, their_learned, strict=True):
            assert own.name == other.name
            np.testing.assert_allclose(own.grad, other.grad, rtol=1e-8, atol=1e-10)


def test_watched_places(residual, rng):
    net = Problem("batch", residual, rng).net
    assert len(watched(net, "convolution")) == 1 + 2 * 2
    assert len(watched(net, "activation")) == len(watched(net, "convolution"))
    assert len(watched(net, "block")) == (2 if residual else 0)


def test_corrected_branches_start_small():
    gains = {}
    for corrected in (False, True):
        design = Design("weight", residual=True, depth=4, stages=2, channels=8, corrected=corrected)
        net = build(design, SIZE, CLASSES, np.random.default_rng(0))
        x = np.random.default_rng(1).standard_normal((IMAGES, SIZE, SIZE, 1)).astype(np.float32)
        net(x)
        last = watched(net, "convolution")[2].x, watched(net, "block")[0].x
        gains[corrected] = np.linalg.norm(last[0])
    assert gains[True] == pytest.approx(gains[False] / 2, rel=1e-5)  # of 4 blocks


def test_descent():
    """Two steps of a constant gradient: 1 and then 1 + momentum of it."""
    value = np.array([1.0])
    optimizer = Descent(rate=0.1, momentum=0.5)
    for _ in range(2):
        optimizer.step([("weight", value, np.array([2.0]))])
    assert value == pytest.approx(1.0 - 0.1 * (2.0 + 3.0))
