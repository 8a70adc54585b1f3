# SPDX-License-Identifier: BSD-3-Clause
"""The NumPy twin computes what the reference computes: else its speed would mean nothing."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fastnorm.reference
from fastnorm.compare import numpy_twin
from fastnorm.compare.case import Case
from fastnorm.compare.problem import build

CASES = [
    Case("rows", "moments", (6, 40), "", {"axis": -1}),
    Case("all", "moments", (6, 40), "", {"axis": None}),
    Case("planes", "standardize", (3, 4, 5, 6), "", {"axis": (2, 3)}, affine=(4, 1, 1)),
    Case("broadcast", "standardize", (3, 20, 6), "", {"axis": 1}, affine=(6,)),
    Case("bare", "standardize", (3, 20, 6), "", {"axis": 1}),
    Case("rows", "layer_norm", (6, 40), "", {"axis": -1}),
    Case("channels", "layer_norm", (2, 30, 4), "", {"axis": 1}),
    Case("image", "layer_norm", (2, 3, 4, 5), "", {"axis": (3, 1, 2)}),
    Case("rows", "rms_norm", (6, 40), "", {"axis": -1}),
    Case("two", "rms_norm", (6, 5, 8), "", {"axis": (1, 2)}),
    Case("first", "batch_norm", (4, 3, 5, 6), ""),
    Case("last", "batch_norm", (4, 5, 6, 3), "", {"channel_axis": -1}),
    Case("eval", "batch_norm", (4, 3, 5, 6), "", {"training": False}),
    Case("first", "instance_norm", (2, 3, 5, 6), ""),
    Case("last", "instance_norm", (2, 5, 6, 3), "", {"channel_axis": -1}),
    Case("train", "instance_norm", (2, 3, 5, 6), "", {"training": True}),
    Case("eval", "instance_norm", (2, 3, 5, 6), "", {"training": False}),
    Case("first", "group_norm", (2, 6, 5, 4), "", {"num_groups": 3}),
    Case("last", "group_norm", (2, 5, 4, 6), "", {"num_groups": 2, "channel_axis": -1}),
    Case("first", "conditional_instance_norm", (12, 3, 5, 6), ""),
    Case("last", "conditional_instance_norm", (2, 5, 6, 3), "", {"channel_axis": -1}),
    Case("first", "batch_renorm", (4, 3, 5, 6), ""),
    Case("last", "batch_renorm", (4, 5, 6, 3), "", {"channel_axis": -1, "r_max": 1.1}),
    Case("eval", "batch_renorm", (4, 3, 5, 6), "", {"training": False}),
    Case("series", "denormalize", (3, 20, 6), "", {"axis": 1}),
    Case("all", "denormalize", (3, 20, 6), "", {"axis": None}),
    Case("planes", "denormalize", (3, 4, 5, 6), "", {"axis": (2, 3), "channel_axis": 1}),
    Case("first", "adaptive_instance_norm", (2, 3, 5, 6), ""),
    Case("last", "adaptive_instance_norm", (2, 5, 6, 3), "", {"channel_axis": -1}),
]
# Relative to the largest entry: small groups, some roundings of the compute type.
TOLERANCE = {"float64": 1e-13, "float32": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}


@pytest.mark.parametrize(
    ("case", "direction"),
    [
        pytest.param(case, direction, id=f"{case.op}-{case.name}-{direction}")
        for case in CASES
        for direction in case.directions
    ],
)
def test_twin_agrees_with_the_reference(case, direction, dtype):
    problem = build(case, dtype)
    wanted = problem.in_float64().outputs(fastnorm.reference, direction)
    results = problem.outputs(numpy_twin, direction)
    for name, want in wanted.items():
        got = results[name]
        assert got.shape == want.shape
        limit = TOLERANCE[dtype.name] * np.max(np.abs(want))
        assert np.max(np.abs(got.astype(np.float64) - want)) <= limit


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op}-{case.name}")
def test_out_receives_the_result(case):
    for direction in case.directions:
        if case.op == "moments":
            continue
        problem = build(case, np.dtype(ml_dtypes.bfloat16))
        out = problem.buffer()
        stats = problem.statistics(numpy_twin) if direction == "backward" else None
        words = {"out": out} | ({} if stats is None else {"stats": stats})
        problem.call(numpy_twin, direction, **words)()
        again = build(case, np.dtype(ml_dtypes.bfloat16))  # with running statistics as they were
        first = next(iter(again.outputs(numpy_twin, direction).values()))
        assert np.array_equal(out, first)


@pytest.mark.parametrize("op", ["batch_norm", "instance_norm"])
def test_running_statistics_move_like_those_of_the_reference(op):
    case = Case("running", op, (8, 3, 5), "", {"training": True})
    problem = build(case, np.dtype(np.float64))
    wide = problem.in_float64()
    problem.call(numpy_twin, "forward")()
    wide.call(fastnorm.reference, "forward")()
    for name in ("running_mean", "running_var"):
        np.testing.assert_allclose(problem.parameters[name], wide.parameters[name], rtol=1e-13)
