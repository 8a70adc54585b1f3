# SPDX-License-Identifier: BSD-3-Clause
"""`fastnorm` behind the same contract: into a buffer that is there, or allocating its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fastnorm
from benches.compare.peers.contract import Prepared
from fastnorm.compare.case import Direction
from fastnorm.compare.problem import Array, Call, Problem


class Ours:
    """`fastnorm`; a gradient is given the statistics of its own forward call.

    Parameters
    ----------
    out : bool
        Whether the call writes into a touched buffer (`out=`) or allocates its result.
    """

    def __init__(self, *, out: bool) -> None:
        self._out = out

    def prepare(self, problems: Sequence[Problem], direction: Direction, threads: int) -> Prepared:
        """Return the calls; the caller holds `fastnorm.num_threads(threads)` around them."""
        calls = [self._call(problem, direction) for problem in problems]

        def read(result: Any) -> dict[str, Array]:
            if problems[0].case.op == "moments":
                return {"mean": result.mean, "var": result.var}
            if direction == "forward":
                return {"y": result}
            return {f"d{name}": v for name, v in result._asdict().items() if v is not None}

        return Prepared(calls, read)

    def _call(self, problem: Problem, direction: Direction) -> Call:
        if self._out:
            return problem.timed_call(fastnorm, direction)
        if direction == "forward":
            return problem.call(fastnorm, direction)
        return problem.call(fastnorm, direction, stats=problem.statistics(fastnorm))
