# SPDX-License-Identifier: BSD-3-Clause
r"""The largest error of a result against `fastnorm.reference`, and the bounds it has to keep.

The reference computes in float64 from the very values `fastnorm` is given. The documented bounds,
with :math:`M` the largest absolute entry of the exact result:

=================  ==========================  ==================
type of the array  y                           gradients
=================  ==========================  ==================
float64            1e-12 max(1, M / 4)         1e-12 M
float32            1e-6 max(1, M / 4)          1e-5 M
float16, bfloat16  one ulp, or the float32 bound where that is larger
=================  ==========================  ==================

M / 4, since standard-normal data reach about 4 and one unit in the last place grows from there on;
1e-6 is then some four roundings of float32. A 16-bit result is compared with the float64 result
rounded to its type. The float32 bound joins in where entries cancel to nearly zero: arithmetic in
float32 cannot hit the last place of a bfloat16 number of 1e-9 that is the difference of two ones.

The statistics of `moments` are float64 arrays computed in float32 (float64 for float64 data): the
bound on a mean is relative to the standard deviation, not to the mean, so that a large mean excuses
nothing; that on a variance is relative to the largest variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnorm
import fastnorm.reference
from fastnorm.compare.case import Direction
from fastnorm.compare.problem import Problem

Array = NDArray[Any]

_TOLERANCE: dict[tuple[str, Direction], float] = {
    ("float64", "forward"): 1e-12,
    ("float64", "backward"): 1e-12,
    ("float32", "forward"): 1e-6,
    ("float32", "backward"): 1e-5,
}

# Bits after the leading one, and the exponent of the smallest normal number.
_FORMAT = {
    "float64": (52, -1022),
    "float32": (23, -126),
    "float16": (10, -14),
    "bfloat16": (7, -126),
}


@dataclass(frozen=True)
class Error:
    """The error of one output array.

    Attributes
    ----------
    output : str
        Which array: y, mean, var, dx, dweight or dbias.
    absolute : float
        Largest ``|result - reference|``, in the units of the result; inf where only one of the two
        is NaN or infinite.
    ulps : float
        Largest error in units in the last place of the result's type: for 16-bit types at each
        entry's own magnitude, for the others at the magnitude of the largest entry.
    share : float
        The error as a fraction of its bound: it may be 1 at most.
    """

    output: str
    absolute: float
    ulps: float
    share: float

    @property
    def within(self) -> bool:
        """Whether the documented bound is kept; a NaN does not keep it."""
        return self.share <= 1


def measure_error(
    problem: Problem, direction: Direction, implementation: ModuleType = fastnorm
) -> Error:
    """Return the error of the output that comes nearest to its bound, or exceeds it most."""
    return worst_error(
        problem,
        direction,
        reference(problem, direction),
        problem.outputs(implementation, direction),
    )


def reference(problem: Problem, direction: Direction) -> dict[str, Array]:
    """Return the exact results by name, in float64."""
    return problem.in_float64().outputs(fastnorm.reference, direction)


def worst_error(
    problem: Problem, direction: Direction, wanted: dict[str, Array], results: dict[str, Array]
) -> Error:
    """Return the error of the output in `results` that comes nearest to its bound.

    Parameters
    ----------
    problem : Problem
        What was computed.
    direction : {"forward", "backward"}
        Which of the two functions.
    wanted, results : dict of str to ndarray
        The exact outputs, from `reference`, and those of an implementation.
    """
    errors = []
    for name, want in wanted.items():
        got = results[name]
        # Statistics are float64 arrays with the accuracy of the type they were computed in.
        dtype = _compute_dtype(problem.x) if name in ("mean", "var") else got.dtype
        errors.append(compare(name, got, want, dtype, _bound(name, wanted, dtype, direction)))
    return max(errors, key=lambda error: error.share)


def compare(name: str, got: Array, want: Array, dtype: np.dtype[Any], bound: float) -> Error:
    """Return the error of `got` against `want`.

    Parameters
    ----------
    name : str
        Name of the output.
    got, want : ndarray of one shape
        The result and, in float64, the exact result.
    dtype : dtype
        The type whose accuracy is promised; sets the ulp.
    bound : float
        Largest absolute error allowed; for 16-bit types, where one ulp is less than that.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if got.shape != want.shape:
        raise ValueError(f"{name} has shape {got.shape}, the reference {want.shape}")
    difference = _difference(got, want)
    absolute = float(np.max(difference, initial=0.0))
    if dtype.itemsize > 2:
        ulps = absolute / float(_ulp(_largest(want), dtype))
        # Where the exact result is zero throughout, the bound is too.
        share = absolute / bound if bound else (np.inf if absolute else 0.0)
        return Error(name, absolute, ulps, share)

    with np.errstate(over="ignore"):
        rounded = want.astype(dtype).astype(np.float64)
    steps = _difference(got, rounded) / np.maximum(_ulp(want, dtype), bound)
    ulps = float(np.max(steps, initial=0.0))
    return Error(name, absolute, ulps, share=ulps)


def _bound(
    name: str, wanted: dict[str, Array], dtype: np.dtype[Any], direction: Direction
) -> float:
    """Absolute bound on the output `name`; see the table above."""
    tolerance = _TOLERANCE["float64" if dtype == np.float64 else "float32", direction]
    largest = _largest(wanted[name])
    if name == "mean":
        # The second term is float64's own resolution: all there is for data without deviation.
        deviation = float(np.sqrt(_largest(wanted["var"])))
        return tolerance * deviation + 8 * float(np.finfo(np.float64).eps) * largest
    if name == "y":
        return tolerance * max(1.0, largest / 4)
    return tolerance * largest


def _difference(got: Array, want: Array) -> Array:
    """|got - want| in float64: 0 where both are the same infinity or both NaN, else inf there."""
    wide = got.astype(np.float64, copy=False)
    with np.errstate(invalid="ignore"):
        difference = np.abs(wide - want)
    strange = np.isnan(difference)
    if strange.any():
        same = (wide == want) | (np.isnan(wide) & np.isnan(want))
        difference[strange] = np.where(same[strange], 0.0, np.inf)
    return np.asarray(difference)


def _largest(values: Array) -> float:
    """Largest finite absolute value; 0 if there is none."""
    return float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values)))


def _ulp(values: Array | float, dtype: np.dtype[Any]) -> Array:
    """Unit in the last place of `dtype` at the magnitude of `values`."""
    digits, lowest = _FORMAT[dtype.name]
    smallest = 2.0**lowest  # subnormal numbers and zero have the spacing of the smallest normal one
    _, exponent = np.frexp(np.maximum(np.abs(np.where(np.isfinite(values), values, 0)), smallest))
    return np.asarray(np.ldexp(1.0, exponent - 1 - digits))


def _compute_dtype(x: Array) -> np.dtype[Any]:
    return np.dtype(np.float64 if x.dtype == np.float64 else np.float32)
