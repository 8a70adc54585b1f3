# SPDX-License-Identifier: BSD-3-Clause
"""The contenders of one case in one process, in interleaved rounds.

The rules are those of `fastnorm.compare.measure`: buffers touched first, warm-ups, a round for
everyone in turn, medians. On top of them:

- Every round has an order of its own.
- In the regime ``memory`` calls take several sets of arrays in turn, and so do the copies.
- With several threads every batch begins when no pool of this process spins any more: the workers
  of one OpenMP runtime would have the core that the next contender needs. The calls that are not
  timed then wake the contender's own.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

import numpy as np

import fastnorm
from benches.compare.peers.contract import Peer, Prepared, Unsupported, with_rounded_parameters
from benches.compare.peers.ours import Ours
from benches.compare.regimes import number_of_sets
from benches.compare.results import Result, Run, Timing, timing
from fastnorm.compare.case import Case, Direction
from fastnorm.compare.errors import Error, reference, worst_error
from fastnorm.compare.measure import Budget, Contender, copies, repeated, sample
from fastnorm.compare.problem import Array, Call, Problem, as_dtype, build

_LOOK_S = 1e-3
_MOST_LOOKS = 100
_IDLE_SHARE = 0.3

OURS, ALLOCATING = "fastnorm", "fastnorm allocating"


class Bench:
    """A case in one type: its sets of arrays and its exact results, made when they are needed."""

    def __init__(self, case: Case, dtype: str) -> None:
        self.case, self.dtype = case, dtype
        self._sets = [build(case, as_dtype(dtype))]
        self._wanted: dict[tuple[Direction, bool], dict[str, Array]] = {}

    def traffic(self, direction: Direction) -> int:
        """Bytes that a call has to move."""
        return self._sets[0].traffic(direction)

    def sets(self, direction: Direction, threads: int) -> list[Problem]:
        """Return the sets of arrays that calls take in turn."""
        count = number_of_sets(self.traffic(direction), threads)
        while len(self._sets) < count:
            first = self._sets[0]
            self._sets.append(Problem(self.case, first.x.copy(), first.dy.copy(), first.parameters))
        return self._sets[:count]

    def error(self, prepared: Prepared, direction: Direction) -> Error:
        """Call once, and return the error of the result."""
        rounded = prepared.rounded_parameters
        problem = with_rounded_parameters(self._sets[0]) if rounded else self._sets[0]
        if (direction, rounded) not in self._wanted:
            self._wanted[direction, rounded] = reference(problem, direction)
        results = prepared.read(prepared.calls[0]())
        return worst_error(problem, direction, self._wanted[direction, rounded], results)


def run(
    bench: Bench, direction: Direction, threads: int, peers: Mapping[str, Peer], budget: Budget
) -> Run:
    """Measure `fastnorm`, the copy limit and `peers` against each other.

    Parameters
    ----------
    bench : Bench
        The case.
    direction : {"forward", "backward"}
        Which of the two functions.
    threads : int
        Number of threads of every contender.
    peers : mapping of str to Peer
        Adapters by name.
    budget : Budget
        Of all contenders together.
    """
    problems = bench.sets(direction, threads)
    everyone: dict[str, Peer] = {OURS: Ours(out=True), ALLOCATING: Ours(out=False), **peers}
    errors: dict[str, Error] = {}
    rounded: dict[str, bool] = {}
    contenders: dict[str, Contender] = {}
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        stack.enter_context(fastnorm.num_threads(threads))
        for name, peer in everyone.items():
            try:
                prepared = peer.prepare(problems, direction, threads)
                errors[name] = bench.error(prepared, direction)
            except Unsupported as reason:
                missing[name] = str(reason)
            except Exception as error:
                if name in (OURS, ALLOCATING):
                    raise
                # One library that fails on one case must not end a run of half an hour.
                missing[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            else:
                rounded[name] = prepared.rounded_parameters
                contenders[name] = repeated(in_turn(prepared.calls))
        copy_names = []
        for parts in sorted({1, threads}):
            arrays = [
                stack.enter_context(copies(bench.traffic(direction) // 2, parts)) for _ in problems
            ]
            for past in (False, True):
                copy_names.append(f"copy {parts} {past}")
                calls = [copy(parts, past) for copy in arrays]
                contenders[copy_names[-1]] = repeated(in_turn(calls))
        if threads > 1:
            contenders = {name: settled(one) for name, one in contenders.items()}
        samples = sample(contenders, budget, shuffled=True)

    times = {name: timing(values) for name, values in samples.items()}
    limit = min((times[name] for name in copy_names), key=_seconds)
    results = {
        name: Result(times[name], errors[name], rounded[name], times[OURS].seconds, limit.seconds)
        for name in errors
        if name in times
    }
    return Run(results, limit, missing)


def _seconds(time: Timing) -> float:
    return time.seconds


def in_turn(calls: Iterable[Call]) -> Call:
    """Return a call that makes one of `calls` after the other, for ever."""
    calls = list(calls)
    if len(calls) == 1:
        return calls[0]
    endless = itertools.cycle(calls)
    return lambda: next(endless)()


def settled(contender: Contender) -> Contender:
    """Return the contender with a pause before each of its batches, see `settle`."""

    def timed(number: int) -> float:
        settle()
        return contender(number)

    return timed


def settle() -> None:
    """Wait until this process uses no CPU while it sleeps, or for a tenth of a second."""
    for _ in range(_MOST_LOOKS):
        start, used = time.perf_counter(), time.process_time()
        time.sleep(_LOOK_S)
        used, elapsed = time.process_time() - used, time.perf_counter() - start
        if used < _IDLE_SHARE * elapsed:
            return


def offset_errors(peers: Mapping[str, Peer], means: Iterable[float]) -> dict[str, dict[str, float]]:
    """Return the largest error of `layer_norm` on rows of 768 by library and mean; std is 1."""
    found: dict[str, dict[str, float]] = {}
    rng = np.random.default_rng(0)
    values = rng.standard_normal((256, 768), dtype=np.float32)
    case = Case("offset", "layer_norm", values.shape, "errors by mean", {"axis": -1})
    for mean in means:
        bench = Bench(case, "float32")
        bench._sets = [build(case, values.dtype, values + np.float32(mean))]
        for name, peer in {OURS: Ours(out=True), **peers}.items():
            try:
                prepared = peer.prepare(bench.sets("forward", 1), "forward", 1)
                error = bench.error(prepared, "forward").absolute
            except Unsupported:
                continue
            found.setdefault(name, {})[f"{mean:g}"] = error
    return found
