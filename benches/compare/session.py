# SPDX-License-Identifier: BSD-3-Clause
"""A whole comparison: which library is measured where, one line of the table after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from benches.compare import contest, peers
from benches.compare.children import Child
from benches.compare.contest import ALLOCATING, OURS, Bench
from benches.compare.regimes import number_of_sets, regime
from benches.compare.results import Comparison, Run
from fastnorm.compare.case import Case, Direction
from fastnorm.compare.measure import Budget

MEANS = (0.0, 1e2, 1e4, 1e6)


class Session(AbstractContextManager["Session"]):
    """The adapters of this process, and children for what needs one for each number of threads.

    Parameters
    ----------
    names : sequence of str
        Libraries that are installed.
    threads : sequence of int
        Numbers of threads to measure with.
    """

    def __init__(self, names: Sequence[str], threads: Sequence[int]) -> None:
        self._names, self._threads = list(names), list(threads)
        here = [name for name in names if not peers.LIBRARIES[name].own_process]
        self._here = {name: peers.load(name) for name in here}
        self._children = {
            (name, count): Child(name, count)
            for name in names
            if name not in self._here
            for count in threads
        }

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():
            child.close()

    def measure(
        self, case: Case, dtype: str, directions: Sequence[Direction], budget: Budget
    ) -> Iterator[Comparison]:
        """Measure one case: a line per direction and number of threads."""
        bench = Bench(case, dtype)
        for direction in directions:
            for threads in self._threads:
                main = contest.run(bench, direction, threads, self._here, budget)
                others = {
                    name: child.run(case, dtype, direction, budget)
                    for (name, count), child in self._children.items()
                    if count == threads
                }
                yield self._line(bench, direction, threads, main, others)

    def offset_errors(self) -> dict[str, dict[str, float]]:
        """Return the largest error of `layer_norm` by library and mean of the data."""
        errors = contest.offset_errors(self._here, MEANS)
        for (name, count), child in self._children.items():
            if count == self._threads[0]:
                answer = child.offset_errors(MEANS)
                if not isinstance(answer, str) and name in answer:
                    errors[name] = answer[name]
        order = [OURS, *self._names]
        return {name: errors[name] for name in order if name in errors}

    def _line(
        self,
        bench: Bench,
        direction: Direction,
        threads: int,
        main: Run,
        others: dict[str, Run | str],
    ) -> Comparison:
        results, missing = dict(main.results), dict(main.missing)
        for name, other in others.items():
            if isinstance(other, str):
                missing[name] = other
            elif name in other.results:
                results[name] = other.results[name]
            else:
                missing |= other.missing
        traffic = bench.traffic(direction)
        return Comparison(
            case=bench.case,
            dtype=bench.dtype,
            direction=direction,
            threads=threads,
            regime=regime(traffic, threads),
            sets=number_of_sets(traffic, threads),
            traffic=traffic,
            copy=main.copy,
            ours=results[OURS],
            allocating=results[ALLOCATING],
            peers={name: results[name] for name in self._names if name in results},
            missing={name: missing[name] for name in self._names if name in missing},
        )
