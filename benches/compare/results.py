# SPDX-License-Identifier: BSD-3-Clause
"""What was measured, and the summary of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import geometric_mean, median, quantiles
from typing import Any

from benches.compare.regimes import REGIMES, Regime
from fastnorm.compare.case import Case, Direction
from fastnorm.compare.errors import Error
from fastnorm.compare.results import count_threads

# Of the JSON file. Goes up when a key changes its meaning or goes away, not when one is added.
SCHEMA_VERSION = 1

# Half of the rounds further apart than this share of the median: not a steady time.
UNSTEADY = 0.2


@dataclass(frozen=True)
class Timing:
    """Seconds per call over the rounds of a run: median, interquartile range / median, count."""

    seconds: float
    spread: float
    rounds: int


def timing(samples: Sequence[float]) -> Timing:
    """Return the timing of `samples`, one per round."""
    middle = median(samples)
    if len(samples) < 2:
        return Timing(middle, 0.0, len(samples))
    low, _, high = quantiles(samples, n=4, method="inclusive")
    return Timing(middle, (high - low) / middle, len(samples))


@dataclass(frozen=True)
class Result:
    """One contender in one run.

    Attributes
    ----------
    time : Timing
        Its own.
    error : Error
        Against the float64 reference.
    rounded_parameters : bool
        Whether it took parameters in the 16-bit type of x; the error is then that of such.
    ours, copy : float
        Seconds of `fastnorm` (`out=`) and of the copy limit in the same run.
    """

    time: Timing
    error: Error
    rounded_parameters: bool
    ours: float
    copy: float

    @property
    def ratio(self) -> float:
        """Time over that of `fastnorm` in the same run: above 1, `fastnorm` is faster."""
        return self.time.seconds / self.ours

    @property
    def copy_ratio(self) -> float:
        """Time over that of a copy of the same bytes in the same run."""
        return self.time.seconds / self.copy


@dataclass(frozen=True)
class Run:
    """All contenders of one process, and why others are missing."""

    results: dict[str, Result]
    copy: Timing
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """One case in one type, direction and number of threads: a line of the table.

    `peers` come from the run of `ours`, or from one in a process of their own, and have the time of
    `fastnorm` and of the copy in that run with them.
    """

    case: Case
    dtype: str
    direction: Direction
    threads: int
    regime: Regime
    sets: int
    traffic: int
    copy: Timing
    ours: Result
    allocating: Result
    peers: dict[str, Result]
    missing: dict[str, str]

    @property
    def title(self) -> str:
        """The line in words."""
        return (
            f"{self.case.op} {self.case.label} {self.dtype} {self.direction}, "
            f"{count_threads(self.threads)}"
        )

    @property
    def fastest(self) -> tuple[str, Result] | None:
        """The peer with the smallest ratio; None without peers."""
        return min(self.peers.items(), key=lambda item: item[1].ratio, default=None)

    @property
    def allocating_share(self) -> float:
        """Time of the allocating call over that of the call with `out=`."""
        return self.allocating.time.seconds / self.ours.time.seconds

    def as_dict(self) -> dict[str, Any]:
        """Return the line as it stands in the JSON file."""
        return {
            "case": self.case.name,
            "op": self.case.op,
            "shape": list(self.case.shape),
            "options": dict(self.case.options),
            "model": self.case.model,
            "dtype": self.dtype,
            "direction": self.direction,
            "threads": self.threads,
            "regime": self.regime,
            "sets": self.sets,
            "bytes": self.traffic,
            "copy": asdict(self.copy),
            "contenders": {
                name: _as_dict(result)
                for name, result in {
                    "fastnorm": self.ours,
                    "fastnorm allocating": self.allocating,
                    **self.peers,
                }.items()
            },
            "missing": self.missing,
        }


def _as_dict(result: Result) -> dict[str, Any]:
    return {
        **asdict(result.time),
        "correct": result.error.within,
        "error": {name: _finite(value) for name, value in asdict(result.error).items()},
        "rounded_parameters": result.rounded_parameters,
        "fastnorm_seconds": result.ours,
        "copy_seconds": result.copy,
        "ratio_to_fastnorm": result.ratio,
        "ratio_to_copy": result.copy_ratio,
    }


def summarize(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return the figures of the summary; what has no peer to compare with counts nowhere."""
    rated = [line for line in comparisons if line.peers]
    groups: dict[str, Callable[[Comparison], bool]] = {
        "all": lambda line: True,
        "forward": lambda line: line.direction == "forward",
        "backward": lambda line: line.direction == "backward",
        **{name: lambda line, name=name: line.regime == name for name in REGIMES},  # type: ignore[misc]
    }
    speedups = {}
    for name, belongs in groups.items():
        chosen = [line for line in rated if belongs(line)]
        if chosen:
            speedups[name] = {
                "cases": len(chosen),
                "over_fastest_peer": geometric_mean(_ratio(line) for line in chosen),
                "allocating": geometric_mean(
                    _ratio(line) / line.allocating_share for line in chosen
                ),
            }
    by_peer = {}
    for name in dict.fromkeys(name for line in rated for name in line.peers):
        ratios = [line.peers[name].ratio for line in rated if name in line.peers]
        by_peer[name] = {
            "cases": len(ratios),
            "speedup": geometric_mean(ratios),
            "incorrect": sum(
                not line.peers[name].error.within for line in rated if name in line.peers
            ),
        }
    behind = [line for line in rated if _ratio(line) / max(1.0, line.allocating_share) < 1]
    return {
        "speedups": speedups,
        "peers": by_peer,
        "behind": [
            {
                "line": line.title,
                "case": line.case.name,
                "peer": line.fastest[0] if line.fastest else "",
                "ratio": _ratio(line),
                "ratio_allocating": _ratio(line) / line.allocating_share,
            }
            for line in sorted(behind, key=_ratio)
        ],
        "exceeding": [line.title for line in comparisons if not line.ours.error.within],
    }


def _ratio(line: Comparison) -> float:
    return line.fastest[1].ratio if line.fastest else math.nan


def write_json(
    path: Path,
    comparisons: Sequence[Comparison],
    offsets: Mapping[str, Mapping[str, float]],
    machine: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    """Write everything to `path`."""
    document = {
        "schema": SCHEMA_VERSION,
        "machine": dict(machine),
        "settings": dict(settings),
        "comparisons": [line.as_dict() for line in comparisons],
        "layer_norm_error_by_mean": {
            name: {mean: _finite(value) for mean, value in errors.items()}
            for name, errors in offsets.items()
        },
        "summary": summarize(comparisons),
    }
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    """JSON has no infinity: null stands for it."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
