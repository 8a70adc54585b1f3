# SPDX-License-Identifier: BSD-3-Clause
"""Denormalization: every value by itself, and nothing to hand on."""

from __future__ import annotations

from families import Family, each_element


def torch(x, mean, var, weight, bias, *, axis, eps, channel_axis=None):
    """PyTorch has no such function."""
    axes = tuple(a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))
    shape = [1 if a in axes else n for a, n in enumerate(x.shape)]
    channel = (-1 if channel_axis is None else channel_axis) % x.ndim
    line = [-1 if a == channel else 1 for a in range(x.ndim)]
    std = (var.reshape(shape) + eps).sqrt()
    return (x - bias.reshape(line)) / weight.reshape(line) * std + mean.reshape(shape)


FAMILY = Family(
    op="denormalize",
    calls=(
        ((3, 20, 6), {"axis": 1}),
        ((3, 4, 5, 6), {"axis": (2, 3), "channel_axis": 1}),
        ((2, 5, 6, 3), {"axis": (1, 2), "channel_axis": -1}),
        ((6, 17), {"axis": -1}),
        ((4, 3, 5), {"axis": (0, 2), "channel_axis": 1}),
    ),
    shared=((8, 400, 120), {"axis": 1}),
    groups=each_element,
    torch=torch,
    layer=None,
    learned=(),
    statistics=False,
)
