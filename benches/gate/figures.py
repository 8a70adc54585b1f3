# SPDX-License-Identifier: BSD-3-Clause
"""The figures of the two trees: instructions, errors, interleaved times."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, NamedTuple, Self

from benches.asv import instructions
from benches.gate.verdict import Figure

# Where counting is all that is done, of how many values a case may be: seconds under valgrind.
_FEW_VALUES = 1 << 19

# Times: sets of fresh processes (where a process has its memory is part of the noise), rounds in
# each. The band is as wide as the worst of base / base in any set, and at least so wide.
_PROCESSES, _ROUNDS, _BATCH_S = 3, 9, 2e-3
_NARROWEST = 1.03


class Subject(NamedTuple):
    """A call to be measured."""

    case: str
    direction: str
    dtype: str = "float32"


class Listed(NamedTuple):
    """A case of a catalogue, as worker.py describes it."""

    name: str
    op: str
    size: int
    quick: bool
    directions: Sequence[str]


class Worker:
    """A process that measures one tree; a context manager."""

    def __init__(self, tree: Path) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("FASTNORM_", "OMP_", "GOMP_"))
        }
        self._child = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("worker.py"))],
            env={**environment, "PYTHONPATH": str(tree), "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait()

    def ask(self, question: str, *arguments: Any) -> Any:
        """Return the answer; RuntimeError where there is none."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps([question, *arguments]) + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError("the process that measures has ended") from None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError("the process that measures has ended")
        said = json.loads(line)
        if "error" in said:
            raise RuntimeError(said["error"])
        return said["answer"]


def catalogue(tree: Path) -> list[Listed]:
    """Return the cases that a tree knows."""
    with Worker(tree) as worker:
        return [Listed(*entry) for entry in worker.ask("catalogue")]


def quick(cases: Iterable[Listed], dtypes: Sequence[str] = ("float32",)) -> list[Subject]:
    """Return the calls of the short list, in both directions."""
    return [
        Subject(case.name, direction, dtype)
        for case in cases
        if case.quick
        for direction in case.directions
        for dtype in dtypes
    ]


def few(cases: Sequence[Listed]) -> list[Subject]:
    """Return the calls of the smallest case of every operation that has a small one."""
    smallest: dict[str, Listed] = {}
    for case in cases:
        if case.size < smallest.get(case.op, case).size or case.op not in smallest:
            smallest[case.op] = case
    return [
        Subject(case.name, direction)
        for case in smallest.values()
        if case.size <= _FEW_VALUES
        for direction in case.directions
    ]


def counts(tree: Path, subjects: Sequence[Subject]) -> dict[Figure, float | str]:
    """Return the instructions of every call."""
    requests = [instructions.Request(*subject) for subject in subjects]
    found: dict[Figure, float | str] = {}
    results = instructions.counts(requests, path=str(tree))
    for subject, result in zip(subjects, results, strict=True):
        for index, kind in enumerate(("core", "path")):
            value = result if isinstance(result, str) else result[index]
            found[Figure(*subject, kind)] = value
    return found


def errors(tree: Path, subjects: Sequence[Subject]) -> dict[Figure, float | str]:
    """Return the largest error of every call."""
    found: dict[Figure, float | str] = {}
    with Worker(tree) as worker:
        for subject in subjects:
            try:
                found[Figure(*subject, "ulp")] = worker.ask("ulps", *subject)
            except RuntimeError as error:
                found[Figure(*subject, "ulp")] = str(error)
    return found


def of_both(
    measure: Any, base: Path, head: Path, subjects: Sequence[Subject]
) -> tuple[dict[Figure, float | str], dict[Figure, float | str]]:
    """Measure what does not depend on how busy the machine is in both trees at the same time."""
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(measure, tree, subjects) for tree in (base, head)]
        return found[0].result(), found[1].result()


def times(
    base: Path, head: Path, subjects: Sequence[Subject]
) -> tuple[dict[Figure, float | str], dict[Figure, float | str]]:
    """Return the times of every call over those of the base: of the base again, and of the head.

    A round times a process of the base, another one of the base and one of the head in turn; a
    ratio is the median over the rounds. Of several sets of processes, the head's is the median, and
    that of the base again is the one farthest from 1.
    """
    from fastnorm.compare.measure import Budget, sample

    budget = Budget(seconds=0.0, min_rounds=_ROUNDS, max_rounds=_ROUNDS, batch_s=_BATCH_S)
    ratios: dict[str, dict[Subject, list[float]]] = {"again": {}, "head": {}}
    failed: dict[Subject, str] = {}
    for _ in range(_PROCESSES):
        with ExitStack() as stack:
            workers = {
                name: stack.enter_context(Worker(tree))
                for name, tree in (("base", base), ("again", base), ("head", head))
            }
            for subject in subjects:
                contenders = {name: _contender(worker, subject) for name, worker in workers.items()}
                try:
                    samples = sample(contenders, budget)
                except RuntimeError as error:
                    failed[subject] = str(error)
                    continue
                for name, found in ratios.items():
                    pairs = zip(samples[name], samples["base"], strict=True)
                    found.setdefault(subject, []).append(median(a / b for a, b in pairs))
    results = []
    for name, chosen in (("again", _farthest), ("head", median)):
        figures: dict[Figure, float | str] = {
            Figure(*subject, "time"): chosen(found) for subject, found in ratios[name].items()
        }
        results.append(figures | {Figure(*subject, "time"): why for subject, why in failed.items()})
    return results[0], results[1]


def noise_band(again: dict[Figure, float | str]) -> float:
    """Return the factor up to which a ratio of times is noise, from those of base over base."""
    worst = _farthest([ratio for ratio in again.values() if not isinstance(ratio, str)])
    return max(_NARROWEST, worst, 1 / worst)


def _farthest(ratios: Sequence[float]) -> float:
    """Return the ratio farthest from 1; 1 if there is none."""
    return max(ratios, key=lambda ratio: abs(math.log(ratio)), default=1.0)


def _contender(worker: Worker, subject: Subject) -> Any:
    """A contender of `sample` that runs in another process."""
    return lambda number: worker.ask("seconds", number, *subject)
