# SPDX-License-Identifier: BSD-3-Clause
"""The largest singular value of a weight, by power iteration, and the gradient that it needs.

A weight is a matrix of its outputs and all the rest. Its products with vectors are taken by NumPy
in pieces, which are copied if they are not contiguous or of 16 bits, and in each piece by tiles:
the sums within a tile are of the type that the core computes in, those over tiles of float64. A
tile is so small that the BLAS libraries keep to one thread for it. All cuts follow from the shape
and the order of the axes in memory, so that the bits depend on nothing else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnorm import _core
from fastnorm._args import COMPUTE_TYPE, array
from fastnorm._groups import over_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fastnorm._core import Groups
    from fastnorm._types import Array, Shape

    Float64Array = NDArray[np.float64]

PIECE = 2**19  # values: 2 MB of float32; with fewer, what a piece costs in Python is felt
TILE = (16, 512)  # rows and columns; OpenBLAS starts threads from 9216 values on


class SingularTriplet(NamedTuple):
    """What `spectral_norm` found of a weight W: a singular value and its vectors, in float64.

    Attributes
    ----------
    sigma : float
        The norm of W^T u, an estimate from below of the largest singular value of W; in units of
        the weight.
    u : ndarray of float64, of shape (out,)
        The left singular vector, of norm 1.
    v : ndarray of float64, 1-d
        The right one, W^T u / sigma: a value for each entry of a row of the weight, in C order of
        its axes.
    """

    sigma: float
    u: Float64Array
    v: Float64Array


class Matrix:
    """A weight as a matrix with a row for each output, wherever their axis is.

    Parameters
    ----------
    weight : ndarray
        Of one of the four float types.
    output : int
        The axis of the outputs, counted from the front.
    """

    def __init__(self, weight: Array, output: int) -> None:
        self._turned = _outputs_last(weight, output)
        self._values = np.moveaxis(weight, output, -1 if self._turned else 0)
        self._type = COMPUTE_TYPE[weight.dtype]
        self.shape = (weight.shape[output], weight.size // max(weight.shape[output], 1))

    def times(self, v: Float64Array) -> Float64Array:
        """W v."""
        return self._product(v, self._turned, self.shape[0])

    def transposed_times(self, u: Float64Array) -> Float64Array:
        """W^T u."""
        return self._product(u, not self._turned, self.shape[1])

    def _product(self, x: Float64Array, over_rows: bool, size: int) -> Float64Array:
        total = np.zeros(size)
        narrow = x.astype(self._type)
        columns = self.shape[0] if self._turned else self.shape[1]
        with np.errstate(all="ignore"):  # NaN and Inf are results
            for index, rows, cols in _pieces(self._values.shape, columns):
                shape = (rows.stop - rows.start, cols.stop - cols.start)
                block = self._block(self._values[index]).reshape(shape)
                for r, c, tiles in _tiles(block, rows.start, cols.start):
                    down, across, height, width = tiles.shape
                    if over_rows:
                        sums = narrow[r].reshape(down, 1, 1, height) @ tiles
                        total[c] += sums.sum(axis=0, dtype=np.float64).reshape(-1)
                    else:
                        sums = tiles @ narrow[c].reshape(across, width, 1)
                        total[r] += sums.sum(axis=1, dtype=np.float64).reshape(-1)
        return total

    def _block(self, piece: Array) -> Array:
        """Return a piece as it can be multiplied: itself, or a contiguous copy."""
        if piece.dtype == self._type and piece.flags.c_contiguous and piece.flags.aligned:
            return piece
        return piece.astype(self._type, order="C")


def vector_values(u: Any, groups: Groups, *, updated: bool) -> Float64Array:
    """Return the argument `u` in float64; one that is to be updated must be a writable array."""
    values = array(u, "u")
    if values.shape != groups.shape:
        raise ValueError(f"u has shape {values.shape}, expected {groups.shape} = {groups.where}")
    if updated and not isinstance(u, np.ndarray):
        raise TypeError(f"u must be a NumPy array to be updated in place, got {type(u).__name__}")
    if updated and not u.flags.writeable:
        raise ValueError("u is read-only, and is updated in place where training is True")
    wide = values.astype(np.float64)
    if wide.size and not 0.0 < _norm(wide) < math.inf:
        raise ValueError(f"u has norm {_norm(wide)}, expected a finite one above 0")
    return wide


def iterated(matrix: Matrix, u: Float64Array, steps: int, dtype: np.dtype[Any]) -> Array | None:
    """Return u after some steps, as `dtype` can hold it; None where W v is 0 or not finite."""
    u = _unit(u)
    for _ in range(steps):
        u = matrix.times(_unit(matrix.transposed_times(u)))
        if not 0.0 < _norm(u) < math.inf:
            return None
        u = _unit(u)
    return u.astype(dtype)


def triplet(matrix: Matrix, u: Array, eps: float) -> SingularTriplet:
    """Return the singular value and vectors that belong to `u`, of whatever length it is."""
    u = _unit(u.astype(np.float64))
    product = matrix.transposed_times(u)
    sigma = _norm(product)
    return SingularTriplet(sigma, u, _over(product, floored(sigma, eps)))


def triplet_of_vector(weight: Array, eps: float) -> SingularTriplet:
    """Return the exact one of a weight of one axis, which is a matrix of one column."""
    wide = weight.astype(np.float64)
    sigma = _norm(wide)
    return SingularTriplet(sigma, _over(wide, floored(sigma, eps)), np.ones(1))


def given_triplet(stats: Any, shape: tuple[int, int]) -> SingularTriplet:
    """Return `stats`, which must be those of a matrix of `shape`."""
    try:
        sigma, u, v = stats
        found = SingularTriplet(
            float(sigma), np.asarray(u, dtype=np.float64), np.asarray(v, dtype=np.float64)
        )
    except (TypeError, ValueError):
        raise TypeError(
            f"stats must be what return_stats=True gave, (sigma, u, v), got {stats!r}"
        ) from None
    if (found.u.shape, found.v.shape) != ((shape[0],), (shape[1],)):
        raise ValueError(
            f"stats.u and stats.v have shapes {found.u.shape} and {found.v.shape}, expected "
            f"({shape[0]},) and ({shape[1]},): they are of another weight"
        )
    return found


def floored(sigma: float, eps: float) -> float:
    """Return what the weight is divided by: `sigma`, at least `eps`; NaN for NaN."""
    return eps if sigma < eps else sigma


def subtract_rank_one(
    dy: Array, dx: Array, output: int, divisor: Array, share: float, u: Array, v: Array
) -> None:
    """Write ``dx = dy / sqrt(divisor) - share * u v^T``, a piece at a time."""
    turned = _outputs_last(dx, output)
    rows_of, columns_of = (v, u) if turned else (u, v)
    dtype = COMPUTE_TYPE[dy.dtype]
    with np.errstate(all="ignore"):
        left, right = (-share * rows_of).astype(dtype), columns_of.astype(dtype)
    sources, targets = (np.moveaxis(values, output, -1 if turned else 0) for values in (dy, dx))
    buffer = np.empty(min(PIECE, dy.size), dtype)
    for index, rows, cols in _pieces(sources.shape, right.size):
        source = sources[index]
        term = buffer[: source.size].reshape(rows.stop - rows.start, cols.stop - cols.start)
        with np.errstate(all="ignore"):
            np.multiply.outer(left[rows], right[cols], out=term)
        _core.forward(
            source, targets[index], over_whole(source.shape), None, term.reshape(source.shape),
            None, divisor, 0.0, _core.RAW | _core.GIVEN,
        )  # fmt: skip


def _outputs_last(weight: Array, output: int) -> bool:
    """Whether the outputs lie side by side in memory, as those of (..., in, out) do."""
    steps = [
        abs(step)
        for axis, step in enumerate(weight.strides)
        if axis != output and weight.shape[axis] > 1
    ]
    return weight.shape[output] > 1 and bool(steps) and abs(weight.strides[output]) < min(steps)


def _pieces(shape: Shape, columns: int) -> Iterator[tuple[tuple[Any, ...], slice, slice]]:
    """Cut an array into pieces of neighbours in C order: where they are, also in the matrix.

    The matrix has so many `columns`; a piece is some whole rows of it, or a part of one.
    """
    if 0 in shape:
        return
    inner = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    cut = next(axis for axis, size in enumerate(inner) if size <= PIECE)
    step = PIECE // inner[cut]
    if step > TILE[0]:
        step -= step % TILE[0]
    start = 0
    for leading in np.ndindex(*shape[:cut]):
        for first in range(0, shape[cut], step):
            last = min(first + step, shape[cut])
            size = (last - first) * inner[cut]
            row, column = divmod(start, columns)
            height, width = (size // columns, columns) if size >= columns else (1, size)
            yield (
                (*leading, slice(first, last)),
                slice(row, row + height),
                slice(column, column + width),
            )
            start += size


def _tiles(block: Array, row: int, column: int) -> Iterator[tuple[slice, slice, Array]]:
    """Cut a block into tiles, all whole ones at once: its rows, columns, and a view of four axes.

    The block begins at `row` and `column` of the matrix. The axes of the view number tiles from
    top to bottom, tiles from left to right, rows and columns.
    """
    for rows in _split(block.shape[0], TILE[0]):
        for columns in _split(block.shape[1], TILE[1]):
            part = block[rows, columns]
            height, width = min(part.shape[0], TILE[0]), min(part.shape[1], TILE[1])
            tiles = part.reshape(part.shape[0] // height, height, part.shape[1] // width, width)
            yield (
                slice(row + rows.start, row + rows.stop),
                slice(column + columns.start, column + columns.stop),
                tiles.swapaxes(1, 2),
            )


def _split(count: int, step: int) -> Iterator[slice]:
    """What whole steps take of so many, and what is left."""
    whole = count - count % step
    if whole:
        yield slice(0, whole)
    if whole < count:
        yield slice(whole, count)


def _norm(values: Float64Array) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sqrt(np.square(values).sum()))


def _over(values: Float64Array, divisor: float) -> Float64Array:
    """Quotients, 0 where the divisor is."""
    with np.errstate(invalid="ignore"):
        return values / divisor if divisor else np.zeros_like(values)


def _unit(values: Float64Array) -> Float64Array:
    return _over(values, _norm(values))
