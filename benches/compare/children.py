# SPDX-License-Identifier: BSD-3-Clause
"""A process of its own for a library whose number of threads is fixed once it runs.

The child may run on as many CPUs as it is to have threads, and is told so before the library
starts. It measures `fastnorm` and the copy as well: ratios are ratios of one run. It waits without
using a CPU while others are measured.
"""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from typing import Any

from benches.compare import peers
from benches.compare.contest import Bench, offset_errors, run
from benches.compare.results import Run
from fastnorm.compare.case import Case, Direction
from fastnorm.compare.measure import Budget

_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


class Child:
    """A process that measures one library with one number of threads.

    Parameters
    ----------
    name : str
        The library, of `peers.LIBRARIES`.
    threads : int
        Number of its threads.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, name, threads), daemon=True)
        self._process.start()
        other.close()

    def run(self, case: Case, dtype: str, direction: Direction, budget: Budget) -> Run | str:
        """Measure there what `contest.run` measures here; or return why it failed."""
        return self._ask("run", case, dtype, direction, budget)  # type: ignore[no-any-return]

    def offset_errors(self, means: tuple[float, ...]) -> dict[str, dict[str, float]] | str:
        """Return the errors by mean; or why there are none."""
        return self._ask("offset_errors", means)  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, *question: Any) -> Any:
        try:
            self._connection.send(question)
            return self._connection.recv()
        except (EOFError, OSError):
            return f"the process of {self._name} ended by itself"


def _serve(connection: Connection, name: str, threads: int) -> None:
    """Answer questions until the other side is gone."""
    if hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cpus[:threads])
    if threads == 1:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_ONE_THREAD}".strip()
    bench = None
    try:
        adapters = {name: peers.load(name)}
        while True:
            kind, *question = connection.recv()
            try:
                if kind == "offset_errors":
                    answer: Any = offset_errors(adapters, *question)
                else:
                    case, dtype, direction, budget = question
                    if bench is None or (bench.case, bench.dtype) != (case, dtype):
                        bench = Bench(case, dtype)
                    answer = run(bench, direction, threads, adapters, budget)
            except Exception as error:  # told to whoever asked
                answer = f"{type(error).__name__}: {error}"
            connection.send(answer)
    except (EOFError, OSError, KeyboardInterrupt):
        return
