# SPDX-License-Identifier: BSD-3-Clause
"""`filter_response_norm`: its threshold, its learned eps, and planes of few values."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fastnorm
from cases import same_bits
from fastnorm import reference
from tolerance import assert_within, largest, relative, stored

NAMES = ("weight", "bias", "threshold", "learned_eps")


def draw(rng, dtype=np.float64, shape=(3, 4, 5, 6)):
    """dy, x, and the parameters by name."""
    dy, x = rng.standard_normal((2, *shape)).astype(dtype)
    values = rng.normal(1, 0.1, 4), rng.normal(0, 0.1, 4), rng.normal(0, 0.1, 4), np.array([-0.3])
    return dy, x, {name: value.astype(dtype) for name, value in zip(NAMES, values, strict=True)}


@pytest.mark.parametrize(
    "missing", [*((name,) for name in NAMES), ("weight", "bias"), ("threshold", "weight"), NAMES]
)
def test_missing_parameters(missing, dtype, rng):
    dy, x, arguments = draw(rng, dtype)
    arguments |= dict.fromkeys(missing)
    y, wanted = (f.filter_response_norm(x, **arguments) for f in (fastnorm, reference))
    assert_within(y, wanted, stored(wanted, dtype) + 8 * relative(x) * largest(wanted), "y")
    ours, theirs = (
        f.filter_response_norm_backward(dy, x, **arguments) for f in (fastnorm, reference)
    )
    for name in ours._fields:
        got, want = getattr(ours, name), getattr(theirs, name)
        assert (got is None) == (want is None) == (name in missing)
        if got is not None:
            bound = stored(want, dtype) + 64 * relative(x) * max(1, largest(want))
            assert_within(got, want, bound, name)


def test_without_a_threshold_it_is_rms_norm(rng):
    _, x, _ = draw(rng, np.float32)
    expected = fastnorm.rms_norm(x, axis=(2, 3))
    assert same_bits(fastnorm.filter_response_norm(x), expected)
    least = fastnorm.filter_response_norm(x, threshold=np.full(4, -100, np.float32))
    assert np.max(np.abs(least - expected)) <= 1e-6


def test_where_the_result_meets_the_threshold_dy_goes_to_the_threshold():
    x = np.array([[[0.0, 2.0, -2.0, 0.0]]], np.float32)
    dy = np.array([[[1.0, 10.0, 100.0, 1000.0]]], np.float32)
    tau = np.zeros(1, np.float32)
    for module in (fastnorm, reference):
        gradients = module.filter_response_norm_backward(dy, x, None, np.zeros(1), tau)
        assert gradients.threshold == [1101]
        assert gradients.bias == [10]


@pytest.mark.parametrize("threshold", [0.0, 100.0, np.inf])
def test_nan_comes_through_the_maximum(threshold):
    x = np.ones((2, 2, 3), np.float32)
    x[1, 0, 1] = np.nan
    y = fastnorm.filter_response_norm(x, threshold=np.full(2, threshold))
    assert np.isnan(y[1, 0]).all()
    assert np.isfinite(y[0]).all() or threshold == np.inf
    nothing = fastnorm.filter_response_norm(np.ones((1, 2, 3)), threshold=np.full(2, np.nan))
    assert np.isnan(nothing).all()


def test_a_plane_of_one_value_is_its_sign():
    x = np.array([-3.0, 0.0, 1e-3, 5.0]).reshape(1, 4, 1, 1)
    expected = x / np.sqrt(x**2 + 1e-6)
    np.testing.assert_allclose(fastnorm.filter_response_norm(x), expected, rtol=1e-14)
    dx = fastnorm.filter_response_norm_backward(np.ones_like(x), x).x
    np.testing.assert_allclose(dx, 1e-6 / (x**2 + 1e-6) ** 1.5, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("eps", [1e-6, 0.0])
def test_planes_of_zeros(eps, rng):
    dy, x, arguments = draw(rng, np.float32)
    x[1, 2] = 0
    y = fastnorm.filter_response_norm(x, arguments["weight"], arguments["bias"], eps=eps)
    assert (y[1, 2] == arguments["bias"][2]).all()
    dx = fastnorm.filter_response_norm_backward(dy, x, eps=eps).x
    gain = 1 / np.sqrt(eps) if eps else 0.0
    np.testing.assert_allclose(dx[1, 2], dy[1, 2] * gain, rtol=1e-6)


def test_learned_eps_is_added_by_its_size(rng):
    """That of Lubana et al. stands alone, which is eps=0 here."""
    dy, x, arguments = draw(rng)
    learned = arguments.pop("learned_eps")
    alone = fastnorm.filter_response_norm(x, **arguments, eps=0.3)
    for value in (learned, -learned, learned[0], learned.reshape(())):
        value = np.asarray(value)
        y = fastnorm.filter_response_norm(x, **arguments, learned_eps=value, eps=0)
        assert same_bits(y, alone)
    gradients = [
        fastnorm.filter_response_norm_backward(dy, x, **arguments, learned_eps=value, eps=0.1)
        for value in (learned, -learned, 0 * learned, learned.reshape(()))
    ]
    deps = [found.learned_eps for found in gradients]
    assert deps[0] == -deps[1] != 0
    assert deps[2] == 0
    assert deps[3].shape == ()
    assert deps[3] == deps[0]


def test_learned_eps_of_every_type(rng):
    dy, x, _ = draw(rng, np.float32)
    for kind in (np.float16, ml_dtypes.bfloat16, np.float64):
        learned = np.full(1, 0.25, kind)
        y = fastnorm.filter_response_norm(x, learned_eps=learned)
        assert same_bits(y, fastnorm.filter_response_norm(x, eps=0.25 + 1e-6))
        found = fastnorm.filter_response_norm_backward(dy, x, learned_eps=learned).learned_eps
        assert found.dtype == kind


@pytest.mark.parametrize("shape", [(2,), (1, 1), (0,)])
def test_learned_eps_of_another_shape(shape, rng):
    _, x, _ = draw(rng)
    with pytest.raises(ValueError, match=r"learned_eps has shape .* expected \(\) or \(1,\)"):
        fastnorm.filter_response_norm(x, learned_eps=np.zeros(shape))


def test_samples_do_not_touch_each_other(rng, dtype):
    dy, x, arguments = draw(rng, dtype)
    whole = fastnorm.filter_response_norm(x, **arguments)
    dx = fastnorm.filter_response_norm_backward(dy, x, **arguments).x
    for one in (slice(i, i + 1) for i in range(len(x))):
        assert same_bits(fastnorm.filter_response_norm(x[one], **arguments), whole[one])
        alone = fastnorm.filter_response_norm_backward(dy[one], x[one], **arguments).x
        assert same_bits(alone, dx[one])


def test_what_is_refused(rng):
    _, x, _ = draw(rng)
    with pytest.raises(ValueError, match="at least 3 axes"):
        fastnorm.filter_response_norm(x[0, 0])
    with pytest.raises(ValueError, match="axis 0"):
        fastnorm.filter_response_norm(x, channel_axis=0)
    _, stats = fastnorm.filter_response_norm(x[..., 1:], return_stats=True)
    with pytest.raises(ValueError, match="count"):
        fastnorm.filter_response_norm_backward(x, x, stats=stats)


def test_layer_without_its_options(rng):
    layer = fastnorm.FilterResponseNorm(4, threshold=False)
    assert list(layer.state_dict()) == ["weight", "bias"]
    full = fastnorm.FilterResponseNorm(4, learned_eps=True)
    assert list(full.state_dict()) == ["weight", "bias", "tau", "eps_learned"]
    dy, x, _ = draw(rng, np.float32)
    assert same_bits(layer(x), fastnorm.filter_response_norm(x, layer.weight, layer.bias))
    layer.backward(dy)
    assert set(layer.grads) == {"weight", "bias"}
    assert (fastnorm.FilterResponseNorm(4)(x) >= 0).all()


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 0, 3), (2, 4, 0)])
def test_empty(shape, dtype):
    x, parameter = np.empty(shape, dtype), np.ones(shape[1], dtype)
    given = (parameter, parameter, parameter, np.ones(1, dtype))
    assert fastnorm.filter_response_norm(x, *given).shape == shape
    gradients = fastnorm.filter_response_norm_backward(x, x, *given)
    assert gradients.x.shape == shape
    assert not any(gradient.any() for gradient in gradients[1:])
