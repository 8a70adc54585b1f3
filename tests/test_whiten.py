# SPDX-License-Identifier: BSD-3-Clause
"""What is special about whitening: its methods, ranks, ties, groups and BLAS."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from cases import same_bits
from fastnorm import reference
from fastnorm._whitening_matrices import METHODS
from gradcheck import assert_gradients
from tolerance import largest

EXACT = ("zca", "pca", "cholesky")  # those whose y is white, as far as eps lets it
every_method = pytest.mark.parametrize("method", METHODS)


def mixed(rng, samples, channels, dtype=np.float64):
    """Correlated channels of different size, around a mean of their own."""
    mixture = rng.normal(size=(channels, channels)) + 2 * np.eye(channels)
    return (rng.normal(size=(samples, channels)) @ mixture + rng.normal(size=channels)).astype(
        dtype
    )


def covariance(y):
    """Biased, of float64 samples."""
    return np.cov(y.astype(np.float64).T, ddof=0).reshape(y.shape[1], y.shape[1])


@pytest.mark.parametrize("method", EXACT)
def test_covariance_becomes_the_identity(method):
    x = mixed(np.random.default_rng(0), 500, 7)
    y = fastnorm.whiten(x, method=method, eps=0)
    np.testing.assert_allclose(covariance(y), np.eye(7), atol=1e-12)
    y, stats = fastnorm.whiten(x, method=method, eps=0.5, return_stats=True)
    w = stats.whitening[0]
    np.testing.assert_allclose(covariance(y), np.eye(7) - 0.5 * w @ w.T, atol=1e-12)


def test_iterations_approach_zca():
    rng = np.random.default_rng(1)
    x = mixed(rng, 400, 6) + 3 * rng.normal(size=(400, 6))
    y, stats = fastnorm.whiten(x, return_stats=True)
    sigma = stats.covariance[0] + 1e-5 * np.eye(6)
    errors = []
    for iterations in (1, 2, 3, 4, 5, 6):
        options = {"method": "iterative", "iterations": iterations, "return_stats": True}
        _, found = fastnorm.whiten(x, **options)
        w = found.whitening[0]
        errors.append(np.linalg.norm(w @ sigma @ w.T - np.eye(6)))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.5
    assert errors[-1] < 1e-3
    close = fastnorm.whiten(x, method="iterative", iterations=9)
    np.testing.assert_allclose(close, y, atol=1e-9)


def test_five_iterations_are_not_there_yet():
    """Many equal eigenvalues need a factor that five steps do not reach."""
    x = np.random.default_rng(2).normal(size=(4096, 128))
    assert 0.5 < fastnorm.whiten(x, method="iterative").std() < 0.7


def test_zca_is_the_whitening_closest_to_its_input():
    rng = np.random.default_rng(3)
    x = mixed(rng, 300, 5)
    x -= x.mean(axis=0)
    zca = np.linalg.norm(fastnorm.whiten(x, eps=0) - x)
    for method in ("pca", "cholesky"):
        other = fastnorm.whiten(x, method=method, eps=0)
        assert np.linalg.norm(other - x) > zca
    rotation, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    assert np.linalg.norm(fastnorm.whiten(x, eps=0) @ rotation - x) > zca


def test_cholesky_does_not_look_ahead():
    x = mixed(np.random.default_rng(4), 50, 4)
    _, stats = fastnorm.whiten(x, method="cholesky", return_stats=True)
    assert not np.triu(stats.whitening[0], 1).any()
    np.testing.assert_allclose(
        fastnorm.whiten(x[:, :2], method="cholesky"),
        fastnorm.whiten(x, method="cholesky")[:, :2],
        rtol=1e-12,
    )


def test_pca_descends_and_has_one_sign():
    x = mixed(np.random.default_rng(5), 200, 6)
    y, stats = fastnorm.whiten(x, method="pca", return_stats=True)
    assert (np.diff(stats.eigenvalues[0]) < 0).all()
    for vector in stats.eigenvectors[0].T:
        size = np.abs(vector)
        assert vector[np.argmax(size >= 0.6 * size.max())] > 0
    mirrored = 2 * x.mean(axis=0) - x
    np.testing.assert_allclose(fastnorm.whiten(mirrored, method="pca"), -y, atol=1e-9)
    equal = np.array([[1.0, 1.0], [-1.0, -1.0], [2.0, -2.0], [-2.0, 2.0]])
    np.testing.assert_allclose(
        fastnorm.whiten(equal, method="pca", return_stats=True)[1].eigenvectors[0],
        np.array([[1, 1], [-1, 1]]) / np.sqrt(2),
        atol=1e-15,
    )


@every_method
@pytest.mark.parametrize("shape", [(64, 5), (4, 5, 33), (3, 5, 6, 7)])
def test_one_channel_per_group_is_batch_norm(method, shape, dtype):
    rng = np.random.default_rng(6)
    x, dy = (rng.normal(0.5, 2.0, shape).astype(dtype) for _ in range(2))
    options = {"method": method, "groups": 5}
    steps = 3 * np.finfo(np.float32).eps if dtype == np.float64 else None
    for ours, theirs in (
        (fastnorm.whiten(x, **options), fastnorm.batch_norm(x)),
        (fastnorm.whiten_backward(dy, x, **options).x, fastnorm.batch_norm_backward(dy, x).x),
    ):
        ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
        unit = {2: 2**-7, 4: 2**-22, 8: 2**-48}[x.dtype.itemsize]
        assert steps is None or unit < steps
        np.testing.assert_allclose(ours, theirs, rtol=unit, atol=unit * largest(theirs) / 4)


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("mean", [0.0, 1e6])
@pytest.mark.parametrize("order", ["C", "F"])
def test_exact_at_large_means(method, mean, order):
    """The blocks are of many sizes here: samples that fill one, and that do not."""
    rng = np.random.default_rng(7)
    x = np.asarray(rng.normal(mean, 1.0, (9, 24, 41, 17)).astype(np.float32), order=order)
    y, stats = fastnorm.whiten(x, method=method, groups=2, return_stats=True)
    want, exact = reference.whiten(x, method=method, groups=2, return_stats=True)
    assert np.abs(y - want).max() < 1e-6
    assert np.abs(stats.covariance - exact.covariance).max() < 1e-9


@every_method
def test_fewer_samples_than_channels(method):
    """eps decides: y is 0 in the directions without variance, whatever the gain there."""
    rng = np.random.default_rng(8)
    x = mixed(rng, 4, 6)
    dy = rng.normal(size=x.shape)
    y = fastnorm.whiten(x, method=method)
    np.testing.assert_allclose(y, reference.whiten(x, method=method), atol=1e-7)
    assert np.linalg.matrix_rank(y, tol=1e-5) == 3
    if method == "pca":
        return  # directions without variance turn freely
    gradient = fastnorm.whiten_backward(dy, x, method=method, eps=0.1).x
    assert_gradients(lambda v: reference.whiten(v, method=method, eps=0.1), [gradient], dy, [x])


@every_method
def test_singular_without_eps(method):
    rng = np.random.default_rng(9)
    x = rng.normal(3.0, 1.0, (50, 4))
    x[:, 2] = x[:, 0] - x[:, 1]
    if method == "cholesky":
        out = np.zeros_like(x)
        with pytest.raises(ValueError, match=r"eps=0.*cholesky.*singular"):
            fastnorm.whiten(x, method=method, eps=0, out=out)
        assert not out.any()
        return
    y = fastnorm.whiten(x, method=method, eps=0)
    assert np.isfinite(y).all()
    assert np.isfinite(fastnorm.whiten_backward(y[::-1], x, method=method, eps=0).x).all()
    if method != "iterative":
        eigenvalues = np.linalg.eigvalsh(covariance(y))
        np.testing.assert_allclose(eigenvalues, [0, 1, 1, 1], atol=1e-10)


@pytest.mark.parametrize("method", ["zca", "pca", "iterative"])
def test_constant_groups_give_zero(method):
    x = np.full((30, 4), 1e7 / 3)
    x[:, 2:] = np.random.default_rng(10).normal(size=(30, 2))
    for eps in (0, 1e-5):
        options = {"method": method, "groups": 2, "eps": eps}
        assert not fastnorm.whiten(x, **options)[:, :2].any()
        assert np.isfinite(fastnorm.whiten_backward(x[::-1] / 1e7, x, **options).x).all()


@pytest.mark.parametrize("method", ["zca", "cholesky", "iterative"])
def test_gradient_at_equal_eigenvalues(method):
    """Four corners of a square, and of a cube: every eigenvalue is the same."""
    corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), -1).reshape(-1, 3)
    dy = np.random.default_rng(11).normal(size=corners.shape)
    gradient = fastnorm.whiten_backward(dy, corners, method=method, eps=0.1).x
    assert_gradients(
        lambda x: reference.whiten(x, method=method, eps=0.1), [gradient], dy, [corners]
    )


def test_pca_gradient_is_finite_at_equal_eigenvalues():
    square = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert np.isfinite(fastnorm.whiten_backward(square[::-1], square, method="pca").x).all()


@every_method
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_what_is_not_finite_stays_in_its_group(method, value):
    x = mixed(np.random.default_rng(12), 40, 6)
    options = {"method": method, "groups": 3}
    y = fastnorm.whiten(x, **options)
    x[7, 3] = value
    bad = fastnorm.whiten(x, **options)
    assert np.isnan(bad[:, 2:4]).all()
    assert same_bits(bad[:, [0, 1, 4, 5]], y[:, [0, 1, 4, 5]])


@pytest.mark.parametrize("width", [1, 3, 16, 33, 64])
@pytest.mark.parametrize("channel_axis", [1, -1])
def test_bits_do_not_depend_on_the_threads_of_blas(width, channel_axis):
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="sets the threads of NumPy's BLAS")
    rng = np.random.default_rng(13)
    shape = (6, 2 * width, 23, 19) if channel_axis == 1 else (6, 23, 19, 2 * width)
    x, dy = rng.normal(size=(2, *shape)).astype(np.float32)
    options = {"groups": 2, "channel_axis": channel_axis}

    def results():
        for method in METHODS:
            yield fastnorm.whiten(x, method=method, **options)
            yield fastnorm.whiten_backward(dy, x, method=method, **options).x

    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        alone = list(results())
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        assert all(map(same_bits, results(), alone))


def test_running_statistics():
    rng = np.random.default_rng(14)
    mean, matrices = np.zeros(6, np.float32), np.tile(np.eye(3, dtype=np.float32), (2, 1, 1))
    x = mixed(rng, 60, 6, np.float32)
    _, stats = fastnorm.whiten(x, mean, matrices, momentum=0.25, groups=2, return_stats=True)
    np.testing.assert_allclose(mean, 0.25 * stats.mean, rtol=1e-6)
    np.testing.assert_allclose(matrices, 0.75 * np.eye(3) + 0.25 * stats.whitening, rtol=1e-6)
    before = mean.copy(), matrices.copy()
    fastnorm.whiten(x, mean, matrices, groups=2, training=False)
    fastnorm.whiten(x[:0], mean, matrices, groups=2)
    fastnorm.whiten_backward(x, x, mean, matrices, groups=2)
    assert same_bits(mean, before[0])
    assert same_bits(matrices, before[1])
    x[0, 0] = np.nan  # as in batch_norm, they take what the batch has
    fastnorm.whiten(x, mean, matrices, groups=2)
    assert np.isnan(matrices[0]).all()
    assert np.isfinite(matrices[1]).all()


def test_momentum_of_one_makes_evaluation_the_same():
    x = mixed(np.random.default_rng(15), 60, 4)
    layer = fastnorm.Whitening(4, momentum=1.0, dtype=np.float64)
    y = layer(x)
    np.testing.assert_allclose(layer.eval()(x), y, atol=1e-12)
    layer.reset_running_stats()
    np.testing.assert_array_equal(layer(x), x)


@every_method
@pytest.mark.parametrize("training", [True, False])
def test_layer_with_parameters(method, training):
    """The weight is in the matrices: against the function, scaled and shifted afterwards."""
    rng = np.random.default_rng(16)
    x, dy = mixed(rng, 90, 6), rng.normal(size=(90, 6))
    layer = fastnorm.Whitening(6, method, groups=2, dtype=np.float64)
    layer(x + rng.normal(size=x.shape))
    layer.train(training)
    layer.weight[...] = rng.normal(1.0, 0.3, 6)
    layer.bias[...] = rng.normal(size=6)
    running = {"running_mean": layer.running_mean, "running_whitening": layer.running_wm}
    options = {"method": method, "groups": 2, "training": training}
    kept = {name: value.copy() for name, value in running.items()}
    xh = reference.whiten(x, **kept, **options)
    wanted = reference.whiten_backward(dy * layer.weight, x, **kept, **options).x
    np.testing.assert_allclose(layer(x), xh * layer.weight + layer.bias, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(layer.backward(dy), wanted, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(layer.grads["weight"], (dy * xh).sum(axis=0), rtol=1e-10)
    np.testing.assert_allclose(layer.grads["bias"], dy.sum(axis=0), rtol=1e-10)


def test_gradient_may_be_the_input_itself():
    """The sums behind the weight's gradient take dy as it is, and x less the running mean."""
    x = mixed(np.random.default_rng(19), 50, 4)
    layer = fastnorm.Whitening(4, dtype=np.float64)
    layer(x)
    layer.eval()(x)
    layer.backward(x)
    kept = layer.grads["weight"]
    layer.backward(x.copy())
    np.testing.assert_array_equal(kept, layer.grads["weight"])
    np.testing.assert_allclose(kept, (x * layer(x)).sum(axis=0))


@pytest.mark.parametrize(
    ("shape", "groups"), [((3, 300), 300), ((2, 200, 3), 2), ((70000, 2), 1), ((2, 3, 4, 500), 3)]
)
def test_blocks_of_every_size(shape, groups):
    """One run and many, whole and filled up, some groups at a time; both memory orders."""
    rng = np.random.default_rng(20)
    for order in ("C", "F"):
        x, dy = (np.asarray(rng.normal(size=shape), order=order) for _ in range(2))
        options = {"method": "iterative", "groups": groups, "eps": 0.1}
        ours, want = (module.whiten(x, **options) for module in (fastnorm, reference))
        np.testing.assert_allclose(ours, want, atol=1e-12 * largest(want))
        ours, want = (m.whiten_backward(dy, x, **options).x for m in (fastnorm, reference))
        np.testing.assert_allclose(ours, want, atol=1e-11 * largest(want))


def test_layer_without_running_statistics():
    x = mixed(np.random.default_rng(17), 30, 4, np.float32)
    layer = fastnorm.Whitening(4, track_running_stats=False, affine=False)
    assert layer.state_dict() == {}
    assert same_bits(layer.eval()(x), fastnorm.whiten(x))
    assert set(fastnorm.Whitening(4).state_dict()) == {
        "weight", "bias", "running_mean", "running_wm",
    }  # fmt: skip


def test_bad_options():
    x = np.zeros((8, 6), np.float32)
    for options, error, words in (
        ({"method": "lu"}, ValueError, "method.*zca.*'lu'"),
        ({"method": 1}, TypeError, "method"),
        ({"groups": 4}, ValueError, "groups=4 does not divide the 6 channels"),
        ({"groups": 0}, ValueError, "groups"),
        ({"iterations": 0}, ValueError, "iterations"),
        ({"iterations": 2.0}, TypeError, "iterations"),
        ({"momentum": 2.0}, ValueError, "momentum"),
        ({"training": False}, ValueError, "running_mean is None"),
    ):
        with pytest.raises(error, match=words):
            fastnorm.whiten(x, **options)
    with pytest.raises(ValueError, match="single value"):
        fastnorm.whiten(x[:1])
    with pytest.raises(ValueError, match="axes"):
        fastnorm.whiten(x[0], channel_axis=0)


def test_bad_stats():
    x = np.random.default_rng(18).normal(size=(8, 6))
    _, stats = fastnorm.whiten(x, method="cholesky", return_stats=True)
    for bad, error, words in (
        (stats[:3], TypeError, "stats must be"),
        (stats._replace(count=9), ValueError, "count is 9, expected 8"),
        (stats._replace(mean=np.zeros(5)), ValueError, "stats.mean"),
        (stats._replace(covariance=None), TypeError, "stats.covariance"),
    ):
        with pytest.raises(error, match=words):
            fastnorm.whiten_backward(x, x, method="cholesky", stats=bad)
    with pytest.raises(TypeError, match=r"stats\.eigenvalues"):
        fastnorm.whiten_backward(x, x, stats=stats)
