# SPDX-License-Identifier: BSD-3-Clause
"""Rows that are written while the next is summed: the bits of the kernels one after the other."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import pytest

from fastnorm._core.probe import Probe
from kernels.calls import BASELINE, KINDS, bits, draw, real
from kernels.places import (
    LINE,
    PROTECTS,
    Watched,
    after_protected,
    among_nan,
    before_protected,
    blank,
    dense_rows,
    misaligned,
)
from sizes import IN_FLIGHT, LANES, ROW_BLOCK, around

EPS = 1e-5
# Whole turns of four vectors, what is left of one, and the most a row may have.
LENGTHS = (
    *around(2 * LANES),
    *around(IN_FLIGHT),
    5 * IN_FLIGHT + LANES + 3,
    *around(ROW_BLOCK)[:2],
)
ROWS = (1, 2, 3, 12)


def one_by_one(kind: str, x, raw=False, w=None, b=None, param_by_row=False, relu=False):
    """y, mean and variance by the kernels that the baseline has for it."""
    kernels = Probe(BASELINE, kind)
    shift = np.zeros(len(x)) if raw else kernels.shift_rows(x)
    count = float(x.shape[1])
    s1, s2 = kernels.moments_rows(x, shift, raw=raw)
    mean, low, m2, again = kernels.statistics(count, shift, s1, s2, raw=raw)
    if again.any():
        shift = np.where(again, np.float64(mean.astype(real(kind))), shift)
        s1, s2 = kernels.moments_rows(x, shift)
        mean, low, m2, again = kernels.statistics(count, shift, s1, s2)
        assert not again.any()
    mean, var = mean + low, m2 / count
    scale = {"w": w, "b": b} if param_by_row else {}
    hi, r, m, *_ = kernels.centres(var, EPS, mean, **scale)
    vectors = {} if param_by_row else {"w": w, "b": b}
    if relu:
        return kernels.activated("relu", x, hi, r, m, by_row=True, **vectors), mean, var
    return kernels.affine(x, hi, r, m, by_row=True, **vectors), mean, var


def check(isa, kind, x, start=0, **options) -> bool:
    """Whether the tier has the kernel; if so, it makes the same of x."""
    output = Watched(blank(x), partial(dense_rows, start=start))
    result = Probe(isa, kind).normalize_rows(x, output.view, EPS, **options)
    if result is None:
        return False
    done, (mean, var) = result
    assert done == len(x)
    assert bits((output.taken(), mean, var)) == bits(one_by_one(kind, x, **options))
    return True


def check_sum(isa, kind, terms, starts=(0, 0), **options) -> bool:
    """The same of a + b, which is made on the way; starts: of y and of the sum, see dense_rows."""
    outputs = [Watched(blank(terms[0]), partial(dense_rows, start=start)) for start in starts]
    y, total = (output.view for output in outputs)
    result = Probe(isa, kind).normalize_rows(total, y, EPS, terms=terms, **options)
    if result is None:
        return False
    done, (mean, var) = result
    assert done == len(total)
    y, total = (output.taken() for output in outputs)
    assert bits(total) == bits(Probe(BASELINE, kind).sum(*terms))
    assert bits((y, mean, var)) == bits(one_by_one(kind, total, **options))
    return True


def draw_rows(kind, rows, n, rng):
    return draw("shift_rows", (), kind, rows, n, rng)["x"]


def parameters(kind, rows, n, rng):
    """No weight and bias, vectors along the run, and one of each row."""
    along = {name: rng.standard_normal(n).astype(real(kind)) for name in "wb"}
    each = {name: rng.standard_normal(rows).astype(real(kind)) for name in "wb"}
    return ({}, {"w": along["w"]}, along, each | {"param_by_row": True})


@pytest.mark.parametrize("n", LENGTHS)
def test_normalize_rows(isa, kind, n, rng):
    """Where registers hold all accumulators, and nothing is converted; nowhere else."""
    there = set()
    for rows, raw in product(ROWS, (False, True)):
        x = draw_rows(kind, rows, n, rng)
        for given in parameters(kind, rows, n, rng):
            there |= {check(isa, kind, x, raw=raw, relu=relu, **given) for relu in (False, True)}
    assert there == {isa == "v4" and kind in ("f32", "f64")}


def test_every_place_of_the_output_in_a_line(isa, kind, rng):
    item = np.dtype(KINDS[kind]).itemsize
    for n, start in product((2 * LANES + 1, 7 * LANES + 5), range(0, LINE, item)):
        x = draw_rows(kind, 5, n, rng)
        _, weight, both, _ = parameters(kind, 5, n, rng)
        for given in (weight, both):
            check(isa, kind, x, start=start, **given)


@pytest.mark.parametrize("n", [n for n in LENGTHS if n >= IN_FLIGHT])
def test_normalize_rows_of_a_sum(isa, kind, n, rng):
    there = set()
    for rows, raw in product(ROWS, (False, True)):
        terms = [draw_rows(kind, rows, n, rng) for _ in range(2)]
        for given in parameters(kind, rows, n, rng):
            there.add(check_sum(isa, kind, terms, raw=raw, **given))
    assert there == {isa == "v4" and kind in ("f32", "f64")}


def test_every_place_of_a_sum_in_a_line(isa, kind, rng):
    """It begins its lines where it lies, whatever y does."""
    n, item = 7 * LANES + 5, np.dtype(KINDS[kind]).itemsize
    terms = [draw_rows(kind, 5, n, rng) for _ in range(2)]
    for starts in product((0, 3 * item, LINE - item), range(0, LINE, item)):
        check_sum(isa, kind, terms, starts)


def test_a_sum_may_be_a_term(isa, kind, rng):
    """Or y, and terms may lie anywhere."""
    for n in (IN_FLIGHT, 5 * LANES + 3):
        for over in range(2):
            first, second = (draw_rows(kind, 6, n, rng) for _ in range(2))
            total = Probe(BASELINE, kind).sum(first, second)
            expected, *_ = one_by_one(kind, total)
            y, terms = blank(first), (first, Watched(second, misaligned).view)
            target = (y, first) if over else (first, y)  # where the sum goes, and y
            if Probe(isa, kind).normalize_rows(*target, EPS, terms=terms) is not None:
                assert bits(target) == bits((total, expected))


@pytest.mark.parametrize("place", [among_nan, misaligned], ids=["apart", "misaligned"])
def test_rows_of_x_may_lie_apart_and_anywhere(isa, kind, place, rng):
    watched = Watched(draw_rows(kind, 4, 3 * LANES + 5, rng), place)
    check(isa, kind, watched.view)


@pytest.mark.skipif(not PROTECTS, reason="needs mprotect of Linux")
@pytest.mark.parametrize("place", [before_protected, after_protected])
def test_nothing_is_read_beyond_the_ends(isa, kind, place, rng):
    """A touch of the neighbouring page ends the process."""
    for n in LENGTHS:
        values, *others = draw_rows(kind, 2, n, rng), *parameters(kind, 2, n, rng)[2].values()
        w, b = (Watched(value, place).view for value in others)
        check(isa, kind, Watched(values, place).view, w=w, b=b)


def test_in_place(isa, kind, rng):
    for n in (2 * LANES + 1, IN_FLIGHT, 5 * LANES):
        x = draw_rows(kind, 6, n, rng)
        expected, *_ = one_by_one(kind, x)
        done = Probe(isa, kind).normalize_rows(x, x, EPS)
        assert done is None or bits(x) == bits(expected)


def test_a_poor_shift_is_replaced(isa, kind, rng):
    """The samples are the first values, which here are far from the others."""
    x = draw_rows(kind, 3, 20 * LANES, rng)
    x[1, : 4 * LANES] += 100
    check(isa, kind, x)
    check_sum(isa, kind, (x, draw_rows(kind, 3, 20 * LANES, rng)))


def test_it_ends_before_a_row_that_leaves_the_range(isa, kind, rng):
    """Those before it are written, to the last value, and nothing else is."""
    n = 5 * LANES + 3
    for rows, bad in product((1, 6), (np.nan, np.inf, 1e300)):
        x = draw_rows(kind, rows, n, rng)
        with np.errstate(over="ignore"):
            x[-1, 2] = bad
        output = Watched(blank(x), partial(dense_rows, start=16))
        result = Probe(isa, kind).normalize_rows(x, output.view, EPS)
        if result is None:
            continue
        done, _ = result
        assert done < rows
        expected = blank(x).copy()
        if done:
            expected[:done] = one_by_one(kind, x[:done])[0]
        assert bits(output.taken()) == bits(expected)
        total, zero = Watched(blank(x), partial(dense_rows, start=32)), np.zeros_like(x)
        again, _ = Probe(isa, kind).normalize_rows(total.view, output.view, EPS, terms=(x, zero))
        assert again == done
        assert bits(output.taken()) == bits(expected)
        expected[:done] = x[:done]
        assert bits(total.taken()) == bits(expected)
