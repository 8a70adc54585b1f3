# SPDX-License-Identifier: BSD-3-Clause
"""Where a driver may cut what it hands to a kernel: the parts have the bits of the whole.

Sums of parts are added in double, in order, as a kernel does with its blocks.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from kernels.calls import ALL, BLOCKS, DATA, bits, call, draw, fresh, per_row, run
from sizes import BAND, COL_BLOCK, COLS_AT_ONCE, IN_FLIGHT, LANES, ROW_BLOCK

OF_ROWS = ("moments_rows", "grad_sums_rows")
OF_COLUMNS = ("moments_cols", "grad_sums_cols")
LENGTHS = (1, LANES + 3, IN_FLIGHT, 2 * IN_FLIGHT + LANES + 5)


def part(words, arguments: dict, rows: slice = slice(None), columns: slice = slice(None)) -> dict:
    """The arguments of a call on some rows and columns."""

    def of(name, value):
        if name in DATA:
            return np.ascontiguousarray(value[rows, columns])
        if not isinstance(value, np.ndarray):
            return value
        if per_row(words, arguments, name):
            return value[rows] if value.size > 1 else value
        return value[columns]

    return {name: of(name, value) for name, value in arguments.items()}


def parts(words, arguments: dict, length: int, axis: int = 0) -> list[dict]:
    """The arguments of calls on so many rows each, or with axis 1 columns."""
    size = arguments["x"].shape[axis]
    cuts = [slice(*cut) for cut in pairwise((*range(0, size, length), size))]
    return [part(words, arguments, **{("rows", "columns")[axis]: cut}) for cut in cuts]


def variants(*methods: str, only: str = "", but: str = ""):
    """Parametrize over the variants of methods that have all words of `only` and none of `but`."""
    some = [
        (method, words)
        for method, words in ALL
        if method in methods and {*only.split()} <= {*words} and not {*but.split()} & {*words}
    ]
    ids = ["-".join((method, *words)) for method, words in some]
    return pytest.mark.parametrize(("method", "words"), some, ids=ids)


def added(isa, kind, method, calls) -> np.ndarray:
    """Sums of parts, one after the other."""
    total = np.float64(0)
    for arguments in calls:
        total = total + call(isa, kind, method, arguments)
    return total


def joined(isa, kind, method, calls, axis: int) -> np.ndarray:
    """Results of parts side by side."""
    return np.concatenate([call(isa, kind, method, some) for some in calls], axis=axis)


@variants("shift_rows", "affine", "curve", "grad_combine", "window", but="sums down")
def test_rows_written_may_be_cut_anywhere(isa, kind, method, words, rng):
    for n in LENGTHS:
        arguments = draw(method, words, kind, BAND + 3, n, rng)
        expected = joined(isa, kind, method, parts(words, arguments, 1), 0)
        assert bits(call(isa, kind, method, arguments)) == bits(expected)


@variants(*OF_ROWS, but="one")
def test_sums_of_rows_do_not_depend_on_each_other(isa, kind, method, words, rng):
    for n in (*LENGTHS, ROW_BLOCK + LANES + 5):
        arguments = draw(method, words, kind, 5, n, rng)
        expected = joined(isa, kind, method, parts(words, arguments, 1), 1)
        assert bits(call(isa, kind, method, arguments)) == bits(expected)


@variants("affine", "curve", "grad_combine", "window", *OF_COLUMNS, but="sums along")
def test_columns_may_be_cut_anywhere(isa, kind, method, words, rng):
    for length, n in ((1, LANES + 3), (LANES + 1, 2 * IN_FLIGHT), (COLS_AT_ONCE - 1, 2200)):
        arguments = draw(method, words, kind, BAND + 3, n, rng)
        expected = joined(isa, kind, method, parts(words, arguments, length, axis=1), 1)
        assert bits(call(isa, kind, method, arguments)) == bits(expected)


@variants(*OF_ROWS, but="wide")
def test_sums_along_a_row_may_be_cut_at_blocks(isa, kind, method, words, rng):
    arguments = draw(method, words, kind, 1, 2 * ROW_BLOCK + IN_FLIGHT + 3, rng)
    expected = added(isa, kind, method, parts(words, arguments, ROW_BLOCK, axis=1))
    assert bits(call(isa, kind, method, arguments)) == bits(expected)


@variants(*OF_ROWS, only="one", but="wide")
def test_rows_summed_together_may_be_cut_anywhere(isa, kind, method, words, rng):
    for n in (*LENGTHS, ROW_BLOCK):
        arguments = draw(method, words, kind, LANES + 3, n, rng)
        expected = added(isa, kind, method, parts(words, arguments, 1))
        assert bits(call(isa, kind, method, arguments)) == bits(expected)


@variants(*OF_COLUMNS, but="wide")
def test_sums_of_columns_may_be_cut_at_blocks(isa, kind, method, words, rng):
    for rows, n in BLOCKS:
        arguments = draw(method, words, kind, rows, n, rng)
        expected = added(isa, kind, method, parts(words, arguments, COL_BLOCK))
        assert bits(call(isa, kind, method, arguments)) == bits(expected)


@variants("grad_combine", only="sums")
def test_sums_on_the_way_may_be_cut_anywhere(isa, kind, method, words, rng):
    for n in LENGTHS:
        arguments = fresh(draw(method, words, kind, BAND + 3, n, rng))
        expected = call(isa, kind, method, arguments)
        cut = [run(isa, kind, method, some)[0] for some in parts(words, arguments, 3)]
        assert bits((np.concatenate(cut), arguments["dw"], arguments["db"])) == bits(expected)
