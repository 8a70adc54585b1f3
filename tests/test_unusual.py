# SPDX-License-Identifier: BSD-3-Clause
"""Whatever is not a usual call: the compiled entry answers None, and has written nothing."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from fastnorm import _core
from fastnorm._groups import AXES, BATCH

X = np.arange(12, dtype=np.float32).reshape(3, 4)
W = np.ones(4, np.float32)


class Subclass(np.ndarray):
    """An array that may mean anything."""


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a):
    raw = np.zeros(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


SWAPPED = X.astype(X.dtype.newbyteorder())
UNUSUAL = {
    "x": [
        X.tolist(), memoryview(X), X.view(Subclass), SWAPPED, X.astype(int), X[:0], X[:, :0],
        X.astype(np.longdouble), np.ma.array(X), None, np.float32(1),
    ],
    "weight": [
        W.tolist(), memoryview(W), W.view(Subclass), W.astype(np.float64), W.astype(np.float16),
        np.ones(8, np.float32)[::2], W[:3], W[None], SWAPPED[0], unaligned(W), 1.0,
    ],
    "eps": [0, 1, np.float64(1e-5), np.float32(1e-5), -1e-5, np.inf, np.nan, True, "1", None],
    "out": [
        X.copy().view(Subclass), X.astype(np.float64), X[:2].copy(), X.copy()[None], read_only(X),
        SWAPPED.copy(), X.tolist(), np.empty(0, np.float32),
    ],
    "axis": [1.0, True, np.int64(1), [1], (np.int64(1),), (True,)],
}  # fmt: skip
ONES = [(name, i) for name, values in UNUSUAL.items() for i in range(len(values))]


@pytest.mark.parametrize(("name", "index"), ONES, ids=[f"{n}-{i}" for n, i in ONES])
def test_whatever_is_not_usual_is_left_to_python(name, index):
    """None is the answer, and nothing was written."""
    value = UNUSUAL[name][index]
    usual = {"x": X, "weight": W, "bias": W, "eps": 1e-5, "out": np.full_like(X, 7), "axis": 1}
    given_ = {**usual, name: value}
    out = given_["out"]
    before = np.array(out)
    x, w, b, eps, axis = (given_[key] for key in ("x", "weight", "bias", "eps", "axis"))
    assert _core.normalize(x, w, b, eps, out, 0, AXES, axis) is None
    assert _core.normalize(x, b, w, eps, out, _core.STATS, AXES, axis) is None
    assert _core.gradient(X, x, w, b, None, None, None, eps, out, 0, AXES, axis) is None
    if name in ("x", "axis"):
        assert _core.measure(x, AXES, axis, False) is None
    if name == "x":
        assert _core.gradient(x, X, w, b, None, None, None, eps, out, 0, AXES, axis) is None
    assert np.array_equal(np.array(out), before)


@pytest.mark.parametrize(
    ("mean", "var", "count"),
    [
        (np.zeros(3), np.ones(3), np.int64(4)),
        (np.zeros(3), np.ones(3), 5),
        (np.zeros(3), np.ones(3), None),
        (np.zeros(4), np.ones(4), 4),
        (np.zeros((1, 3)), np.ones((1, 3)), 4),
        (np.zeros(6)[::2], np.ones(3), 4),
        (np.zeros(3), np.ones(6)[::2], 4),
        (np.zeros(3, np.float16), np.ones(3), 4),
        (np.zeros(3).tolist(), np.ones(3), 4),
        (None, np.ones(3), 4),
        (np.zeros(3), None, 4),
        (np.zeros(3, ">f8"), np.ones(3), 4),
    ],
)
def test_statistics_that_are_not_usual(mean, var, count):
    out = np.full_like(X, 7)
    assert _core.gradient(X, X, W, W, mean, var, count, 1e-5, out, 0, AXES, 1) is None
    assert (out == 7).all()


def test_statistics_in_the_memory_of_the_output_are_not_usual():
    out = np.zeros((3, 4))
    mean, var = out[0, :3], np.ones(3)
    x = X.astype(np.float64)
    assert _core.gradient(x, x, None, None, mean, var, 4, 1e-5, out, 0, AXES, 1) is None


@pytest.mark.parametrize(
    ("mean", "var", "momentum", "flags"),
    [
        (np.zeros(4, np.float16), W, 0.1, 0),
        (np.zeros(8)[::2], W, 0.1, 0),
        (np.zeros((1, 4)), W, 0.1, 0),
        (np.zeros(4), [1.0] * 4, 0.1, 0),
        (read_only(W), W.copy(), 0.1, 0),
        (W, W, 0.1, 0),
        (None, W.copy(), 1, 0),
        (None, W.copy(), 1.5, 0),
        (None, W.copy(), -0.5, 0),
        (None, W.copy(), np.nan, 0),
        (None, W.copy(), None, 0),
        (None, W, 0.1, _core.GIVEN),
        (W, None, 0.1, _core.GIVEN),
        (None, None, 0.1, _core.GIVEN),
    ],
)
def test_running_statistics_that_are_not_usual(mean, var, momentum, flags):
    out, kept = np.full_like(X, 7), [np.array(a) for a in (mean, var)]
    call = (X, W, W, mean, var, momentum, 1e-5, out, flags, BATCH, 1)
    assert _core.normalize_batch(*call) is None
    assert (out == 7).all()
    assert all(np.array_equal(np.array(a), b) for a, b in zip((mean, var), kept, strict=True))


@pytest.mark.parametrize("running", [np.zeros(3), np.zeros(4, np.float16), [0.0] * 4])
def test_running_statistics_beside_others_are_not_usual_if_they_do_not_fit(running):
    out = np.full_like(X, 7)
    call = (X, X, W, W, np.zeros(4), np.ones(4), 0, 1e-5, out, _core.FIXED, BATCH, 1, None)
    assert _core.gradient(*call, running, W) is None
    assert _core.gradient(*call, W, running) is None
    assert (out == 7).all()
    assert _core.gradient(*call, W, W) is not None


def test_a_single_value_per_channel_is_not_usual_in_training():
    call = (X[:1], None, None, None, None, 0.1, 1e-5, None)
    assert _core.normalize_batch(*call, _core.MANY, BATCH, 1) is None
    with pytest.raises(ValueError, match="single value"):
        fastnorm.batch_norm(X[:1])


def test_parameters_that_broadcast_in_two_ways_are_not_usual_in_the_gradient():
    x, a, b = np.ones((3, 4)), np.ones(4), np.ones((3, 1))
    call = (None, None, None, 1e-5, None, _core.AGAINST, AXES, 1)
    assert _core.gradient(x, x, a, a, *call) is not None
    assert _core.gradient(x, x, a, b, *call) is None
    assert _core.normalize(x, a, b, 1e-5, None, _core.AGAINST, AXES, 1) is not None
    assert _core.normalize(x, np.ones(3), b, 1e-5, None, _core.AGAINST, AXES, 1) is None
