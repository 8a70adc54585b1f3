# SPDX-License-Identifier: BSD-3-Clause
"""Numbers among the arguments of the public functions: the checks and their error texts."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

import numpy as np


def integer(value: Any, name: str) -> int:
    """Return `value` as an int; what is not an integer, or is a bool, is a TypeError."""
    if type(value) is int:
        return value
    try:
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(f"{name} must be an integer, got {value!r}")


def positive(value: Any, name: str) -> int:
    """Return `value` as an int of at least 1."""
    number = integer(value, name)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {value!r}")
    return number


def epsilon(value: Any, name: str = "eps") -> float:
    """Return `value` as the float that is added to a variance, or of the same range."""
    if type(value) is float and 0.0 <= value < math.inf:
        return value
    number = real(value, name)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")
    return number


def weight_of_batch(value: Any) -> float:
    """Return `value`, a momentum, as the weight of a batch in the running statistics."""
    if type(value) is float and 0.0 <= value <= 1.0:
        return value
    if value is None:
        raise ValueError(
            "momentum must be a number between 0 and 1, got None; the cumulative average that None "
            "stands for counts batches, which the layers do"
        )
    number = real(value, "momentum")
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"momentum must be a number between 0 and 1, got {value!r}")
    return number


def real(value: Any, name: str) -> float:
    """Return `value` as a float; what is not a number, or is a bool, is a TypeError."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        return math.inf
