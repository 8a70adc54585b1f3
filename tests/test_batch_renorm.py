# SPDX-License-Identifier: BSD-3-Clause
"""What is special about `batch_renorm`: the correction, its limits, the running deviation."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastnorm
from cases import same_bits
from fastnorm import reference

WIDE = {"r_max": math.inf, "d_max": math.inf}


@pytest.fixture
def call(rng):
    """x, weight, bias, running mean and deviation; the channels are corrected differently."""
    x = (rng.normal(size=(6, 5, 4, 3)) * np.array([1, 9, 0.1, 2, 2])[:, None, None]).astype("f4")
    weight, bias = rng.normal(1.0, 0.5, (2, 5)).astype(np.float32)
    mean = np.array([0.0, 0.5, -2.0, 30.0, -30.0], np.float32)
    std = np.array([1.0, 1.5, 1.0, 2.0, 1.0], np.float32)
    return x, weight, bias, mean, std


def copied(call):
    """The same with running statistics that may change."""
    return (*call[:3], *(values.copy() for values in call[3:]))


def test_the_correction_stays_within_its_limits(call):
    x, *_, mean, std = call
    _, stats = fastnorm.batch_renorm(*copied(call), return_stats=True)
    found = fastnorm.moments(x, (0, 2, 3))
    deviation = np.sqrt(found.var + 1e-5)
    wide_mean, wide_std = mean.astype(float), std.astype(float)
    np.testing.assert_allclose(stats.r, np.clip(deviation / wide_std, 1 / 3, 3), rtol=1e-12)
    np.testing.assert_allclose(stats.d, np.clip((found.mean - wide_mean) / wide_std, -5, 5))
    assert {1 / 3, 3.0} < set(stats.r.tolist())
    assert {-5.0, 5.0} < set(stats.d.tolist())
    assert (stats.count, stats.mean.shape) == (72, (5,))


def test_gradients_where_nothing_is_at_its_limit(call, rng):
    """By PyTorch, with the correction detached."""
    torch = pytest.importorskip("torch")
    dy = rng.normal(size=call[0].shape)
    x, weight, bias, mean, std = (values.astype(np.float64) for values in call)
    options = WIDE | {"eps": 0.1}
    tensors = [torch.tensor(values, requires_grad=True) for values in (x, weight, bias)]
    leaf = tensors[0]
    wide = [torch.tensor(values).reshape(-1, 1, 1) for values in (mean, std)]
    centre = leaf.mean((0, 2, 3), keepdim=True)
    root = (leaf.var((0, 2, 3), correction=0, keepdim=True) + 0.1).sqrt()
    r, d = (root / wide[1]).detach(), ((centre - wide[0]) / wide[1]).detach()
    factor, summand = (parameter.reshape(-1, 1, 1) for parameter in tensors[1:])
    y = ((leaf - centre) / root * r + d) * factor + summand
    y.backward(torch.tensor(dy))
    for module in (reference, fastnorm):
        arguments = (x, weight, bias, mean, std)
        got, stats = module.batch_renorm(*copied(arguments), **options, return_stats=True)
        np.testing.assert_allclose(got, y.detach().numpy(), rtol=1e-10, atol=1e-11)
        for given in ({}, {"stats": stats}):
            gradients = module.batch_renorm_backward(dy, *arguments, **options, **given)
            for gradient, tensor in zip(gradients, tensors, strict=True):
                expected = tensor.grad.numpy()
                np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-11)


def test_without_limits_training_is_evaluation(call):
    """What the correction is for: the batch cancels out of the forward pass."""
    trained = fastnorm.batch_renorm(*copied(call), **WIDE)
    evaluated = fastnorm.batch_renorm(*call, training=False)
    np.testing.assert_allclose(trained, evaluated, rtol=1e-5, atol=1e-5)


def test_no_correction_is_batch_norm(call, rng):
    """At the beginning, with r_max=1 and d_max=0, and without running statistics."""
    x, weight, bias, mean, std = call
    dy = rng.standard_normal(x.shape).astype(np.float32)
    y = fastnorm.batch_norm(x, weight, bias)
    gradients = fastnorm.batch_norm_backward(dy, x, weight, bias)
    for arguments, limits in (
        ((x, weight, bias), {}),
        ((x, weight, bias, mean.copy(), std.copy()), {"r_max": 1, "d_max": 0}),
    ):
        assert same_bits(fastnorm.batch_renorm(*arguments, **limits), y)
        ours = fastnorm.batch_renorm_backward(dy, *arguments, **limits)
        assert all(same_bits(a, b) for a, b in zip(ours, gradients, strict=True))


def test_running_statistics_are_those_of_the_deviation(call):
    arguments = copied(call)
    x, *_, mean, std = arguments
    fastnorm.batch_renorm(*arguments, momentum=0.25, eps=0.5)
    found = fastnorm.moments(x, (0, 2, 3))
    for now, before, batch in (
        (mean, call[3], found.mean),
        (std, call[4], np.sqrt(found.var + 0.5)),
    ):
        np.testing.assert_allclose(now, 0.75 * before + 0.25 * batch, rtol=1e-6)


def test_the_gradient_after_the_running_statistics_moved(call, rng):
    """The statistics that the forward pass gave hold the correction it applied."""
    dy = rng.standard_normal(call[0].shape).astype(np.float32)
    right = fastnorm.batch_renorm_backward(dy, *call)
    moved = copied(call)
    _, stats = fastnorm.batch_renorm(*moved, momentum=0.5, return_stats=True)
    given = fastnorm.batch_renorm_backward(dy, *moved, stats=stats)
    assert all(same_bits(a, b) for a, b in zip(given, right, strict=True))
    assert not same_bits(fastnorm.batch_renorm_backward(dy, *moved).x, right.x)


@pytest.mark.parametrize("missing", [("weight",), ("bias",), ("weight", "bias")])
@pytest.mark.parametrize("training", [True, False])
def test_missing_parameters(call, missing, training, rng):
    names = ("x", "weight", "bias", "running_mean", "running_std")
    named = dict(zip(names, call, strict=True)) | dict.fromkeys(missing)
    ones = {"weight": np.ones(5, np.float32), "bias": np.zeros(5, np.float32)}
    full = named | {name: ones[name] for name in missing}
    dy = rng.standard_normal(call[0].shape).astype(np.float32)

    def y_of(arguments):
        running = {name: arguments[name].copy() for name in names[3:]}
        return fastnorm.batch_renorm(**(arguments | running), training=training)

    assert same_bits(y_of(named), y_of(full))
    gradients = fastnorm.batch_renorm_backward(dy, **named, training=training)
    wanted = fastnorm.batch_renorm_backward(dy, **full, training=training)
    for name, got, want in zip(gradients._fields, gradients, wanted, strict=True):
        assert got is None if name in missing else same_bits(got, want)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"running_std": np.array([1, 1, 0, 1, 1.0])}, ValueError, "running_std has a 0.0"),
        ({"running_std": np.array([1, 1, -2, 1, 1.0])}, ValueError, "running_std has a -2.0"),
        ({"running_std": None}, ValueError, "running_std is None"),
        ({"running_mean": None}, ValueError, "running_mean is None"),
        ({"running_mean": np.ones(4)}, ValueError, r"running_mean has shape \(4,\)"),
        (
            {"training": False, "running_mean": None, "running_std": None},
            ValueError,
            "running_mean is None",
        ),
        ({"r_max": 0.5}, ValueError, "r_max .*0.5"),
        ({"r_max": math.nan}, ValueError, "r_max .*nan"),
        ({"r_max": "3"}, TypeError, "r_max .*'3'"),
        ({"d_max": -1.0}, ValueError, "d_max .*-1.0"),
        ({"x": np.ones((1, 5), np.float32)}, ValueError, "single value"),
    ],
)
def test_refuses_and_writes_nothing(call, change, error, words):
    names = ("x", "weight", "bias", "running_mean", "running_std")
    named = dict(zip(names, copied(call), strict=True)) | change
    before = {name: value.copy() for name, value in named.items() if name in names[3:] and
              value is not None}  # fmt: skip
    out = np.full_like(named["x"], 7)
    with pytest.raises(error, match=words):
        fastnorm.batch_renorm(**named, out=out)
    with pytest.raises(error, match=words):
        fastnorm.batch_renorm_backward(named["x"], **named, out=out)
    assert (out == 7).all()
    assert all(same_bits(named[name], value) for name, value in before.items())


def test_refuses_what_only_training_writes(call):
    call[4].flags.writeable = False
    with pytest.raises(ValueError, match="running_std is read-only"):
        fastnorm.batch_renorm(*call)
    fastnorm.batch_renorm(*call, training=False)
    with pytest.raises(ValueError, match="momentum"):
        fastnorm.batch_renorm(*copied(call), momentum=2.0)


@pytest.mark.parametrize("stats", [1.0, (), (0, 0, 1)])
def test_refuses_statistics_that_are_none(call, stats):
    with pytest.raises(TypeError, match=r"stats .*\(mean, var, count, r, d\)"):
        fastnorm.batch_renorm_backward(call[0], *call, stats=stats)


def test_refuses_statistics_of_another_mode(call):
    _, stats = fastnorm.batch_renorm(*call, training=False, return_stats=True)
    with pytest.raises(ValueError, match=r"stats\.count is 0, expected 72"):
        fastnorm.batch_renorm_backward(call[0], *call, stats=stats)
    for name in ("r", "d"):
        wrong = stats._replace(**{name: np.ones(4)})
        with pytest.raises(ValueError, match=rf"stats\.{name} has shape"):
            fastnorm.batch_renorm_backward(call[0], *call, training=False, stats=wrong)


def test_a_constant_channel_without_eps(rng):
    """1 / std is defined as 0: what is left is the correction's summand."""
    x = rng.standard_normal((4, 2, 3))
    x[:, 0] = 7.0
    mean, std = np.array([6.0, 0.0]), np.array([0.5, 1.0])
    y, stats = fastnorm.batch_renorm(x, None, None, mean, std, eps=0, return_stats=True)
    assert (y[:, 0] == 2.0).all()
    assert stats.r[0] == 1 / 3
    gradients = fastnorm.batch_renorm_backward(np.ones_like(x), x, eps=0, stats=stats)
    assert not gradients.x[:, 0].any()


# ---- the layer -----------------------------------------------------------------------------------


def test_limits_of_the_layer_may_change(rng):
    """As training goes on: batch norm first, then wider."""
    layer = fastnorm.BatchRenorm(3, r_max=1.0, d_max=0.0)
    x, dy = rng.normal(4.0, 2.0, (2, 8, 3, 5)).astype(np.float32)
    assert same_bits(layer(x), fastnorm.BatchNorm(3)(x))
    layer.r_max, layer.d_max = 2.0, 3.0
    mean, std = layer.running_mean.copy(), layer.running_std.copy()
    y = layer(x)
    arguments = (x, layer.weight, layer.bias, mean.copy(), std.copy())
    assert same_bits(y, fastnorm.batch_renorm(*arguments, r_max=2.0, d_max=3.0))
    layer.r_max, layer.d_max = 1.0, 0.0  # between the passes: the gradient is that of the call
    arguments = (x, layer.weight, layer.bias, mean, std)
    wanted = fastnorm.batch_renorm_backward(dy, *arguments, r_max=2.0, d_max=3.0)
    assert same_bits(layer.backward(dy), wanted.x)
    assert same_bits(layer.grads["weight"], wanted.weight)
    layer.r_max = 0.5
    with pytest.raises(ValueError, match=r"r_max .*0.5"):
        layer(x)


def test_the_layer_starts_with_a_deviation_of_one(rng):
    layer = fastnorm.BatchRenorm(3, dtype=np.float64)
    x = rng.normal(4.0, 2.0, (8, 3, 5))
    np.testing.assert_array_equal(layer.eval()(x), x)
    layer.train()(x)
    layer(x[:0])
    assert layer.num_batches_tracked == 1
    assert list(layer.state_dict()) == [
        "weight", "bias", "running_mean", "running_std", "num_batches_tracked",
    ]  # fmt: skip
    layer.reset_running_stats()
    assert (layer.running_std == 1).all()
    assert (layer.running_mean == 0).all()


def test_the_layer_averages_its_batches(rng):
    layer = fastnorm.BatchRenorm(3, momentum=None, dtype=np.float64, eps=0)
    x = rng.normal(4.0, 2.0, (8, 3, 5))
    layer(x)
    layer(3 * x)
    np.testing.assert_allclose(layer.running_mean, 2 * x.mean((0, 2)), rtol=1e-12)
    np.testing.assert_allclose(layer.running_std, 2 * x.std((0, 2)), rtol=1e-12)
