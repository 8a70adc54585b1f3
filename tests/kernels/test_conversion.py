# SPDX-License-Identifier: BSD-3-Clause
"""Loads and stores of every type: widening is exact, narrowing is to nearest, ties to even.

`affine` with hi = 0, r = 1 and m = -0 stores what it loaded; with x = -0 it stores its bias, any
value of the compute type.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from kernels.calls import KINDS, bits, compute, real

HALVES = ("f16", "bf16")
EVERY_HALF = np.arange(2**16, dtype=np.uint16)
RANDOM = 2**17


def unchanged(kind) -> dict:
    """Coefficients that leave any value as it is."""
    hi, r, m = np.array([[0.0], [1.0], [-0.0]], real(kind))
    return {"hi": hi, "r": r, "m": m, "by_row": True}


def stored(isa, kind, x) -> np.ndarray:
    """x after a load and a store."""
    return compute(isa, kind, "affine", {"x": x[None]} | unchanged(kind))[0]


def narrowed(isa, kind, values) -> np.ndarray:
    """The stored form of values of the compute type."""
    x = np.full((1, values.size), -0.0, KINDS[kind])
    return compute(isa, kind, "affine", {"x": x, "b": values} | unchanged(kind))[0]


def quiet(kind) -> int:
    """The bit of a float's mantissa that makes a NaN quiet."""
    return 1 << (ml_dtypes.finfo(KINDS[kind]).nmant - 1)


def infinity(kind) -> int:
    """The bits of positive infinity; those of a NaN are more. Integers do not mind signals."""
    inf = np.array(np.inf, KINDS[kind])
    return int(inf.view(f"u{inf.itemsize}"))


def assert_rounded(isa, kind, values) -> None:
    """Compare with NumPy's rounding; a NaN remains some NaN of its sign."""
    result = narrowed(isa, kind, values)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = values.astype(KINDS[kind])
    nan = np.isnan(values)
    assert bits(np.isnan(result)) == bits(nan)
    assert bits(np.signbit(result)) == bits(np.signbit(values))
    differ = ~nan & (result.view(np.uint16) != expected.view(np.uint16))
    assert not differ.any(), f"{values[differ][0]!r} becomes {result[differ][0]!r}"


@pytest.mark.parametrize("half", HALVES)
def test_every_half_is_stored_as_it_was_loaded(isa, half):
    """Zeros, subnormals, infinities and all; a signalling NaN comes out quiet."""
    expected, magnitude = EVERY_HALF.copy(), EVERY_HALF & 0x7FFF
    expected[magnitude > infinity(half)] |= quiet(half)
    result = stored(isa, half, EVERY_HALF.view(KINDS[half]))
    assert bits(result) == bits(expected)


@pytest.mark.parametrize("full", ["f32", "f64"])
def test_any_bits_are_stored_as_they_were_loaded(isa, full, rng):
    x = np.frombuffer(rng.bytes(RANDOM), KINDS[full])
    whole = np.dtype(f"u{x.dtype.itemsize}")
    expected = x.view(whole).copy()
    expected[np.isnan(x)] |= whole.type(quiet(full))
    assert bits(stored(isa, full, x)) == bits(expected)


@pytest.mark.parametrize("half", HALVES)
def test_every_finite_half_is_widened_exactly(isa, half):
    """Seen in double: what a store makes of it could hide an error of the load."""
    magnitude = EVERY_HALF & 0x7FFF
    x = EVERY_HALF[magnitude < infinity(half)].view(KINDS[half])
    arguments = {"x": x[None], "shift": np.full(x.size, 1.5), "wide": True}
    sums = compute(isa, half, "moments_cols", arguments)
    assert bits(sums[0]) == bits(x.astype(np.float64) - 1.5 + 0.0)


@pytest.mark.parametrize("half", HALVES)
def test_ties_go_to_even_and_their_neighbours_do_not(isa, half):
    """Half way between any two neighbours, and one float32 beside it; infinity is the last of them.

    A value rounds to infinity from half way to the power of two that would come next.
    """
    lower = EVERY_HALF[: infinity(half)]
    finite = lower.view(KINDS[half]).astype(np.float64)
    upper = np.append(finite[1:], 2 * finite[-1] - finite[-2])
    ties = ((finite + upper) / 2).astype(np.float32)
    even = lower + lower % 2
    assert bits(narrowed(isa, half, ties)) == bits(even)
    assert bits(narrowed(isa, half, -ties)) == bits(even | 0x8000)
    beneath, above = (np.nextafter(ties, np.float32(limit)) for limit in (0, np.inf))
    assert bits(narrowed(isa, half, beneath)) == bits(lower)
    assert bits(narrowed(isa, half, above)) == bits(lower + 1)


@pytest.mark.parametrize("half", HALVES)
def test_any_float32_is_rounded_to_the_nearest(isa, half, rng):
    """Random bits: every exponent, NaN and infinities among them."""
    values = np.frombuffer(rng.bytes(4 * RANDOM), np.float32)
    edges = np.float32([0, np.inf, np.nan, np.finfo(np.float32).max, 65519.996, 65520, 1e-45, 6e-8])
    assert_rounded(isa, half, values)
    assert_rounded(isa, half, np.concatenate([edges, -edges]))


@pytest.mark.parametrize("half", HALVES)
def test_partial_loads_and_stores_convert_alike(isa, half, rng):
    """The tail of a run, at every length, converts like the middle of one."""
    values = np.concatenate([rng.standard_normal(8), 1e-7 * rng.standard_normal(7)])
    values = values.astype(np.float32)
    whole = narrowed(isa, half, np.tile(values, 16))
    for n in range(1, values.size + 1):
        assert bits(narrowed(isa, half, values[:n])) == bits(whole[:n])
        assert bits(stored(isa, half, whole[:n])) == bits(whole[:n])


def test_the_compute_type_holds_what_is_stored():
    assert {kind: np.dtype(real(kind)).itemsize for kind in KINDS} == {
        "f16": 4,
        "bf16": 4,
        "f32": 4,
        "f64": 8,
    }
