# SPDX-License-Identifier: BSD-3-Clause
"""Every forward function over the catalogue: time beside the NumPy twin, types, threads, error."""

from fastnorm.compare.errors import measure_error
from fastnorm.compare.problem import DTYPES

# asv names the package after this folder, so that only a relative import finds its modules.
from .common import (  # noqa: TID252
    ALL_THREADS,
    CASES,
    IMPLEMENTATIONS,
    QUICK_CASES,
    prepared,
    problem,
)


class Forward:
    """One thread, float32. The twin in the same run tells a slow machine from a slow commit."""

    params = (CASES, list(IMPLEMENTATIONS))
    param_names = ("case", "impl")

    def time_forward(self, case, impl):
        prepared(case, impl, "forward", 1, "float32")()


class ForwardParallel:
    """All threads of the machine."""

    params = (CASES,)
    param_names = ("case",)

    def time_forward(self, case):
        prepared(case, "fastnorm", "forward", ALL_THREADS, "float32")()


class ForwardTypes:
    """One thread, the other types."""

    params = (QUICK_CASES, [name for name in DTYPES if name != "float32"])
    param_names = ("case", "dtype")

    def time_forward(self, case, dtype):
        prepared(case, "fastnorm", "forward", 1, dtype)()


class ForwardError:
    """Largest error against the float64 reference."""

    params = (QUICK_CASES, list(DTYPES))
    param_names = ("case", "dtype")
    unit = "ulp"

    def track_error(self, case, dtype):
        return round(measure_error(problem(case, dtype), "forward").ulps, 4)
