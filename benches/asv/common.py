# SPDX-License-Identifier: BSD-3-Clause
"""Calls shared by the benchmarks: made on first use and kept.

No class with `time_*` methods has a `setup`: asv_runner 0.3 runs it before every single timed call
and forces `number = 1`, which times fresh pages and cold caches (246 us +- 50 for a call of 174 us
+- 1). Timed methods look their call up in the cache below, which costs some 100 ns, and asv's
warm-up pays for filling it. Importing this module runs no kernel, since asv forks afterwards.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

import numpy as np

import fastnorm
from fastnorm.compare.arguments import ARGUMENTS
from fastnorm.compare.case import Case, Direction
from fastnorm.compare.catalogue import find
from fastnorm.compare.problem import Call, Problem, as_dtype, build

# The machine's, before any benchmark changes the setting.
ALL_THREADS = fastnorm.get_num_threads()


@lru_cache(maxsize=1)
def prepared(name: str, direction: Direction, dtype: str, layout: str, threads: str) -> Call:
    """Return a call with its buffers touched, and set the number of threads.

    One at a time is kept, so that the thread setting is always that of the call returned.
    """
    fastnorm.set_num_threads(ALL_THREADS if threads == "all" else int(threads))
    return problem(name, dtype, layout).timed_call(fastnorm, direction)


def problem(name: str, dtype: str, layout: str = "C") -> Problem:
    """Return the arrays of a case of the catalogue, in C order or in Fortran's ("F")."""
    made = build(find(name), as_dtype(dtype))
    return made if layout == "C" else replace(made, x=_fortran(made.x), dy=_fortran(made.dy))


def _fortran(values: np.ndarray) -> np.ndarray:
    return np.asfortranarray(values)


def missing(cases: Iterable[Case]) -> set[tuple[str, str]]:
    """Return name and direction of the calls that the installed `fastnorm` does not know."""
    return {
        (case.name, direction)
        for case in cases
        for direction in ("forward", "backward")
        if direction not in case.directions or not _knows(case, direction)
    }


def _knows(case: Case, direction: Direction) -> bool:
    """Whether there is such a function, with arguments of these names."""
    name = case.op if direction == "forward" else f"{case.op}_backward"
    function = getattr(fastnorm, name, None)
    if function is None:
        return False
    arguments = {argument.name for argument in ARGUMENTS.get(case.op, ())}
    return {*arguments, *case.options} <= set(inspect.signature(function).parameters)
