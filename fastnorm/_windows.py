# SPDX-License-Identifier: BSD-3-Clause
"""Responses within a window that slides along an axis: powers of sums of squares.

Everything here works on flat arrays of a block, in which neighbours on the axis are `step` apart;
what lies beyond the last whole window is not computed, and what spans two runs of the axis is not
used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnorm._blocks import Sliding, along

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastnorm._types import Array

# Sums of squares whose powers, and products with the data, stay in the range of the type: 2 to the
# power of this over the largest exponent. Others are worked on in float64.
RANGE = {4: 100, 8: 900}


class Response(NamedTuple):
    """D = k + scale**2 * (sum of the squares in the window), and the power D**beta that divides x.

    Attributes
    ----------
    before, after : int
        How far the window reaches.
    scale, beta, k : float
        The numbers of the formula.
    """

    before: int
    after: int
    scale: float
    beta: float
    k: float

    @property
    def reach(self) -> int:
        """How many entries a window has beside the one it is about."""
        return self.before + self.after

    def forward(self, x: Array, y: Array, axis: int) -> None:
        """Write y = x / D**beta."""
        _sweep(self, _quotient, (x,), y, axis, self.before, self.after)

    def backward(self, dy: Array, x: Array, dx: Array, axis: int) -> None:
        """Write the gradient."""
        _sweep(self, _gradient, (x, dy), dx, axis, self.reach, self.reach)

    def base(self, values: Array, work: list[Array], step: int) -> tuple[Array, list[Array]]:
        """Return D, as far as there are whole windows, in one of `work`; and what is left of it.

        The values are those of x times `scale`.
        """
        np.square(values, out=work[0])
        total = window_sums(work, self.reach + 1, step)
        whole = total[: values.size - self.reach * step]
        whole += self.k
        if self.k == 0.0:
            whole[whole == 0.0] = np.inf  # 1 / 0 is defined as 0
        return total, [buffer for buffer in work if buffer is not total]

    def power(self, base: Array, out: Array, spare: Array) -> None:
        """Write base**beta; by roots, which are rounded alike everywhere, where they will do."""
        if self.beta == 1.0:
            out[...] = base
        elif self.beta == 0.5:
            np.sqrt(base, out=out)
        elif self.beta == 0.75:
            np.sqrt(base, out=spare)
            np.sqrt(spare, out=out)
            out *= spare
        else:
            np.power(base, self.beta, out=out)

    def misfits(self, base: Array, whole: Array, axis: int) -> Array | None:
        """Return where along the other axes some D is out of range or NaN; None for nowhere."""
        high = 2.0 ** (RANGE[base.itemsize] / (self.beta + 1.0))
        low = 1.0 / high
        if base.max() <= high and (self.k >= low or base.min() >= low):
            return None
        misfit: Array = ~((whole >= low) & (whole <= high)).all(axis)
        return misfit if misfit.any() else None


@np.errstate(all="ignore")  # what leaves the range is done again, NaN and Inf are results
def _sweep(
    response: Response,
    compute: Callable[..., tuple[Any, Array | None, Array, int]],
    sources: tuple[Array, ...],
    target: Array,
    axis: int,
    before: int,
    after: int,
) -> None:
    """Compute `target` block by block; and in float64 the places with a D out of range."""
    sliding = Sliding(sources, response.scale, axis, before, after)
    memory: list[Array] = []
    for at, copies in sliding:
        size, step, block = copies[0].size, sliding.step, target[at]
        n, rows = block.shape[axis], sliding.view(copies[0]).shape[axis]
        memory = memory or [np.empty_like(copies[0]) for _ in range(4)]
        base, rest = response.base(copies[0], [buffer[:size] for buffer in memory], step)
        whole = sliding.view(base)[along(axis, 0, rows - response.reach)]
        misfits = response.misfits(base[: size - response.reach * step], whole, axis)
        again = None
        if misfits is not None:
            views = [sliding.view(copy) for copy in copies]
            wide = [_columns(values, axis, misfits) for values in (*views, sources[0][at])]
            step = wide[0].shape[1]
            flat = [values.ravel() for values in wide[:-1]]
            exact, spare = response.base(flat[0], [np.empty_like(flat[0]) for _ in range(4)], step)
            operation, a, b, start = compute(response, flat, exact, spare, step)
            a = wide[-1] if a is None else a.reshape(rows, step)[start : start + n]
            again = operation(a, b.reshape(rows, step)[:n])
        operation, a, b, start = compute(response, copies, base, rest, sliding.step)
        a = sources[0][at] if a is None else sliding.view(a)[along(axis, start, start + n)]
        b = sliding.view(b)[along(axis, 0, n)]
        if block.dtype == b.dtype:
            operation(a, b, out=block)
        else:
            block[...] = operation(a.astype(b.dtype), b)
        if again is not None:
            np.moveaxis(block, axis, 0)[:, misfits] = again


def _columns(values: Array, axis: int, where: Array) -> Array:
    """All entries of `axis` at some places of the others, in float64."""
    return np.moveaxis(values, axis, 0)[:, where].astype(np.float64, order="C")


def _quotient(
    response: Response, copies: list[Array], base: Array, rest: list[Array], step: int
) -> tuple[Any, None, Array, int]:
    """x / power for every place that has a D: the operation, None for x, and the power."""
    size = base.size - response.reach * step
    power, spare, *_ = rest
    response.power(base[:size], power[:size], spare[:size])
    return np.divide, None, power, 0


def _gradient(
    response: Response, copies: list[Array], base: Array, rest: list[Array], step: int
) -> tuple[Any, Array, Array, int]:
    """The two terms of dx for every place whose window, and all windows that it is in, are there.

    A place is in the windows that are about it, mirrored: those of `after` places before it and
    `before` places after it.
    """
    values, upstream = copies
    reach = response.reach * step
    size, start = values.size - reach, response.before * step
    direct, product, spare = rest
    response.power(base[:size], direct[:size], spare[:size])
    inner = slice(start, start + size)
    np.divide(upstream[inner], direct[:size], out=direct[:size])
    np.multiply(values[inner], direct[:size], out=product[:size])
    product[:size] /= base[:size]
    total = window_sums([product, base, spare], response.reach + 1, step)
    size -= reach
    total[:size] *= values[reach : reach + size]
    total[:size] *= 2.0 * response.beta
    return np.subtract, direct, total, response.after


def window_sums(work: list[Array], width: int, step: int) -> Array:
    """Sums of `width` entries from each on of the first of three or more arrays, in one of them.

    Sums of two, four, eight and so on entries are doubled from each other, and those that make up
    `width` are added: nothing is subtracted, and no sum is longer than its window.
    """
    size = work[0].size
    power, length = work[0], 1
    total, done = None, 0
    while True:
        if width & length:
            if total is None:
                total = power
            else:
                whole, start = size - (done + length - 1) * step, done * step
                np.add(total[:whole], power[start : start + whole], out=total[:whole])
            done += length
        if 2 * length > width:
            assert total is not None
            return total
        free = next(a for a in work if a is not power and a is not total)
        whole, start = size - (2 * length - 1) * step, length * step
        np.add(power[:whole], power[start : start + whole], out=free[:whole])
        power, length = free, 2 * length
