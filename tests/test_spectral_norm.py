# SPDX-License-Identifier: BSD-3-Clause
"""`spectral_norm`: what becomes of u, PyTorch's iterates, the limit, edges, pieces and tiles."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from cases import assert_same_bits, same_bits
from fastnorm import _spectrum, reference
from layouts import c_order, channels_last, dense, lay_out, views_of_same_order

SHAPE = (6, 5, 3, 2)
torch_missing = "the comparison with PyTorch needs PyTorch"


def drawn(rng, dtype=np.float64, shape=SHAPE):
    """dy, weight and u."""
    dy, weight = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    return dy, weight, rng.standard_normal(shape[0]).astype(dtype)


def largest(weight):
    """The largest singular value."""
    return np.linalg.norm(weight.reshape(len(weight), -1), 2)


@pytest.mark.parametrize("steps", [1, 2])
def test_iterates_are_those_of_pytorch(steps, rng):
    """Also v, and over several calls, as long as the weight stays as it is."""
    torch = pytest.importorskip("torch", reason=torch_missing)
    from torch.nn.utils.parametrizations import _SpectralNorm

    _, weight, u = drawn(rng)
    module = _SpectralNorm(torch.tensor(weight), steps)
    module._u.copy_(torch.tensor(u / np.linalg.norm(u)))
    v = u @ weight.reshape(6, -1)
    module._v.copy_(torch.tensor(v / np.linalg.norm(v)))
    for training in (True, True, False, True):
        expected = module.train(training)(torch.tensor(weight)).numpy()
        w, stats = fastnorm.spectral_norm(
            weight, u, n_power_iterations=steps, training=training, return_stats=True
        )
        np.testing.assert_allclose(w, expected, rtol=1e-13)
        np.testing.assert_allclose(u, module._u.numpy(), rtol=1e-12)
        np.testing.assert_allclose(stats.v, module._v.numpy(), rtol=1e-12, atol=1e-14)


def test_gradient_is_that_of_the_exact_singular_value(rng):
    """At convergence: that of W over its matrix norm."""
    torch = pytest.importorskip("torch", reason=torch_missing)
    dy, weight, u = drawn(rng, shape=(6, 9))
    w = fastnorm.spectral_norm(weight, u, n_power_iterations=500)
    tensor = torch.tensor(weight, requires_grad=True)
    expected = tensor / torch.linalg.matrix_norm(tensor, 2)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(w, expected.detach().numpy(), rtol=1e-12)
    gradient = fastnorm.spectral_norm_backward(dy, weight, u).weight
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_singular_value_grows_towards_the_largest(rng):
    _, weight, u = drawn(rng, shape=(20, 30))
    found = []
    for _ in range(60):
        _, stats = fastnorm.spectral_norm(weight, u, return_stats=True)
        found.append(stats.sigma)
        assert np.linalg.norm(stats.u) == pytest.approx(1.0, rel=1e-14)
        assert np.linalg.norm(stats.v) == pytest.approx(1.0, rel=1e-14)
        assert stats.sigma == pytest.approx(stats.u @ weight @ stats.v, rel=1e-13)
    assert (np.diff(found) >= -1e-13).all()
    assert found[-1] == pytest.approx(largest(weight), rel=1e-6)
    assert found[0] < 0.99 * largest(weight)


def test_a_weight_that_changes_in_evaluation(rng):
    """Its norm is off until training goes on; PyTorch does no better."""
    _, weight, u = drawn(rng, shape=(20, 30))
    fastnorm.spectral_norm(weight, u, n_power_iterations=100)
    _, other, _ = drawn(rng, shape=(20, 30))
    before = u.copy()
    stale = largest(fastnorm.spectral_norm(other, u, training=False))
    assert same_bits(u, before)
    assert stale > 1.3
    norms = [stale, *(largest(fastnorm.spectral_norm(other, u)) for _ in range(60))]
    assert (np.diff(norms) <= 1e-13).all()
    assert norms[-1] == pytest.approx(1.0, abs=1e-4)


def test_gradient_is_orthogonal_to_the_weight(rng):
    """As the scale of a weight does not matter; for any u."""
    dy, weight, u = drawn(rng)
    gradient = fastnorm.spectral_norm_backward(dy, weight, u).weight
    assert (gradient * weight).sum() == pytest.approx(0.0, abs=1e-13)
    w = fastnorm.spectral_norm(weight, u, training=False)
    assert same_bits(fastnorm.spectral_norm(4 * weight, u, training=False), w)
    assert same_bits(4 * fastnorm.spectral_norm_backward(dy, 4 * weight, u).weight, gradient)


def test_gradient_takes_u_as_the_call_left_it(rng, dtype):
    """To the same bits as with its statistics, which stay those of their call."""
    dy, weight, u = drawn(rng, dtype)
    _, stats = fastnorm.spectral_norm(weight, u, return_stats=True)
    kept = [np.copy(part) for part in stats]
    given = fastnorm.spectral_norm_backward(dy, weight, u, stats=stats).weight
    before = u.copy()
    assert same_bits(fastnorm.spectral_norm_backward(dy, weight, u).weight, given)
    assert same_bits(u, before)
    fastnorm.spectral_norm(weight, u)
    assert all(same_bits(np.asarray(a), b) for a, b in zip(stats, kept, strict=True))
    assert same_bits(fastnorm.spectral_norm_backward(dy, weight, u, stats=stats).weight, given)


def test_length_of_u_does_not_matter(rng):
    dy, weight, u = drawn(rng)
    for training in (True, False):
        one, four = u.copy(), 4 * u
        w = fastnorm.spectral_norm(weight, one, training=training)
        assert same_bits(fastnorm.spectral_norm(weight, four, training=training), w)
    assert np.linalg.norm(four) == 4 * np.linalg.norm(u)
    assert same_bits(
        fastnorm.spectral_norm_backward(dy, weight, 4 * u).weight,
        fastnorm.spectral_norm_backward(dy, weight, u).weight,
    )


@pytest.mark.parametrize("eps", [1e-12, 0.0])
def test_a_weight_of_zeros_gives_zeros(eps, rng, dtype):
    """PyTorch gives NaN. The divisor is eps, a constant; with eps=0 its reciprocal is 0."""
    dy, _, u = drawn(rng, dtype)
    weight, before = np.zeros(SHAPE, dtype), u.copy()
    for module in (fastnorm, reference):
        w, stats = module.spectral_norm(weight, u, eps=eps, return_stats=True)
        assert not w.any()
        assert stats.sigma == 0
        assert not stats.v.any()
        assert same_bits(u, before)
    if eps and dtype == np.float16:
        return  # 1e12 is beyond its range
    gradient = fastnorm.spectral_norm_backward(dy, weight, u, eps=eps).weight
    expected = dy.astype(np.float64) * (1 / eps if eps else 0)
    np.testing.assert_allclose(gradient.astype(np.float64), expected, rtol=1e-2)


def test_a_weight_below_eps_is_divided_by_eps(rng):
    dy, weight, u = drawn(rng)
    w = fastnorm.spectral_norm(1e-3 * weight, u, eps=0.5)
    np.testing.assert_allclose(w, 2e-3 * weight, rtol=1e-14)
    gradient = fastnorm.spectral_norm_backward(dy, 1e-3 * weight, u, eps=0.5).weight
    np.testing.assert_allclose(gradient, 2 * dy, rtol=1e-14)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_spoilt_weight_does_not_spoil_u(poison, rng, dtype):
    dy, weight, u = drawn(rng, dtype)
    weight[1, 2] = poison
    before = u.copy()
    w = fastnorm.spectral_norm(weight, u)
    assert same_bits(u, before)
    assert np.isnan(w[1, 2].astype(np.float64)).all()
    fastnorm.spectral_norm_backward(dy, weight, u)


def test_a_weight_of_one_axis_is_divided_by_its_norm(rng, dtype):
    torch = pytest.importorskip("torch", reason=torch_missing)
    dy, weight = (rng.standard_normal(40).astype(dtype) for _ in range(2))
    tensor = torch.tensor(weight.astype(np.float64), requires_grad=True)
    expected = torch.nn.functional.normalize(tensor, dim=0)
    expected.backward(torch.tensor(dy.astype(np.float64)))
    tolerance = 1e-6 if dtype.itemsize > 2 else 8e-3
    for given in (None, np.ones(40)):
        w = fastnorm.spectral_norm(weight, given)
        np.testing.assert_allclose(w.astype(np.float64), expected.detach().numpy(), rtol=tolerance)
        gradient = fastnorm.spectral_norm_backward(dy, weight, given).weight
        np.testing.assert_allclose(
            gradient.astype(np.float64), tensor.grad.numpy(), rtol=4 * tolerance, atol=tolerance
        )
        assert given is None or (given == 1).all()
    assert not fastnorm.spectral_norm(np.zeros_like(weight), None).any()


def test_u_of_any_type_keeps_it(rng, dtype):
    _, weight, u = drawn(rng, np.float32)
    narrow = u.astype(dtype)
    for _ in range(60):
        fastnorm.spectral_norm(weight, narrow)
    assert narrow.dtype == dtype
    w = fastnorm.spectral_norm(weight, narrow, training=False)
    assert largest(w) == pytest.approx(1.0, abs=1e-6 if dtype.itemsize > 2 else 1e-4)


def test_u_that_cannot_be_updated(rng):
    _, weight, u = drawn(rng)
    fixed = u.copy()
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="u is read-only"):
        fastnorm.spectral_norm(weight, fixed)
    with pytest.raises(TypeError, match="u must be a NumPy array to be updated"):
        fastnorm.spectral_norm(weight, memoryview(u))
    expected = fastnorm.spectral_norm(weight, u, training=False)
    for value in (fixed, memoryview(u)):
        assert same_bits(fastnorm.spectral_norm(weight, value, training=False), expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_u_without_a_direction_is_refused(value, training, rng):
    dy, weight, u = drawn(rng)
    u[...] = 0
    u[2] = value
    with pytest.raises(ValueError, match="u has norm"):
        fastnorm.spectral_norm(weight, u, training=training)
    with pytest.raises(ValueError, match="u has norm"):
        fastnorm.spectral_norm_backward(dy, weight, u, training=training)


def test_a_call_that_fails_leaves_u(rng):
    _, weight, u = drawn(rng)
    before = u.copy()
    for options, error in (
        ({"out": np.zeros(3)}, ValueError),
        ({"eps": -1.0}, ValueError),
        ({"n_power_iterations": 0}, ValueError),
        ({"n_power_iterations": 1.5}, TypeError),
        ({"channel_axis": 1}, ValueError),
        ({"channel_axis": None}, TypeError),
    ):
        with pytest.raises(error):
            fastnorm.spectral_norm(weight, u, **options)
        assert same_bits(u, before)
    with pytest.raises(TypeError, match="u must be an array"):
        fastnorm.spectral_norm(weight, None)


@pytest.mark.parametrize("stats", [3, (1.0, 2.0), ("a", np.ones(6), np.ones(30))])
def test_statistics_of_another_kind_are_refused(stats, rng):
    dy, weight, u = drawn(rng)
    with pytest.raises(TypeError, match="stats must be"):
        fastnorm.spectral_norm_backward(dy, weight, u, stats=stats)


def test_statistics_of_another_weight_are_refused(rng):
    dy, weight, u = drawn(rng)
    _, stats = fastnorm.spectral_norm(weight[:, :4], u, return_stats=True)
    with pytest.raises(ValueError, match="of another weight"):
        fastnorm.spectral_norm_backward(dy, weight, u, stats=stats)


@pytest.mark.parametrize("shape", [(0, 5, 3), (4, 0, 3), (0,)])
def test_empty(shape, dtype):
    weight, u = np.empty(shape, dtype), np.ones(shape[0], dtype)
    w, stats = fastnorm.spectral_norm(weight, u, return_stats=True)
    assert w.shape == shape
    assert stats.sigma == 0
    assert (u == 1).all()
    assert fastnorm.spectral_norm_backward(weight, weight, u).weight.shape == shape


# Pieces of 60 values and tiles of 2 x 7: whole rows, parts of rows, tiles left over on both sides.
@pytest.mark.parametrize("channel_axis", [0, 1, -1])
@pytest.mark.parametrize("shape", [(13, 5, 3), (3, 130, 2), (3, 4, 11), (2, 3, 5, 9), (1, 1, 150)])
def test_pieces_and_tiles(shape, channel_axis, rng, dtype, monkeypatch):
    monkeypatch.setattr(_spectrum, "PIECE", 60)
    monkeypatch.setattr(_spectrum, "TILE", (2, 7))
    dy, weight = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    u = rng.standard_normal(shape[channel_axis])
    options = {"channel_axis": channel_axis, "n_power_iterations": 3}
    ndim = len(shape)
    tolerance = {2: 1e-2, 4: 1e-5, 8: 1e-12}[dtype.itemsize]
    for order in (c_order(ndim), channels_last(ndim), c_order(ndim)[::-1]):
        ours, theirs = u.copy(), u.copy()
        laid = [lay_out(values, dense(order)) for values in (dy, weight)]
        w, stats = fastnorm.spectral_norm(laid[1], ours, return_stats=True, **options)
        expected, exact = reference.spectral_norm(weight, theirs, return_stats=True, **options)
        assert stats.sigma == pytest.approx(exact.sigma, rel=min(tolerance, 1e-5))
        np.testing.assert_allclose(w.astype(np.float64), expected, rtol=tolerance)
        np.testing.assert_allclose(ours, theirs, atol=min(tolerance, 1e-5))
        gradient = fastnorm.spectral_norm_backward(*laid, ours, **options).weight
        expected = reference.spectral_norm_backward(dy, weight, theirs, **options).weight
        scale = abs(expected).max()
        np.testing.assert_allclose(
            gradient.astype(np.float64), expected, rtol=tolerance, atol=tolerance * scale
        )


def test_training_gives_the_same_bits(rng, dtype):
    """With a single step, whatever the threads and the view."""
    shape = (40, 300, 3, 3)
    dy, weight, u = drawn(rng, dtype, shape)

    def results(dy, weight):
        after = u.copy()
        w = fastnorm.spectral_norm(weight, after)
        gradient = fastnorm.spectral_norm_backward(dy, weight, after).weight
        return {"w": w, "u": after, "gradient": gradient}

    with fastnorm.num_threads(1):
        expected = results(dy, weight)
    for threads in (2, 5):
        with fastnorm.num_threads(threads):
            assert_same_bits(results(dy, weight), expected, f"{threads} threads")
    for name, layout in views_of_same_order(c_order(4)).items():
        views = [lay_out(values, layout) for values in (dy, weight)]
        assert_same_bits(results(*views), expected, name)


def test_layer_begins_with_15_steps(rng, dtype):
    _, weight, _ = drawn(rng, dtype)
    layer = fastnorm.SpectralNorm(weight, seed=3)
    u = np.random.default_rng(3).standard_normal(6).astype(dtype)
    _, stats = fastnorm.spectral_norm(weight, u, n_power_iterations=15, return_stats=True)
    assert same_bits(layer.weight_u, u)
    assert same_bits(layer.weight_v, stats.v.astype(dtype))
    again = fastnorm.SpectralNorm(weight, seed=np.random.default_rng(3))
    assert_same_bits(again.state_dict(), layer.state_dict(), "seed and generator")
    weight[...] = 0
    assert layer.weight_orig.any()


def test_layer_moves_its_vectors_in_training_alone(rng):
    dy, weight, _ = drawn(rng, shape=(20, 30))
    layer = fastnorm.SpectralNorm(weight).eval()
    before = layer.state_dict()
    w = layer()
    layer.backward(dy)
    assert_same_bits(layer.state_dict(), before, "evaluation")
    assert list(layer.grads) == ["weight_orig"]
    layer.train()()
    assert not same_bits(layer.weight_u, before["weight_u"])
    assert not same_bits(layer.weight_v, before["weight_v"])
    assert largest(layer()) < largest(w)


def test_layer_of_one_axis_has_no_vectors(rng):
    layer = fastnorm.SpectralNorm(rng.standard_normal(5))
    assert np.linalg.norm(layer()) == pytest.approx(1.0)
    assert list(layer.state_dict()) == ["weight_orig"]


def test_layer_loads_the_state_of_a_module():
    torch = pytest.importorskip("torch", reason=torch_missing)
    module = torch.nn.utils.spectral_norm(torch.nn.Conv2d(3, 4, 2, bias=False))
    for _ in range(200):
        module(torch.zeros(1, 3, 2, 2))
    layer = fastnorm.SpectralNorm(np.zeros((4, 3, 2, 2), np.float32))
    layer.load_state_dict(module.state_dict())
    assert set(layer.state_dict()) == set(module.state_dict())
    np.testing.assert_allclose(layer.eval()(), module.weight.detach().numpy(), rtol=1e-5)
