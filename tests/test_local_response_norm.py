# SPDX-License-Identifier: BSD-3-Clause
"""`local_response_norm`: windows, blocks, ranges that float32 does not hold, and zeros."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastnorm
from cases import same_bits
from fastnorm import reference
from layouts import c_order, channels_last, dense, lay_out
from tolerance import assert_within, largest, relative, stored

STRONG = {"alpha": 0.7, "k": 0.5}


def check(dy, x, size=5, growth=8.0, **options):
    """y and dx within a few roundings of their largest terms."""
    y = fastnorm.local_response_norm(x, size, **options)
    y64 = reference.local_response_norm(x, size, **options)
    assert_within(y, y64, stored(y64, x.dtype) + growth * relative(x) * largest(y64), "y")
    dx = fastnorm.local_response_norm_backward(dy, x, size, **options).x
    dx64 = reference.local_response_norm_backward(dy, x, size, **options).x
    bound = stored(dx64, x.dtype) + 4 * growth * relative(x) * largest(dx64)
    assert_within(dx, dx64, bound, "dx")


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 13, 1000])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.75, 1.0, 1.7])
def test_any_window_in_any_blocks(size, beta, rng):
    """One block of part of a tile, some tiles, some rows, more than a block holds, no window."""
    for shape, axis in (
        *(((2, 7, 5, 6), 1), ((3, 60, 11, 13), 1), ((3, 5, 40), -1), ((150, 70), -1)),
        *(((1, 300, 35), 1), ((2, 5000), -1), ((5, 1), 1)),
    ):
        x, dy = rng.standard_normal((2, *shape), dtype=np.float32)
        check(dy, x, size, beta=beta, channel_axis=axis, **STRONG)


@pytest.mark.parametrize("order", [c_order(4), channels_last(4), (3, 1, 0, 2)], ids=str)
def test_blocks_change_no_bits(order, dtype, rng):
    """Neither do they in place, where a value is written before its neighbours are."""
    shape = (2, 90, 7, 11)
    x, dy = (lay_out(v, dense(order)) for v in rng.standard_normal((2, *shape)).astype(dtype))
    y = fastnorm.local_response_norm(x, 4, **STRONG)
    for i, j in np.ndindex(shape[0], shape[3]):
        part = np.s_[i : i + 1, :, :, j : j + 1]
        assert same_bits(fastnorm.local_response_norm(x[part], 4, **STRONG), y[part])
    dx = fastnorm.local_response_norm_backward(dy, x, 4, **STRONG).x
    for target in (dy, x):
        inputs = [dy.copy(order="K"), x.copy(order="K")]
        out = inputs[0] if target is dy else inputs[1]
        fastnorm.local_response_norm_backward(*inputs, 4, out=out, **STRONG)
        assert same_bits(out, dx)
    fastnorm.local_response_norm(x, 4, out=x, **STRONG)
    assert same_bits(x, y)


def test_even_windows_reach_further_back(rng):
    """PyTorch's choice; that of ONNX is the mirror image."""
    x = rng.standard_normal((2, 9, 4))
    theirs = fastnorm.local_response_norm(x[:, ::-1], 4, **STRONG)[:, ::-1]
    ours = fastnorm.local_response_norm(x, 4, **STRONG)
    base = (x / ours) ** (4 / 3)
    np.testing.assert_allclose(base[:, 0], 0.5 + 0.175 * (x[:, :2] ** 2).sum(1), rtol=1e-12)
    base = (x / theirs) ** (4 / 3)
    np.testing.assert_allclose(base[:, 0], 0.5 + 0.175 * (x[:, :3] ** 2).sum(1), rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e12, 1e20, 1e30])
@pytest.mark.parametrize("axis", [1, -1])
def test_squares_beyond_float32(scale, axis, rng):
    x, dy = rng.standard_normal((2, 3, 8, 5, 8), dtype=np.float32)
    x *= np.float32(scale)
    for options in ({"beta": 0.75}, {"beta": 0.5, "k": 0.0, "alpha": 5.0}, {"beta": 1.7}):
        check(dy, x, channel_axis=axis, **options)


def test_one_large_value_changes_nothing_elsewhere(rng):
    """Its place is computed in float64; others keep their bits."""
    x, dy = rng.standard_normal((2, 3, 8, 5), dtype=np.float32)
    y, dx = fastnorm.local_response_norm(x), fastnorm.local_response_norm_backward(dy, x).x
    spoilt = x.copy()
    spoilt[1, 4, 2] = 1e30
    check(dy, spoilt)
    elsewhere = np.ones((3, 5), bool)
    elsewhere[1, 2] = False
    for found, other in (
        (fastnorm.local_response_norm(spoilt), y),
        (fastnorm.local_response_norm_backward(dy, spoilt).x, dx),
    ):
        assert same_bits(found.swapaxes(1, 2)[elsewhere], other.swapaxes(1, 2)[elsewhere])


def test_infinite_value():
    y = fastnorm.local_response_norm(np.array([[1.0, np.inf, 2.0, 3.0, 4.0]]), 3)
    np.testing.assert_array_equal(y[0, :3], [0.0, np.nan, 0.0])
    assert np.isfinite(y[0, 3:]).all()


@pytest.mark.parametrize("beta", [0.5, 0.75, 1.0, 1.3])
def test_windows_of_zeros(beta, dtype):
    """With k = 0 the power of their sum is defined as infinite: y and dx are 0."""
    x = np.zeros((2, 6, 3), dtype)
    x[0, 0] = 1
    y = fastnorm.local_response_norm(x, 3, beta=beta, k=0, alpha=3)
    assert np.array_equal(y, x)
    dx = fastnorm.local_response_norm_backward(np.ones_like(x), x, 3, beta=beta, k=0, alpha=3).x
    assert not dx[1].any()
    assert not dx[0, 2:].any()
    assert (fastnorm.local_response_norm(x, 3) == x.astype(float) / (1 + 1e-4 / 3) ** 0.75).any()


def test_alpha_0_divides_by_a_constant(dtype, rng):
    x, dy = rng.standard_normal((2, 2, 6, 3)).astype(dtype)
    assert same_bits(fastnorm.local_response_norm(x, alpha=0.0, beta=0.5, k=4.0), x / dtype.type(2))
    dx = fastnorm.local_response_norm_backward(dy, x, alpha=0.0, beta=0.5, k=4.0).x
    assert same_bits(dx, dy / dtype.type(2))


def test_window_of_all_channels_is_a_norm(rng):
    """size >= 2 C - 1, k = 0 and alpha = size: the 2-norm over the channels."""
    x, dy = rng.standard_normal((2, 3, 6, 4))
    options = {"size": 11, "alpha": 11.0, "beta": 0.5, "k": 0.0}
    np.testing.assert_allclose(
        fastnorm.local_response_norm(x, **options), fastnorm.lp_normalize(x, axis=1), rtol=1e-12
    )
    np.testing.assert_allclose(
        fastnorm.local_response_norm_backward(dy, x, **options).x,
        fastnorm.lp_normalize_backward(dy, x, axis=1).x,
        rtol=1e-12,
        atol=1e-14,
    )


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3), (2, 5, 0)])
def test_empty(shape, dtype):
    x = np.empty(shape, dtype)
    assert fastnorm.local_response_norm(x).shape == shape
    assert fastnorm.local_response_norm_backward(x, x).x.shape == shape


@pytest.mark.parametrize("name", ["alpha", "beta", "k"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, "1", None])
def test_numbers_out_of_range_are_refused(name, value):
    error = ValueError if isinstance(value, float) else TypeError
    x = np.ones((2, 3))
    for function in (
        lambda **words: fastnorm.local_response_norm(x, **words),
        lambda **words: fastnorm.local_response_norm_backward(x, x, **words),
        lambda **words: fastnorm.LocalResponseNorm(5, **words),
    ):
        with pytest.raises(error, match=f"{name} must be"):
            function(**{name: value})


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (2.0, TypeError), (None, TypeError)])
def test_size_is_a_positive_integer(size, error):
    with pytest.raises(error, match="size"):
        fastnorm.local_response_norm(np.ones((2, 3)), size)


def test_two_axes_are_needed():
    with pytest.raises(ValueError, match="at least 2 axes"):
        fastnorm.local_response_norm(np.ones(3), 3)
