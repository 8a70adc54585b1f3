# SPDX-License-Identifier: BSD-3-Clause
"""State shared by the benchmarks: problems and their calls, made on first use and kept.

No class with `time_*` methods has a `setup`: asv_runner 0.3 runs it before every single timed call
and forces `number = 1`, which times fresh pages and cold caches (246 us +- 50 for a call of 174 us
+- 1). Timed methods look their call up in the cache below, which costs some 100 ns, and asv's
warm-up pays for filling it. Importing this module runs no kernel, since asv may fork afterwards.
"""

from __future__ import annotations

from functools import lru_cache

import fastnorm
from fastnorm.compare import numpy_twin
from fastnorm.compare.catalogue import CATALOGUE, find
from fastnorm.compare.problem import Call, Problem, as_dtype, build

IMPLEMENTATIONS = {"fastnorm": fastnorm, "numpy": numpy_twin}

# Parameter values of a series: names, in the catalogue's order, for ever.
CASES = [case.name for case in CATALOGUE]
BACKWARD_CASES = [case.name for case in CATALOGUE if "backward" in case.directions]
QUICK_CASES = [case.name for case in CATALOGUE if case.quick]

# The machine's, before any benchmark changes the setting.
ALL_THREADS = fastnorm.get_num_threads()


@lru_cache(maxsize=1)
def prepared(name: str, implementation: str, direction: str, threads: int, dtype: str) -> Call:
    """Return a call with its buffers touched, and set the number of threads.

    One at a time is kept, so that the thread setting is always that of the call returned.
    """
    fastnorm.set_num_threads(threads)
    return problem(name, dtype).timed_call(IMPLEMENTATIONS[implementation], direction)


def problem(name: str, dtype: str) -> Problem:
    """Return the arrays of a case of the catalogue."""
    return build(find(name), as_dtype(dtype))
