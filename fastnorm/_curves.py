# SPDX-License-Identifier: BSD-3-Clause
"""Pointwise functions after a normalization: their coefficients, and gradients through statistics.

Coefficients are the small arrays that a recipe makes of statistics and parameters. They are made in
float64, where folding a reciprocal root, a weight and a mean into one number costs no digit that
float32 has, and are rounded once to the type in which the core computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnorm import _core
from fastnorm._args import COMPUTE_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastnorm._core import Groups
    from fastnorm._types import Array, Shape

    Coefs = tuple[Array, ...]

PART = 2**18  # values that are copied or widened at a time: a MB of float32 each of x and dy


def reciprocal_root(power: Array, eps: float, groups: Groups) -> Array:
    """Return 1 / sqrt(power + eps) of every group in float64.

    It is 0 where that sum is 0, as in the core, and where there is no value to have a power.
    """
    total = power + eps if groups.size else np.zeros_like(power)
    root: Array = np.zeros_like(total)
    with np.errstate(invalid="ignore"):  # a NaN stays one
        np.divide(1.0, np.sqrt(total), out=root, where=total != 0.0)
    return root


def coefficient(values: Array, x: Array) -> Array:
    """Return `values` in the type in which the core computes for x."""
    with np.errstate(over="ignore"):
        return values.astype(COMPUTE_TYPE[x.dtype], copy=False)


def curve_sums(
    kind: int, dy: Array, x: Array, dx: Array, coefs: Coefs, sums: tuple[Array | None, ...]
) -> None:
    """Sum the gradients of the coefficients, and begin dx where it can hold a part of the result.

    What goes through the statistics follows from these sums alone: `through_statistics` adds it.
    """
    _core.curve_gradient(kind, dy, x, None if _in_parts(x, dx) else dx, coefs, sums)


def through_statistics(
    kind: int,
    dy: Array,
    x: Array,
    dx: Array,
    coefs: Coefs,
    regroup: Callable[[Shape], Groups],
    mean: Array | None,
    means: Array,
) -> None:
    """Make dx = dy f'(x) - means[0] - (x - mean) means[1] of what `curve_sums` began.

    float16 and bfloat16 are widened part by part, since dy f'(x), rounded to them, would leave its
    own error in the difference; and where dx overwrites x, it does so part by part too.

    Parameters
    ----------
    kind, dy, x, dx, coefs
        As in `curve_sums`.
    regroup : callable
        Gives the groups of the statistics for an array of some of the samples.
    mean : ndarray or None
        The centre of each group; None for 0.
    means : ndarray
        The two coefficients of each group, the first axis of length 2.
    """
    if not _in_parts(x, dx):
        _subtract(dx, x, regroup(x.shape), mean, means)
        return
    none = (None,) * len(coefs)
    for part in _parts(x, coefs):
        samples = part[0]
        values, wide = (a[part].astype(COMPUTE_TYPE[x.dtype]) for a in (x, dy))
        own = tuple(c if len(c) == 1 else c[samples] for c in coefs)
        _core.curve_gradient(kind, wide, values, wide, own, none)
        centre = None if mean is None else mean[samples]
        shares = np.ascontiguousarray(means[:, samples])
        _subtract(wide, values, regroup(values.shape), centre, shares)
        with np.errstate(over="ignore"):
            dx[part] = wide


def _parts(x: Array, coefs: Coefs) -> Iterator[tuple[slice, ...]]:
    """Cut x into some samples, and a large sample along an axis that no coefficient runs along.

    No part has a single value along that axis: its groups would be refused.
    """
    size = x.size // max(1, len(x))
    step = max(1, PART // max(1, size))
    free = [a for a in range(1, x.ndim) if all(c.shape[a] == 1 for c in coefs)]
    longest = max(free, key=lambda a: x.shape[a], default=0)
    length = x.shape[longest]
    count = max(1, min(size // PART, length // 2)) if longest else 1
    for start in range(0, len(x), step):
        for i in range(count):
            part = [slice(None)] * x.ndim
            if longest:
                part[longest] = slice(length * i // count, length * (i + 1) // count)
            part[0] = slice(start, start + step)
            yield tuple(part)


def _in_parts(x: Array, dx: Array) -> bool:
    return x.dtype.itemsize < 4 or np.may_share_memory(x, dx)


def _subtract(dx: Array, x: Array, groups: Groups, mean: Array | None, means: Array) -> None:
    ones, flags = np.ones(groups.free), _core.RAW if mean is None else 0
    _core.backward(dx, x, dx, groups, None, mean, ones, 0.0, flags, None, None, means=means)
