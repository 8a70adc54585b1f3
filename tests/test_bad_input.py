# SPDX-License-Identifier: BSD-3-Clause
"""Bad arguments: the right exception, a message with argument and value, nothing written."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import fastnorm
from cases import OPS, Case, backward, draw, forward

AxisError = np.exceptions.AxisError
AXIS_OPS = ("standardize", "layer_norm", "rms_norm")
CHANNEL_OPS = ("batch_norm", "instance_norm", "group_norm")

SHAPE = (4, 6, 5)
VALID = {
    "standardize": Case("standardize", SHAPE, {"axis": -1}),
    "layer_norm": Case("layer_norm", SHAPE),
    "rms_norm": Case("rms_norm", SHAPE),
    "batch_norm": Case("batch_norm", SHAPE),
    "instance_norm": Case("instance_norm", SHAPE),
    "group_norm": Case("group_norm", SHAPE, {"num_groups": 3}),
}


def like_x(dtype=np.float32, shape=SHAPE, *, writeable: bool = True) -> np.ndarray:
    """An array of sevens."""
    array = np.full(shape, 7, dtype)
    array.flags.writeable = writeable
    return array


@dataclass(frozen=True)
class Bad:
    """Arguments that make a valid call bad, the exception and the words its message must have."""

    change: dict[str, Any]
    error: type[Exception]
    words: tuple[str, ...]
    ops: tuple[str, ...] = OPS

    def __str__(self) -> str:
        return "-".join(
            f"{name}={np.shape(value)}:{value.dtype}"
            if isinstance(value, np.ndarray)
            else f"{name}={value!r}"
            for name, value in self.change.items()
        )


X_IS_BAD = [
    *(
        Bad({"x": like_x(kind)}, TypeError, ("x ", np.dtype(kind).name))
        for kind in (np.int64, np.uint8, np.bool_, np.complex64, np.longdouble)
    ),
    Bad({"x": np.full(SHAPE, None)}, TypeError, ("x ", "object")),
    Bad({"x": np.full(SHAPE, "a")}, TypeError, ("x ", "U1")),
    Bad({"x": [1.0, 2.0]}, TypeError, ("x ", "list")),
    Bad({"x": 1.0}, TypeError, ("x ", "float")),
    Bad({"x": None}, TypeError, ("x ", "None")),
    Bad({"x": np.ma.masked_invalid(like_x())}, TypeError, ("x ", "mask")),
]

PARAMETERS_ARE_BAD = [
    Bad({"weight": np.ones(7)}, ValueError, ("weight", "(7,)")),
    Bad({"weight": np.ones((6, 5, 1))}, ValueError, ("weight", "(6, 5, 1)")),
    Bad({"weight": np.ones(5, int)}, TypeError, ("weight", "int64")),
    Bad({"weight": [1.0]}, TypeError, ("weight", "list")),
    *(
        Bad(change, error, words, tuple(op for op in OPS if op != "rms_norm"))
        for change, error, words in (
            ({"bias": np.ones(7)}, ValueError, ("bias", "(7,)")),
            ({"bias": np.ones(5, int)}, TypeError, ("bias", "int64")),
        )
    ),
    # a parameter may not make the result larger than x
    Bad({"weight": np.ones((2, 4, 6, 5))}, ValueError, ("weight", "(2, 4, 6, 5)")),
    Bad({"weight": np.ones(())}, ValueError, ("weight", "()"), (*AXIS_OPS[1:], *CHANNEL_OPS)),
]

EPS_IS_BAD = [
    Bad({"eps": value}, ValueError, ("eps", repr(value)))
    for value in (-1.0, -1e-300, float("nan"), float("inf"), -1, np.float32(-2))
] + [Bad({"eps": value}, TypeError, ("eps", repr(value))) for value in ("1e-5", None, True, 1j)]

AXIS_IS_BAD = [
    *(Bad({"axis": axis}, AxisError, ("axis", str(axis)), AXIS_OPS) for axis in (3, -4)),
    Bad({"axis": (0, 3)}, AxisError, ("axis", "3"), AXIS_OPS),
    *(Bad({"axis": a}, ValueError, ("axis", str(a)), AXIS_OPS) for a in ((1, 1), (1, -2))),
    *(Bad({"axis": a}, TypeError, ("axis", repr(a)), AXIS_OPS) for a in (1.0, "1", True)),
    Bad({"axis": (0, 1.0)}, TypeError, ("axis", "1.0"), AXIS_OPS),
    *(Bad({"channel_axis": a}, AxisError, ("channel_axis", str(a)), CHANNEL_OPS) for a in (3, -4)),
    *(
        Bad({"channel_axis": a}, ValueError, ("channel_axis", str(a)), CHANNEL_OPS[1:])
        for a in (0, -3)
    ),
    *(
        Bad({"channel_axis": a}, TypeError, ("channel_axis", repr(a)), CHANNEL_OPS)
        for a in (1.0, None, (1,))
    ),
]

GROUPS_ARE_BAD = [
    Bad({"num_groups": 4}, ValueError, ("num_groups", "4", "6"), ("group_norm",)),
    *(
        Bad({"num_groups": n}, ValueError, ("num_groups", str(n)), ("group_norm",))
        for n in (0, -1, 7, 12)
    ),
    *(
        Bad({"num_groups": n}, TypeError, ("num_groups", repr(n)), ("group_norm",))
        for n in (2.0, "2", None, True)
    ),
]

OUT_IS_BAD = [
    Bad({"out": like_x(shape=(4, 6, 4))}, ValueError, ("out", "(4, 6, 4)")),
    Bad({"out": like_x(shape=(120,))}, ValueError, ("out", "(120,)")),
    Bad({"out": like_x(np.float64)}, TypeError, ("out", "float64")),
    Bad({"out": like_x(">f4")}, TypeError, ("out", ">f4")),
    Bad({"out": like_x(writeable=False)}, ValueError, ("out", "read-only")),
    Bad({"out": [7.0]}, TypeError, ("out", "list")),
]

BATCH_NORM_IS_BAD = [
    *(
        Bad({name: value}, error, (name, word), ("batch_norm",))
        for name in ("running_mean", "running_var")
        for value, error, word in (
            (np.ones(5), ValueError, "(5,)"),
            (np.ones(6, int), TypeError, "int64"),
            ([1.0] * 6, TypeError, "list"),
            (like_x(shape=(6,), writeable=False), ValueError, "read-only"),
        )
    ),
    *(
        Bad({"momentum": value}, ValueError, ("momentum", repr(value)), ("batch_norm",))
        for value in (None, -0.1, 1.5, float("nan"))
    ),
    Bad({"momentum": "0.1"}, TypeError, ("momentum", "'0.1'"), ("batch_norm",)),
    *(
        Bad({"training": False, name: None}, ValueError, (name, "None"), ("batch_norm",))
        for name in ("running_mean", "running_var")
    ),
]

BACKWARD_IS_BAD = [
    Bad({"dy": like_x(shape=(4, 6, 4))}, ValueError, ("dy", "(4, 6, 4)")),
    Bad({"dy": like_x(np.float64)}, TypeError, ("dy", "float64")),
    Bad({"dy": like_x(int)}, TypeError, ("dy", "int64")),
    Bad({"dy": None}, TypeError, ("dy", "None")),
    Bad({"stats": 1.0}, TypeError, ("stats", "1.0")),
    Bad({"stats": ()}, TypeError, ("stats", "()")),
]

EVERYWHERE = [
    *(*X_IS_BAD, *PARAMETERS_ARE_BAD, *EPS_IS_BAD, *AXIS_IS_BAD, *GROUPS_ARE_BAD, *OUT_IS_BAD),
    *BATCH_NORM_IS_BAD,
]


def valid_call(op: str, direction: str, rng) -> tuple[Any, dict[str, Any]]:
    """A function and arguments that it takes; `out` and running statistics hold sentinels."""
    case = VALID[op]
    arguments = draw(case, rng)
    call = {"x": arguments.x, **arguments.parameters, **case.config, "out": like_x()}
    if direction == "forward":
        return getattr(fastnorm, op), call
    return getattr(fastnorm, f"{op}_backward"), {"dy": arguments.dy, **call}


def check_refused(op: str, direction: str, bad: Bad, rng) -> None:
    """The call works without the change, raises with it, and leaves every array as it was."""
    function, call = valid_call(op, direction, rng)
    function(**valid_call(op, direction, rng)[1])
    call |= bad.change
    arrays = {name: value for name, value in call.items() if isinstance(value, np.ndarray)}
    before = {name: value.tobytes() for name, value in arrays.items()}
    with pytest.raises(bad.error) as raised:
        function(**call)
    for word in bad.words:
        assert word in str(raised.value)
    for name, value in arrays.items():
        assert value.tobytes() == before[name], f"{name} was written"


def refusals(entries: list[Bad]):
    """Every bad argument of every normalizer that has it."""
    pairs = [(op, bad) for bad in entries for op in bad.ops]
    return pytest.mark.parametrize(("op", "bad"), pairs, ids=[f"{op}-{bad}" for op, bad in pairs])


@refusals(EVERYWHERE)
def test_forward(op, bad, rng):
    check_refused(op, "forward", bad, rng)


# Not of the gradient: it reads the running statistics in evaluation alone, and updates none.
FORWARD_ONLY = ("momentum", "running_mean", "running_var")


@refusals([bad for bad in EVERYWHERE if not set(bad.change) & {*FORWARD_ONLY}] + BACKWARD_IS_BAD)
def test_backward(op, bad, rng):
    check_refused(op, "backward", bad, rng)


@pytest.mark.parametrize("name", ["running_mean", "running_var"])
def test_backward_in_evaluation_needs_the_running_statistics(name, rng):
    bad = Bad({"training": False, name: None}, ValueError, (name, "None"))
    check_refused("batch_norm", "backward", bad, rng)


@pytest.mark.parametrize("op", OPS)
def test_stats_of_another_input(op, rng):
    """Statistics whose shape or count cannot be those of x."""
    case = VALID[op]
    stats = forward(fastnorm, case, draw(case, rng))[1]
    *arrays, count = stats
    names = ("mean_square",) if op == "rms_norm" else ("mean", "var")
    for position, name in enumerate(names):
        wrong = [*arrays]
        wrong[position] = np.ones((*np.shape(arrays[position]), 2))
        words = (f"stats.{name}", str(wrong[position].shape))
        check_refused(op, "backward", Bad({"stats": (*wrong, count)}, ValueError, words), rng)
    words = ("stats.count", str(count + 1))
    check_refused(op, "backward", Bad({"stats": (*arrays, count + 1)}, ValueError, words), rng)


ONE_VALUE = [
    Case("batch_norm", (1, 6)),
    Case("batch_norm", (1, 6, 1, 1)),
    Case("batch_norm", (1, 1, 6), {"channel_axis": -1}),
    Case("instance_norm", (4, 6, 1)),
    Case("instance_norm", (4, 1, 1, 6), {"channel_axis": -1}),
    Case("group_norm", (4, 6), {"num_groups": 6}),
    Case("group_norm", (4, 1, 6), {"num_groups": 6, "channel_axis": -1}),
]


@pytest.mark.parametrize("case", ONE_VALUE, ids=str)
def test_one_value_per_group(case, rng):
    """The variance of one value says nothing, and its unbiased form would be NaN for ever."""
    arguments = draw(case, rng)
    out = like_x(shape=case.shape)
    running = {k: v.copy() for k, v in arguments.parameters.items() if k.startswith("running")}
    for function in (forward, backward):
        with pytest.raises(ValueError, match=r"x .*value") as raised:
            function(fastnorm, case, arguments, out=out)
        assert all(str(n) in str(raised.value) for n in case.shape)
    assert (out == 7).all()
    assert all((arguments.parameters[name] == value).all() for name, value in running.items())


@pytest.mark.parametrize(
    ("op", "shape"),
    [("batch_norm", (6,)), ("instance_norm", (4, 6)), ("group_norm", (6,)), ("batch_norm", ())],
)
def test_too_few_axes(op, shape, rng):
    x = rng.standard_normal(shape).astype(np.float32)
    config = {"num_groups": 2} if op == "group_norm" else {}
    with pytest.raises(ValueError, match=r"x .*axes") as raised:
        getattr(fastnorm, op)(x, **config)
    assert str(shape) in str(raised.value)


@pytest.mark.parametrize("axis", [0, -1, (0,)])
def test_no_axis_of_a_scalar(axis):
    for function in (fastnorm.moments, fastnorm.layer_norm, fastnorm.rms_norm):
        with pytest.raises(AxisError, match="axis"):
            function(np.array(1.0), axis=axis)


@pytest.mark.parametrize(
    "bad", [b for b in X_IS_BAD + AXIS_IS_BAD if "channel_axis" not in b.change], ids=str
)
def test_moments(bad):
    call = {"x": like_x(), "axis": -1} | bad.change
    with pytest.raises(bad.error) as raised:
        fastnorm.moments(**call)
    assert all(word in str(raised.value) for word in bad.words)


def test_zero_eps_is_allowed(op, rng):
    case = replace(VALID[op], config=VALID[op].config | {"eps": 0})
    assert np.isfinite(forward(fastnorm, case, draw(case, rng))[0]).all()


def test_momentum_is_between_zero_and_one_inclusive(rng):
    for momentum in (0, 1, 0.5, np.float32(0.25)):
        case = Case("batch_norm", SHAPE, {"momentum": momentum})
        forward(fastnorm, case, draw(case, rng))


def test_signatures_are_those_of_the_reference():
    """The same names in the same order with the same defaults, `out` and `stats` included."""
    for name in ("moments", *OPS, *(f"{op}_backward" for op in OPS)):
        ours, theirs = (
            inspect.signature(getattr(module, name)).parameters.values()
            for module in (fastnorm, fastnorm.reference)
        )
        assert [(p.name, p.kind, p.default) for p in ours] == [
            (p.name, p.kind, p.default) for p in theirs
        ]
