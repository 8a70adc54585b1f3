# SPDX-License-Identifier: BSD-3-Clause
"""Dynamic tanh in plain NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnorm.compare.numpy_twin.shared import Array, along, buffer, deliver, finish, sum_to, widen


class Gradients(NamedTuple):
    """Gradients of the array arguments; None for a missing one."""

    x: Array
    alpha: Array
    weight: Array | None
    bias: Array | None


def dynamic_tanh(
    x: Array,
    alpha: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    channel_axis: int = -1,
    out: Array | None = None,
) -> tuple[Array, Array]:
    """y = tanh(alpha x) weight + bias; the tanh is kept."""
    values = widen(x)
    curve = np.multiply(values, alpha)
    np.tanh(curve, out=curve)
    wide_weight = along(weight, x, channel_axis)
    y = np.multiply(curve, 1 if wide_weight is None else wide_weight, out=buffer(out, values))
    return finish(y, None, along(bias, x, channel_axis), x, out), curve


def dynamic_tanh_backward(
    dy: Array,
    x: Array,
    alpha: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    channel_axis: int = -1,
    stats: Array,
    out: Array | None = None,
) -> Gradients:
    """dx = alpha h, h = dy weight (1 - tanh^2); dalpha = sum(h x), dweight = sum(dy tanh)."""
    upstream, values = widen(dy), widen(x)
    wide_weight, wide_bias = along(weight, x, channel_axis), along(bias, x, channel_axis)
    h = 1 - np.square(stats)
    h *= upstream
    if wide_weight is not None:
        h *= wide_weight
    dalpha = np.vdot(h, values).reshape(alpha.shape)
    dweight, dbias = sum_to(upstream * stats, wide_weight), sum_to(upstream, wide_bias)
    dx = np.multiply(h, alpha, out=buffer(out, upstream))
    return Gradients(
        deliver(dx, x, out),
        dalpha,
        None if dweight is None else dweight.ravel(),
        None if dbias is None else dbias.ravel(),
    )
