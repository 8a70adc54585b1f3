# SPDX-License-Identifier: BSD-3-Clause
"""Error bounds, each a formula in the unit roundoff and the size of the terms that were rounded.

The oracle is `fastnorm.reference`: NumPy in float64 on the very same values. Where the data are
float64 too, the oracle rounds as well, and the bounds cover both.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from sizes import COL_BLOCK

# Roundings in the compute type between a value and a result: the longest chain of additions before
# a float64 merge, doubled since a difference of sums carries both, plus the centring, the square,
# the reciprocal root, the products and the storing.
ROUNDINGS = 2 * COL_BLOCK + 8

UNIT64 = np.finfo(np.float64).eps / 2


def unit(dtype) -> float:
    """Largest relative error of one rounding to `dtype`."""
    return float(ml_dtypes.finfo(dtype).eps) / 2


def compute_unit(dtype) -> float:
    """Unit roundoff of the arithmetic for data of `dtype`: of float64 for float64, else float32."""
    return unit(np.float64 if np.dtype(dtype) == np.float64 else np.float32)


def relative(x) -> float:
    """Relative error of a sum over x: ours, and that of NumPy, which may add one by one."""
    return ROUNDINGS * compute_unit(x.dtype) + x.size * UNIT64


def stored(values64, dtype):
    """Error of storing `values64` as `dtype`: one unit in the last place, or a subnormal."""
    return 2 * unit(dtype) * np.abs(values64) + float(ml_dtypes.finfo(dtype).smallest_subnormal)


def centring(x, rstd):
    """Error of the normalized values due to a mean held in float64 (or as two float32)."""
    return ROUNDINGS * UNIT64 * largest(x) * rstd


def mean_bound(x, var):
    """Error of a mean: the float32 (float64) sums of differences, and float64 itself."""
    return relative(x) * np.sqrt(var) + ROUNDINGS * UNIT64 * largest(x)


def var_bound(x, var):
    """Error of a variance, or of a mean square: of the squares, and of the means merged."""
    mean = ROUNDINGS * UNIT64 * largest(x)
    return relative(x) * var + 2 * mean * np.sqrt(var) + mean**2


def forward_bound(x, y64, normalized, weight, bias, rstd):
    """Error of y = weight * normalized + bias; all arguments broadcast against x, y64 exact."""
    terms = np.abs(weight) * (1 + np.abs(normalized)) + np.abs(bias)
    return stored(y64, x.dtype) + relative(x) * terms + centring(x, rstd) * np.abs(weight)


def gradient_bound(x, dx64, normalized, dy, weight, rstd):
    """Error of dx = rstd * (g - mean(g) - normalized * mean(g * normalized)), g = dy * weight.

    Relative to the largest terms, not to dx: in a group of two the terms cancel to nearly 0.
    """
    terms = largest(dy) * largest(weight) * (2 + 2 * largest(normalized) ** 2)
    return stored(dx64, x.dtype) + (relative(x) + centring(x, rstd)) * rstd * terms


def parameter_bound(x, gradient64, dtype, terms, rstd=0.0):
    """Error of a parameter's gradient: a sum whose absolute terms add up to `terms`."""
    return stored(gradient64, dtype) + (relative(x) + largest(centring(x, rstd))) * terms


def largest(values) -> float:
    """Largest absolute value; 0 for an empty array."""
    return float(np.max(np.abs(np.asarray(values, dtype=np.float64)), initial=0.0))


def assert_within(actual, expected, bound, what: str) -> None:
    """Fail unless ``|actual - expected| <= bound`` everywhere; NaN is allowed where expected."""
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, not {expected.shape}"
    values = np.asarray(actual, dtype=np.float64)
    bound = np.broadcast_to(bound, values.shape)
    with np.errstate(invalid="ignore"):
        error = np.abs(values - expected)
        fine = (error <= bound) | (np.isnan(values) & np.isnan(expected))
    if not fine.all():
        excess = np.where(fine, -np.inf, np.nan_to_num(error - bound, nan=np.inf))
        at = np.unravel_index(np.argmax(excess), excess.shape)
        raise AssertionError(
            f"{what}{list(map(int, at))} is {actual[at]}, should be {expected[at]}: error "
            f"{error[at]:.3g}, bound {bound[at]:.3g}; {np.count_nonzero(~fine)} of {fine.size} "
            "entries are out of bounds"
        )


def ulps_apart(actual, expected64):
    """Distance, in steps between neighbours of actual's type, from the rounded `expected64`."""
    bits = np.dtype(f"i{actual.dtype.itemsize}")

    def ordered(values):
        # Sign and magnitude -> two's complement, so that neighbours differ by 1 and -0 is 0.
        raw = np.ascontiguousarray(values).view(bits).astype(np.int64)
        return np.where(raw < 0, -(raw - np.iinfo(bits).min), raw)

    return np.abs(ordered(actual) - ordered(np.asarray(expected64).astype(actual.dtype)))
