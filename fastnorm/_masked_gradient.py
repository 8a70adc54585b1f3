# SPDX-License-Identifier: BSD-3-Clause
"""Gradients where only a part of x counts, block by block like the statistics in _masked.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnorm import _core
from fastnorm._args import COMPUTE_TYPE
from fastnorm._masked import Part, for_core

if TYPE_CHECKING:
    from fastnorm._core import Groups
    from fastnorm._types import Array


def masked_backward(
    dy: Array,
    x: Array,
    counted: Array,
    dx: Array,
    groups: Groups,
    weight: Array | None,
    bias: Array | None,
    stats: Any,
    eps: float,
    flags: int,
    dweight: Array | None,
    dbias: Array | None,
    zero: bool,
) -> None:
    """`_core.backward` where only a part counts: fill dx, and add to dweight and dbias.

    y is a function of the statistics everywhere, so the sums run over all of dy; over the part that
    counts if y is 0 beside it. dx may be x or dy. stats: what the forward call gave, or None; with
    FIXED the constant mean and variance as the core takes them.
    """
    part = Part(x, counted, groups)
    raw = bool(flags & _core.RAW)
    if flags & _core.FIXED:
        mean, var = (values.reshape(groups.kept) for values in stats)
        call = _Gradient(part, dy.reshape(groups.split), weight, bias, mean, var, eps, flags, zero)
        target = dx.reshape(groups.split)
        for block in part.blocks():
            call.add_sums(block, None, dweight, dbias)
            call.put_fixed(block, target)
        return
    mean, var, count = part.statistics(raw=raw) if stats is None else part.given(stats, raw=raw)
    mean, var = for_core(mean, var, count)
    call = _Gradient(part, dy.reshape(groups.split), weight, bias, mean, var, eps, flags, zero)
    sums = np.zeros((2, *count.shape))
    for block in part.blocks():
        call.add_sums(block, sums, dweight, dbias)
    with np.errstate(all="ignore"):
        means = sums / np.maximum(count, 1)
    if raw:
        means[0] = 0
    target = dx.reshape(groups.split)
    for block in part.blocks():
        call.put(block, means, target)


class _Gradient:
    """The arguments of one gradient, block by block."""

    def __init__(
        self,
        part: Part,
        dy: Array,
        weight: Array | None,
        bias: Array | None,
        mean: Array | None,
        var: Array,
        eps: float,
        flags: int,
        zero: bool,
    ) -> None:
        self.part, self.dy = part, dy
        self.weight, self.bias = weight, bias
        self.mean, self.var, self.eps = mean, var, eps
        self.flags, self.zero = flags, zero

    def _inputs(self, block: Any) -> tuple[Any, ...]:
        """dy before the activation, x, and small arguments of one block."""
        part, at, groups = block
        x, dy, mask = self.part.x[part], self.dy[part], self.part.mask[part]
        mean = None if self.mean is None else np.ascontiguousarray(self.mean[at])
        var = np.ascontiguousarray(self.var[at])
        weight, bias = _cut(self.weight, part), _cut(self.bias, part)
        if self.zero:  # nothing of what does not count may come through, were it NaN
            x = np.where(mask, x, x.dtype.type(0))
            dy = np.where(mask, dy, dy.dtype.type(0))
        if self.flags >= _core.ACTIVATED:
            before = np.empty_like(x)
            _core.slope(dy, x, before, groups, weight, bias, mean, var, self.eps, self.flags)
            dy = np.where(mask, before, dy.dtype.type(0)) if self.zero else before
        return dy, x, mask, weight, mean, var

    def add_sums(
        self, block: Any, sums: Array | None, dweight: Array | None, dbias: Array | None
    ) -> None:
        """The sums of dy * weight and dy * weight * xh of every group, and of the parameters."""
        part, at, groups = block
        dy, x, _, weight, mean, var = self._inputs(block)
        flags = self.flags % _core.ACTIVATED & _core.RAW
        if dweight is not None or dbias is not None:
            of_weight, of_bias = (
                None if total is None else np.zeros(_cut(total, part).shape)
                for total in (dweight, dbias)
            )
            _core.backward(
                dy, x, None, groups, None, mean, var, self.eps, flags, of_weight, of_bias
            )
            for total, here in ((dweight, of_weight), (dbias, of_bias)):
                if total is not None:
                    _cut(total, part)[...] += here
        if sums is None:
            return
        compute = COMPUTE_TYPE[x.dtype]
        g = dy.astype(compute)
        if weight is not None:
            g *= weight
        here = np.zeros((2, *groups.kept))
        wide = x.astype(compute, copy=False)
        _core.backward(g, wide, None, groups, None, mean, var, self.eps, flags, here[1], here[0])
        sums[(slice(None), *at)] += here

    def put(self, block: Any, means: Array, dx: Array) -> None:
        """dx of one block."""
        part, at, groups = block
        dy, x, mask, weight, mean, var = self._inputs(block)
        flags = self.flags % _core.ACTIVATED & _core.RAW
        here = np.ascontiguousarray(means[(slice(None), *at)])
        inside = np.empty_like(x)
        _core.backward(dy, x, inside, groups, weight, mean, var, self.eps, flags, None, None, here)
        if self.zero:
            dx[part] = np.where(mask, inside, x.dtype.type(0))
            return
        dx[part] = np.where(mask, inside, self._fixed(groups, dy, x, weight, mean, var))

    def put_fixed(self, block: Any, dx: Array) -> None:
        """dx of one block by constant statistics."""
        part, _, groups = block
        dy, x, mask, weight, mean, var = self._inputs(block)
        beside = self._fixed(groups, dy, x, weight, mean, var)
        dx[part] = np.where(mask, beside, x.dtype.type(0)) if self.zero else beside

    def _fixed(
        self, groups: Groups, dy: Array, x: Array, weight: Array | None, mean: Any, var: Array
    ) -> Array:
        beside = np.empty_like(x)
        flags = self.flags % _core.ACTIVATED & _core.RAW | _core.FIXED
        _core.backward(dy, x, beside, groups, weight, mean, var, self.eps, flags, None, None)
        return beside


def _cut(values: Array | None, part: Any) -> Any:
    """What a block needs of an array that broadcasts against x."""
    if values is None:
        return None
    return values[
        tuple(s if n != 1 else slice(None) for n, s in zip(values.shape, part, strict=True))
    ]
