# SPDX-License-Identifier: BSD-3-Clause
"""Every backward function over the catalogue, with the statistics of its forward call."""

from fastnorm.compare.errors import measure_error
from fastnorm.compare.problem import DTYPES

# asv names the package after this folder, so that only a relative import finds its modules.
from .common import (  # noqa: TID252
    ALL_THREADS,
    BACKWARD_CASES,
    IMPLEMENTATIONS,
    QUICK_CASES,
    prepared,
    problem,
)

QUICK_BACKWARD_CASES = [name for name in QUICK_CASES if name in BACKWARD_CASES]


class Backward:
    """One thread, float32. The twin in the same run tells a slow machine from a slow commit."""

    params = (BACKWARD_CASES, list(IMPLEMENTATIONS))
    param_names = ("case", "impl")

    def time_backward(self, case, impl):
        prepared(case, impl, "backward", 1, "float32")()


class BackwardParallel:
    """All threads of the machine."""

    params = (BACKWARD_CASES,)
    param_names = ("case",)

    def time_backward(self, case):
        prepared(case, "fastnorm", "backward", ALL_THREADS, "float32")()


class BackwardTypes:
    """One thread, the other types."""

    params = (QUICK_BACKWARD_CASES, [name for name in DTYPES if name != "float32"])
    param_names = ("case", "dtype")

    def time_backward(self, case, dtype):
        prepared(case, "fastnorm", "backward", 1, dtype)()


class BackwardError:
    """Largest error of any gradient against the float64 reference."""

    params = (QUICK_BACKWARD_CASES, list(DTYPES))
    param_names = ("case", "dtype")
    unit = "ulp"

    def track_error(self, case, dtype):
        return round(measure_error(problem(case, dtype), "backward").ulps, 4)
