# SPDX-License-Identifier: BSD-3-Clause
"""What an adapter is: problems in, calls out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fastnorm.compare.case import Direction
from fastnorm.compare.problem import Array, Call, Problem


class Unsupported(Exception):
    """The library cannot express the case; the message says why, for the report."""


@dataclass(frozen=True)
class Prepared:
    """One case in one direction, ready to be called.

    Attributes
    ----------
    calls : sequence of callable
        One per set of arrays, in their order; each returns whatever the library returns, complete:
        a library that computes in the background is waited for.
    read : callable
        Turns what a call returned into arrays by name, as `Problem.outputs` gives them.
    rounded_parameters : bool
        The library takes parameters in x's type alone; 16-bit ones are rounded, and the exact
        result is that of the rounded parameters.
    """

    calls: Sequence[Call]
    read: Callable[[Any], dict[str, Array]]
    rounded_parameters: bool = False


class Peer(Protocol):
    """An implementation to measure."""

    def prepare(self, problems: Sequence[Problem], direction: Direction, threads: int) -> Prepared:
        """Return the calls on `problems`, sets of arrays of one case, with so many threads.

        What `threads` sets may hold for the process, until the next call of `prepare`.

        Raises
        ------
        Unsupported
            If the library has no such operation, or not for this type or layout.
        """


def with_rounded_parameters(problem: Problem) -> Problem:
    """Return the problem with its parameters in the type of x."""
    parameters = {name: v.astype(problem.x.dtype) for name, v in problem.parameters.items()}
    return Problem(problem.case, problem.x, problem.dy, parameters)
