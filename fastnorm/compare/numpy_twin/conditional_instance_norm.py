# SPDX-License-Identifier: BSD-3-Clause
"""Conditional instance normalization in plain NumPy."""

from __future__ import annotations

import numpy as np

from fastnorm.compare.numpy_twin.shared import Array, Gradients, Stats, along, others
from fastnorm.compare.numpy_twin.standard import standardize, standardize_backward


def conditional_instance_norm(
    x: Array,
    labels: Array,
    weight: Array,
    bias: Array,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
) -> tuple[Array, Stats]:
    """`standardize` over space, with a row of the tables for each sample."""
    factor, summand = (along(table[labels], x, (0, channel_axis)) for table in (weight, bias))
    axes = others(x, 0, channel_axis)
    return standardize(x, factor, summand, axis=axes, eps=eps, out=out)


def conditional_instance_norm_backward(
    dy: Array,
    x: Array,
    labels: Array,
    weight: Array,
    bias: Array,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: Stats,
    out: Array | None = None,
) -> Gradients:
    """Gradient of `conditional_instance_norm`."""
    factor, summand = (along(table[labels], x, (0, channel_axis)) for table in (weight, bias))
    axes = others(x, 0, channel_axis)
    dx, *rows = standardize_backward(
        dy, x, factor, summand, axis=axes, eps=eps, stats=stats, out=out
    )
    dweight, dbias = np.zeros_like(weight), np.zeros_like(bias)
    for total, row in zip((dweight, dbias), rows, strict=True):
        assert row is not None
        np.add.at(total, labels, row.reshape(len(labels), -1))
    return Gradients(dx, dweight, dbias)
