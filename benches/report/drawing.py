# SPDX-License-Identifier: BSD-3-Clause
"""The plots of the page, as SVG to stand in the document: a line beside a number, and a figure.

Colours are Okabe and Ito's, which nobody confuses; what is worse or better has its own mark too.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from benches.report.changes import Change
from benches.report.history import Commit, Figure, Series
from benches.report.values import change_text, value_text

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#888888"
_WIDTH, _HEIGHT, _MARGIN = 150, 30, 4
_LEAST_SPAN = 0.1  # of the value: what varies less looks flat
_MOST_TICKS = 25


def sparkline(series: Series, change: Change | None) -> str:
    """Return a small plot of one series: oldest commit left, a dot on the latest value.

    The shade is the middle half of the samples of a time. A gap is a commit without a value. The
    dot is a square, in another colour, where the series got worse, and a diamond where it got
    better.
    """
    numbers = series.numbers
    present = [number for number in numbers if number is not None]
    if len(present) < 2:
        return ""
    low, high = min(present), max(present)
    missing = max(0.0, _LEAST_SPAN * abs(high) - (high - low)) / 2
    low, high = low - missing, high + missing

    def x(place: int) -> float:
        return round(_MARGIN + place * (_WIDTH - 2 * _MARGIN) / max(1, len(numbers) - 1), 1)

    def y(number: float) -> float:
        number = min(max(number, low), high)  # a quartile may lie beyond every median
        share = (number - low) / (high - low) if high > low else 0.5
        return round(_HEIGHT - _MARGIN - share * (_HEIGHT - 2 * _MARGIN), 1)

    body = []
    for run in _runs(numbers):
        band = [(place, series.points[place].stats) for place in run]
        if all(stats and "q_25" in stats for _, stats in band):
            outline = [(x(place), y(stats["q_75"])) for place, stats in band]
            outline += [(x(place), y(stats["q_25"])) for place, stats in reversed(band)]
            body.append(f'<polygon points="{_points(outline)}" class="spread"/>')
        line = [(x(place), y(numbers[place])) for place in run]
        if len(line) == 1:
            body.append(f'<circle cx="{line[0][0]}" cy="{line[0][1]}" r="1.2" class="line"/>')
        else:
            body.append(f'<polyline points="{_points(line)}" class="line"/>')
    last = max(place for place, number in enumerate(numbers) if number is not None)
    body.append(_mark(x(last), y(numbers[last]), change))
    unit = series.figure.unit
    title = (
        f"{value_text(present[0], unit)} at the first commit, {value_text(present[-1], unit)} at "
        f"the last; least {value_text(min(present), unit)}, most {value_text(max(present), unit)}"
    )
    return (
        f'<svg class="spark" role="img" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}"><title>{escape(title)}</title>{"".join(body)}</svg>'
    )


def _mark(x: float, y: float, change: Change | None) -> str:
    if change is None:
        return f'<circle cx="{x}" cy="{y}" r="2.6" fill="{BLUE}"/>'
    if change.worse:
        return f'<rect x="{x - 3}" y="{y - 3}" width="6" height="6" fill="{VERMILION}"/>'
    corners = [(x - 4, y), (x, y - 4), (x + 4, y), (x, y + 4)]
    return f'<polygon points="{_points(corners)}" fill="{GREEN}"/>'


def _runs(numbers: Sequence[float | None]) -> list[list[int]]:
    """Positions of the numbers, a list for each stretch without a gap."""
    runs: list[list[int]] = [[]]
    for place, number in enumerate(numbers):
        if number is not None:
            runs[-1].append(place)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _points(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in pairs)


def overview(figure: Figure, commits: Sequence[Commit]) -> str:
    """Return the plot of a whole figure over the commits; empty for fewer than two.

    A figure of one series shows its values. One of many shows each relative to its own first value,
    thin, and their geometric mean, thick; the series that moved most is named.
    """
    if len(commits) < 2:
        return ""
    # Text stays text; ids are the same in every run, and differ between the plots of a page.
    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": figure.name,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
    }
    with rc_context(style):
        canvas = Canvas(figsize=(8.6, 2.7), layout="constrained")
        axes = canvas.add_subplot()
        places = range(len(commits))
        drawn = _draw_one(axes, figure, places) if len(figure.series) == 1 else (
            _draw_many(axes, figure, places)
        )  # fmt: skip
        if not drawn:
            return ""
        every = math.ceil(len(commits) / _MOST_TICKS)
        ticks = list(places)[::-every][::-1]
        labels = [commits[place].short for place in ticks]
        axes.set_xticks(ticks, labels, rotation=35 if len(ticks) > 6 else 0, fontsize=7)
        axes.set_xlim(-0.3, len(commits) - 0.7)
        axes.set_xlabel("commit, oldest left", fontsize=8)
        axes.tick_params(axis="y", labelsize=8)
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        file = io.StringIO()
        canvas.savefig(file, format="svg", metadata={"Date": None})
    # Nothing refers to the ids of groups, which every plot has alike.
    svg = re.sub(r'<g id="[^"]*"', "<g", file.getvalue())
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return svg[svg.index("<svg ") :].replace("<svg ", '<svg class="overview" role="img" ', 1)


def _draw_one(axes, figure: Figure, places: Sequence[int]) -> bool:
    """The values themselves."""
    values = [math.nan if number is None else number for number in figure.series[0].numbers]
    if all(map(math.isnan, values)):
        return False
    axes.plot(places, values, color=BLUE, **_dots(places))
    axes.yaxis.set_major_formatter(lambda value, _: value_text(value, figure.unit))
    shown = [value for value in values if not math.isnan(value)]
    _widen(axes, shown, _LEAST_SPAN * abs(max(shown)))
    return True


def _draw_many(axes, figure: Figure, places: Sequence[int]) -> bool:
    """Every series over its first value, and the geometric mean."""
    lines = {}
    for series in figure.series:
        first = next((number for number in series.numbers if number), None)
        if first is not None:
            lines[series] = [n / first if n else math.nan for n in series.numbers]
    percent = {series: [100 * (n - 1) for n in line] for series, line in lines.items()}
    if not lines:
        return False
    for line in percent.values():
        axes.plot(places, line, color=GREY, linewidth=0.6, alpha=0.6)
    means = [_geometric_mean([line[place] for line in lines.values()]) for place in places]
    axes.plot(
        places,
        [100 * (mean - 1) for mean in means],
        color=BLUE,
        linewidth=2.2,
        **_dots(places),
    )
    last = places[-1]
    ends = {series: line[last] for series, line in lines.items() if not math.isnan(line[last])}
    if not math.isnan(means[last]):
        end = (last, 100 * (means[last] - 1))
        note = f"mean {change_text(means[last] - 1)}"
        axes.annotate(note, end, xytext=(6, 0), textcoords="offset points", color=BLUE,
                      fontsize=8, va="center", annotation_clip=False)  # fmt: skip
    extreme = max(ends, key=lambda series: abs(math.log(ends[series])), default=None)
    if extreme is not None and abs(math.log(ends[extreme])) > _LEAST_SPAN:
        axes.plot(places, percent[extreme], color=VERMILION, linewidth=1.2, linestyle="--")
        note = f"{extreme.label}: {change_text(ends[extreme] - 1)}"
        axes.set_title(f"dashed: {note}", fontsize=8, color=VERMILION, loc="left")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:+g} %" if value else "0 %")
    axes.set_ylabel("against the first commit", fontsize=8)
    shown = [value for line in percent.values() for value in line if not math.isnan(value)]
    _widen(axes, shown, 100 * _LEAST_SPAN)
    return True


def _dots(places: Sequence[int]) -> dict[str, Any]:
    """A dot per commit, as long as they stay apart."""
    return {"marker": "o", "markersize": 4} if len(places) <= _MOST_TICKS else {}


def _widen(axes, values: Sequence[float], least: float) -> None:
    """Show at least so much from bottom to top."""
    low, high = min(values), max(values)
    margin = max(0.05 * (high - low), (least - (high - low)) / 2) or 1.0
    axes.set_ylim(low - margin, high + margin)


def _geometric_mean(values: Sequence[float]) -> float:
    logs = [math.log(value) for value in values if not math.isnan(value)]
    return math.exp(math.fsum(logs) / len(logs)) if logs else math.nan
