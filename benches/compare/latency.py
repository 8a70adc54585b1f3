# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benches.compare.latency``: how long the slowest of many single calls take.

A median says little to a server. `fastnorm` and PyTorch take turns in short bursts, on an idle
machine and while other processes keep every core busy, and every call is timed by itself.

Each ``--policy`` is a setting of GCC's OpenMP runtime, which both use, in processes of their own:
``default`` lets waiting threads spin for milliseconds, ``passive`` (OMP_WAIT_POLICY) sends them to
sleep at once, ``spincount`` (GOMP_SPINCOUNT=2000) after microseconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import fastnorm
from benches.compare import peers
from benches.compare.contest import OURS, settle
from benches.compare.load import busy
from benches.compare.peers.contract import Peer
from benches.compare.peers.ours import Ours
from benches.compare.report import Report
from fastnorm.compare import machine
from fastnorm.compare.case import Case, Direction
from fastnorm.compare.catalogue import find
from fastnorm.compare.measure import effective_threads
from fastnorm.compare.problem import Call, build

POLICIES: dict[str, dict[str, str]] = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "spincount": {"GOMP_SPINCOUNT": "2000"},
}
_VARIABLES = {name for settings in POLICIES.values() for name in settings}

_ROWS: Mapping[str, Any] = {"axis": -1}
CALLS: tuple[tuple[Case, Direction], ...] = (
    (find("layer_norm-bert-base-token"), "forward"),
    (find("layer_norm-bert-base-sentence"), "forward"),
    (Case("layer_norm-latency", "layer_norm", (512, 1024), "512 tokens", _ROWS), "forward"),
    (Case("batch_norm-latency", "batch_norm", (8, 64, 28, 28), "a small batch"), "forward"),
    (find("rms_norm-llama-7b-decode"), "forward"),
    (find("layer_norm-bert-base-sentence"), "backward"),
)
_QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
_BURST = 50


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return the exit status."""
    options = _parser().parse_args(argv)
    # What `finally` ends must end in this case too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if options.child:
        try:
            json.dump(_measure_all(options), sys.stdout)
        except KeyboardInterrupt:
            return 130
        return 0
    description = machine.describe()  # with the load before our own
    rows: list[dict[str, Any]] = []
    try:
        for policy in options.policy:
            rows += _in_child(policy, options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except subprocess.CalledProcessError as error:
        print(f"the measuring process failed with status {error.returncode}", file=sys.stderr)
        return 1
    _show(rows)
    if options.json is not None:
        document = {
            "schema": 1,
            "machine": description,
            "settings": {
                "started": datetime.now(UTC).isoformat(timespec="seconds"),
                "command": ["python", "-m", "benches.compare.latency", *sys.argv[1:]],
                "versions": {name: peers.version(name) for name in peers.installed(["torch"])},
                "burst": _BURST,
            },
            "rows": rows,
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(
    case: Case, direction: Direction, threads: int, adapters: Mapping[str, Peer], seconds: float
) -> dict[str, list[int]]:
    """Return the nanoseconds of every call of each library, taken in turns for so long."""
    problem = build(case, np.dtype(np.float32))
    with fastnorm.num_threads(threads):
        calls = {
            name: peer.prepare([problem], direction, threads).calls[0]
            for name, peer in adapters.items()
        }
        samples: dict[str, list[int]] = {name: [] for name in calls}
        for call in calls.values():
            call()
        was_on = gc.isenabled()
        gc.disable()
        try:
            end = time.perf_counter() + seconds
            while True:
                for name, call in calls.items():
                    _burst(call, samples[name], pause=threads > 1)
                if time.perf_counter() > end:
                    break
        finally:
            if was_on:
                gc.enable()
    return samples


def _burst(call: Call, samples: list[int], *, pause: bool) -> None:
    """Time some calls, each by itself, once the other library's workers have stopped spinning."""
    if pause:
        settle()
    call()  # wakes the threads, and has the data in the caches: a stream of requests
    clock = time.perf_counter_ns
    for _ in range(_BURST):
        start = clock()
        call()
        samples.append(clock() - start)


def _measure_all(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All calls with the settings of this process."""
    adapters: dict[str, Peer] = {OURS: Ours(out=True)}
    adapters |= {name: peers.load(name) for name in peers.installed(["torch"])}
    rows = []
    parent = os.getppid()
    for load in dict.fromkeys((0, options.load)):
        with busy(load):
            for threads in sorted({effective_threads(count) for count in options.threads}):
                for case, direction in CALLS:
                    if os.getppid() != parent:
                        raise KeyboardInterrupt  # killed: nobody waits for the rows
                    samples = measure(case, direction, threads, adapters, options.seconds)
                    rows += [
                        {
                            "load": load,
                            "threads": threads,
                            "op": case.op,
                            "shape": list(case.shape),
                            "label": case.label,
                            "direction": direction,
                            "library": name,
                            "calls": len(times),
                            "microseconds": quantiles(times),
                        }
                        for name, times in samples.items()
                    ]
    return rows


def quantiles(nanoseconds: Sequence[int]) -> dict[str, float]:
    """Return the quantiles of the report in microseconds: times that calls really took."""
    values = np.asarray(nanoseconds) / 1e3
    found = np.quantile(values, list(_QUANTILES.values()), method="inverted_cdf")
    return dict(zip(_QUANTILES, map(float, found), strict=True))


def _in_child(policy: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run this module with the environment of a policy; OpenMP reads it once, when it starts."""
    environment = {name: value for name, value in os.environ.items() if name not in _VARIABLES}
    command = [sys.executable, "-m", "benches.compare.latency", "--child"]
    command += ["--seconds", str(options.seconds), "--load", str(options.load)]
    command += ["--threads", ",".join(map(str, options.threads))]
    with subprocess.Popen(
        command, env=environment | POLICIES[policy], stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            output, _ = child.communicate()
        except BaseException:
            child.terminate()  # its burners see that it is gone
            raise
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return [{"policy": policy, **row} for row in json.loads(output)]


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    table = Report([], 0)
    headings = ["call", "policy", "load", "thr", "library", "calls", *_QUANTILES]
    cells = [
        [
            f"{row['op']} {row['label']} {row['direction']}",
            row["policy"],
            str(row["load"]) if row["load"] else "idle",
            str(row["threads"]),
            row["library"],
            str(row["calls"]),
            *(f"{value:.1f}" for value in row["microseconds"].values()),
        ]
        for row in rows
    ]
    table.table("single calls, us", headings, cells, left=5)
    table.write("load: other processes that compute all the time; one row is one run of bursts")


def _parser() -> argparse.ArgumentParser:
    cores = machine.describe()["cores"]
    parser = argparse.ArgumentParser(
        prog="python -m benches.compare.latency",
        description="The distribution of the time of single calls, idle and on busy cores.",
    )
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S",
                        help="per call, number of threads and load; default 2")  # fmt: skip
    parser.add_argument("--load", type=int, default=cores, metavar="N",
                        help="number of other processes; default: as many as cores")  # fmt: skip
    parser.add_argument("--threads", type=_counts, metavar="N,...",
                        default=[1, fastnorm.get_num_threads()],
                        help="default: one thread, and all")  # fmt: skip
    parser.add_argument("--policy", type=_policies, default=["default"], metavar="NAME,...",
                        help=f"of {', '.join(POLICIES)}; default: default")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows to FILE")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser


def _counts(text: str) -> list[int]:
    return [max(1, int(word)) for word in text.split(",")]


def _policies(text: str) -> list[str]:
    words = text.split(",")
    for word in words:
        if word not in POLICIES:
            raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(POLICIES)}")
    return words


if __name__ == "__main__":
    sys.exit(main())
