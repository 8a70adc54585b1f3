# SPDX-License-Identifier: BSD-3-Clause
"""A kernel reads its runs and writes its runs, and no byte beside them, wherever they lie.

A test goes through all types and lengths: there are as many tests as variants of kernels, which
are thousands as it is.
"""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import pytest

from kernels.calls import (
    ALL,
    DATA,
    ELEMENTWISE,
    KINDS,
    WRITTEN,
    bits,
    call,
    draw,
    fresh,
    kinds,
    run,
)
from kernels.places import (
    LINE,
    PROTECTS,
    Watched,
    after_protected,
    among_nan,
    before_protected,
    blank,
    dense_rows,
    in_lines,
    misaligned,
)
from sizes import BAND, IN_FLIGHT, LANES, ROW_BLOCK

# Activations but relu are one call to a loop over registers: gelu_tanh stands for them all.
SOME = [(method, words) for method, words in ALL if not {"silu", "gelu"} & {*words}]
LONG = 32 * LANES  # rows from here on are streamed although they end within lines
# Vectors, blocks, and what is left of them. The values of every remainder are others' matter.
LENGTHS = (
    *(1, 3, LANES - 1, LANES, LANES + 5, IN_FLIGHT - 1, IN_FLIGHT),
    *(2 * IN_FLIGHT + 1, ROW_BLOCK + 1),
)


def named(value) -> str:
    """A part of a test's id."""
    return value if isinstance(value, str) else "+".join(value) or "plain"


def calls(some):
    """Parametrize over variants of methods."""
    return pytest.mark.parametrize(("method", "words"), some, ids=named)


def check(isa, kind, method, arguments, data_place, coefficient_place) -> None:
    """Compare the bits with those of a call on plain arrays; the output is placed like the data.

    Arguments are as they were afterwards, but for those that are written into.
    """
    expected = call(isa, kind, method, arguments)
    watched = {
        name: Watched(value, data_place if name in DATA else coefficient_place)
        for name, value in arguments.items()
        if isinstance(value, np.ndarray)
    }
    placed = arguments | {name: value.view for name, value in watched.items()}
    if method in ELEMENTWISE:
        watched["output"] = Watched(blank(arguments["x"]), data_place)
        result = run(isa, kind, method, placed, watched["output"].view)
    else:
        result = run(isa, kind, method, placed)
    assert bits(result) == bits(expected), f"{kind}, {arguments['x'].shape}"
    for name, value in watched.items():
        after = value.taken()
        if name in arguments and name not in WRITTEN:
            assert bits(after) == bits(arguments[name]), f"{name} was written into"


@calls(SOME)
def test_neighbours_are_neither_used_nor_written(isa, method, words, rng):
    for kind, n in product(kinds(isa, method), LENGTHS):
        arguments = draw(method, words, kind, BAND + 1, n, rng)
        check(isa, kind, method, arguments, among_nan, among_nan)


@calls([(method, words) for method, words in SOME if "stream" not in words])
def test_data_may_lie_at_any_address(isa, method, words, rng):
    for kind, n in product(kinds(isa, method), LENGTHS):
        arguments = draw(method, words, kind, 3, n, rng)
        check(isa, kind, method, arguments, misaligned, among_nan)


@pytest.mark.skipif(not PROTECTS, reason="needs mprotect of Linux")
@pytest.mark.parametrize("place", [before_protected, after_protected])
@calls(SOME)
def test_nothing_is_read_beyond_the_ends(isa, method, words, place, rng):
    """A touch of the neighbouring page ends the process."""
    for kind, n in product(kinds(isa, method), LENGTHS):
        arguments = draw(method, words, kind, 2, n, rng)
        check(isa, kind, method, arguments, place, place)


@calls([(method, words) for method, words in SOME if method in ELEMENTWISE])
def test_in_place(isa, method, words, rng):
    for kind, n in product(kinds(isa, method), LENGTHS):
        arguments = draw(method, words, kind, 3, n, rng)
        expected = call(isa, kind, method, arguments)
        for name in DATA & arguments.keys():
            reused = fresh(arguments) | {name: arguments[name].copy()}
            result = run(isa, kind, method, reused, reused[name])
            assert bits(result) == bits(expected), f"{kind}, {name} is the output"


@calls([(method, words) for method, words in SOME if "stream" in words])
def test_streaming_changes_no_bit(isa, method, words, rng):
    """For every place of the output in a line, and rows that are lines apart, follow each other,
    or neither."""
    for kind in kinds(isa, method):
        stored = KINDS[kind]
        item = np.dtype(stored).itemsize
        starts = range(LINE // item)
        places = [partial(in_lines, start=start) for start in starts]
        dense = [partial(dense_rows, start=start * item) for start in starts]
        uneven = [partial(among_nan, pad=pad) for pad in starts]
        for rows, n, some in (
            *((1, n, places) for n in (1, LANES - 3, LANES, 2 * LANES + 1, 7 * LANES + 5)),
            *(
                (3, n, places + dense + uneven)
                for n in (LANES, 2 * LANES + 1, 6 * LANES, 5 * LANES + 3)
            ),
            (BAND + 1, LONG + 5, places + dense),
        ):
            arguments = draw(method, words, kind, rows, n, rng)
            expected = bits(call(isa, kind, method, arguments | {"stream": False}))
            for place in some:
                output = Watched(blank(arguments["x"]), place)
                result = run(isa, kind, method, fresh(arguments), output.view)
                assert bits(result) == expected, f"{kind}, {rows} x {n}, {place}"
                output.taken()
