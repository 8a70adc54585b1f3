# SPDX-License-Identifier: BSD-3-Clause
"""The page: one HTML document without scripts, with everything it shows inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benches.report.changes import Change, Verdict, threshold
from benches.report.drawing import overview, sparkline
from benches.report.history import Commit, Figure, History, Measurement, Series
from benches.report.values import change_text, spread_text, value_text

# What asv's own kinds of benchmark measure, where the benchmark itself says nothing.
_KINDS = {
    "time": "The median of many runs.",
    "peakmemory": "Interpreter and arrays included.",
}
_OPEN_ROWS = 8  # longer tables are folded


@dataclass(frozen=True)
class Row:
    """A line of a table, as text."""

    series: Series
    state: str
    latest: str
    spread: str
    against_previous: str
    against_first: str
    plot: Markup


@dataclass(frozen=True)
class Section:
    """A figure with its plot and its table."""

    figure: Figure
    anchor: str
    explanation: str
    thresholds: str
    plot: Markup
    rows: list[Row]

    @property
    def heading(self) -> str:
        """The title, which asv puts in the middle of lines, as a heading; a mere name as it is."""
        title = self.figure.title
        return title if title == self.figure.name else title[:1].upper() + title[1:]

    @property
    def name(self) -> str:
        """The title without the name of its group."""
        return self.figure.title.removeprefix(f"{self.figure.group}: ")

    @property
    def folded(self) -> bool:
        """Whether the table is shown only when asked for."""
        return len(self.rows) > _OPEN_ROWS

    def count(self, state: str) -> int:
        """Number of rows of that state."""
        return sum(row.state == state for row in self.rows)


def render(history: History, verdict: Verdict) -> str:
    """Return the document."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["change"] = change_text
    sections = [
        _section(place, figure, history, verdict) for place, figure in enumerate(history.figures)
    ]
    rows = {row.series: row for section in sections for row in section.rows}
    anchors = {section.figure: section.anchor for section in sections}
    return environment.get_template("page.html").render(
        history=history,
        verdict=verdict,
        sections=sections,
        rows=rows,
        anchors=anchors,
        latest=history.commits[-1],
        several=len(history.commits) > 1,
        value=value_text,
        since=lambda change: _since(change, history.commits),
    )


def _section(place: int, figure: Figure, history: History, verdict: Verdict) -> Section:
    limits = sorted({threshold(series.name, history.thresholds) for series in figure.series})
    return Section(
        figure=figure,
        anchor=f"figure-{place + 1}",
        explanation=figure.explanation or _KINDS.get(figure.kind, ""),
        thresholds=" or ".join(f"{100 * limit:g} %" for limit in limits),
        plot=Markup(overview(figure, history.commits)),
        rows=[_row(series, verdict) for series in figure.series],
    )


def _row(series: Series, verdict: Verdict) -> Row:
    change, point = verdict.of(series), series.latest
    number = point.number if point else None
    earlier = [one for one in series.numbers[:-1] if one is not None]
    return Row(
        series=series,
        state=_state(point, change),
        latest=_latest(point, series.figure.unit),
        spread=spread_text(point) if point else "",
        against_previous=_against(number, earlier[-1:]),
        against_first=_against(number, earlier[:1]),
        plot=Markup(sparkline(series, change)),
    )


def _state(point: Measurement | None, change: Change | None) -> str:
    if point is None:
        return "absent"
    if point.value is None:
        return "failed"
    if change is None:
        return "steady"
    return "worse" if change.worse else "better"


def _latest(point: Measurement | None, unit: str) -> str:
    if point is None:
        return "not run"
    if point.value is None:
        return "failed"
    return "does not apply" if point.number is None else value_text(point.number, unit)


def _against(number: float | None, others: Sequence[float]) -> str:
    """The change against another value, if both are there."""
    if number is None or not others:
        return ""
    if others[0] == 0:
        return "0 %" if number == 0 else "from 0"
    return change_text(number / others[0] - 1)


def _since(change: Change, commits: Sequence[Commit]) -> str:
    """The commit that made the change, or the two between which it lies."""
    if change.first_after - change.last_before == 1:
        return commits[change.first_after].short
    return f"{commits[change.last_before].short} … {commits[change.first_after].short}"
