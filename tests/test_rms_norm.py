# SPDX-License-Identifier: BSD-3-Clause
"""`rms_norm` against the reference, forward and backward, and its edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnorm
from cases import DTYPES, Case, draw
from fastnorm import reference
from layouts import lay_out
from oracle import check_backward, check_forward
from sizes import COLUMN_SIZES, ROW_SIZES
from strategies import cases, layouts


@given(data=st.data(), seed=st.integers(0, 2**32))
def test_any_axes_strides_and_types(data, seed):
    case = data.draw(cases(ops=("rms_norm",)))
    kind, parameter_kind = (data.draw(st.sampled_from(DTYPES)) for _ in range(2))
    arguments = draw(case, np.random.default_rng(seed), kind, parameter_dtype=parameter_kind)
    arguments.x = lay_out(arguments.x, data.draw(layouts(len(case.shape))))
    arguments.dy = lay_out(arguments.dy, data.draw(layouts(len(case.shape))))
    _, stats = check_forward(case, arguments)
    check_backward(case, arguments)
    check_backward(case, arguments, stats=stats)


@pytest.mark.parametrize("n", ROW_SIZES)
def test_rows(n, dtype, rng):
    case = Case("rms_norm", (5, n))
    arguments = draw(case, rng, dtype)
    check_forward(case, arguments)
    check_backward(case, arguments)


@pytest.mark.parametrize(("rows", "columns"), COLUMN_SIZES)
def test_columns(rows, columns, dtype, rng):
    case = Case("rms_norm", (rows, columns), {"axis": 0})
    arguments = draw(case, rng, dtype)
    check_forward(case, arguments)
    check_backward(case, arguments)


def test_without_weight(dtype, rng):
    case = Case("rms_norm", (4, 70))
    arguments = draw(case, rng, dtype)
    arguments.parameters["weight"] = None
    check_forward(case, arguments)
    assert check_backward(case, arguments)._fields == ("x", "weight")


def test_no_centring(rng):
    """The mean is not taken out: a constant row becomes its sign."""
    x = np.full((2, 40), -3.0, np.float32)
    np.testing.assert_allclose(fastnorm.rms_norm(x, eps=0.0), -1.0, rtol=1e-7)


def test_statistics(dtype, rng):
    """`return_stats` gives the mean square and the count, and no mean."""
    x = rng.standard_normal((3, 50)).astype(dtype)
    stats = fastnorm.rms_norm(x, return_stats=True)[1]
    assert type(stats).__name__ == "RawMoments"
    assert stats._fields == ("mean_square", "count")
    assert stats.mean_square.shape == (3,)
    assert stats.count == 50


@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_zero_row(eps, dtype, rng):
    """A row of zeros stays 0; its gradient is dy / sqrt(eps), and 0 with eps = 0."""
    case = Case("rms_norm", (2, 20), {"eps": eps})
    arguments = draw(case, rng, dtype)
    arguments.dy = (arguments.dy.astype(np.float32) / 64).astype(dtype)  # float16 ends at 65504
    arguments.x[0] = 0
    y, _ = check_forward(case, arguments)
    assert (y[0] == 0).all()
    gradients = check_backward(case, arguments)
    if eps == 0.0:
        assert (gradients.x[0] == 0).all()


def test_one_value_per_row(dtype, rng):
    """A single value is its own root mean square: y is its sign times the weight."""
    case = Case("rms_norm", (6, 1))
    check_forward(case, draw(case, rng, dtype))
    check_backward(case, draw(case, rng, dtype))


@pytest.mark.parametrize("scale", [1e30, 1e37])
def test_values_near_the_end_of_the_range(scale, rng):
    """The squares do not fit float32; the result does."""
    for shape, axis in (((3, 500), -1), ((500, 3), 0)):
        x = rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)
        y = fastnorm.rms_norm(x, axis=axis)
        assert np.max(np.abs(y - reference.rms_norm(x, axis=axis))) <= 1e-6


@pytest.mark.parametrize("shape", [(0, 8), (8, 0), (0, 0)])
def test_empty(shape, dtype):
    x = np.empty(shape, dtype)
    weight = np.ones(shape[-1:], dtype)
    assert fastnorm.rms_norm(x, weight).shape == shape
    gradients = fastnorm.rms_norm_backward(x, x, weight)
    assert gradients.x.shape == shape
    assert (gradients.weight == 0).all()
