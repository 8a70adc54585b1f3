# SPDX-License-Identifier: BSD-3-Clause
"""The table: rich with a live progress bar in a terminal, plain aligned text anywhere else."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from fastnorm.compare.case import Case, Direction
from fastnorm.compare.results import Row

if TYPE_CHECKING:
    from rich.table import Table

_HEADINGS = (
    "op", "shape", "direction", "thr", "error", "ulp", "time", "GB/s", "x NumPy", "x copy",
)  # fmt: skip
_TEXT_COLUMNS = 3  # aligned to the left; the others are numbers
_LEGEND = (
    "thr: threads;  error: largest against float64, absolute and in ulps;  x NumPy: speed-up over "
    "the same formula in NumPy;  x copy: time over that of a memory copy of the same bytes"
)


class Reporter(Protocol):
    """Where results go as they come; used as a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def start(self, case: Case, direction: Direction) -> None:
        """Say what is measured now."""

    def show(self, rows: Sequence[Row]) -> None:
        """Take the rows of what was started last."""

    def close(self, lines: Sequence[str]) -> None:
        """Print what is left, and the summary."""


def make_reporter(stream: TextIO, cases: Sequence[Case]) -> Reporter:
    """Return the reporter for `stream`: rich if it is a terminal and rich is installed."""
    if stream.isatty() and importlib.util.find_spec("rich") is not None:
        return RichReporter(stream, cases)
    return PlainReporter(stream, cases)


class PlainReporter:
    """Aligned text without any control characters, one line per row as soon as it is known."""

    def __init__(self, stream: TextIO, cases: Sequence[Case]) -> None:
        self._stream = stream
        labels = max(len(case.label) for case in cases)
        ops = max(len(case.op) for case in cases)
        self._widths = (ops, labels, 9, 3, 8, 6, 8, 6, 7, 6)

    def __enter__(self) -> Self:
        self._print(_HEADINGS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.flush()

    def start(self, case: Case, direction: Direction) -> None:
        """Say nothing: a line is printed when its numbers are there."""

    def show(self, rows: Sequence[Row]) -> None:
        """Print the rows."""
        for row in rows:
            self._print(_cells(row))

    def close(self, lines: Sequence[str]) -> None:
        """Print the summary."""
        print(f"\n{_LEGEND}\n", *lines, sep="\n", file=self._stream)

    def _print(self, cells: Sequence[str]) -> None:
        aligned = (
            cell.ljust(width) if column < _TEXT_COLUMNS else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, self._widths, strict=True))
        )
        print("  ".join(aligned).rstrip(), file=self._stream, flush=True)


class RichReporter:
    """A progress bar at the bottom, above it one table per operation as soon as it is complete."""

    def __init__(self, stream: TextIO, cases: Sequence[Case]) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self._console = Console(file=stream, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        total = sum(len(case.directions) for case in cases)
        self._task = self._progress.add_task("", total=total)
        self._rows: list[Row] = []

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def start(self, case: Case, direction: Direction) -> None:
        """Name the case beside the bar; print the table of the operation before it."""
        if self._rows and self._rows[0].case.op != case.op:
            self._print_table()
        self._progress.update(self._task, description=f"{case.op} {case.label} {direction}")

    def show(self, rows: Sequence[Row]) -> None:
        """Move the bar on."""
        self._rows += rows
        self._progress.advance(self._task)

    def close(self, lines: Sequence[str]) -> None:
        """Print the last table and the summary, and take the bar away."""
        self._print_table()
        self._progress.stop()
        self._console.print(_LEGEND, style="dim")
        for line in ("", *lines):
            self._console.print(line, markup=False, style="bold red" if "ERRORS" in line else None)

    def _print_table(self) -> None:
        if self._rows:
            self._console.print(_rich_table(self._rows))
        self._rows = []


def _rich_table(rows: Sequence[Row]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        title=rows[0].case.op,
        title_justify="left",
        pad_edge=False,
        collapse_padding=True,
    )
    for column, heading in enumerate(_HEADINGS[1:], start=1):
        # In a narrow terminal the shape is what may go on in a second line, never a number.
        table.add_column(
            heading,
            justify="left" if column < _TEXT_COLUMNS else "right",
            no_wrap=heading != "shape",
            overflow="fold",
        )
    for before, row in zip([None, *rows], rows, strict=False):
        cells = [Text(cell) for cell in _cells(row)[1:]]
        if before is not None and before.case == row.case:
            cells[0].stylize("dim")  # the same shape again
        if not row.error.within:
            cells[3].stylize("bold red")
        if row.speedup < 1:
            cells[7].stylize("red")
        if row.copy_ratio <= 1.15:
            cells[8].stylize("green")
        table.add_row(*cells)
    return table


def _cells(row: Row) -> tuple[str, ...]:
    """The row as text, in the order of the headings; an error beyond its bound gets a mark."""
    return (
        row.case.op,
        row.case.label,
        row.direction,
        str(row.threads),
        f"{row.error.absolute:.1e}{'' if row.error.within else '!'}",
        f"{row.error.ulps:.2f}" if row.error.ulps < 1000 else f"{row.error.ulps:.0e}",
        format_seconds(row.seconds),
        f"{row.gigabytes_per_second:.2f}",
        f"{row.speedup:.2f}",
        f"{row.copy_ratio:.2f}",
    )


def format_seconds(seconds: float) -> str:
    """Return three digits and a unit: ``1.23 us``, ``45.6 ms``."""
    for unit, factor in (("us", 1e6), ("ms", 1e3)):
        value = seconds * factor
        if value < 999.5:
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f} {unit}"
    return f"{seconds:.2f} s"
