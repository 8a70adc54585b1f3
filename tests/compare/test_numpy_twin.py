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
    Case("planes", "denormalize", (3, 4, 5, 6), "", {"axis": (2, 3), "channel_axis": 1}),
    Case("first", "adaptive_instance_norm", (2, 3, 5, 6), ""),
    Case("last", "adaptive_instance_norm", (2, 5, 6, 3), "", {"channel_axis": -1}),
    Case("first", "variance_norm", (4, 3, 5, 6), ""),
    Case("eval", "variance_norm", (4, 3, 5, 6), "", {"training": False}),
    Case("first", "filter_response_norm", (2, 3, 5, 6), ""),
    Case("last", "filter_response_norm", (2, 5, 6, 3), "", {"channel_axis": -1}),
    Case("first", "evonorm_b0", (4, 3, 5, 6), ""),
    Case("eval", "evonorm_b0", (4, 3, 5, 6), "", {"training": False}),
    Case("first", "evonorm_s0", (2, 6, 5, 4), "", {"num_groups": 3}),
    Case("last", "evonorm_s0", (2, 5, 4, 6), "", {"num_groups": 2, "channel_axis": -1}),
    Case("zca", "whiten", (4, 6, 5, 6), "", {"groups": 2}),
    Case("pca", "whiten", (60, 4), "", {"method": "pca", "eps": 0.1}),
    Case("cholesky", "whiten", (4, 5, 6, 6), "", {"channel_axis": -1, "method": "cholesky"}),
    Case("iterative", "whiten", (4, 6, 15), "", {"groups": 3, "method": "iterative"}),
    Case("eval", "whiten", (4, 6, 5), "", {"groups": 3, "training": False}),
    Case("first", "sync_batch_norm", (4, 3, 5, 6), ""),
    Case("rows", "dynamic_tanh", (6, 5, 8), ""),
    Case("first", "dynamic_tanh", (2, 3, 5, 6), "", {"channel_axis": 1}),
    Case("first", "global_response_norm", (2, 3, 5, 6), ""),
    Case("last", "global_response_norm", (2, 5, 6, 3), "", {"channel_axis": -1}),
    Case("first", "local_response_norm", (2, 9, 5, 6), "", {"size": 4, "alpha": 0.5}),
    Case("last", "local_response_norm", (2, 5, 6, 9), "", {"beta": 0.5, "channel_axis": -1}),
    Case("rows", "lp_normalize", (6, 40), "", {"axis": -1}),
    Case("absolute", "lp_normalize", (6, 40), "", {"axis": 0, "p": 1}),
    Case("third", "lp_normalize", (3, 5, 8), "", {"axis": (0, 2), "p": 3.0}),
    Case("largest", "lp_normalize", (6, 40), "", {"axis": -1, "p": np.inf}),
    Case("first", "weight_norm", (6, 5, 3, 3), ""),
    Case("last", "weight_norm", (3, 3, 5, 6), "", {"channel_axis": -1}),
    Case("first", "weight_standardization", (6, 5, 3, 3), ""),
    Case("last", "weight_standardization", (3, 3, 5, 6), "", {"channel_axis": -1}),
    Case("first", "scaled_weight_standardization", (6, 5, 3, 3), "", {"gamma": 1.7}),
    Case("last", "scaled_weight_standardization", (3, 3, 5, 6), "", {"channel_axis": -1}),
    Case("first", "spectral_norm", (6, 5, 3, 3), "", {"n_power_iterations": 3}),
    Case("last", "spectral_norm", (3, 3, 5, 6), "", {"channel_axis": -1}),
    Case("eval", "spectral_norm", (6, 40), "", {"training": False}),
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
