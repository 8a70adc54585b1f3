# SPDX-License-Identifier: BSD-3-Clause
"""What is around the adapters: regimes, rounds, summary, files, load. No time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from benches.compare import __main__ as command
from benches.compare import contest, latency, load, peers, plot, regimes, report, results
from benches.compare.contest import ALLOCATING, OURS, Bench, in_turn
from benches.compare.peers.contract import Unsupported
from benches.compare.peers.ours import Ours
from benches.compare.results import Comparison, Result, Timing
from benches.compare.session import Session
from fastnorm._core import dispatch
from fastnorm.compare.case import Case
from fastnorm.compare.errors import Error
from fastnorm.compare.measure import Budget

ONCE = Budget(seconds=0, min_rounds=2, max_rounds=2, batch_s=0)
SMALL = Case("small", "layer_norm", (4, 16), "a small case", {"axis": -1})
MB = 2**20


@pytest.fixture
def machine(monkeypatch):
    """Two megabytes a core, 32 for all."""
    monkeypatch.setattr(dispatch, "caches", lambda: {"l2": 2 * MB, "llc": 32 * MB})


@pytest.mark.parametrize(
    ("traffic", "threads", "regime", "sets"),
    [
        (6144, 1, "small", 1),
        (MB, 1, "cache", 1),
        (3 * MB, 1, "middle", 1),
        (3 * MB, 2, "cache", 1),
        (32 * MB, 2, "middle", 1),
        (33 * MB, 2, "memory", 2),
        (64 * MB, 2, "memory", 1),
        (2000 * MB, 2, "memory", 1),
    ],
)
def test_regime(machine, traffic, threads, regime, sets):
    assert regimes.regime(traffic, threads) == regime
    assert regimes.number_of_sets(traffic, threads) == sets


def test_a_shared_last_level_counts_in_part(monkeypatch):
    monkeypatch.setattr(dispatch, "caches", lambda: {"l2": MB, "llc": 300 * MB})
    assert regimes.caches() == (MB, 64 * MB)
    monkeypatch.setattr(dispatch, "caches", dict)
    assert min(regimes.caches()) > 0


def test_calls_take_turns():
    seen = []
    call = in_turn([lambda: seen.append("a"), lambda: seen.append("b")])
    for _ in range(5):
        call()
    assert "".join(seen) == "ababa"


class Wrong:
    """Returns zeros; what is asked of it says what it does."""

    def prepare(self, problems, direction, threads):
        prepared = Ours(out=False).prepare(problems, direction, threads)
        if direction == "backward":
            raise Unsupported("forward alone")
        return contest.Prepared(
            [lambda: np.zeros_like(problems[0].x)] * len(prepared.calls), prepared.read
        )


class Broken:
    def prepare(self, problems, direction, threads):
        raise RuntimeError("does not load\nat all")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_run(direction, threads):
    adapters = {"wrong": Wrong(), "broken": Broken()}
    run = contest.run(Bench(SMALL, "float32"), direction, threads, adapters, ONCE)
    assert run.results[OURS].error.within
    assert run.results[ALLOCATING].error.within
    assert run.missing.pop("broken") == "RuntimeError: does not load"
    if direction == "forward":
        assert not run.results["wrong"].error.within
        assert not run.missing
    else:
        assert run.missing == {"wrong": "forward alone"}
    for result in run.results.values():
        assert result.time.rounds == 2
        assert min(result.time.seconds, result.ours, result.copy) > 0


def test_memory_regime_rotates_over_sets_of_equal_values(monkeypatch):
    monkeypatch.setattr(contest, "number_of_sets", lambda traffic, threads: 3)
    bench = Bench(SMALL, "float32")
    first, *others = bench.sets("forward", 1)
    assert len(others) == 2
    for other in others:
        assert np.array_equal(other.x, first.x)
        assert not np.shares_memory(other.x, first.x)
    assert contest.run(bench, "forward", 1, {}, ONCE).results[OURS].error.within


def test_session_measures_a_library_in_its_own_process():
    why = peers.missing("jax")
    if why is not None:
        pytest.skip(why)
    with Session(["jax"], [1]) as session:
        lines = list(session.measure(SMALL, "float32", SMALL.directions, ONCE))
        offsets = session.offset_errors()
    assert [one.direction for one in lines] == ["forward", "backward"]
    for one in lines:
        assert not one.missing
        assert one.peers["jax"].error.within
        assert one.peers["jax"].ours != one.ours.time.seconds  # of the other process
    assert list(offsets) == [OURS, "jax"]
    assert list(offsets["jax"]) == ["0", "100", "10000", "1e+06"]


def line(ratio=2.0, direction="forward", theirs=0.5, allocating=1.0):
    error, other_error = Error("y", 1e-7, 0.5, 0.5), Error("y", 1e-7, 0.5, theirs)
    times = Timing(1e-5, 0.1, 5), Timing(allocating * 1e-5, 0.1, 5)
    ours, other = (Result(time, error, False, 1e-5, 5e-6) for time in times)
    peer = Result(Timing(ratio * 1e-5, 0.3, 5), other_error, False, 1e-5, 5e-6)
    return Comparison(
        SMALL, "float32", direction, 2, "small", 1, 512, Timing(5e-6, 0.1, 5), ours, other,
        {"torch": peer}, {"jax": "no <reason> [at all]"},
    )  # fmt: skip


def test_summary():
    lines = [line(4.0), line(1.0, "backward"), line(0.5, "backward", allocating=2.0)]
    summary = results.summarize(lines)
    assert summary["speedups"]["all"]["over_fastest_peer"] == pytest.approx(2 ** (1 / 3))
    assert summary["speedups"]["forward"]["over_fastest_peer"] == pytest.approx(4)
    assert summary["speedups"]["small"]["cases"] == 3
    assert "memory" not in summary["speedups"]
    assert [entry["ratio"] for entry in summary["behind"]] == [pytest.approx(0.5)]
    assert summary["behind"][0]["ratio_allocating"] == pytest.approx(0.25)
    assert summary["peers"]["torch"]["incorrect"] == 0
    assert not summary["exceeding"]


def test_report(capsys):
    table = report.Report(["torch", "jax"], 2)
    lines = [line(), line(0.5, theirs=2.0)]
    for one in lines:
        table.show(one)
    table.close(lines, {OURS: {"0": 1e-7}}, {"openvino": "is not installed"})
    text = capsys.readouterr().out
    for expected in ("20.0~ (2.00)", "5.00!~ (0.50)", "no <reason> [at all]", "not installed"):
        assert expected in text
    assert "a peer is faster in 1 line, worst" in text


def test_json_and_plot(tmp_path):
    pytest.importorskip("matplotlib", reason="the figure needs the extra fastnorm[compare]")
    offsets = {OURS: {"0": 1e-7, "100": 2e-7}, "torch": {"0": 1e-7, "100": float("inf")}}
    about = {"fastnorm": "0", "cpu": "a processor"}
    plot.draw(tmp_path / "figure.png", [line(), line(3, "backward")], offsets, about)
    assert (tmp_path / "figure.png").stat().st_size > 1000
    results.write_json(tmp_path / "all.json", [line()], offsets, about, {})
    document = json.loads((tmp_path / "all.json").read_text("utf-8"))
    assert document["comparisons"][0]["contenders"]["torch"]["ratio_to_fastnorm"] == 2
    assert document["layer_norm_error_by_mean"]["torch"]["100"] is None


def test_absent_libraries_have_a_line(monkeypatch, capsys):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    assert peers.installed() == []
    status = command.main(["--cases", "layer_norm-bert-base-token", "--seconds", "0.001",
                           "--threads", "1"])  # fmt: skip
    assert status == 0
    text = capsys.readouterr().out
    for name in peers.LIBRARIES:
        assert f"{name}: " in text
    assert "not installed" in text


@pytest.mark.parametrize(
    "words",
    [["--ops", "nothing"], ["--cases", "no such case"], ["--threads", "0"], ["--seconds", "x"],
     ["--plot", "figure.txt"], ["--json", "/no/such/folder/x.json"]],
)  # fmt: skip
def test_bad_arguments(words, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(words)
    assert stop.value.code == 2
    assert capsys.readouterr().err


def test_latency_quantiles_are_times_that_were_measured():
    found = latency.quantiles([1000 * k for k in range(1, 1001)])
    assert found == {"p50": 500.0, "p99": 990.0, "p99.9": 999.0, "max": 1000.0}


def test_latency_takes_turns():
    adapters = {"a": Ours(out=True), "b": Ours(out=False)}
    samples = latency.measure(SMALL, "backward", 1, adapters, seconds=0)
    assert len(samples["a"]) == len(samples["b"]) > 0


def test_load_ends_with_its_context(monkeypatch):
    monkeypatch.setattr(load, "_START_S", 0)
    started = []
    real = subprocess.Popen

    def spy(command):
        started.append(real(command))
        return started[-1]

    monkeypatch.setattr(load.subprocess, "Popen", spy)
    context = load.busy(2)
    context.__enter__()
    assert [process.poll() for process in started] == [None, None]
    assert not context.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert all(process.returncode is not None for process in started)


def test_load_does_not_outlive_its_parent():
    """Killed, the parent cannot clean up: the burner sees that somebody else is its parent."""
    script = (
        "import subprocess, sys; "
        f"print(subprocess.Popen([sys.executable, '-S', '-c', {load._BURN!r}, str(0)]).wait())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "0"


def test_settling_ends():
    start = time.perf_counter()
    contest.settle()
    assert time.perf_counter() - start < 10
