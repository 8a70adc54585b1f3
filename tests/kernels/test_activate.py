# SPDX-License-Identifier: BSD-3-Clause
"""Activation functions and their slopes: accuracy over all exponents, limits, the same bits."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
import pytest

from kernels.calls import ACTIVATIONS, KINDS, TILES, VARIANTS, bits, call, compute, draw, real
from sizes import IN_FLIGHT, LANES, around

LONG = np.longdouble
PRECISE = np.finfo(LONG).eps < np.finfo(np.float64).eps / 100
SAMPLES = 2**13
PI = LONG("3.14159265358979323846264338327950288")
CUBIC = LONG("0.044715")
# Largest error of a value and of a slope in units of eps times the size of the terms.
ERRORS = {"relu": (0, 0), "silu": (3, 3), "gelu": (4.5, 4), "gelu_tanh": (3, 3)}


@pytest.fixture(params=("f32", "f64"))
def exact_kind(request) -> str:
    """The types that store what the functions are computed in."""
    return request.param


def sigmoid(z):
    """1 / (1 + exp(-z))."""
    e = np.exp(-np.abs(z))
    return np.where(z > 0, 1, e) / (1 + e)


def density(z):
    """Of the standard normal distribution."""
    return np.exp(-z * z / 2) / np.sqrt(2 * PI)


def normal(z):
    """The standard normal distribution: a series up to |z| = 3, then a continued fraction."""
    a = np.abs(z)
    near, far = np.minimum(a, 3), np.maximum(a, 3)
    series = term = near
    for k in range(3, 100, 2):
        term = term * near * near / k
        series = series + term
    fraction = far
    for k in range(300, 0, -1):
        fraction = far + k / fraction
    lower = np.where(a < 3, LONG(0.5) - density(near) * series, density(far) / fraction)
    return np.where(z > 0, 1 - lower, lower)


def gated(z, gate, exponent, growth):
    """z * gate, its slope, and the sizes of what is rounded in both.

    exponent: what is taken to the power of e, with its rounding error; growth: z * gate'(z).
    """
    rounded = 1 + np.abs(exponent)
    value, slope = z * gate, gate + growth
    return value, np.abs(value) * rounded, slope, (gate + np.abs(growth)) * rounded


def exact(name: str, z):
    """Value, size of its terms, slope, size of its terms, in extended precision."""
    z = z.astype(LONG)
    s = sigmoid(z)
    if name == "relu":
        value, slope = np.maximum(z, 0), (z > 0).astype(LONG)
    elif name == "silu":
        return gated(z, s, 0, z * s * sigmoid(-z))
    elif name == "gelu":
        return gated(z, normal(z), 0, z * density(z))
    else:
        c = 2 * np.sqrt(2 / PI)
        u = c * (z + CUBIC * z**3)
        growth = z * sigmoid(u) * sigmoid(-u) * c * (1 + 3 * CUBIC * z**2)
        return gated(z, sigmoid(u), np.minimum(u, 0), growth)
    return value, np.abs(value), slope, slope


@lru_cache
def samples(dtype: type):
    """Values of all exponents, and many where the functions change."""
    rng = np.random.default_rng(7)
    z = np.frombuffer(rng.bytes(SAMPLES * np.dtype(dtype).itemsize), dtype)
    limit = -1.01 * np.log(np.finfo(dtype).smallest_subnormal)
    z = [z[np.abs(z) < 1e30]]
    for scale in (limit, np.sqrt(2 * limit), 3, 0.3):
        z.append(rng.uniform(-scale, scale, SAMPLES).astype(dtype))
    return np.concatenate(z)


@lru_cache
def expected(name: str, dtype: type):
    """`exact` of the samples."""
    with np.errstate(all="ignore"):
        return exact(name, samples(dtype))


def activate(isa, kind, name, z):
    """Values and slopes, the same bits as the baseline."""
    arguments = {"x": z[np.newaxis], "activation": name, "by_row": True}
    arguments |= {key: np.full(1, key == "r", z.dtype) for key in ("hi", "r", "m")}
    value = compute(isa, kind, "activated", arguments)
    slope = compute(isa, kind, "activated", arguments | {"dy": np.ones_like(z)[np.newaxis]})
    return value[0], slope[0]


@pytest.mark.parametrize(("rows", "n"), TILES)
def test_activated(isa, kind, rows, n, rng):
    """The activation of what affine gives, or its slope times dy: of each row as of it alone."""
    for words in VARIANTS["activated"]:
        arguments = draw("activated", words, kind, rows, n, rng)
        name, result = words[-1], compute(isa, kind, "activated", arguments)
        wide = {k: v.astype(real(kind)) if k in ("x", "dy") else v for k, v in arguments.items()}
        same = {"f16": "f32", "bf16": "f32"}.get(kind, kind)
        plain = {k: v for k, v in wide.items() if k not in ("activation", "dy")}
        z = call(isa, same, "affine", plain)
        values, slopes = (part.reshape(z.shape) for part in activate(isa, same, name, z.ravel()))
        expected = slopes * wide["dy"] if "dy" in words else values
        with np.errstate(over="ignore"):
            assert np.array_equal(result, expected.astype(result.dtype)), words


@pytest.mark.parametrize(("rows", "n"), TILES)
def test_sum(isa, kind, rows, n, rng):
    arguments = draw("sum", (), kind, rows, n, rng)
    x, other = (arguments[name].astype(real(kind)) for name in ("x", "other"))
    assert bits(compute(isa, kind, "sum", arguments)) == bits((x + other).astype(KINDS[kind]))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_accuracy(isa, exact_kind, name):
    kind = exact_kind
    dtype = real(kind)
    if dtype is np.float64 and not PRECISE:
        pytest.skip("no type here is more precise than float64")
    z, info = samples(dtype), np.finfo(dtype)
    results = activate(isa, kind, name, z)
    exacts = expected(name, dtype)
    for what, result, error, at in zip(
        ("value", "slope"), results, ERRORS[name], (0, 2), strict=True
    ):
        # An exponential that is subnormal has lost its last bits.
        size = np.abs(exacts[at + 1]) + (error > 0) * 1000 * LONG(info.tiny)
        off = np.abs(result - exacts[at]) / (LONG(info.eps) * size + (size == 0))
        worst = np.argmax(off)
        assert off[worst] <= error, f"{what} at {z[worst]!r}: {off[worst]} of {error}"


# At -inf, 0 and inf: values, then slopes.
LIMITS = {
    "relu": ((0, 0, np.inf), (0, 0, 1)),
    "silu": ((0, 0, np.inf), (0, 0.5, 1)),
    "gelu": ((0, 0, np.inf), (0, 0.5, 1)),
    "gelu_tanh": ((0, 0, np.inf), (0, 0.5, 1)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_limits(isa, exact_kind, name):
    kind = exact_kind
    most = np.finfo(real(kind)).max
    values, slopes = activate(isa, kind, name, np.array([-np.inf, 0, np.inf], real(kind)))
    assert (tuple(values), tuple(slopes)) == LIMITS[name]
    values, slopes = activate(isa, kind, name, np.array([-most, -0.0, most], real(kind)))
    assert (tuple(np.where(values == most, np.inf, values)), tuple(slopes)) == LIMITS[name]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_of_nan_alone(isa, exact_kind, name):
    z = np.linspace(-5, 5, 2 * LANES + 3).astype(real(exact_kind))
    for at, bad in product((0, LANES + 3, -1), (np.nan, -np.nan)):
        spoilt = z.copy()
        spoilt[at] = bad
        for result in activate(isa, exact_kind, name, spoilt):
            assert np.flatnonzero(np.isnan(result)).tolist() == [range(z.size)[at]]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_place_does_not_matter(isa, exact_kind, name):
    for n in (*range(1, LANES + 2), *around(IN_FLIGHT), 2 * IN_FLIGHT + LANES + 5):
        z = samples(real(exact_kind))[-n:]
        for result, single in zip(
            activate(isa, exact_kind, name, z), activate(isa, exact_kind, name, z[-1:]), strict=True
        ):
            assert bits(single) == bits(result[-1:])
