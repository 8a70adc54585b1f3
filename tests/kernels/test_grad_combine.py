# SPDX-License-Identifier: BSD-3-Clause
"""dx = ((g - c) - (x - hi) * r * b) * a + on, g = dy * w; sums of dy * xh and dy on the way."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from kernels.calls import (
    MEANS,
    SIZES,
    TILES,
    VARIANTS,
    WRITTEN,
    bits,
    call,
    compute,
    draw,
    fresh,
    kinds,
    run,
)
from kernels.exact import (
    centred,
    check_sum,
    compute_unit,
    exact,
    in_halves,
    normalized,
    normalized_terms,
    of_columns,
    optional,
)
from sizes import BAND, COL_BLOCK, LANES
from tolerance import assert_within, stored

# Minus hi, times r, times b, the subtraction, times a; or times w, minus c, and the last two; plus
# on. For float64 the oracle's as well.
ROUNDINGS = 2 * 6


def check_sums(dw, db, words, arguments, kind: str, what: str) -> None:
    """xh is rounded three times, dy * xh once more, then every row is an addition."""
    dy = exact(words, arguments, "dy")
    before = {name: exact(words, arguments, name)[None] for name in ("dw", "db")}
    for name, sums, terms, sizes, roundings in (
        ("dw", dw, normalized(words, arguments), normalized_terms(words, arguments), 4),
        ("db", db, np.ones(1), np.ones(1), 0),
    ):
        terms = np.concatenate([before[name], dy * terms])
        sizes = np.concatenate([np.abs(before[name]), np.abs(dy) * sizes])
        roundings += len(dy)
        check_sum(sums, terms, sizes, of_columns, kind, roundings, f"{what}: {name}")


@pytest.mark.parametrize(("rows", "n"), TILES)
def test_grad_combine(isa, kind, rows, n, rng):
    for words, mean in product(VARIANTS["grad_combine"], MEANS):
        arguments = draw("grad_combine", words, kind, rows, n, rng, mean)
        result = compute(isa, kind, "grad_combine", arguments)
        dx = result
        what = f"{words}, mean {mean}"
        if "sums" in words:
            dx, dw, db = result
            check_sums(dw, db, words, arguments, kind, what)
        a, b, c, dy = (exact(words, arguments, name) for name in ("a", "b", "c", "dy"))
        g, t = dy * optional(words, arguments, "w", 1), centred(words, arguments)
        on = optional(words, arguments, "on", 0)
        expected = ((g - c) - t * b) * a + on
        terms = (np.abs(g) + np.abs(c) + np.abs(t * b)) * np.abs(a) + np.abs(on)
        bound = stored(expected, dx.dtype) + ROUNDINGS * compute_unit(kind) * terms
        assert_within(dx, expected, bound, f"{what}: dx")


def test_every_value_counts_once(isa, kind, rng):
    """In the sums on the way."""
    variants = [words for words in VARIANTS["grad_combine"] if "sums" in words]
    for words, (rows, n) in product(variants, TILES):
        arguments = in_halves(draw("grad_combine", words, kind, rows, n, rng))
        dw, db, dy = (exact(words, arguments, name) for name in ("dw", "db", "dy"))
        _, *sums = call(isa, kind, "grad_combine", arguments)
        dw, db = dw + (dy * normalized(words, arguments)).sum(axis=0), db + dy.sum(axis=0)
        assert np.array_equal(sums, [dw, db]), f"{words}, {rows} x {n}"


@pytest.mark.parametrize(("rows", "n"), TILES)
def test_grad_own(isa, kind, rows, n, rng):
    """What the sums, the means, the slopes and grad_combine give one after the other."""
    if kind not in kinds(isa, "grad_own"):
        pytest.skip("it does not pay there, and no driver asks for it")
    for words in VARIANTS["grad_own"]:
        arguments = draw("grad_own", words, kind, rows, n, rng)
        dx, *written = call(isa, kind, "grad_own", arguments)

        weight = {} if "each" not in words else {"w": arguments["w"]}
        names = {"x", "dy", "hi", "r", "m", "by_row"} | ({"w"} if "w" in words else set())
        given = {name: value for name, value in arguments.items() if name in names}
        found = call(isa, kind, "grad_sums_rows", given)
        found[1] += arguments["low"] * found[0]
        means = found / arguments["count"] * [[0 if "raw" in words else 1], [1]]
        parts = {"rstd": arguments["rstd"], "low": arguments["low"]}
        slope = call(
            isa, kind, "slopes", parts | weight | dict(zip(("c0", "c1"), means, strict=True))
        )
        given |= dict(zip("abc", slope, strict=True))
        given |= {name: arguments[name] for name in ("on", "dw", "db") if name in arguments}
        expected = (
            settled_dx(isa, kind, given, arguments)
            if "totals" in words
            else call(isa, kind, "grad_combine", given)
        )
        assert bits((*written[:1], dx, *written[1:])) == bits(
            (found.T.ravel(), *(expected if "sums" in words else (expected,)))
        ), f"{words}, {rows} x {n}"


def settled_dx(isa: str, kind: str, given: dict, arguments: dict) -> tuple[np.ndarray, ...]:
    """dx, dw, db and their totals: blocks of rows one after the other, each settled at its end."""
    rows = len(given["x"])
    parts = [given["dw"], given["db"]]
    totals = [arguments["dweight"], arguments["dbias"]]
    of_rows = {"x", "dy", "hi", "r", "m", "a", "b", "c"}
    dx = []
    for start in range(0, rows, COL_BLOCK):
        block = slice(start, start + COL_BLOCK)
        ours = {name: value[block] for name, value in given.items() if name in of_rows}
        ours |= {"dw": parts[0], "db": parts[1]}
        out, *parts = call(isa, kind, "grad_combine", given | ours)
        dx.append(out)
        for i in range(2):
            moved = {"part": parts[i], "total": totals[i]}
            parts[i], totals[i] = call(isa, kind, "settle", moved)
    return (np.concatenate(dx), *parts, *totals)


@pytest.mark.parametrize("method", ["grad_combine", "grad_own"])
def test_the_gradient_of_the_weight_alone(isa, kind, method, rng):
    """The same bits as beside that of a bias: a norm that has none does not want it."""
    if kind not in kinds(isa, method):
        pytest.skip("it does not pay there, and no driver asks for it")
    bias = {"db", "dbias"}
    for words, (rows, n) in product(VARIANTS[method], TILES):
        if not {"w", "sums"} <= set(words):
            continue
        arguments = draw(method, words, kind, rows, n, rng)
        names = [name for name in arguments if name in WRITTEN]
        dx, *written = call(isa, kind, method, arguments)
        kept = [value for name, value in zip(names, written, strict=True) if name not in bias]
        alone = {name: value for name, value in arguments.items() if name not in bias}
        assert bits(call(isa, kind, method, alone)) == bits((dx, *kept)), f"{words}, {rows} x {n}"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["x", "dy"])
def test_a_spoilt_value_stays_where_it_is(isa, kind, name, bad, rng):
    for words in VARIANTS["grad_combine"]:
        for at in (0, LANES + 3, 2 * LANES + 4):
            arguments = draw("grad_combine", words, kind, BAND + 2, 2 * LANES + 5, rng)
            arguments[name][BAND, at] = bad
            result = call(isa, kind, "grad_combine", arguments)
            if "sums" in words:
                result, *sums = result
                reached = [0, 1] if name == "dy" else [0]  # db does not depend on x
                assert np.argwhere(~np.isfinite(sums)).tolist() == [[s, at] for s in reached]
            assert np.argwhere(~np.isfinite(result)).tolist() == [[BAND, at]]


@pytest.mark.parametrize("n", SIZES)
def test_settle(isa, kind, n, rng):
    """Sums taken on the way and moved on have the column kernel's bits; dx is what it was."""
    words, rows = ("rows", "sums"), COL_BLOCK
    arguments = draw("grad_combine", words, kind, rows, n, rng)
    arguments |= {name: np.zeros_like(arguments[name]) for name in ("dw", "db")}
    dx, *parts = compute(isa, kind, "grad_combine", arguments)

    totals = np.zeros((2, n))
    for part, total in zip(parts, totals, strict=True):
        part[:], total[:] = compute(isa, kind, "settle", {"part": part, "total": total})
        assert not part.any()
    names = ("x", "dy", "hi", "r", "m", "by_row")
    sums = compute(isa, kind, "grad_sums_cols", {name: arguments[name] for name in names})
    assert totals[::-1].tobytes() == sums.tobytes()

    plain = {name: value for name, value in arguments.items() if name not in {"dw", "db"}}
    assert call(isa, kind, "grad_combine", plain).tobytes() == dx.tobytes()


@pytest.mark.parametrize("n", SIZES)
def test_settle_adds_in_double(isa, kind, n, rng):
    arguments = draw("settle", (), kind, 1, n, rng)
    moved = fresh(arguments)
    run(isa, kind, "settle", moved)
    assert not moved["part"].any()
    expected = arguments["total"] + arguments["part"].astype(np.float64)
    assert moved["total"].tobytes() == expected.tobytes()
