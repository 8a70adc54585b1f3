# SPDX-License-Identifier: BSD-3-Clause
"""How times are taken: who runs, how often, in which order. No time is asserted anywhere."""

from __future__ import annotations

import time

import numpy as np
import pytest

import fastnorm
from fastnorm.compare import numpy_twin
from fastnorm.compare.case import Case
from fastnorm.compare.measure import (
    Budget,
    copies,
    effective_threads,
    interleave,
    measure_times,
    repeated,
    sample,
)
from fastnorm.compare.problem import build

ONCE = Budget(seconds=0, min_rounds=1, max_rounds=1, batch_s=0)


def recorder(name, log, seconds):
    def run(number):
        log.append((name, number))
        return seconds

    return run


def test_rounds_take_turns():
    log = []
    contenders = {name: recorder(name, log, 1e-3) for name in "abc"}
    _, rounds = interleave(contenders, Budget(seconds=0, min_rounds=4, max_rounds=9, batch_s=0))
    assert rounds == 4
    assert "".join(name for name, _ in log) == "aabbcc" + 4 * "abc"  # two warm-ups each


def test_shuffled_rounds_have_everyone_once_in_an_order_that_changes():
    log = []
    contenders = {name: recorder(name, log, 1e-3) for name in "abc"}
    budget = Budget(seconds=0, min_rounds=8, max_rounds=8, batch_s=0)
    samples = sample(contenders, budget, shuffled=True)
    assert {name: len(values) for name, values in samples.items()} == dict.fromkeys("abc", 8)
    rounds = ["".join(name for name, _ in log[at : at + 3]) for at in range(6, len(log), 3)]
    assert {"".join(sorted(names)) for names in rounds} == {"abc"}
    assert len(set(rounds)) > 2


def test_a_batch_that_is_not_timed_goes_first():
    calls = []
    run = repeated(lambda: calls.append(time.perf_counter()))
    run(1)
    del calls[:]
    seconds = run(50)
    assert len(calls) == 100
    assert 50 * seconds >= calls[99] - calls[50]


def test_rounds_end_at_their_maximum():
    contenders = {"a": recorder("a", [], 1e-3)}
    _, rounds = interleave(contenders, Budget(seconds=60, min_rounds=1, max_rounds=7, batch_s=0))
    assert rounds == 7


def test_short_calls_are_repeated_to_fill_a_batch():
    log = []
    interleave(
        {"short": recorder("short", log, 1e-4), "long": recorder("long", log, 1.0)},
        Budget(seconds=0, min_rounds=1, max_rounds=1, batch_s=1e-2),
    )
    assert log[-2:] == [("short", 100), ("long", 1)]


def test_time_is_the_median_of_the_rounds():
    times = iter([9.0, 9.0, 3.0, 1.0, 2.0])
    medians, _ = interleave({"a": lambda number: next(times)}, Budget(0, 3, 3, 0))
    assert medians == {"a": 2.0}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("nbytes", [1, 100, 4096, 100_003])
@pytest.mark.parametrize("past_cache", [False, True])
def test_copy_limit_copies_everything(threads, nbytes, past_cache):
    with copies(nbytes, threads) as copy:
        for count in (1, threads):
            call = copy(count, past_cache)
            cells = dict(zip(call.__code__.co_freevars, call.__closure__, strict=True))
            cells["target"].cell_contents.fill(7)
            call()
            assert np.array_equal(cells["target"].cell_contents, cells["source"].cell_contents)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_every_thread_count_is_measured(direction):
    problem = build(Case("c", "layer_norm", (8, 16), "", {"axis": -1}), np.dtype(np.float32))
    times = measure_times(problem, direction, [1, 2], ONCE)
    assert set(times.fastnorm) == set(times.copy) == {1, 2}
    assert min(times.numpy, *times.fastnorm.values(), *times.copy.values()) > 0
    assert times.copy[2] <= times.copy[1]
    assert times.rounds == 1


def test_calls_run_with_the_number_of_threads_they_are_filed_under(monkeypatch):
    seen = []
    right = fastnorm.rms_norm

    def spy(*args, **keywords):
        seen.append(fastnorm.get_num_threads())
        return right(*args, **keywords)

    monkeypatch.setattr(fastnorm, "rms_norm", spy)
    before = fastnorm.get_num_threads()
    problem = build(Case("c", "rms_norm", (8, 16), "", {"axis": -1}), np.dtype(np.float32))
    counts = sorted({1, effective_threads(2)})
    measure_times(problem, "forward", counts, ONCE)
    assert set(seen) == set(counts)
    assert fastnorm.get_num_threads() == before


@pytest.mark.parametrize("name", ["y", "dx"])
def test_timed_call_writes_into_its_buffer(name):
    problem = build(Case("c", "layer_norm", (8, 16), "", {"axis": -1}), np.dtype(np.float32))
    direction = "forward" if name == "y" else "backward"
    call = problem.timed_call(fastnorm, direction)
    call()
    assert np.array_equal(call.keywords["out"], problem.outputs(fastnorm, direction)[name])


@pytest.mark.parametrize("module", [fastnorm, numpy_twin])
def test_a_timed_residual_is_kept(module):
    """Forward leaves the sum where it is told to; the gradient takes it, and gives the same."""
    problem = build(Case("c", "add_rms_norm", (8, 16), "", {"axis": -1}), np.dtype(np.float32))
    forward = problem.timed_call(module, "forward")
    forward()
    total = problem.x + problem.parameters["residual"]
    assert np.array_equal(forward.keywords["residual_out"], total)
    backward = problem.timed_call(module, "backward")
    backward()
    assert np.array_equal(backward.keywords["out"], problem.outputs(module, "backward")["dx"])
    if module is fastnorm:
        assert np.array_equal(backward.args[1], total)
