# SPDX-License-Identifier: BSD-3-Clause
"""`_core.curve`: pointwise functions whose coefficients broadcast against x, with gradients."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pytest

import fastnorm
from cases import DTYPES, assert_same_bits, digest, same_bits
from curves import COEFS, ROUNDINGS, draw_coefs, gradient, on_grid, value
from fastnorm import _core
from fastnorm._core import dispatch
from layouts import c_order, channels_last, dense, lay_out, views_of_same_order
from tolerance import UNIT64, assert_within, compute_unit, relative, stored

KINDS = {"floor": _core.FLOOR, "ratio": _core.RATIO, "swish": _core.SWISH, "tanh": _core.TANH}
THREADS = (2, 3, 8)

# shape: the axes of the coefficients, in turn. Maps and sequences, short and long, of one value, of
# a block, below and above what is folded; coefficients of nothing, of channels, samples and both.
SAMPLE, CHANNEL, BOTH = (0,), (1,), (0, 1)
CASES = (
    ((), [()]),
    ((1,), [(0,), ()]),
    ((17,), [()]),
    ((17,), [(0,), ()]),
    ((3000,), [()]),
    ((2500,), [(0,), ()]),
    ((7, 1), [SAMPLE, CHANNEL]),
    ((33, 40), [SAMPLE, CHANNEL]),
    ((70, 1100), [CHANNEL, ()]),
    ((5, 2100), [CHANNEL]),
    ((40, 700), [SAMPLE]),
    ((2, 3, 4, 5), [CHANNEL, BOTH]),
    ((3, 6, 7, 7), [BOTH, CHANNEL]),
    ((20, 6, 7, 7), [CHANNEL, ()]),
    ((2, 3, 37, 41), [CHANNEL, BOTH, ()]),
    ((2, 3, 37, 41), [SAMPLE, CHANNEL]),
    ((2, 5, 9, 30), [(3,), (1, 3)]),
    ((2, 3, 4, 5), [(0, 1, 2, 3), CHANNEL]),
)
# Large enough to be shared among threads.
SHARED = (
    ((150_001,), [()]),
    ((300_007, 3), [CHANNEL, ()]),
    ((4, 5, 101, 103), [CHANNEL, BOTH]),
    ((64, 40, 7, 7), [CHANNEL, ()]),
    ((64, 80, 7, 7), [BOTH, CHANNEL]),
    ((700, 400), [SAMPLE, CHANNEL]),
    ((3000, 96), [CHANNEL, ()]),
)


def named(sums) -> dict[str, np.ndarray]:
    """Sums by their names."""
    return {f"sum {k}": total for k, total in enumerate(sums)}


@dataclass
class Call:
    """Arguments of one function and its gradient."""

    which: str
    x: np.ndarray
    dy: np.ndarray
    coefs: tuple[np.ndarray, ...]

    def sums(self) -> tuple[np.ndarray, ...]:
        """Zeros for the sums."""
        return tuple(np.zeros(coef.shape) for coef in self.coefs)

    def results(self, y=None, dx=None) -> dict[str, np.ndarray]:
        """y, dx and all sums."""
        y = np.empty(self.x.shape, self.x.dtype) if y is None else y
        dx = np.empty(self.x.shape, self.x.dtype) if dx is None else dx
        sums = self.sums()
        _core.curve(KINDS[self.which], self.x, y, self.coefs)
        y = y.copy()
        _core.curve_gradient(KINDS[self.which], self.dy, self.x, dx, self.coefs, sums)
        return {"y": y, "dx": dx} | named(sums)


def shape_of(coef_axes, shape) -> tuple[int, ...]:
    """A coefficient's shape."""
    return tuple(n if axis in coef_axes else 1 for axis, n in enumerate(shape))


def draw(which: str, case, dtype, rng, order=None) -> Call:
    """A call; x and dy lie in the given memory order."""
    shape, axes = case
    shapes = [shape_of(axes[k % len(axes)], shape) for k in range(COEFS[which])]
    real = np.float64 if dtype == np.float64 else np.float32
    coefs = draw_coefs(which, shapes, real, rng)
    x = on_grid((0.5 + 2 * rng.standard_normal(shape)).astype(dtype))
    dy = np.asarray(0.2 + 2 * rng.standard_normal(shape)).astype(dtype)
    if order:
        x, dy = lay_out(x, dense(order)), lay_out(dy, dense(order))
    return Call(which, x, dy, tuple(coefs))


def orders(ndim: int) -> list[tuple[int, ...]]:
    """C, channels last, and reversed memory order."""
    some = [c_order(ndim), channels_last(ndim), c_order(ndim)[::-1]] if ndim else [()]
    return [*dict.fromkeys(some)]


def add_to(shape, values) -> np.ndarray:
    """Sums over the axes along which an array of that shape broadcasts."""
    axes = tuple(axis for axis, n in enumerate(shape) if n == 1)
    return values.sum(axis=axes, keepdims=True)


every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_kind = pytest.mark.parametrize("which", KINDS)


@every_case
@every_kind
def test_values_and_gradients(which, case, dtype, rng):
    for order in orders(len(case[0])):
        call = draw(which, case, dtype, rng, order)
        y, dx, *sums = call.results().values()
        x, dy, *coefs = (np.asarray(a, np.float64) for a in (call.x, call.dy, *call.coefs))
        rounding = ROUNDINGS * compute_unit(dtype)
        expected, terms = value(which, x, coefs)
        assert_within(y, expected, stored(expected, dtype) + rounding * terms, "y")
        (expected, terms), *parts = gradient(which, x, dy, coefs)
        assert_within(dx, expected, stored(expected, dtype) + rounding * terms, "dx")
        for k, (total, (part, terms)) in enumerate(zip(sums, parts, strict=True)):
            part, terms = (np.broadcast_to(values, x.shape) for values in (part, terms))
            bound = (rounding + relative(call.x)) * add_to(total.shape, terms)
            assert_within(total, add_to(total.shape, part), bound, f"sum {k}")


@pytest.mark.parametrize("case", SHARED, ids=str)
@every_kind
def test_threads(which, case, rng):
    for order in orders(len(case[0])):
        call = draw(which, case, np.float32, rng, order)
        with fastnorm.num_threads(1):
            alone = call.results()
        for threads in THREADS:
            with fastnorm.num_threads(threads):
                assert_same_bits(call.results(), alone, f"{threads} threads, {order}")


@pytest.mark.parametrize("case", SHARED[2:4], ids=str)
def test_threads_of_every_type(case, dtype, rng):
    call = draw("ratio", case, dtype, rng)
    with fastnorm.num_threads(1):
        alone = call.results()
    with fastnorm.num_threads(2):
        assert_same_bits(call.results(), alone, "2 threads")


@every_case
@every_kind
def test_views_and_outputs(which, case, dtype, rng):
    shape = case[0]
    for order in orders(len(shape)):
        call = draw(which, case, dtype, rng, order)
        expected = call.results()
        for name, layout in views_of_same_order(order).items() if shape else ():
            x, dy = lay_out(call.x, layout), lay_out(call.dy, layout)
            there = Call(which, x, dy, call.coefs)
            assert_same_bits(there.results(), expected, f"{order}, {name}")
            if layout.writeable:
                y, dx = (lay_out(np.zeros_like(x), layout) for _ in range(2))
                assert_same_bits(there.results(y, dx), expected, f"{order}, into {name}")
        for reused in ("x", "dy"):
            own = Call(which, call.x.copy("K"), call.dy.copy("K"), call.coefs)
            assert_same_bits(own.results(dx=getattr(own, reused)), expected, f"dx is {reused}")
        own = call.x.copy("K")
        _core.curve(KINDS[which], own, own, call.coefs)
        assert same_bits(own, expected["y"])


@every_case
def test_strided_coefficients(case, rng):
    call = draw("ratio", case, np.float32, rng)
    expected = call.results()
    for name, layout in views_of_same_order(c_order(len(case[0]))).items() if case[0] else ():
        coefs = tuple(lay_out(coef, layout) for coef in call.coefs)
        assert_same_bits(Call("ratio", call.x, call.dy, coefs).results(), expected, name)


@every_case
@every_kind
def test_what_is_not_wanted(which, case, rng):
    call = draw(which, case, np.float32, rng)
    _, dx, *sums = call.results().values()
    kind, zeros = KINDS[which], call.sums()
    _core.curve_gradient(kind, call.dy, call.x, None, call.coefs, zeros)
    assert_same_bits(named(zeros), named(sums), "no dx")
    alone = np.empty_like(call.x)
    _core.curve_gradient(kind, call.dy, call.x, alone, call.coefs, (None,) * len(sums))
    assert same_bits(alone, dx)
    for k in range(len(sums)):
        wanted = tuple(zero if i == k else None for i, zero in enumerate(call.sums()))
        _core.curve_gradient(kind, call.dy, call.x, alone, call.coefs, wanted)
        assert same_bits(alone, dx)
        assert same_bits(wanted[k], sums[k])


@every_kind
def test_streamed_outputs(which, dtype, rng):
    """Outputs of calls beyond the caches have the bits of their parts."""
    threshold = dispatch.caches()["stream_threshold_team"]
    shape = (3, 4, 1 + threshold // (24 * np.dtype(dtype).itemsize))
    for order in orders(3)[::2]:
        call = draw(which, (shape, [(1,), (0, 1)]), dtype, rng, order)
        expected = call.results()
        assert 2 * expected["y"].nbytes >= threshold
        own = Call(which, call.x.copy("K"), call.dy, call.coefs)
        assert_same_bits(own.results(dx=own.x), expected, "in place, which is not streamed")


@every_kind
def test_empty(which, dtype, rng):
    for shape in ((0,), (3, 0, 2), (0, 4)):
        call = draw(which, (shape, [(len(shape) - 1,), ()]), dtype, rng)
        y, _, *sums = call.results().values()
        assert y.shape == shape
        assert not any(total.any() for total in sums)


@every_kind
def test_a_spoilt_value_spoils_its_own_sums(which, dtype, rng):
    for order in orders(4):
        call = draw(which, ((3, 6, 7, 7), [BOTH]), dtype, rng, order)
        expected = call.results()
        call.x.flags.writeable = True
        call.x[1, 2, 3, 4] = np.nan
        spoilt = call.results()
        assert np.isnan(spoilt["y"][1, 2, 3, 4])
        for name, after in spoilt.items():
            after[1, 2] = expected[name][1, 2]
        assert_same_bits(spoilt, expected, f"{order}")


def test_dtype_without_kernels():
    x = np.zeros(3, np.int32)
    with pytest.raises(TypeError, match="int32"):
        _core.curve(_core.TANH, x, x, (np.zeros(1, np.float32),) * 3)


DIGEST = """
import test_curve as t
print(t.digest_of_all())
"""


def digest_of_all() -> str:
    """A digest of what every kind gives in every type, for a comparison of tiers."""
    state = hashlib.sha256()
    for which in KINDS:
        for dtype in DTYPES:
            for case in CASES:
                for order in orders(len(case[0])):
                    rng = np.random.default_rng(0)
                    state.update(digest(draw(which, case, dtype, rng, order).results()).encode())
    return state.hexdigest()


def test_tiers(run_python):
    digests = {run_python(DIGEST, FASTNORM_ISA=isa).stdout for isa in dispatch.available()}
    assert len(digests) == 1


def test_sums_of_many_are_added_in_double():
    """A float32 sum of so many ones would stay at 2^24."""
    n = 2**24 + 3
    x = np.ones(n, np.float16)
    coefs, sums = (np.ones(1, np.float32),) * 3, tuple(np.zeros(1) for _ in range(3))
    _core.curve_gradient(_core.TANH, x, x, None, coefs, sums)
    assert sums[2][0] == n
    assert abs(sums[1][0] / n - np.tanh(1)) <= ROUNDINGS * compute_unit(np.float32) + n * UNIT64
