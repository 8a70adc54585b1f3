# SPDX-License-Identifier: BSD-3-Clause
"""`fastnorm` beside the NumPy twin and other libraries in pytest-benchmark's tables.

One group per shape and direction. ``FASTNORM_BENCH=full`` runs the whole catalogue instead of the
short list; ``-k "not inductor"`` saves the time of compiling. Libraries that are not installed do
not appear. A result beyond its bound fails: a fast wrong kernel must not enter a table.
"""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from benches.asv.profiles import is_quick
from benches.compare import peers
from benches.compare.contest import Bench
from benches.compare.peers.contract import Unsupported
from benches.shapes import select
from fastnorm.compare import numpy_twin
from fastnorm.compare.errors import measure_error
from fastnorm.compare.problem import build

IMPLEMENTATIONS = {"fastnorm": fastnorm, "numpy": numpy_twin}
CASES = select(quick=is_quick())

every_call = pytest.mark.parametrize(
    ("case", "direction"),
    [
        pytest.param(case, direction, id=f"{case.name}-{direction}")
        for case in CASES
        for direction in case.directions
    ],
)


def describe(benchmark, case, direction, implementation, threads, traffic, error):
    """Put a measurement into the group of its case, and into the JSON what the table cannot say."""
    benchmark.group = f"{case.op} {case.label} {direction}"
    benchmark.extra_info |= {
        "case": case.name,
        "direction": direction,
        "implementation": implementation,
        "threads": threads,
        "bytes": traffic,
        "correct": error.within,
        "error_ulp": error.ulps,
    }


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@every_call
def test_op(benchmark, case, direction, implementation):
    problem = build(case, np.dtype(np.float32))
    module = IMPLEMENTATIONS[implementation]
    error = measure_error(problem, direction, module)

    threads = fastnorm.get_num_threads() if implementation == "fastnorm" else 1
    describe(benchmark, case, direction, implementation, threads, problem.traffic(direction), error)
    benchmark(problem.timed_call(module, direction))
    # NumPy's own sums may be off: it is what we compare with, not what we promise.
    assert error.within or implementation == "numpy"


@pytest.fixture(scope="module")
def adapters():
    """Adapters by name, each library imported when it is first asked for."""
    return {}


@pytest.mark.filterwarnings("ignore")  # those of the other libraries are theirs
@pytest.mark.parametrize("implementation", peers.installed())
@every_call
def test_peer(benchmark, adapters, case, direction, implementation):
    if implementation not in adapters:
        adapters[implementation] = peers.load(implementation)
    threads = fastnorm.get_num_threads()
    bench = Bench(case, "float32")
    try:
        problems = bench.sets(direction, 1)[:1]
        prepared = adapters[implementation].prepare(problems, direction, threads)
    except Unsupported as reason:
        pytest.skip(str(reason))
    error = bench.error(prepared, direction)

    describe(benchmark, case, direction, implementation, threads, bench.traffic(direction), error)
    benchmark(prepared.calls[0])
