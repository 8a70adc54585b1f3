# SPDX-License-Identifier: BSD-3-Clause
"""The usual call, carried out by the compiled entry alone, gives the bits of the general one.

Every function offers its arguments to `fastnorm._core.normalize` and its like first, and converts
and checks them only where the answer is None. Here both ways are taken and compared.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from unittest import mock

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnorm
from cases import Case, assert_same_bits, draw, everything, same_bits
from fastnorm import _core
from fastnorm._groups import AXES, LAYER_AXES, over_axes
from layouts import lay_out
from strategies import cases, layouts

ENTRIES = ("normalize", "normalize_batch", "measure", "gradient")
SEEDS = st.integers(0, 2**32 - 1)
TYPES = tuple(map(np.dtype, (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)))
CASES = (
    Case("layer_norm", (5, 33)),
    Case("layer_norm", (3, 4, 18), {"axis": (-2, -1)}),
    Case("rms_norm", (5, 33)),
    Case("rms_norm", (4, 5, 6), {"axis": 0}),
    Case("standardize", (4, 5, 6), {"axis": (0, 2)}, affine=(5, 1)),
    Case("standardize", (4, 5, 6), {"axis": None}, affine=(4, 1, 6)),
    Case("standardize", (7,), {"axis": ()}, affine=(1,)),
    Case("batch_norm", (4, 5, 6)),
    Case("batch_norm", (16, 7, 3, 3)),
    Case("batch_norm", (8, 9, 5), {"channel_axis": -1}),
    Case("instance_norm", (3, 4, 5, 6)),
    Case("instance_norm", (3, 6, 5), {"channel_axis": 2}),
    Case("group_norm", (3, 6, 10), {"num_groups": 2}),
    Case("group_norm", (3, 5, 4, 12), {"num_groups": 3, "channel_axis": -1}),
    Case("group_norm", (2, 6, 4), {"num_groups": 1}),
    Case("group_norm", (2, 4, 9), {"num_groups": 4}),
    Case("moments", (4, 5, 6), {"axis": (0, 2)}),
    Case("moments", (4, 5, 6), {"axis": 1, "keepdims": True}),
)


@contextmanager
def general():
    """Every call finds itself unusual."""
    with mock.patch.multiple(_core, **dict.fromkeys(ENTRIES, lambda *arguments: None)):
        yield


@contextmanager
def counted():
    """How many calls were usual, and how many were not."""
    seen = {True: 0, False: 0}

    def spy(entry):
        def call(*arguments):
            answer = entry(*arguments)
            seen[answer is not None] += 1
            return answer

        return call

    with mock.patch.multiple(_core, **{name: spy(getattr(_core, name)) for name in ENTRIES}):
        yield seen


def core_dtype(dtype):
    """The type in which the core takes the parameters."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def arguments_of(case, rng, dtype=np.float32):
    """Arguments that are usual."""
    if dtype == ml_dtypes.bfloat16:  # whose number the entry learns from the first general call
        fastnorm.moments(np.ones(2, dtype))
    return draw(case, rng, dtype, parameter_dtype=core_dtype(dtype))


# ---- the same bits both ways ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_usual_calls_are_recognized_and_have_the_same_bits(case, dtype, rng):
    arguments = arguments_of(case, rng, dtype)
    with counted() as seen:
        usual = everything(case, arguments)
    assert seen == {True: 1 if case.op == "moments" else 3, False: 0}
    with general():
        assert_same_bits(usual, everything(case, arguments), case)


@given(case=cases(), seed=SEEDS, data=st.data())
def test_both_ways_have_the_same_bits_on_any_memory(case, seed, data):
    rng = np.random.default_rng(seed)
    dtype, stored = data.draw(st.sampled_from(TYPES)), data.draw(st.sampled_from(TYPES))
    arguments = draw(case, rng, dtype, parameter_dtype=stored)
    arguments.x = lay_out(arguments.x, data.draw(layouts(len(case.shape))))
    arguments.dy = lay_out(arguments.dy, data.draw(layouts(len(case.shape))))
    usual = everything(case, arguments)
    with general():
        assert_same_bits(usual, everything(case, arguments), case)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("given_mean", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_running_statistics_have_the_same_bits(training, given_mean, dtype, rng):
    x = (rng.standard_normal((6, 5, 7)) + 3).astype(np.float32)
    results = []
    for way in (counted, general):
        mean = np.linspace(-1, 1, 5).astype(dtype) if given_mean or not training else None
        var = np.linspace(1, 2, 5).astype(dtype)
        with way() as seen:
            y, stats = fastnorm.batch_norm(
                x, None, None, mean, var, training=training, momentum=0.3, return_stats=True
            )
            running = {"running_mean": mean, "running_var": var, "training": training}
            dx = fastnorm.batch_norm_backward(x, x, **running).x
            beside_stats = fastnorm.batch_norm_backward(x, x, **running, stats=stats).x
        if way is counted:
            assert seen == {True: 3, False: 0}
        found = {"y": y, "mean": stats.mean, "var": stats.var, "dx": dx, "running var": var}
        found["dx beside stats"] = beside_stats
        assert stats.count == (42 if training else 0)
        results.append(found if mean is None else found | {"running mean": mean})
    assert_same_bits(*results, "running statistics")


LAYERS = {
    "LayerNorm": (lambda: fastnorm.LayerNorm((4, 6)), (5, 4, 6)),
    "LayerNorm, plain": (lambda: fastnorm.LayerNorm(6, elementwise_affine=False), (5, 6)),
    "RMSNorm": (lambda: fastnorm.RMSNorm(6), (5, 4, 6)),
    "BatchNorm": (lambda: fastnorm.BatchNorm(6), (5, 6, 4)),
    "BatchNorm, average": (lambda: fastnorm.BatchNorm(6, momentum=None), (5, 6, 4)),
    "BatchNorm, evaluation": (lambda: fastnorm.BatchNorm(6).eval(), (5, 6, 4)),
    "InstanceNorm": (lambda: fastnorm.InstanceNorm(6, affine=True), (5, 6, 4)),
    "GroupNorm": (lambda: fastnorm.GroupNorm(2, 6), (5, 6, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_have_the_same_bits(name, rng):
    make, shape = LAYERS[name]
    x, dy = rng.standard_normal((2, *shape)).astype(np.float32)
    results = []
    for way in (counted, general):
        layer = make()
        with way() as seen:
            ys = {f"y{i}": layer(x * (i + 1)) for i in range(2)}
            dx = layer.backward(dy)
        if way is counted:
            assert seen == {True: 3, False: 0}
        results.append({**ys, "dx": dx, **layer.grads, **layer.state_dict()})
    assert_same_bits(*results, name)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_refuse_an_x_of_another_shape_both_ways(name, rng):
    make, shape = LAYERS[name]
    layer = make()
    layer(np.ones(shape, np.float32))
    said = []
    for way in (counted, general):
        with way(), pytest.raises(ValueError, match="expected") as refusal:
            layer(np.ones((5, 5, 5), np.float32))
        said.append(str(refusal.value))
    assert said[0] == said[1]


def test_a_gradient_beyond_float32_is_inf_and_said_both_ways(rng):
    """The sum of each block fits float32, their total in float64 does not."""
    x = rng.standard_normal((1, 2, 20000)).astype(np.float32)
    dy = np.full_like(x, 1e35)
    for way in (counted, general):
        with way() as seen, pytest.warns(RuntimeWarning, match="overflow"):
            found = fastnorm.batch_norm_backward(dy, x, None, np.zeros(2, np.float32))
        assert np.isinf(found.bias).all()
        if way is counted:
            assert seen == {True: 1, False: 0}


# ---- outputs that overlap ------------------------------------------------------------------------


@st.composite
def views(draw):
    """How an array of 3 x 4 values lies in a buffer: its first byte, and its strides."""
    return draw(st.integers(0, 40)) * 2, draw(
        st.sampled_from([(16, 4), (4, 12), (32, 8), (16, -4), (-16, 4), (20, 4)])
    )


def view_of(buffer, place, shape=(3, 4), dtype=np.float32):
    first, strides = place
    return np.ndarray(shape, dtype, buffer, 200 + first, strides)


@given(
    places=st.tuples(views(), views(), views()), weight_at=st.integers(0, 150), same=st.booleans()
)
def test_any_overlap_gives_what_a_fresh_output_gives(places, weight_at, same):
    start = np.random.default_rng(0).standard_normal(200).astype(np.float32).tobytes()
    x_at, dy_at, out_at = places
    if same:
        out_at = x_at
    for function in ("layer_norm", "layer_norm_backward"):
        results = []
        for fresh in (True, False):
            buffer = bytearray(start)
            x, dy = view_of(buffer, x_at), view_of(buffer, dy_at)
            weight = np.ndarray(4, np.float32, buffer, 4 * weight_at)
            out = None if fresh else view_of(buffer, out_at)
            if function == "layer_norm":
                results.append({"y": fastnorm.layer_norm(x, weight, out=out).copy()})
            else:
                found = fastnorm.layer_norm_backward(dy, x, weight, out=out)
                results.append({"x": found.x.copy(), "weight": found.weight})
        assert_same_bits(*results, function)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_running_statistics_that_overlap_are_read_first(dtype):
    x = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    results = []
    for way in (counted, general):
        both = np.arange(1, 6, dtype=dtype)
        with way():
            fastnorm.batch_norm(x, None, None, both[:3], both[2:])
        results.append({"both": both})
    assert_same_bits(*results, "running statistics")


# ---- groups that are remembered ------------------------------------------------------------------

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_the_same_question_has_the_same_answer():
    groups = _core.measure(X, AXES, -1, False)[2]
    assert _core.measure(X + 1, AXES, -1, False)[2] is groups
    assert groups.axes == over_axes(-1, X.shape).axes == (1,)
    assert (groups.kept, groups.free, groups.shape, groups.size) == ((3, 1), (3,), (4,), 4)


def test_questions_that_share_a_slot_are_told_apart():
    """There are more shapes here than slots."""
    for n in range(1, 300):
        x = np.ones((2, n), np.float32)
        for axis, size in ((0, 2), (1, n), ((0, 1), 2 * n), (None, 2 * n)):
            assert fastnorm.moments(x, axis).count == size


def test_a_memo_takes_what_never_changes():
    """An object with another value tomorrow would be answered with the groups of today."""

    class Axis:
        value = 0

        def __index__(self):
            return self.value

    axis = Axis()
    x = np.ones((2, 3), np.float32)
    assert fastnorm.moments(x, axis).count == 2
    axis.value = 1
    assert fastnorm.moments(x, axis).count == 3
    assert fastnorm.moments(x, (axis,)).count == 3


def test_errors_of_the_axes_come_out_of_the_memo():
    for _ in range(2):
        with pytest.raises(np.exceptions.AxisError, match="out of range"):
            fastnorm.layer_norm(X, axis=2)
        with pytest.raises(ValueError, match="twice"):
            fastnorm.layer_norm(X, axis=(1, -1))
        with pytest.raises(ValueError, match="normalized_shape last"):
            _core.normalize(X, None, None, 1e-5, None, 0, LAYER_AXES, (-1,), (5,))


def test_x_of_64_axes_and_no_more():
    x = np.arange(2.0).reshape((1,) * 62 + (2, 1))
    assert same_bits(fastnorm.standardize(x, axis=None, eps=0.0).ravel(), np.array([-1.0, 1.0]))
    with pytest.raises(ValueError, match="axes"):
        fastnorm.group_norm(x, 1, channel_axis=62)


def test_threads_share_the_memo():
    """Shapes in turn, from several threads, each with the count that is its own."""
    wrong = []

    def work(offset):
        for i in range(3000):
            n = 2 + (i * 7 + offset) % 90
            if fastnorm.moments(np.ones((3, n), np.float32), 1).count != n:
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
