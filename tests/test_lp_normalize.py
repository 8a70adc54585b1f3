# SPDX-License-Identifier: BSD-3-Clause
"""`lp_normalize`: exponents, the floor, ties and the ends of the range."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastnorm
from cases import same_bits
from fastnorm import reference
from tolerance import assert_within, largest, relative, stored

EXPONENTS = [0.5, 1, 1.5, 2, 3, 10, math.inf]
every_exponent = pytest.mark.parametrize("p", EXPONENTS, ids=lambda p: f"p={p}")


def check(dy, x, **options):
    """y and dx within a few roundings of their largest terms."""
    y = fastnorm.lp_normalize(x, **options)
    y64 = reference.lp_normalize(x, **options)
    assert_within(y, y64, stored(y64, x.dtype) + relative(x) * largest(y64), "y")
    dx = fastnorm.lp_normalize_backward(dy, x, **options).x
    dx64 = reference.lp_normalize_backward(dy, x, **options).x
    slope = largest(np.divide(y64, x, out=np.zeros_like(y64), where=x != 0))
    bound = stored(dx64, x.dtype) + 8 * relative(x) * largest(dy) * slope
    assert_within(dx, dx64, bound, "dx")


@every_exponent
@pytest.mark.parametrize("shape", [(5, 1), (3, 700), (2, 40000), (70000, 2)], ids=str)
def test_rows(p, shape, rng):
    x, dy = (rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
    check(dy, x, p=p)


@every_exponent
def test_the_norm_of_the_result_is_one(p, rng):
    y = fastnorm.lp_normalize(rng.standard_normal((3, 5, 60)), p=p, axis=(0, 2))
    _, stats = fastnorm.lp_normalize(y, p=p, axis=(0, 2), return_stats=True)
    np.testing.assert_allclose(stats.norm, 1.0, rtol=1e-12)
    assert stats.norm.shape == (5,)
    assert stats.count == 180


@every_exponent
def test_the_gradient_is_orthogonal_to_x(p, rng):
    """y does not change with the scale of x."""
    x, dy = rng.standard_normal((2, 4, 50))
    dx = fastnorm.lp_normalize_backward(dy, x, p=p).x
    np.testing.assert_allclose((dx * x).sum(-1), 0.0, atol=1e-12)


@every_exponent
@pytest.mark.parametrize("out", ["new", "in place"])
def test_below_eps_the_divisor_is_eps(p, out, rng):
    """A row below eps beside one above it: each has its own divisor and its own gradient."""
    x, dy = (rng.standard_normal((3, 30), dtype=np.float32) for _ in range(2))
    x[1] *= 1e-9
    x[2] = 0
    x0, dy0 = x.copy(), dy.copy()
    check(dy, x, p=p, eps=0.25)
    y = fastnorm.lp_normalize(x, p=p, eps=0.25, out=x if out == "in place" else None)
    np.testing.assert_allclose(y[1:], x0[1:] * np.float32(4), rtol=2e-7)
    dx = fastnorm.lp_normalize_backward(dy, x0, p=p, eps=0.25, out=dy if out != "new" else None).x
    np.testing.assert_allclose(dx[1:], dy0[1:] * np.float32(4), rtol=2e-7)


@every_exponent
def test_a_row_alone_and_beside_one_below_eps(p, rng):
    """The other rows decide how the call is made, not what comes out."""
    x, dy = (rng.standard_normal((3, 300), dtype=np.float32) for _ in range(2))
    x[1] = 0
    y, dx = fastnorm.lp_normalize(x, p=p), fastnorm.lp_normalize_backward(dy, x, p=p).x
    assert same_bits(fastnorm.lp_normalize(x[::2], p=p), y[::2])
    alone = fastnorm.lp_normalize_backward(dy[::2], x[::2], p=p).x
    np.testing.assert_allclose(alone, dx[::2], rtol=1e-5, atol=1e-7)


@every_exponent
def test_zeros_with_eps_0(p, dtype):
    x = np.zeros((2, 8), dtype)
    assert not fastnorm.lp_normalize(x, p=p, eps=0).any()
    assert not fastnorm.lp_normalize_backward(x + dtype.type(1), x, p=p, eps=0).x.any()


@every_exponent
@pytest.mark.parametrize("scale", [1e-36, 1e-20, 1e30, 1e32])
def test_near_the_ends_of_the_range(p, scale, rng):
    """Powers of x leave the range of float32, the result does not."""
    for shape, axis in (((3, 500), -1), ((500, 3), 0)):
        x, dy = (rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
        check(dy, x * np.float32(scale), p=p, axis=axis, eps=0)


def test_largest_values_share_the_gradient():
    x = np.array([[2.0, -2.0, 1.0, 0.0]])
    dx = fastnorm.lp_normalize_backward(np.ones((1, 4)), x, p=math.inf).x
    np.testing.assert_array_equal(dx, [[0.375, 0.625, 0.5, 0.5]])


@every_exponent
def test_the_gradient_at_a_zero(p):
    """Beside other values its slope counts as 0, also for p < 1, where it is infinite."""
    x = np.array([[0.0, 3.0, -4.0]])
    dx = fastnorm.lp_normalize_backward(np.ones((1, 3)), x, p=p).x
    norm = fastnorm.lp_normalize(x, p=p, return_stats=True)[1].norm
    np.testing.assert_allclose(dx[0, 0], 1.0 / norm[0], rtol=1e-15)


@every_exponent
def test_infinite_value(p):
    """Its norm is infinite: the others become 0, and it itself NaN."""
    y = fastnorm.lp_normalize(np.array([[1.0, np.inf, -2.0], [3.0, 0.0, 0.0]]), p=p)
    np.testing.assert_allclose(y, [[0.0, np.nan, 0.0], [1.0, 0.0, 0.0]], rtol=1e-15)


@every_exponent
@pytest.mark.parametrize("shape", [(0, 8), (8, 0), (0, 0)])
def test_empty(p, shape, dtype):
    x = np.empty(shape, dtype)
    y, stats = fastnorm.lp_normalize(x, p=p, return_stats=True)
    assert y.shape == fastnorm.lp_normalize_backward(x, x, p=p).x.shape == shape
    assert not stats.norm.any()
    assert stats.norm.shape == shape[:1]


@every_exponent
def test_all_axes_and_none(p, rng):
    x = rng.standard_normal((3, 4))
    norm = fastnorm.lp_normalize(x, p=p, axis=None, return_stats=True)[1].norm
    assert norm.shape == ()
    y = fastnorm.lp_normalize(x, p=p, axis=())
    np.testing.assert_allclose(y, np.sign(x), rtol=1e-15)


@pytest.mark.parametrize("p", [0, -1.0, math.nan, -math.inf])
def test_an_exponent_must_be_positive(p):
    for function in (
        lambda: fastnorm.lp_normalize(np.ones(3), p=p),
        lambda: fastnorm.lp_normalize_backward(np.ones(3), np.ones(3), p=p),
        lambda: fastnorm.LpNormalize(p),
    ):
        with pytest.raises(ValueError, match="p must be above 0"):
            function()


@pytest.mark.parametrize("p", ["2", None, True, 2j])
def test_an_exponent_must_be_a_number(p):
    with pytest.raises(TypeError, match="p must be a number"):
        fastnorm.lp_normalize(np.ones(3), p=p)


def test_statistics_of_another_input_are_refused():
    x = np.ones((2, 3))
    for stats, error in (
        ((np.ones(2), 4), ValueError),
        ((np.ones(3), 3), ValueError),
        (np.ones(3), TypeError),
        (1.0, TypeError),
    ):
        with pytest.raises(error, match="stats"):
            fastnorm.lp_normalize_backward(x, x, stats=stats)


def test_relatives(rng):
    """What the docstring says of ScaleNorm, PixelNorm and an eps in the squared norm."""
    x = rng.standard_normal((3, 8, 5))
    square = (x**2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        1.5 * fastnorm.lp_normalize(x, axis=1), 1.5 * x / np.sqrt(square), rtol=1e-14
    )
    np.testing.assert_allclose(
        fastnorm.rms_norm(x, axis=1, eps=0.1), x / np.sqrt(square / 8 + 0.1), rtol=1e-14
    )
    np.testing.assert_allclose(
        fastnorm.rms_norm(x, axis=1, eps=0.1 / 8) / np.sqrt(8),
        x / np.sqrt(square + 0.1),
        rtol=1e-14,
    )
