# SPDX-License-Identifier: BSD-3-Clause
"""The table of a comparison, its summary and what is missing, as text."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benches.compare.results import UNSTEADY, Comparison, Result, summarize
from fastnorm.compare.case import Direction
from fastnorm.compare.results import count_threads

try:
    from rich import box
    from rich.console import Console
    from rich.table import Table
except ImportError:  # plain text then
    Console = None  # type: ignore[assignment, misc]

_NARROWEST = 170  # of a table in a file or a pipe
LEGEND = (
    "times in us per call, medians;  (x): time over that of fastnorm with out= in the same run;  "
    "x copy: fastnorm over a memory copy of the same bytes;  !: error beyond fastnorm's bound;  "
    f"~: half of the rounds more than {UNSTEADY:.0%} apart;  -: not measured, reasons below;  "
    "bold: the fastest peer;  memory/2: two sets of arrays in turn"
)
_TEXT_COLUMNS = 4
SHORT: dict[Direction, str] = {"forward": "fwd", "backward": "bwd"}


class Report:
    """Writes to standard output, one table per operation as soon as it is complete.

    Parameters
    ----------
    names : sequence of str
        Libraries that are measured.
    total : int
        Number of lines to come.
    """

    def __init__(self, names: Sequence[str], total: int) -> None:
        self._names, self._total, self._done = list(names), total, 0
        self._lines: list[Comparison] = []
        self._console = None
        if Console is not None:
            console = Console(highlight=False)
            wide = console.is_terminal or console.width >= _NARROWEST
            self._console = console if wide else Console(highlight=False, width=_NARROWEST)

    def progress(self, text: str) -> None:
        """Say what is measured now, where somebody looks at it."""
        if sys.stderr.isatty():
            print(f"\r[{self._done}/{self._total}] {text:90.90}", end="\r", file=sys.stderr)

    def show(self, line: Comparison) -> None:
        """Take a line; print the table of the operation before it."""
        if self._lines and self._lines[-1].case.op != line.case.op:
            self.flush()
        self._lines.append(line)
        self._done += 1

    def flush(self) -> None:
        """Print the table of the lines since the last one."""
        if self._lines:
            self.table(
                self._lines[0].case.op,
                [*_HEADINGS, *self._names],
                [_cells(line, self._names) for line in self._lines],
            )
        self._lines = []

    def close(
        self,
        lines: Sequence[Comparison],
        offsets: Mapping[str, Mapping[str, float]],
        absent: Mapping[str, str],
    ) -> None:
        """Print what is left: the summary, the errors by mean, the reasons."""
        self.flush()
        self.write(LEGEND, "")
        if lines:
            self.write(*summary_lines(summarize(lines)), "")
        if offsets:
            means = list(next(iter(offsets.values())))
            rows = [[name, *(f"{e.get(m, float('nan')):.0e}" for m in means)]
                    for name, e in offsets.items()]  # fmt: skip
            heading = "largest error of layer_norm, float32, rows of 768, std 1, by mean"
            self.table(heading, ["library", *means], rows, left=1)
        self.write(*reason_lines(lines, absent))

    def write(self, *lines: str) -> None:
        """Print lines of text."""
        for line in lines:
            if self._console is None:
                print(line)
            else:
                self._console.print(line, markup=False)

    def table(
        self, title: str, headings: Sequence[str], rows: Sequence[Sequence[str]],
        left: int = _TEXT_COLUMNS,
    ) -> None:  # fmt: skip
        """Print a table whose first `left` columns are words, the others numbers."""
        if self._console is None:
            plain = [[re.sub(r"\[.*?\]", "", cell) for cell in row] for row in rows]
            widths = [max(map(len, column)) for column in zip(headings, *plain, strict=True)]
            print(f"\n{title}")
            for row in (headings, *plain):
                cells = zip(row, widths, strict=True)
                print("  ".join(cell.ljust(width) for cell, width in cells).rstrip())
            return
        table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False,
                      collapse_padding=True)  # fmt: skip
        for column, heading in enumerate(headings):
            table.add_column(
                heading, justify="left" if column < left else "right", no_wrap=column != 0
            )
        for row in rows:
            table.add_row(*row)
        self._console.print(table)


_HEADINGS = ("shape", "type", "dir", "regime", "thr", "copy", "fastnorm", "alloc", "x copy")


def _cells(line: Comparison, names: Sequence[str]) -> list[str]:
    fastest = line.fastest[0] if line.fastest else None
    cells = [
        line.case.label,
        line.dtype,
        SHORT[line.direction],
        f"{line.regime}/{line.sets}" if line.sets > 1 else line.regime,
        str(line.threads),
        _microseconds(line.copy.seconds),
        _time(line.ours),
        _time(line.allocating),
        f"{line.ours.copy_ratio:.2f}",
    ]
    for name in names:
        result = line.peers.get(name)
        text = "-" if result is None else f"{_time(result)} ({result.ratio:.2f})"
        cells.append(f"[bold]{text}[/]" if name == fastest else text)
    return cells


def _time(result: Result) -> str:
    flags = ("" if result.error.within else "!") + ("~" if result.time.spread > UNSTEADY else "")
    return _microseconds(result.time.seconds) + flags


def _microseconds(seconds: float) -> str:
    value = seconds * 1e6
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the summary in sentences."""
    lines = []
    if summary["speedups"]:
        lines.append("fastnorm over the fastest peer, geometric means (in brackets: allocating):")
    for name, entry in summary["speedups"].items():
        lines.append(
            f"    {name:8}  {entry['over_fastest_peer']:.2f}x ({entry['allocating']:.2f}x)"
            f"  of {entry['cases']}"
        )
    for name, entry in summary["peers"].items():
        wrong = entry["incorrect"]
        tail = f", {wrong} beyond the error bound" if wrong else ""
        lines.append(f"over {name}: {entry['speedup']:.2f}x of {entry['cases']}{tail}")
    behind = summary["behind"]
    if behind:
        count = f"{len(behind)} line{'s' if len(behind) > 1 else ''}"
        lines.append(f"a peer is faster in {count}, worst first (out=, allocating):")
        lines += [
            f"    {entry['ratio']:.2f} {entry['ratio_allocating']:.2f}  {entry['line']}: "
            f"{entry['peer']}"
            for entry in behind
        ]
    elif summary["speedups"]:
        lines.append("no peer is faster anywhere")
    if summary["exceeding"]:
        lines.append("ERRORS of fastnorm beyond their bound:")
        lines += [f"    {title}" for title in summary["exceeding"]]
    return lines


def reason_lines(lines: Sequence[Comparison], absent: Mapping[str, str]) -> list[str]:
    """Return why results are missing, each reason once with the number of lines it concerns."""
    counts: dict[tuple[str, str], set[str]] = {}
    for line in lines:
        for name, reason in line.missing.items():
            text = reason if line.direction == "forward" else f"backward: {reason}"
            counts.setdefault((name, text), set()).add(line.title)
    found = [f"{name}: left out: {reason}" for name, reason in absent.items()]
    found += [
        f"{name}: not in {len(titles)} line{'s' if len(titles) > 1 else ''}: {reason}"
        for (name, reason), titles in sorted(counts.items())
    ]
    return found


def describe_run(
    threads: Sequence[int], versions: Mapping[str, str], machine: Mapping[str, Any]
) -> str:
    """Return one line: what runs on what, and whether others want the cores."""
    libraries = ", ".join(f"{name} {text}" for name, text in versions.items())
    load, cores = machine["load"], machine["cores"]
    busy = "" if load is None else f", load average {load:.1f} on {cores} cores before the start"
    return f"{machine['cpu']}{busy}, {' and '.join(map(count_threads, threads))}: {libraries}"
