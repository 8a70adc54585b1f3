# SPDX-License-Identifier: BSD-3-Clause
"""What is recorded of every call: the two classes that each family's file fills with its functions.

Both are abstract, since asv takes every class that it can make for one of benchmarks. A parameter
`case` is a name of the catalogue: operation, shape and, where channels are not second, layout of
the channels. `layout` is the order of the arrays in memory, as in NumPy: C or F.

asv calls every rise of a figure a worsening, so all of them are to be small.
"""

from __future__ import annotations

import inspect
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from types import FunctionType
from typing import Any, NamedTuple

from fastnorm.compare.case import Case
from fastnorm.compare.catalogue import select
from fastnorm.compare.errors import measure_error
from fastnorm.compare.measure import FULL, QUICK, measure_times
from fastnorm.compare.problem import DTYPES

# asv names the package after this folder, so that only a relative import finds its modules.
from . import profiles  # noqa: TID252
from .common import missing, prepared, problem  # noqa: TID252

DIRECTIONS = ["forward", "backward"]

# All comparisons of a family together: some minutes in full, on a busy machine.
MEASURING_S = 3600


@dataclass(frozen=True)
class Family:
    """Operations that share a file.

    Attributes
    ----------
    title : str
        What reports call them.
    ops : tuple of str
        Names of the functions.
    """

    title: str
    ops: tuple[str, ...]

    def cases(self) -> list[Case]:
        """Return the family's part of the catalogue, in the profile that is asked for."""
        return select(self.ops, quick=profiles.is_quick())


def figure(title: str, unit: str | None = None) -> Callable[[Any], Any]:
    """Say what a method measures, and in which unit where asv does not know."""

    def mark(method: Any) -> Any:
        method.title = title
        if unit is not None:
            method.unit = unit
        return method

    return mark


class _Recorded(ABC):
    """Parameters of a family, and names that a reader understands."""

    # Names what is measured. Without it asv would take the source of the method, and drop the
    # history when a comment moves. Raise it when a figure gets another meaning.
    version = "1"
    timeout = 300

    @property
    @abstractmethod
    def params(self) -> list[list[str]]:
        """The values of each parameter."""

    def __init_subclass__(cls, *, family: Family | None = None) -> None:
        if family is None:
            return
        cases = family.cases()
        cls.params = [[case.name for case in cases], *cls.more_params()]
        cls.param_names = ["case", *cls.more_names]
        unknown = missing(cases)
        # Not applicable, rather than failed. In `setup` it would be before every timed call.
        cls.skip_params = [values for values in product(*cls.params) if values[:2] in unknown]
        for name, method in inspect.getmembers(cls, inspect.isfunction):
            if hasattr(method, "title"):
                # asv reads the name from the function, which all families inherit.
                own = FunctionType(method.__code__, method.__globals__, name)
                vars(own).update(vars(method), pretty_name=f"{family.title}: {method.title}")
                setattr(cls, name, own)


class Calls(_Recorded):
    """Each call by itself: time and memory."""

    more_names = ("direction", "dtype", "layout", "threads")
    # Where there is time for it in four processes: `asv run --interleave-rounds` spreads them.
    rounds = 1 if profiles.is_quick() else 4
    repeat = (1, 10, 1.0)

    @classmethod
    def more_params(cls) -> list[list[str]]:
        """Directions, types, layouts and numbers of threads."""
        if profiles.is_quick():
            return [DIRECTIONS, ["float32"], ["C"], ["1"]]
        return [DIRECTIONS, list(DTYPES), ["C", "F"], ["1", "all"]]

    @figure("time of a call")
    def time_call(self, case, direction, dtype, layout, threads):
        """Into an array that is there; a gradient with the statistics of its forward call."""
        prepared(case, direction, dtype, layout, threads)()

    @figure("peak memory of a process that makes the call")
    def peakmem_call(self, case, direction, dtype, layout, threads):
        """Interpreter, arrays of the case and what the call allocates beside its result."""
        prepared(case, direction, dtype, layout, threads)()


class Figures(NamedTuple):
    """What one call is compared by."""

    over_numpy: float
    over_copy: float
    ulps: float


class Comparisons(_Recorded):
    """Each call beside others in the same process, on one thread: ratios and errors.

    A family's file adds a `setup_cache` that calls `measure`: asv runs it once per commit and file,
    and knows it by the line that it stands on.
    """

    more_names = ("direction", "dtype")

    @classmethod
    def more_params(cls) -> list[list[str]]:
        """Directions and types."""
        return [DIRECTIONS, ["float32"] if profiles.is_quick() else list(DTYPES)]

    def measure(self) -> dict[tuple[str, ...], Figures | str]:
        """Return the figures by parameters; of a call that fails, what it failed with."""
        found: dict[tuple[str, ...], Figures | str] = {}
        for call in product(*self.params):
            if call not in self.skip_params:
                try:
                    found[call] = measured(*call)
                except Exception:  # of one call: the others are to be measured
                    found[call] = traceback.format_exc()
        return found

    @figure("time over that of NumPy, 1 / speed-up", unit="times NumPy's")
    def track_over_numpy(self, found, case, direction, dtype):
        """The same formula written in NumPy, in turns with it; the reciprocal of the speed-up."""
        return figures_of(found, case, direction, dtype).over_numpy

    @figure("time over that of a memory copy", unit="times the copy's")
    def track_over_copy(self, found, case, direction, dtype):
        """A copy of as many bytes as the call has to move, in turns with it."""
        return figures_of(found, case, direction, dtype).over_copy

    @figure("largest error", unit="ulp")
    def track_error(self, found, case, direction, dtype):
        """Against the formula in float64, in units in the last place of the result's type."""
        return figures_of(found, case, direction, dtype).ulps


def measured(case: str, direction: Any, dtype: str) -> Figures:
    """Measure a call beside NumPy and a copy, and against the reference."""
    # First the error: some calls update running statistics, and how many are timed differs.
    ulps = measure_error(problem(case, dtype), direction).ulps
    budget = QUICK if profiles.is_quick() else FULL
    times = measure_times(problem(case, dtype), direction, [1], budget)
    ratios = (times.fastnorm[1] / times.numpy, times.fastnorm[1] / times.copy[1], ulps)
    return Figures(*(float(f"{value:.5g}") for value in ratios))


def figures_of(found: dict[tuple[str, ...], Figures | str], *call: str) -> Figures:
    """Return the figures of a call; raise what it failed with."""
    figures = found[call]
    if isinstance(figures, str):
        raise RuntimeError(figures)
    return figures
