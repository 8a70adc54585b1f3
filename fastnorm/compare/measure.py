# SPDX-License-Identifier: BSD-3-Clause
"""Times of one call: `fastnorm`, the NumPy twin and a memory copy, interleaved in one run.

How a time is made:

- Every buffer is touched before the clock starts, results go into a buffer that is there already
  (`out=`, also for the twin), and every contender is warmed up.
- A round times each contender once, one after the other, so that a machine that slows down or is
  shared slows all of them; the time of a contender is its median over the rounds.
- Calls shorter than a batch are repeated within it. A batch that is not timed goes before every one
  that is, and brings the caches back into the contender's own state; one call does not: after a
  copy of as many bytes the fifth call was the first that took its usual time. The buffers are the
  same in every call: a case that fits a cache is measured in that cache.
- The copy limit is the faster of `numpy.copyto` and a copy with streaming stores, of as many bytes
  as the call has to move (`Problem.traffic`; a copy of n bytes reads n and writes n). With several
  threads each may also be split over as many Python threads (both release the GIL).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from timeit import Timer

import numpy as np

import fastnorm
from fastnorm._core.dispatch import copy_past_cache
from fastnorm.compare import numpy_twin
from fastnorm.compare.case import Direction
from fastnorm.compare.problem import Array, Call, Problem

# A contender runs its call the given number of times and returns seconds per call.
Contender = Callable[[int], float]

# A call above this moves more than the caches keep from its last run: nothing to bring back.
_LONG_CALL_S = 0.02
_PAGE = 4096


@dataclass(frozen=True)
class Budget:
    """How long to measure one case in one direction.

    Attributes
    ----------
    seconds : float
        Rounds are added until this time is used up.
    min_rounds, max_rounds : int
        Bounds on the number of rounds, whatever the time.
    batch_s : float
        Seconds that one batch of repeated calls should take.
    """

    seconds: float
    min_rounds: int
    max_rounds: int
    batch_s: float


FULL = Budget(seconds=0.16, min_rounds=4, max_rounds=60, batch_s=4e-3)
QUICK = Budget(seconds=0.2, min_rounds=3, max_rounds=30, batch_s=1e-3)


@dataclass(frozen=True)
class Times:
    """Median seconds per call, by number of threads where that matters.

    Attributes
    ----------
    fastnorm, copy : dict of int to float
        Of `fastnorm` and of the copy limit with so many threads.
    numpy : float
        Of the twin, which runs on one thread.
    rounds : int
        Number of rounds the medians are of.
    """

    fastnorm: dict[int, float]
    copy: dict[int, float]
    numpy: float
    rounds: int


def measure_times(
    problem: Problem, direction: Direction, threads: Sequence[int], budget: Budget
) -> Times:
    """Time one case in one direction with each of the thread counts `threads`."""
    fast = problem.timed_call(fastnorm, direction)
    contenders = {f"fastnorm {n}": with_threads(fast, n) for n in threads}
    # NumPy comes second: OpenMP's workers spin for a while after a call. That would cost the copies
    # their second core, but costs nothing to a contender on one thread that outlasts the spinning.
    contenders["numpy"] = repeated(problem.timed_call(numpy_twin, direction))

    with copies(problem.traffic(direction) // 2, max(threads)) as copy:
        kinds = [(n, past) for n in {1, *threads} for past in (False, True)]
        contenders |= {f"copy {n} {past}": repeated(copy(n, past)) for n, past in kinds}
        times, rounds = interleave(contenders, budget)

    return Times(
        fastnorm={n: times[f"fastnorm {n}"] for n in threads},
        copy={
            n: min(times[f"copy {parts} {past}"] for parts, past in kinds if parts in (1, n))
            for n in threads
        },
        numpy=times["numpy"],
        rounds=rounds,
    )


def interleave(
    contenders: dict[str, Contender], budget: Budget, *, shuffled: bool = False
) -> tuple[dict[str, float], int]:
    """Return the median seconds per call of each contender, and the number of rounds."""
    samples = sample(contenders, budget, shuffled=shuffled)
    rounds = len(next(iter(samples.values())))
    return {name: median(values) for name, values in samples.items()}, rounds


def sample(
    contenders: dict[str, Contender], budget: Budget, *, shuffled: bool = False
) -> dict[str, list[float]]:
    """Return the seconds per call of each contender, one entry per round.

    shuffled: each round in an order of its own, the same in every run, so that nobody always comes
    after the copies, which leave none of its arrays in a cache.
    """
    order = list(contenders)
    chance = random.Random(0)
    number = {}
    for name, run in contenders.items():
        run(1)
        number[name] = max(1, math.ceil(budget.batch_s / max(run(1), 1e-9)))

    samples: dict[str, list[float]] = {name: [] for name in contenders}
    end = time.perf_counter() + budget.seconds
    for done in range(budget.max_rounds):
        if done >= budget.min_rounds and time.perf_counter() > end:
            break
        if shuffled:
            chance.shuffle(order)
        for name in order:
            samples[name].append(contenders[name](number[name]))
    return samples


def effective_threads(wanted: int) -> int:
    """Return the number of threads `fastnorm` uses when `wanted` are asked for."""
    with fastnorm.num_threads(wanted):
        return fastnorm.get_num_threads()


def repeated(call: Call) -> Contender:
    """Time `call` in a loop of timeit, whose garbage collector is off."""
    timer = Timer(call)
    last = 0.0

    def run(number: int) -> float:
        nonlocal last
        if last < _LONG_CALL_S:
            timer.timeit(number)
        last = timer.timeit(number) / number
        return last

    return run


def with_threads(call: Call, threads: int) -> Contender:
    """Time `call` with so many threads of `fastnorm`."""
    timed = repeated(call)

    def run(number: int) -> float:
        with fastnorm.num_threads(threads):
            return timed(number)

    return run


@contextmanager
def copies(nbytes: int, threads: int) -> Iterator[Callable[[int, bool], Call]]:
    """Yield a function: number of threads, past the cache or not -> the call that copies `nbytes`.

    The helper threads live as long as the context: starting them is no part of a copy.
    """
    source, target = np.full(nbytes, 1, np.uint8), np.full(nbytes, 0, np.uint8)
    with ThreadPoolExecutor(max(1, threads - 1)) as pool:

        def copy(parts: int, past_cache: bool) -> Call:
            move: Callable[[Array, Array], None] = copy_past_cache if past_cache else np.copyto
            if parts == 1:
                return lambda: move(target, source)
            # On page borders, so that no two threads write into one cache line or page.
            step = -(-nbytes // (parts * _PAGE)) * _PAGE
            pieces = [slice(start, start + step) for start in range(0, nbytes, step)]

            def split() -> None:
                others = [pool.submit(move, target[piece], source[piece]) for piece in pieces[1:]]
                move(target[pieces[0]], source[pieces[0]])
                for other in others:
                    other.result()

            return split

        yield copy
