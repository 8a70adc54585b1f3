# SPDX-License-Identifier: BSD-3-Clause
"""What asv's result files hold, as figures over commits.

asv keeps one file per commit and environment. Files, their versions and the list of benchmarks are
read by asv's own classes; here they are turned round: one series per benchmark and parameters.
"""

from __future__ import annotations

import ast
import itertools
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asv.benchmarks import Benchmarks
from asv.config import Config
from asv.results import Results, iter_results


class NoResults(Exception):
    """There is nothing to show; the message says what to run."""


@dataclass(frozen=True)
class Commit:
    """A commit that was measured; the subject is empty where this checkout does not know it."""

    hash: str
    date: datetime
    subject: str

    @property
    def short(self) -> str:
        """What asv and git print for it."""
        return self.hash[:8]


@dataclass(frozen=True)
class Measurement:
    """One value: None if the benchmark failed, NaN if it does not apply there.

    `stats` has the quartiles and the confidence interval of a time, `samples` its single values
    where they were recorded; both are None for what is not a time.
    """

    value: float | None
    stats: Mapping[str, float] | None = None
    samples: Sequence[float] | None = None

    @property
    def number(self) -> float | None:
        """The value if it is a number."""
        return None if self.value is None or self.value != self.value else self.value


@dataclass(frozen=True, eq=False)
class Series:
    """One figure for one combination of parameters, over the commits.

    Attributes
    ----------
    figure : Figure
        What it is a series of.
    name : str
        asv's name of it, which the thresholds are matched against.
    values : tuple of str
        Of the parameters.
    points : tuple of Measurement or None
        One per commit; None where it was not run.
    """

    figure: Figure
    name: str
    values: tuple[str, ...]
    points: tuple[Measurement | None, ...]

    @property
    def label(self) -> str:
        """What tells it from the other series of its figure."""
        return ", ".join(self.values[place] for place in self.figure.varying)

    @property
    def latest(self) -> Measurement | None:
        """What the latest commit has."""
        return self.points[-1]

    @property
    def numbers(self) -> list[float | None]:
        """The numbers alone."""
        return [point.number if point else None for point in self.points]


@dataclass(frozen=True, eq=False)
class Figure:
    """A benchmark: what is measured, in which unit, for which parameters.

    Attributes
    ----------
    name, title : str
        asv's name, and the one for readers.
    kind : str
        asv's type: time, timeraw, peakmemory, track and so on.
    unit : str
        As recorded: seconds, bytes, or what a tracked figure says.
    explanation : str
        First paragraph of the docstring of the benchmark, possibly empty.
    parameters : tuple of str
        Their names.
    series : list of Series
        One for each combination that has a value, or failed, at least once.
    """

    name: str
    title: str
    kind: str
    unit: str
    explanation: str
    parameters: tuple[str, ...]
    series: list[Series]

    @property
    def group(self) -> str:
        """What stands before the colon of the title, if anything does."""
        return self.title.partition(": ")[0] if ": " in self.title else ""

    @property
    def varying(self) -> list[int]:
        """Positions of the parameters that have more than one value."""
        columns = zip(*(series.values for series in self.series), strict=True)
        return [place for place, column in enumerate(columns) if len(set(column)) > 1]

    @property
    def fixed(self) -> list[tuple[str, str]]:
        """The other parameters with their only value."""
        varying = self.varying
        values = zip(self.parameters, self.series[0].values, strict=True)
        return [pair for place, pair in enumerate(values) if place not in varying]


@dataclass(frozen=True)
class History:
    """Everything one machine measured in one environment, oldest commit first.

    `others` counts the commits of environments and machines that are not shown, by their names;
    `inapplicable` has the figures that no commit has a value of, for want of a tool, say.
    """

    project: str
    machine: Mapping[str, str]
    environment: str
    requirements: Mapping[str, str]
    commits: tuple[Commit, ...]
    figures: tuple[Figure, ...]
    thresholds: Mapping[str, float]
    others: Mapping[tuple[str, str], int]
    inapplicable: tuple[Figure, ...]

    @property
    def series(self) -> list[Series]:
        """Those of all figures."""
        return [series for figure in self.figures for series in figure.series]


def load(
    config: Path, machine: str | None = None, environment: str | None = None, limit: int = 100
) -> History:
    """Read the results that an asv configuration names.

    Parameters
    ----------
    config : Path
        asv.conf.json; paths in it are relative to its folder.
    machine, environment : str, optional
        Which of them; by default those of the latest commit, of several those measured last.
    limit : int
        Number of commits, from the latest back.

    Raises
    ------
    NoResults
        If there are none.
    """
    conf = Config.load(str(config))
    root = config.resolve().parent
    conf.results_dir = str(root / conf.results_dir)
    if not Path(conf.results_dir).is_dir():
        raise NoResults(f"{conf.results_dir} does not exist: run `asv run` first")
    benchmarks = Benchmarks.load(conf)

    found = _by_environment(conf.results_dir, machine, environment)
    subjects = _git_log(root)
    # A branch that was measured too is no part of this history. (No checkout: everything is.)
    known = {
        key: [result for result in results if result.commit_hash in subjects] or results
        for key, results in found.items()
    }
    if not known:
        raise NoResults(f"no results of that machine and environment in {conf.results_dir}")
    order = {commit: place for place, commit in enumerate(subjects)}

    def age(result: Results) -> tuple[int, int]:
        return order.get(result.commit_hash, -1), result.date

    chosen = max(known, key=lambda key: (max(map(age, known[key])), _last_start(known[key])))
    results = sorted(known[chosen], key=age)[-limit:]
    commits = tuple(
        Commit(
            result.commit_hash,
            datetime.fromtimestamp(result.date / 1000, UTC),
            subjects.get(result.commit_hash, ""),
        )
        for result in results
    )
    figures = [_figure(benchmarks[name], benchmarks, results) for name in sorted(benchmarks)]
    last = results[-1]
    return History(
        project=conf.project,
        machine={name: str(last.params.get(name, "")) for name in ("machine", "cpu", "os")},
        environment=chosen[1],
        requirements={"Python": last._python, **_versions(last)},
        commits=commits,
        figures=tuple(figure for figure in figures if figure.series),
        thresholds=conf.regressions_thresholds,
        others={key: len(results) for key, results in known.items() if key != chosen},
        inapplicable=tuple(
            figure
            for figure in figures
            if not figure.series
            and any(figure.name in one.get_all_result_keys() for one in results)
        ),
    )


def _by_environment(
    folder: str, machine: str | None, environment: str | None
) -> dict[tuple[str, str], list[Results]]:
    """The result files by machine and environment, those that were asked for."""
    found: dict[tuple[str, str], list[Results]] = {}
    for result in iter_results(folder):
        key = result.params["machine"], result.env_name
        if machine in (None, key[0]) and environment in (None, key[1]):
            found.setdefault(key, []).append(result)
    return found


def _last_start(results: Sequence[Results]) -> float:
    return max((time for one in results for time in one.started_at.values() if time), default=0)


def _versions(result: Results) -> dict[str, str]:
    """Versions of the packages that the environment pins."""
    return {name: version for name, version in result._requirements.items() if version}


def _git_log(root: Path) -> dict[str, str]:
    """Subjects of the commits that HEAD contains, oldest first; empty without git."""
    command = ["git", "-C", str(root), "log", "--date-order", "--reverse", "--format=%H%x09%s"]
    try:
        log = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8")
    except (OSError, subprocess.CalledProcessError):
        return {}
    return dict(line.split("\t", 1) for line in log.stdout.splitlines())


def _figure(
    benchmark: Mapping[str, Any], benchmarks: Benchmarks, results: Sequence[Results]
) -> Figure:
    """Collect one benchmark over the commits."""
    name, params = benchmark["name"], benchmark["params"]
    columns = [
        _measurements(result, name, params)
        if name in result.get_result_keys(benchmarks)
        else itertools.repeat(None)
        for result in results
    ]
    figure = Figure(
        name=name,
        title=benchmark.get("pretty_name") or name,
        kind=benchmark["type"],
        unit=benchmark["unit"],
        explanation=_explanation(name, benchmark["code"]),
        parameters=tuple(benchmark["param_names"]),
        series=[],
    )
    for values, *points in zip(itertools.product(*params), *columns, strict=False):
        # Neither run nor applicable anywhere: not a line of any table.
        if any(point is not None and point.value == point.value for point in points):
            full = f"{name}({', '.join(values)})" if values else name
            figure.series.append(Series(figure, full, tuple(map(_literal, values)), tuple(points)))
    return figure


def _measurements(result: Results, name: str, params: Sequence[Sequence[str]]) -> list[Measurement]:
    """The values of one benchmark at one commit, in the order of the parameters' product."""
    rows = zip(
        result.get_result_value(name, params),
        result.get_result_stats(name, params),
        result.get_result_samples(name, params),
        strict=True,
    )
    return [Measurement(*row) for row in rows]


def _literal(text: str) -> str:
    """asv stores the repr of a parameter: a string without its quotes."""
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return text


def _explanation(name: str, code: str) -> str:
    """First paragraph of the docstring of a benchmark, in the source that asv keeps of it."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        # Behind it stands the source of its setup.
        if isinstance(node, ast.FunctionDef) and node.name == name.rsplit(".", 1)[-1]:
            text = ast.get_docstring(node) or ""
            return " ".join(text.split("\n\n")[0].split())
    return ""
