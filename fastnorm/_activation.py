# SPDX-License-Identifier: BSD-3-Clause
"""The activation that may follow a normalization, as the core takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnorm import _core
from fastnorm._args import output

if TYPE_CHECKING:
    from fastnorm._types import Array


def activation_flags(value: Any) -> int:
    """Return what an activation adds to the flags of a call; 0 for None."""
    if value is None:
        return 0
    if not isinstance(value, str):
        raise TypeError(f"activation must be None or a name, got {value!r}")
    if value not in _core.ACTIVATIONS:
        names = ", ".join(_core.ACTIVATIONS)
        raise ValueError(f"activation must be one of {names}, got {value!r}")
    return _core.ACTIVATIONS[value]


def gradient_output(out: Any, x: Array, dy: Array, flags: int) -> Array:
    """Return the array for the gradient with respect to x, as `output` does.

    Where an activation followed, it first holds the gradient before that, while x is still needed.
    """
    target = output(out, x, dy)
    if flags >= _core.ACTIVATED and out is not None and np.may_share_memory(target, x):
        return np.empty_like(x)
    return target
