# SPDX-License-Identifier: BSD-3-Clause
"""The same bits: forward, statistics and every gradient, whatever computes them and wherever.

For any number of threads, into a new or a given `out`, from a dense array or from any view of the
same memory order; on every ISA tier: test_tiers.py.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnorm
from cases import (
    DTYPES,
    OPS,
    Arguments,
    Case,
    assert_same_bits,
    backward,
    catalogue,
    draw,
    everything,
    forward,
    same_bits,
)
from layouts import (
    c_order,
    channels_last,
    dense,
    lay_out,
    memory_around,
    views_of_same_order,
)
from sizes import BATCH, SHORT, around
from strategies import cases

THREADS = (2, 3, 4, 8)

# Large enough to be shared among threads, small enough that the whole catalogue takes seconds.
SHARED = catalogue(limit=2**20)
SMALL = catalogue(limit=2**15)


def by_name(catalogue_cases):
    """Parametrize over cases under their names in the catalogue."""
    return pytest.mark.parametrize("case", catalogue_cases.values(), ids=catalogue_cases.keys())


@by_name(SHARED)
def test_threads(case, rng):
    arguments = draw(case, rng, mean=10.0)
    with fastnorm.num_threads(1):
        alone = everything(case, arguments)
    for threads in THREADS:
        with fastnorm.num_threads(threads):
            assert_same_bits(everything(case, arguments), alone, f"{threads} threads")


# Few groups of many values: the threads share the reduction itself.
FEW_GROUPS = (
    Case("moments", (1_000_003,), {"axis": None}),
    Case("moments", (500_001, 2), {"axis": 0}),
    Case("layer_norm", (1, 700_001), {"axis": -1}),
    Case("layer_norm", (300_007, 3), {"axis": 0}),
    Case("rms_norm", (2, 400_009), {"axis": -1}),
    Case("batch_norm", (4, 3, 271, 269), {"channel_axis": 1}),
    Case("batch_norm", (4, 271, 269, 3), {"channel_axis": -1}),
    Case("batch_norm", (4, 3, 271, 269), {"training": False}),
    Case("batch_norm", (4, 131, 129, 40), {"channel_axis": -1, "training": False}),
    Case("instance_norm", (1, 2, 601, 603), {"channel_axis": 1}),
    Case("group_norm", (1, 4, 331, 333), {"num_groups": 1, "channel_axis": 1}),
)


@pytest.mark.parametrize("case", FEW_GROUPS, ids=str)
def test_threads_sharing_one_group(case, dtype, rng):
    arguments = draw(case, rng, dtype, mean=10.0)
    with fastnorm.num_threads(1):
        alone = everything(case, arguments)
    for threads in THREADS:
        with fastnorm.num_threads(threads):
            assert_same_bits(everything(case, arguments), alone, f"{threads} threads")


# A call takes one more thread for every 49152 values (src/drivers/threads.pyx): 9 times that is 8.
@settings(max_examples=25)
@given(
    case=cases(max_size=9 * 49152, empty=False, large=True),
    kind=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**32),
)
def test_threads_on_random_shapes(case, kind, seed):
    arguments = draw(case, np.random.default_rng(seed), kind)
    with fastnorm.num_threads(1):
        alone = everything(case, arguments)
    for threads in THREADS:
        with fastnorm.num_threads(threads):
            assert_same_bits(everything(case, arguments), alone, f"{threads} threads")


def orders(ndim: int) -> dict[tuple[int, ...], str]:
    """Memory orders to start from, with their names; each promises the same bits to its views."""
    last, first = c_order(ndim), c_order(ndim)[::-1]
    return {channels_last(ndim): "channels-last", first: "F", last: "C"}


def check_views(case: Case, arguments: Arguments) -> None:
    """Every view of x and dy, in every memory order, against the dense array of that order."""
    for order, order_name in orders(len(case.shape)).items():
        x, dy = (lay_out(array, dense(order)) for array in (arguments.x, arguments.dy))
        expected = everything(case, replace(arguments, x=x, dy=dy))
        layouts = views_of_same_order(order)
        others = [*layouts.values()][1:] + [*layouts.values()][:1]
        for (name, layout), other in zip(layouts.items(), others, strict=True):
            x, dy = lay_out(arguments.x, layout), lay_out(arguments.dy, other)
            before = x.tobytes(), dy.tobytes()
            actual = everything(case, replace(arguments, x=x, dy=dy))
            assert_same_bits(actual, expected, f"{order_name} order, {name}")
            assert before == (x.tobytes(), dy.tobytes()), "an input was written to"


@by_name(SMALL)
def test_views(case, rng):
    check_views(case, draw(case, rng, mean=10.0))


@given(case=cases(max_size=8000), kind=st.sampled_from(DTYPES), seed=st.integers(0, 2**32))
def test_views_of_random_shapes(case, kind, seed):
    check_views(case, draw(case, np.random.default_rng(seed), kind))


@by_name(SMALL)
def test_views_of_parameters(case, rng):
    """Weights and biases may be strided, unaligned and read-only too."""
    arguments = draw(case, rng)
    expected = everything(case, arguments)
    for name, layout in views_of_same_order(c_order(len(case.parameter_shape))).items():
        views = {
            key: value if key.startswith("running") else lay_out(value, layout)
            for key, value in arguments.parameters.items()
        }
        actual = everything(case, replace(arguments, parameters=views))
        assert_same_bits(actual, expected, name)


@pytest.mark.parametrize("n", [SHORT // 4 - 1, SHORT // 4])
@pytest.mark.parametrize("rows", [*around(BATCH // 4), *around(BATCH), 2 * BATCH + 1])
def test_rows_do_not_depend_on_their_batch(rows, n, rng):
    """As many short rows, or long ones, are gone through at once: each as it is by itself."""
    x, dy = (10 + rng.standard_normal((2, rows, n))).astype(np.float32)
    calls = {
        "layer norm": lambda x, dy: fastnorm.layer_norm(x),
        "its gradient": lambda x, dy: fastnorm.layer_norm_backward(dy, x).x,
        "RMS norm": lambda x, dy: fastnorm.rms_norm(x),
        "a residual": lambda x, dy: fastnorm.add_layer_norm(x, dy)[0],
    }
    for name, call in calls.items():
        alone = [call(x[i : i + 1], dy[i : i + 1]) for i in range(rows)]
        assert same_bits(call(x, dy), np.concatenate(alone)), name


@pytest.mark.parametrize(
    ("samples", "channels", "maps"),
    [
        *product([9], [*around(4), BATCH + 2], [(3, 5), (7, 7), (15, 17)]),
        (70, 6, (25, 40)),  # two pieces of a channel
    ],
)
def test_channels_do_not_depend_on_those_beside_them(samples, channels, maps, rng):
    """Channels side by side are gone through sample by sample, those apart one by one."""
    x, dy = (10 + rng.standard_normal((2, samples, channels, *maps))).astype(np.float32)
    w = rng.standard_normal(channels).astype(np.float32)

    def results(some):
        x_, dy_, w_ = x[:, some], dy[:, some], w[some]
        running = w_, 1 + w_**2
        y, stats = fastnorm.batch_norm(
            x_, weight=w_, bias=w_, training=True, activation="silu", return_stats=True
        )
        silu = fastnorm.batch_norm_backward(dy_, x_, w_, w_, activation="silu", stats=stats)
        plain = fastnorm.batch_norm_backward(dy_, x_, w_, w_)
        joined = fastnorm.sync_batch_norm_backward(
            dy_, x_, w_, w_, comm=fastnorm.SingleProcess(), stats=stats
        )
        fixed = fastnorm.batch_norm(x_, None, None, *running, training=False)
        constant = fastnorm.batch_norm_backward(dy_, x_, w_, w_, *running, training=False)
        relu = fastnorm.batch_norm_backward(
            dy_, x_, w_, w_, *running, training=False, activation="relu"
        )
        mean, var, _ = fastnorm.moments(x_, axis=(0, 2, 3))
        gradients = silu, plain, joined, constant, relu
        return [
            *(a.swapaxes(0, 1) for a in (y, fixed, *(g.x for g in gradients))),
            *(a for g in gradients for a in (g.weight, g.bias)),
            *(stats.mean, stats.var, mean, var),
        ]

    for whole, apart in zip(results(slice(None)), results(slice(0, None, 2)), strict=True):
        assert same_bits(whole[::2], apart)


# `out` has no place in `moments`.
NORMALIZERS = {name: case for name, case in SMALL.items() if case.op in OPS}


def without_running_update(case: Case, arguments: Arguments) -> Arguments:
    """Arguments that give the same y twice: running statistics only where they are read."""
    reading = not case.config.get("training", True)
    kept = {k: v for k, v in arguments.parameters.items() if reading or "running" not in k}
    return replace(arguments, parameters=kept)


def check_outs(case: Case, arguments: Arguments) -> None:
    """A given `out` of any strides, and in place, against a new one."""
    arguments = without_running_update(case, arguments)
    new, stats = forward(fastnorm, case, arguments)
    dx = backward(fastnorm, case, arguments, stats=stats).x
    order = c_order(len(case.shape))
    for name, layout in {"dense": dense(order), **views_of_same_order(order)}.items():
        layout = replace(layout, writeable=True)
        for function, expected, options in (
            (forward, new, {}),
            (backward, dx, {"stats": stats}),
        ):
            out = lay_out(np.zeros_like(new), layout, fill=0)
            given = function(fastnorm, case, arguments, out=out, **options)[0]
            assert given is out
            assert same_bits(np.array(out), np.array(expected)), f"{function.__name__} into {name}"
            out[...] = 0
            assert not memory_around(out).any(), f"{function.__name__} wrote beside {name}"

        x = lay_out(arguments.x, layout)
        forward(fastnorm, case, replace(arguments, x=x), out=x)
        assert same_bits(np.array(x), np.array(new)), f"in place, {name}"
        for target in ("x", "dy"):
            there = lay_out(getattr(arguments, target), layout)
            backward(fastnorm, case, replace(arguments, **{target: there}), stats=stats, out=there)
            assert same_bits(np.array(there), np.array(dx)), f"backward into {target}, {name}"


@by_name(NORMALIZERS)
def test_out(case, rng):
    check_outs(case, draw(case, rng, mean=10.0))


@given(case=cases(max_size=8000, ops=OPS), kind=st.sampled_from(DTYPES), seed=st.integers(0, 2**32))
def test_out_of_random_shapes(case, kind, seed):
    check_outs(case, draw(case, np.random.default_rng(seed), kind))


@pytest.mark.parametrize("offset", [-3, -1, 1, 7])
@by_name(NORMALIZERS)
def test_out_overlapping_the_input(case, offset, rng):
    """An `out` that partly overlaps x, dy or the weight gives what a separate one would."""
    arguments = without_running_update(case, draw(case, rng))
    new, stats = forward(fastnorm, case, arguments)
    dx = backward(fastnorm, case, arguments, stats=stats).x

    def overlapping(values):
        buffer = np.empty(values.size + 10, values.dtype)
        inside = buffer[3 : 3 + values.size].reshape(values.shape)
        inside[...] = values
        return inside, buffer[3 + offset :][: values.size].reshape(values.shape)

    x, out = overlapping(arguments.x)
    forward(fastnorm, case, replace(arguments, x=x), out=out)
    assert same_bits(out, new)
    for target in ("x", "dy"):
        there, out = overlapping(getattr(arguments, target))
        backward(fastnorm, case, replace(arguments, **{target: there}), stats=stats, out=out)
        assert same_bits(out, dx), target


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize(
    "case",
    [
        Case("layer_norm", (5, 200)),
        Case("rms_norm", (5, 200)),
        Case("batch_norm", (2, 3, 15, 15)),
        Case("batch_norm", (9, 5, 192), {"channel_axis": -1}),
        Case("batch_norm", (9, 5, 203), {"channel_axis": -1}),
        Case("group_norm", (2, 6, 15, 15), {"num_groups": 2}),
        Case("instance_norm", (3, 4, 16, 16)),
    ],
    ids=str,
)
def test_out_beginning_anywhere_within_a_line(case, kind, rng):
    """Rows are stored in whole lines from where these begin: the same bits, and none around."""
    arguments = without_running_update(case, draw(case, rng, kind))
    y, stats = forward(fastnorm, case, arguments)
    dx = backward(fastnorm, case, arguments, stats=stats).x
    for first in range(64 // y.itemsize):
        for function, expected in ((forward, y), (backward, dx)):
            given = {} if function is forward else {"stats": stats}
            buffer = np.full(y.size + 128, 7, y.dtype)
            begin = (-buffer.ctypes.data % 64) // y.itemsize + first
            out = buffer[begin : begin + y.size].reshape(y.shape)
            function(fastnorm, case, arguments, out=out, **given)
            assert same_bits(out, expected), f"{function.__name__} {first}"
            assert (np.delete(buffer, slice(begin, begin + y.size)) == 7).all(), first


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_out_that_holds_another_argument(kind, rng):
    """`out` may be the memory that the weight, the bias or the statistics lie in."""
    case = Case("layer_norm", (40, 40))
    arguments = draw(case, rng, kind)
    y, stats = forward(fastnorm, case, arguments)
    dx = backward(fastnorm, case, arguments, stats=stats).x
    for name in ("weight", "bias"):
        for function, expected in ((forward, y), (backward, dx)):
            out = np.zeros((40, 40), kind)
            out[2] = arguments.parameters[name]
            inside = {**arguments.parameters, name: out[2]}
            function(fastnorm, case, replace(arguments, parameters=inside), out=out)
            assert same_bits(out, expected), f"{function.__name__}, {name}"
    for position in range(2):
        out = np.zeros((40, 40), kind)
        inside = [stats.mean, stats.var, stats.count]
        memory = out.reshape(-1).view(np.float64)[7 : 7 + 40]
        memory[...] = inside[position]
        inside[position] = memory
        backward(fastnorm, case, arguments, stats=tuple(inside), out=out)
        assert same_bits(out, dx), f"statistic {position}"


@given(
    case=cases(max_size=3000, ops=("moments", "standardize", "layer_norm", "rms_norm")),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_the_order_of_the_axes_argument(case, seed, data):
    """axis=(0, 2), (2, 0) and (-1, 0) are one call."""
    axes = case.config["axis"]
    if not isinstance(axes, tuple):
        axes = tuple(range(len(case.shape))) if axes is None else (axes,)
    arguments = draw(case, np.random.default_rng(seed))
    shuffled = tuple(
        axis - len(case.shape) if data.draw(st.booleans()) and axis >= 0 else axis
        for axis in data.draw(st.permutations(axes))
    )
    same = replace(case, config={**case.config, "axis": shuffled})
    assert_same_bits(everything(same, arguments), everything(case, arguments), shuffled)
