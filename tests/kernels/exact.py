# SPDX-License-Identifier: BSD-3-Clause
"""The arguments of a call in float64, and what rounding does to sums of them."""

from __future__ import annotations

import numpy as np

from kernels.calls import per_row, real
from sizes import IN_FLIGHT, LANES, ROW_BLOCK
from tolerance import UNIT64, assert_within, unit


def compute_unit(kind: str) -> float:
    """Unit roundoff of the compute type."""
    return unit(real(kind))


def lanes(kind: str) -> int:
    """Values of the compute type in a logical vector."""
    return LANES * np.dtype(np.float32).itemsize // np.dtype(real(kind)).itemsize


def exact(words, arguments: dict, name: str) -> np.ndarray:
    """An argument in float64, against x."""
    value = np.asarray(arguments[name], dtype=np.float64)
    return value[:, None] if value.ndim == 1 and per_row(words, arguments, name) else value


def centred(words, arguments: dict) -> np.ndarray:
    """(x - hi) * r, rounded twice."""
    x, hi, r = (exact(words, arguments, name) for name in ("x", "hi", "r"))
    return (x - hi) * r


def normalized(words, arguments: dict) -> np.ndarray:
    """xh = (x - hi) * r + m, rounded three times."""
    return centred(words, arguments) + exact(words, arguments, "m")


def normalized_terms(words, arguments: dict) -> np.ndarray:
    """Size of what is rounded on the way to xh; it does not grow with the mean."""
    return np.abs(centred(words, arguments)) + np.abs(exact(words, arguments, "m"))


def optional(words, arguments: dict, name: str, none: float) -> np.ndarray:
    """A parameter in float64, against x; `none` where there is none."""
    return exact(words, arguments, name) if name in arguments else np.float64(none)


def in_halves(arguments: dict) -> dict:
    """The arguments at multiples of 1/2: sums of products of four are exact in any order."""
    return {
        name: (np.rint(2 * value.astype(np.float64)) / 2).astype(value.dtype)
        if isinstance(value, np.ndarray)
        else value
        for name, value in arguments.items()
    }


def of_each_row(values: np.ndarray) -> np.ndarray:
    """Sums along the rows."""
    return values.sum(axis=1)


def of_all(values: np.ndarray) -> np.ndarray:
    """The sum of all rows together."""
    return values.sum(keepdims=True)[0]


def of_columns(values: np.ndarray) -> np.ndarray:
    """Sums down the columns."""
    return values.sum(axis=0)


# What a kernel of rows sums, by the centre.
ALONG = {"rows": of_each_row, "columns": of_each_row, "one": of_all}


def row_additions(kind: str, n: int) -> int:
    """Additions to a lane before it goes into its double: of every step of a block, then of the
    accumulators, which are merged pairwise.

    Squares go through partial sums of a few steps first, and take no longer way: the first
    addition to a partial sum, which is zero, rounds nothing.
    """
    accumulators = IN_FLIGHT // LANES
    step = accumulators * lanes(kind)
    return -(-min(n, ROW_BLOCK) // step) + accumulators.bit_length() - 1


def check_sum(actual, values, sizes, summed, kind: str, roundings: int, what: str) -> None:
    """Compare with the sum of `values`, each the result of `roundings` of terms of that size.

    roundings: those of the compute type, additions included. In double are those of the oracle,
    and the additions in double of both.
    """
    expected = summed(values)
    count = values.size // expected.size
    relative = roundings * compute_unit(kind) + (roundings + 2 * count) * UNIT64
    assert_within(actual, expected, relative * summed(sizes), what)
