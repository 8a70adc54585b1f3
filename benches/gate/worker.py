# SPDX-License-Identifier: BSD-3-Clause
"""A process that measures one tree, one question at a time: JSON lines in, JSON lines out.

Run as a file, with the tree as PYTHONPATH: what it imports is that tree's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import fastnorm
from fastnorm.compare.catalogue import CATALOGUE, find
from fastnorm.compare.errors import measure_error
from fastnorm.compare.measure import repeated
from fastnorm.compare.problem import as_dtype, build


def catalogue() -> list[tuple[str, str, int, bool, tuple[str, ...]]]:
    """Name, operation, size, whether quick, and directions of every case."""
    return [(case.name, case.op, case.size, case.quick, case.directions) for case in CATALOGUE]


def ulps(case: str, direction: Any, dtype: str) -> float:
    """Largest error of the result."""
    return round(measure_error(build(find(case), as_dtype(dtype)), direction).ulps, 4)


@lru_cache(maxsize=1)
def timed(case: str, direction: Any, dtype: str) -> Callable[[int], float]:
    """The call, ready to be timed on one thread."""
    fastnorm.set_num_threads(1)
    return repeated(build(find(case), as_dtype(dtype)).timed_call(fastnorm, direction))


def seconds(number: int, case: str, direction: str, dtype: str) -> float:
    """Seconds per call of so many."""
    return timed(case, direction, dtype)(number)


QUESTIONS: dict[str, Callable[..., Any]] = {
    "catalogue": catalogue,
    "ulps": ulps,
    "seconds": seconds,
}

if __name__ == "__main__":
    for line in sys.stdin:
        question, *arguments = json.loads(line)
        try:
            answer = {"answer": QUESTIONS[question](*arguments)}
        except Exception as error:  # what a tree cannot do is its answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
