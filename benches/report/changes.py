# SPDX-License-Identifier: BSD-3-Clause
"""Which series got worse or better over the commits shown, and since when.

Less is better, of every figure: asv knows no other kind.

The judgement is that of `asv publish`: a piecewise constant function is fitted to a series, and the
latest level is compared with the best one before, by the thresholds of asv.conf.json. Two things
are added: a level that a single commit has, of a time whose samples do not differ from those on the
other side, is noise; and what got better is found in the same way, on the reciprocals.

A figure whose threshold is above asv's usual one is taken for noisy. A busy machine moves it far at
one commit, in all samples alike: its change is sure when each level has more than one commit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# asv's own statistics: it has no public name for them, and a second copy would judge differently.
from asv._stats import get_weight, is_different
from asv.step_detect import detect_regressions, detect_steps

from benches.report.history import History, Measurement, Series

_USUAL_THRESHOLD = 0.05  # asv's, where no pattern matches


@dataclass(frozen=True)
class Change:
    """A lasting change of a series.

    Attributes
    ----------
    series : Series
        Of what.
    before, after : float
        The level that was left, and the latest one.
    last_before, first_after : int
        Positions of the commits between which the largest step lies.
    worse : bool
        Or better.
    sure : bool
        Or of a noisy figure, and seen at one commit alone.
    """

    series: Series
    before: float
    after: float
    last_before: int
    first_after: int
    worse: bool
    sure: bool

    @property
    def share(self) -> float:
        """The change over the level before; infinite from zero."""
        return (self.after - self.before) / self.before if self.before else float("inf")


@dataclass(frozen=True)
class Verdict:
    """What there is to say of a history; each list with the largest change first.

    Attributes
    ----------
    worse, better : list of Change
        Beyond their thresholds, and sure.
    unsure : list of Change
        Beyond their thresholds, in either direction, and to be measured again.
    failed, absent : list of Series
        Without a value at the latest commit: because the benchmark failed, because it was not run.
    steady : int
        Number of all others that have a value.
    """

    worse: list[Change]
    better: list[Change]
    unsure: list[Change]
    failed: list[Series]
    absent: list[Series]
    steady: int

    def of(self, series: Series) -> Change | None:
        """Return the sure change of a series, if there is one."""
        return next((one for one in (*self.worse, *self.better) if one.series is series), None)


def judge(history: History) -> Verdict:
    """Look through all series."""
    changes: list[Change] = []
    failed, absent, steady = [], [], 0
    for series in history.series:
        latest = series.latest
        if latest is None:
            absent.append(series)
        elif latest.value is None:
            failed.append(series)
        elif latest.number is not None:
            limit = threshold(series.name, history.thresholds)
            change = _change(series, limit, worse=True) or _change(series, limit, worse=False)
            if change:
                changes.append(change)
            else:
                steady += 1
    changes.sort(key=_size, reverse=True)
    return Verdict(
        [change for change in changes if change.sure and change.worse],
        [change for change in changes if change.sure and not change.worse],
        [change for change in changes if not change.sure],
        failed,
        absent,
        steady,
    )


def threshold(name: str, thresholds: Mapping[str, float]) -> float:
    """Return the relative change that asv lets pass: the largest of all patterns that match."""
    matching = [float(limit) for pattern, limit in thresholds.items() if re.match(pattern, name)]
    return max(matching, default=_USUAL_THRESHOLD)


def _size(change: Change) -> float:
    """How much, as a factor: halved is as much as doubled."""
    low, high = sorted((abs(change.before), abs(change.after)))
    return high / low if low else float("inf")


def _change(series: Series, limit: float, *, worse: bool) -> Change | None:
    numbers = series.numbers
    costs = numbers if worse else _reciprocals(numbers)
    weights = [get_weight(point.stats) if point else None for point in series.points]
    # A weight is an inverse width; that of a reciprocal would be another one.
    steps = detect_steps(costs, weights if costs is numbers else None)
    _, _, jumps = detect_regressions(steps, limit)
    if not jumps:
        return None
    last_before, first_after, *_ = max(jumps, key=_growth)
    left, latest = jumps[0][0], len(numbers) - 1
    before, after = series.points[left], series.points[latest]
    lasting = min(_length(steps, left), _length(steps, latest)) > 1
    if before is None or after is None or not (lasting or _differ(before, after)):
        return None
    if before.number is None or after.number is None:
        return None
    sure = lasting or limit <= _USUAL_THRESHOLD
    return Change(series, before.number, after.number, last_before, first_after, worse, sure)


def _length(steps: Sequence[tuple[int, int, float, float, float]], place: int) -> int:
    """Return the number of commits on the level that a commit is on."""
    return next(right - left for left, right, *_ in steps if left <= place < right)


def _growth(jump: tuple[int, int, float, float]) -> float:
    _, _, before, after = jump
    return after / before if before else float("inf")


def _reciprocals(numbers: Sequence[float | None]) -> list[float | None]:
    """What rises as the numbers fall; zero counts as far below the smallest of the others."""
    floor = min((number for number in numbers if number), default=1.0) / 1e3
    return [None if number is None else 1 / max(number, floor) for number in numbers]


def _differ(a: Measurement, b: Measurement) -> bool:
    """Whether two values differ by more than the spread of their samples, where that is known."""
    if not a.stats or not b.stats or 1 in (a.stats.get("repeat"), b.stats.get("repeat")):
        return True
    return bool(is_different(a.samples, b.samples, a.stats, b.stats))
