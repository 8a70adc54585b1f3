# SPDX-License-Identifier: BSD-3-Clause
"""The error figures and the bounds: a correct result passes, one that is slightly off does not."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fastnorm
from fastnorm.compare.catalogue import select
from fastnorm.compare.errors import compare, measure_error
from fastnorm.compare.problem import build

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
F16, BF16 = np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)


def test_float32_ulps_are_those_of_the_largest_entry():
    want = np.array([1.0, -5.0])
    got = np.array([1 + 2.0**-22, -5.0], np.float32)
    error = compare("y", got, want, F32, bound=2.0**-21)
    assert error.absolute == 2.0**-22
    assert error.ulps == 0.5  # an ulp of 5 is 2**-21
    assert error.share == 0.5
    assert error.within


@pytest.mark.parametrize(("dtype", "digits"), [(F16, 10), (BF16, 7)])
def test_16_bit_results_are_held_to_the_rounded_reference(dtype, digits):
    want = np.array([1.0 + 2.0**-20, 100.0])
    exact = compare("y", want.astype(dtype), want, dtype, bound=1e-6)
    assert exact.ulps == 0
    assert exact.absolute == 2.0**-20
    next_to_it = np.array([1 + 2.0**-digits, 100.0]).astype(dtype)
    assert compare("y", next_to_it, want, dtype, bound=1e-6).ulps == 1
    assert compare("y", next_to_it, want, dtype, bound=1e-6).within
    two_off = np.array([1 + 2 * 2.0**-digits, 100.0]).astype(dtype)
    assert not compare("y", two_off, want, dtype, bound=1e-6).within


def test_entries_that_cancel_are_held_to_the_float32_bound():
    want = np.array([0.0, 4.0])
    got = np.array([5e-7, 4.0]).astype(BF16)
    assert compare("y", got, want, BF16, bound=1e-6).ulps == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
@pytest.mark.parametrize(
    ("got", "want", "within"),
    [
        ([np.nan, 1], [np.nan, 1], True),
        ([np.inf, 1], [np.inf, 1], True),
        ([-np.inf, 1], [np.inf, 1], False),
        ([np.nan, 1], [0, 1], False),
        ([0, 1], [np.nan, 1], False),
        ([np.inf, 1], [1, 1], False),
        ([np.nan, 2], [np.nan, 1], False),
    ],
)
def test_nan_and_inf_must_stand_where_they_belong(got, want, within, dtype):
    error = compare("y", np.array(got).astype(dtype), np.array(want, float), dtype, bound=1e-6)
    assert error.within is within


def test_zero_reference_allows_zero_alone():
    want = np.zeros(3)
    assert compare("dx", np.zeros(3, np.float32), want, F32, bound=0.0).within
    assert not compare("dx", np.full(3, 1e-30, np.float32), want, F32, bound=0.0).within


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"dweight has shape \(2,\)"):
        compare("dweight", np.zeros(2, np.float32), np.zeros(3), F32, bound=1.0)


SMALL = [case for case in select(quick=True) if case.size < 2**17]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_small_cases_keep_their_bounds(case, dtype):
    for direction in case.directions:
        error = measure_error(build(case, dtype), direction)
        assert error.within, error


@pytest.mark.parametrize("factor", [1 + 1e-5, 1 - 1e-4, -1, np.nan])
@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_a_wrong_forward_function_is_found(case, factor, monkeypatch):
    right = getattr(fastnorm, case.op)

    def wrong(*arguments, **keywords):
        result = right(*arguments, **keywords)
        return (result[0] if isinstance(result, tuple) else result) * np.float32(factor)

    monkeypatch.setattr(fastnorm, case.op, wrong)
    assert not measure_error(build(case, F32), "forward").within


@pytest.mark.parametrize("gradient", ["x", "weight"])
def test_a_wrong_gradient_is_found_and_named(gradient, monkeypatch):
    right = fastnorm.layer_norm_backward

    def wrong(*args, **keywords):
        result = right(*args, **keywords)
        off = getattr(result, gradient) * np.float32(1.001)
        return result._replace(**{gradient: off})

    monkeypatch.setattr(fastnorm, "layer_norm_backward", wrong)
    case = next(case for case in SMALL if case.op == "layer_norm")
    error = measure_error(build(case, F32), "backward")
    assert not error.within
    assert error.output == f"d{gradient}"
