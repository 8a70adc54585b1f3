# SPDX-License-Identifier: BSD-3-Clause
"""One row per case, direction and thread count, and the summary of all rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from fastnorm.compare.case import Case, Direction
from fastnorm.compare.errors import Error, measure_error
from fastnorm.compare.measure import Budget, measure_times
from fastnorm.compare.problem import Problem

# Of the JSON file. Goes up when a key changes its meaning or goes away, not when one is added.
SCHEMA_VERSION = 1

# Other processes that want so large a part of the cores make times, above all those of several
# threads, say more about them than about us.
_BUSY_SHARE = 0.3

# Calls that move less than this fit a core's caches or are bound by the call itself; the ratio to a
# copy of a few kB says little about them, and the summary leaves them out.
MEMORY_BOUND_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    case : Case
        What was called.
    dtype : str
        Type of x.
    direction : {"forward", "backward"}
        Which of the two functions.
    threads : int
        Number of threads of `fastnorm` and, at most, of the copy.
    error : Error
        Largest error against the float64 reference; it does not depend on the threads.
    seconds, numpy_seconds, copy_seconds : float
        Median times per call of `fastnorm`, of the NumPy twin and of the copy limit.
    traffic : int
        Bytes that have to be read and written at least once.
    rounds : int
        Number of rounds the medians are of.
    """

    case: Case
    dtype: str
    direction: Direction
    threads: int
    error: Error
    seconds: float
    numpy_seconds: float
    copy_seconds: float
    traffic: int
    rounds: int

    @property
    def gigabytes_per_second(self) -> float:
        """Traffic per time, in 1e9 bytes per second."""
        return self.traffic / self.seconds / 1e9

    @property
    def speedup(self) -> float:
        """Time of the NumPy twin over the time of `fastnorm`."""
        return self.numpy_seconds / self.seconds

    @property
    def copy_ratio(self) -> float:
        """Time of `fastnorm` over the time of a copy of the same bytes."""
        return self.seconds / self.copy_seconds

    @property
    def title(self) -> str:
        """The row in words."""
        return f"{self.case.op} {self.case.label} {self.direction}, {count_threads(self.threads)}"

    def as_dict(self) -> dict[str, Any]:
        """Return the row as it stands in the JSON file."""
        return {
            "case": self.case.name,
            "op": self.case.op,
            "shape": list(self.case.shape),
            "options": dict(self.case.options),
            "model": self.case.model,
            "dtype": self.dtype,
            "direction": self.direction,
            "threads": self.threads,
            "error": {name: _finite(value) for name, value in asdict(self.error).items()},
            "within_bound": self.error.within,
            "seconds": self.seconds,
            "numpy_seconds": self.numpy_seconds,
            "copy_seconds": self.copy_seconds,
            "bytes": self.traffic,
            "gigabytes_per_second": self.gigabytes_per_second,
            "speedup_over_numpy": self.speedup,
            "ratio_to_copy": self.copy_ratio,
            "rounds": self.rounds,
        }


def measure_rows(
    problem: Problem, direction: Direction, threads: Sequence[int], budget: Budget
) -> list[Row]:
    """Measure one problem in one direction: one row per entry of `threads`, one error for all."""
    error = measure_error(problem, direction)
    times = measure_times(problem, direction, threads, budget)
    return [
        Row(
            case=problem.case,
            dtype=problem.x.dtype.name,
            direction=direction,
            threads=count,
            error=error,
            seconds=times.fastnorm[count],
            numpy_seconds=times.numpy,
            copy_seconds=times.copy[count],
            traffic=problem.traffic(direction),
            rounds=times.rounds,
        )
        for count in threads
    ]


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the figures of the summary, one entry of `by_threads` per thread count.

    ``worst_ratio_to_copy`` is over the rows that move `MEMORY_BOUND_BYTES` or more; None without
    such rows.
    """
    return {
        "rows": len(rows),
        "exceeding": [row.title for row in rows if not row.error.within],
        "largest_share_of_bound": _finite(max(row.error.share for row in rows)),
        "by_threads": [
            _summarize_threads([row for row in rows if row.threads == threads])
            for threads in sorted({row.threads for row in rows})
        ],
    }


def _summarize_threads(rows: Sequence[Row]) -> dict[str, Any]:
    def mean_speedup(direction: Direction) -> float | None:
        speedups = [row.speedup for row in rows if row.direction == direction]
        return geometric_mean(speedups) if speedups else None

    least = min(rows, key=lambda row: row.speedup)
    large = [row for row in rows if row.traffic >= MEMORY_BOUND_BYTES]
    worst = max(large, key=lambda row: row.copy_ratio, default=None)
    return {
        "threads": rows[0].threads,
        "speedup_over_numpy": geometric_mean([row.speedup for row in rows]),
        "speedup_forward": mean_speedup("forward"),
        "speedup_backward": mean_speedup("backward"),
        "least_speedup": {"ratio": least.speedup, "row": least.title},
        "worst_ratio_to_copy": worst and {"ratio": worst.copy_ratio, "row": worst.title},
    }


def summary_lines(rows: Sequence[Row], machine: Mapping[str, Any], seconds: float) -> list[str]:
    """Return the summary in sentences; `seconds` is how long the run took."""
    summary = summarize(rows)
    lines = []
    for entry in summary["by_threads"]:
        parts = ", ".join(
            f"{direction} {entry[f'speedup_{direction}']:.2f}x"
            for direction in ("forward", "backward")
            if entry[f"speedup_{direction}"] is not None
        )
        lines.append(
            f"{count_threads(entry['threads'])}: {entry['speedup_over_numpy']:.2f}x the speed of "
            f"NumPy in geometric mean ({parts})"
        )
        least, worst = entry["least_speedup"], entry["worst_ratio_to_copy"]
        lines.append(f"    least speed-up {least['ratio']:.2f}x: {least['row']}")
        if worst:
            lines.append(f"    largest ratio to a copy {worst['ratio']:.2f}: {worst['row']}")
    if any(entry["worst_ratio_to_copy"] for entry in summary["by_threads"]):
        lines.append(f"    (among calls that move {MEMORY_BOUND_BYTES >> 20} MB or more)")

    exceeding = summary["exceeding"]
    if exceeding:
        lines.append(f"ERRORS: {len(exceeding)} of {len(rows)} exceed their documented bound:")
        lines += [
            f"    {row.title}: {row.error.output} is off by {row.error.absolute:.2e} "
            f"({row.error.ulps:.1f} ulp), {row.error.share:.3g} times its bound"
            for row in rows
            if not row.error.within
        ]
    else:
        lines.append(
            f"errors: all {len(rows)} within their documented bounds, the largest at "
            f"{summary['largest_share_of_bound']:.0%} of its bound"
        )
    load, cores = machine["load"], machine["cores"]
    if load is not None and load > _BUSY_SHARE * cores:
        lines.append(
            f"busy machine: load average {load:.1f} on {cores} cores before the start: times "
            "on several threads may be far too long"
        )
    threads = " and ".join(str(entry["threads"]) for entry in summary["by_threads"])
    dtypes = ", ".join(sorted({row.dtype for row in rows}))
    lines.append(
        f"{machine['cpu']}, {machine['cores']} cores, ISA {machine['isa']}, "
        f"threads {threads}, {dtypes}, {seconds:.0f} s"
    )
    return lines


def write_json(
    path: Path,
    rows: Sequence[Row],
    machine: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    """Write everything to `path`; OSError if it cannot be written."""
    document = {
        "schema": SCHEMA_VERSION,
        "machine": dict(machine),
        "settings": dict(settings),
        "rows": [row.as_dict() for row in rows],
        "summary": summarize(rows),
    }
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def count_threads(threads: int) -> str:
    """Return "1 thread", "2 threads"."""
    return f"{threads} thread{'s' if threads != 1 else ''}"


def _finite(value: Any) -> Any:
    """JSON has no infinity: null stands for it."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
