# SPDX-License-Identifier: BSD-3-Clause
"""`fastnorm` beside the NumPy twin in pytest-benchmark's tables: one group per shape and direction.

``FASTNORM_BENCH=all`` runs the whole catalogue instead of the short list. A result beyond its bound
fails: a fast wrong kernel must not enter a table.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

import fastnorm
from benches.shapes import select
from fastnorm.compare import numpy_twin
from fastnorm.compare.errors import measure_error
from fastnorm.compare.problem import build

IMPLEMENTATIONS = {"fastnorm": fastnorm, "numpy": numpy_twin}
CASES = select(quick=os.environ.get("FASTNORM_BENCH") != "all")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("case", "direction"),
    [
        pytest.param(case, direction, id=f"{case.name}-{direction}")
        for case in CASES
        for direction in case.directions
    ],
)
def test_op(benchmark, case, direction, implementation):
    problem = build(case, np.dtype(np.float32))
    module = IMPLEMENTATIONS[implementation]
    error = measure_error(problem, direction, module)

    benchmark.group = f"{case.op} {case.label} {direction}"
    benchmark.extra_info |= {
        "implementation": implementation,
        "threads": fastnorm.get_num_threads() if implementation == "fastnorm" else 1,
        "bytes": problem.traffic(direction),
        "correct": error.within,
        "error_ulp": error.ulps,
    }
    benchmark(problem.timed_call(module, direction))
    # NumPy's own sums may be off: it is what we compare with, not what we promise.
    assert error.within or implementation == "numpy"
