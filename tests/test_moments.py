# SPDX-License-Identifier: BSD-3-Clause
"""`moments` against the reference: any axes, strides and types, and its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnorm
from cases import DTYPES
from fastnorm import reference
from layouts import lay_out
from sizes import COLUMN_SIZES, ROW_SIZES
from strategies import layouts, shapes
from tolerance import UNIT64, assert_within, mean_bound, var_bound


def check(x: np.ndarray, axis, *, keepdims: bool = False):
    """Compare with the reference; both agree on shapes, count, and the NaN of an empty group."""
    ours = fastnorm.moments(x, axis, keepdims=keepdims)
    theirs = reference.moments(x, axis, keepdims=keepdims)
    assert ours.count == theirs.count
    assert ours.mean.dtype == ours.var.dtype == np.float64
    assert np.shape(ours.mean) == np.shape(ours.var) == np.shape(theirs.mean)
    if ours.count == 0:
        assert np.isnan(ours.mean).all()
        assert np.isnan(ours.var).all()
        return ours
    mean, var = np.asarray(theirs.mean), np.asarray(theirs.var)
    assert_within(np.asarray(ours.mean), mean, mean_bound(x, var), "mean")
    assert_within(np.asarray(ours.var), var, var_bound(x, var), "var")
    return ours


@given(data=st.data(), kind=st.sampled_from(DTYPES), seed=st.integers(0, 2**32))
def test_any_axes_and_strides(data, kind, seed):
    shape = data.draw(shapes())
    axes = data.draw(st.lists(st.integers(-len(shape), -1), unique=True).map(tuple))
    values = np.random.default_rng(seed).normal(3.0, 2.0, shape).astype(kind)
    x = lay_out(values, data.draw(layouts(len(shape))))
    check(x, axes, keepdims=data.draw(st.booleans()))


@pytest.mark.parametrize("n", ROW_SIZES)
def test_rows(n, dtype, rng):
    check(rng.normal(3.0, 2.0, (3, n)).astype(dtype), -1)


@pytest.mark.parametrize(("rows", "columns"), COLUMN_SIZES)
def test_columns(rows, columns, dtype, rng):
    check(rng.normal(3.0, 2.0, (rows, columns)).astype(dtype), 0)


def test_all_axes_by_default(dtype, rng):
    x = rng.normal(3.0, 2.0, (4, 5, 6)).astype(dtype)
    everything = check(x, None)
    assert np.shape(everything.mean) == ()
    assert everything.count == x.size
    assert float(everything.mean) == float(fastnorm.moments(x, (0, 1, 2)).mean)
    assert fastnorm.moments(x, keepdims=True).mean.shape == (1, 1, 1)


def test_no_axes(dtype, rng):
    x = rng.standard_normal((4, 5)).astype(dtype)
    stats = fastnorm.moments(x, ())
    assert stats.count == 1
    assert (stats.mean == x.astype(np.float64)).all()
    assert (stats.var == 0).all()


def test_scalar_input(dtype):
    stats = fastnorm.moments(np.array(2.5, dtype))
    assert (float(stats.mean), float(stats.var), stats.count) == (2.5, 0.0, 1)


@pytest.mark.parametrize(
    ("shape", "axis", "kept", "count"),
    [
        ((0,), 0, (), 0),
        ((3, 0), 1, (3,), 0),
        ((3, 0), 0, (0,), 3),
        ((0, 3), (0, 1), (), 0),
        ((2, 0, 4), (0, 2), (0,), 8),
        ((2, 0, 4), 1, (2, 4), 0),
    ],
)
def test_empty(shape, axis, kept, count, dtype):
    stats = fastnorm.moments(np.empty(shape, dtype), axis)
    assert np.shape(stats.mean) == np.shape(stats.var) == kept
    assert stats.count == count
    assert np.isnan(stats.mean).all()
    assert np.isnan(stats.var).all()


def test_result_unpacks(rng):
    x = rng.standard_normal((3, 4), dtype=np.float32)
    mean, var, count = stats = fastnorm.moments(x, 1)
    assert mean is stats.mean
    assert var is stats.var
    assert count == stats.count == 4


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_byte_order(kind, order, rng):
    x = rng.standard_normal((3, 50)).astype(kind)
    foreign = fastnorm.moments(x.astype(order + kind), -1)
    native = fastnorm.moments(x, -1)
    assert (foreign.mean == native.mean).all()
    assert (foreign.var == native.var).all()


def test_more_values_than_32_bits_count():
    """One value, repeated by a zero stride: no memory, and all counters must be wide."""
    n = 2**32 + 5
    stats = fastnorm.moments(np.broadcast_to(np.float32(3.0), (n,)))
    assert (float(stats.mean), float(stats.var), stats.count) == (3.0, 0.0, n)


class _Wrapped:
    """Something that is no array and offers one, by one of the protocols."""

    def __init__(self, values: np.ndarray):
        self._values = values


class _Array(_Wrapped):
    def __array__(self, dtype=None, copy=None):
        return self._values


class _DLPack(_Wrapped):
    def __dlpack__(self, **options):
        return self._values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._values.__dlpack_device__()


@pytest.mark.parametrize("wrap", [_Array, _DLPack, memoryview], ids=["array", "dlpack", "buffer"])
def test_what_is_no_array(wrap, rng):
    x = rng.standard_normal((3, 50), dtype=np.float32)
    stats = fastnorm.moments(wrap(x), -1)
    assert (stats.mean == fastnorm.moments(x, -1).mean).all()


def test_float64_keeps_its_digits(rng):
    """At mean 1e8 the variance of float64 data keeps all digits but those that the data lost."""
    mean = 1e8
    x = rng.standard_normal((100_000, 3)) + mean
    exact = [math.fsum((column - column.mean()) ** 2) / column.size for column in (x - mean).T]
    for values, axis in ((x, 0), (x.T.copy(), 1)):
        np.testing.assert_allclose(fastnorm.moments(values, axis).var, exact, rtol=UNIT64 * mean)


@pytest.mark.parametrize("threads", [1, 2])
def test_pieces_of_folded_columns(threads, rng):
    """Small maps of a long batch: columns that share statistics, summed in several pieces of rows.

    The mean drifts along the batch, so that a piece merged with a wrong count would show.
    """
    x = rng.standard_normal((3000, 2, 7, 7)) + np.linspace(0, 30, 3000)[:, None, None, None]
    with fastnorm.num_threads(threads):
        check(x.astype(np.float32), (0, 2, 3))
