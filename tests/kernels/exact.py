# SPDX-License-Identifier: BSD-3-Clause
"""The arguments of a call in float64, and what rounding does to sums of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels.calls import real
from sizes import LANES, ROW_BLOCK
from tolerance import UNIT64, assert_within, unit


def compute_unit(kind: str) -> float:
    """Unit roundoff of the compute type."""
    return unit(real(kind))


def lanes(kind: str) -> int:
    """Values of the compute type in a logical vector."""
    return LANES * np.dtype(np.float32).itemsize // np.dtype(real(kind)).itemsize


def exact(arguments: dict, name: str) -> np.ndarray:
    """An argument in float64."""
    return np.asarray(arguments[name], dtype=np.float64)


def centre(arguments: dict) -> tuple[np.ndarray, np.ndarray]:
    """(mean, rstd) against x."""
    if "hi" not in arguments:
        return np.float64(arguments["mean"]), np.float64(arguments["rstd"])
    mean, rstd = exact(arguments, "hi") + exact(arguments, "lo"), exact(arguments, "r")
    return (mean[:, None], rstd[:, None]) if arguments.get("by_row") else (mean, rstd)


def normalized(arguments: dict) -> np.ndarray:
    """xh = (x - mean) * rstd."""
    mean, rstd = centre(arguments)
    return (exact(arguments, "x") - mean) * rstd


def normalized_terms(arguments: dict, kind: str) -> np.ndarray:
    """Size of what is rounded on the way to xh: hi + lo has two roundings of the mean."""
    mean, rstd = centre(arguments)
    return np.abs(normalized(arguments)) + compute_unit(kind) * np.abs(mean * rstd)


def weight(arguments: dict) -> np.ndarray:
    """The weight against x; 1 where there is none."""
    if "w" not in arguments:
        return np.float64(arguments.get("w0", 1.0))
    w = exact(arguments, "w")
    return w[:, None] if arguments.get("w_by_row") else w


def by_lane(kind: str) -> Callable[[np.ndarray], np.ndarray]:
    """Sums of a run by the index modulo the lanes; the longest vector's lanes, some unused."""

    def summed(values):
        sums = np.zeros(LANES)
        for lane in range(lanes(kind)):
            sums[lane] = values[lane :: lanes(kind)].sum()
        return sums

    return summed


def by_column(values: np.ndarray) -> np.ndarray:
    """Sums down the columns."""
    return values.sum(axis=0)


def row_additions(kind: str) -> int:
    """Additions to a lane of a run before it goes into its double: the steps', and the merge's."""
    accumulators = 4
    return ROW_BLOCK // (accumulators * lanes(kind)) + 1 + 2


def check_sum(actual, values, sizes, summed, kind: str, roundings: int, what: str) -> None:
    """Compare with the sum of `values`, each the result of `roundings` of terms of that size.

    roundings: those of the compute type, additions included. The additions in double are those of
    the code under test and of the oracle.
    """
    relative = roundings * compute_unit(kind) + 2 * UNIT64 * len(values)
    assert_within(actual, summed(values), relative * summed(sizes), what)
