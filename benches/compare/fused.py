# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benches.compare.fused``: what a fused form costs, and what it saves.

A fused form (``activation=``, `add_layer_norm`, `add_rms_norm`) takes turns with its norm alone and
with what one would write without it: the norm and then the activation, by SciPy's compiled
functions, into arrays that are there; or the sum and then the norm. Backward, whatever the unfused
forward call leaves (the normalized values, the sum) is at hand.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import pi, sqrt
from typing import Any

import numpy as np
from scipy.special import expit, ndtr

import fastnorm
from benches.compare.report import Report
from fastnorm.compare.case import Case, Direction
from fastnorm.compare.catalogue import find
from fastnorm.compare.measure import FULL, Budget, effective_threads, interleave, with_threads
from fastnorm.compare.problem import Array, Call, Problem, build

CASES = (
    "layer_norm-bert-base-sentence",
    "layer_norm-bert-base-batch",
    "rms_norm-llama-7b-prompt",
    "batch_norm-resnet50-layer1",
    "batch_norm-resnet50-layer1-last",
    "instance_norm-style-batch",
    "group_norm-sd-unet-64",
    "add_layer_norm-bert-base-sentence",
    "add_layer_norm-bert-base-batch",
    "add_rms_norm-llama-7b-prompt",
)
# u(z) of GELU's tanh form is linear z + cubic z^3; its factor is the sigmoid of 2 u.
LINEAR = sqrt(2 / pi)
CUBIC = 0.044715 * LINEAR


@dataclass(frozen=True)
class Line:
    """Seconds of one fused form beside its norm alone, and beside the sequence it replaces."""

    case: Case
    direction: Direction
    form: str
    threads: int
    fused: float
    alone: float
    sequence: float

    def cells(self) -> list[str]:
        """Return the row of the table."""
        return [
            f"{self.case.op} {self.case.label}",
            self.direction,
            self.form,
            str(self.threads),
            f"{self.alone * 1e6:.1f}",
            f"{self.fused / self.alone:.2f}",
            f"{self.sequence / self.fused:.2f}",
        ]


def relu(z: Array, y: Array) -> None:
    """y = max(z, 0)."""
    np.maximum(z, 0, out=y)


def relu_slope(z: Array, dy: Array, dz: Array) -> None:
    """dz = dy where z > 0."""
    np.multiply(dy, z > 0, out=dz)


def silu(z: Array, y: Array) -> None:
    """y = z sigmoid(z)."""
    np.multiply(z, expit(z), out=y)


def silu_slope(z: Array, dy: Array, dz: Array) -> None:
    """dz = dy s (1 + z (1 - s)), s the sigmoid."""
    share = expit(z)
    slope = 1 - share
    slope *= z
    slope += 1
    slope *= share
    np.multiply(dy, slope, out=dz)


def gelu(z: Array, y: Array) -> None:
    """y = z Phi(z)."""
    np.multiply(z, ndtr(z), out=y)


def gelu_slope(z: Array, dy: Array, dz: Array) -> None:
    """dz = dy (Phi(z) + z phi(z))."""
    slope = np.square(z)
    slope *= -0.5
    np.exp(slope, out=slope)
    slope *= z
    slope *= 1 / sqrt(2 * pi)
    slope += ndtr(z)
    np.multiply(dy, slope, out=dz)


def gelu_tanh(z: Array, y: Array) -> None:
    """y = z sigmoid(2 u(z))."""
    inner = np.square(z)
    inner *= 2 * CUBIC
    inner += 2 * LINEAR
    inner *= z
    np.multiply(z, expit(inner, out=inner), out=y)


def gelu_tanh_slope(z: Array, dy: Array, dz: Array) -> None:
    """dz = dy s (1 + z (1 - s) 2 u'(z)), s = sigmoid(2 u(z))."""
    square = np.square(z)
    share = square * (2 * CUBIC)
    share += 2 * LINEAR
    share *= z
    expit(share, out=share)
    square *= 6 * CUBIC
    square += 2 * LINEAR
    square *= z
    square *= 1 - share
    square += 1
    square *= share
    np.multiply(dy, square, out=dz)


ACTIVATIONS: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
    "relu": (relu, relu_slope),
    "silu": (silu, silu_slope),
    "gelu": (gelu, gelu_slope),
    "gelu_tanh": (gelu_tanh, gelu_tanh_slope),
}


def forms(case: Case, direction: Direction) -> Iterator[tuple[str, dict[str, Call]]]:
    """Yield the fused forms of a case: a name, and the calls ``fused``, ``alone``, ``sequence``."""
    problem = build(case, np.dtype(np.float32))
    if case.op.startswith("add_"):
        yield "residual", with_residual(problem, direction)
        if direction == "forward":
            yield (
                "residual, apart",
                with_residual(build(case, np.dtype(np.float32)), direction, True),
            )
        return
    for name in ACTIVATIONS:
        yield name, with_activation(problem, direction, name)


def with_activation(problem: Problem, direction: Direction, name: str) -> dict[str, Call]:
    """Return the three calls for an activation."""
    value, slope = ACTIVATIONS[name]
    result = problem.buffer()
    if direction == "forward":
        fused = problem.call(fastnorm, direction, out=problem.buffer(), activation=name)
        alone = problem.call(fastnorm, direction, out=result)
        return {"fused": fused, "alone": alone, "sequence": then(alone, value, result, result)}

    stats = problem.statistics(fastnorm)
    normalized = problem.call(fastnorm, "forward")()
    before = Problem(problem.case, problem.x, problem.buffer(), problem.parameters)
    upstream: Any = {"stats": stats, "out": result}
    backward = before.call(fastnorm, direction, **upstream)
    return {
        "fused": problem.call(
            fastnorm, direction, stats=stats, out=problem.buffer(), activation=name
        ),
        "alone": problem.call(fastnorm, direction, **upstream),
        "sequence": lambda: (slope(normalized, problem.dy, before.dy), backward()),
    }


def with_residual(problem: Problem, direction: Direction, apart: bool = False) -> dict[str, Call]:
    """Return the three calls for a residual, whose sum is used further on.

    Forward it replaces the residual, as a network goes on with it, or goes to an array apart.
    """
    rest = {**problem.parameters}
    residual = rest.pop("residual")
    total, result = problem.x + residual, problem.buffer()
    plain = replace(problem.case, op=problem.case.op.removeprefix("add_"))
    norm = Problem(plain, total, problem.dy, rest)
    if direction == "forward":
        alone = norm.call(fastnorm, direction, out=result)
        problem.x[...] *= 1e-9  # any number of sums in place stays the same
        if not apart:
            residual = total
        summed = replace(problem, parameters=rest | {"residual": residual})
        fused = summed.call(fastnorm, direction, out=problem.buffer(), residual_out=total)
        return {
            "fused": fused,
            "alone": alone,
            "sequence": lambda: (np.add(problem.x, residual, out=total), alone()),
        }
    onward, stats = np.ones_like(total), norm.statistics(fastnorm)
    alone = norm.call(fastnorm, direction, stats=stats, out=result)
    of_sum = replace(problem, x=total, parameters=rest | {"residual": None})
    return {
        "fused": of_sum.call(
            fastnorm, direction, stats=stats, dresidual=onward, out=problem.buffer()
        ),
        "alone": alone,
        "sequence": then(alone, np.add, result, onward, result),
    }


def then(first: Call, second: Callable[..., Any], *arguments: Array) -> Call:
    """Return a call of one after the other."""

    def both() -> None:
        first()
        second(*arguments)

    return both


def measure(case: Case, direction: Direction, threads: int, budget: Budget) -> Iterator[Line]:
    """Yield the lines of a case."""
    for form, calls in forms(case, direction):
        contenders = {name: with_threads(call, threads) for name, call in calls.items()}
        times, _ = interleave(contenders, budget, shuffled=True)
        yield Line(case, direction, form, threads, **times)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benches.compare.fused",
        description="Fused forms beside their norm alone, and beside the calls they replace.",
    )
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S",
                        help="for each line; default 1")  # fmt: skip
    options = parser.parse_args(argv)
    budget = Budget(options.seconds, FULL.min_rounds, 10**4, FULL.batch_s)
    directions: tuple[Direction, ...] = ("forward", "backward")
    lines: list[Line] = []
    for threads in sorted({1, effective_threads(fastnorm.get_num_threads())}):
        for name in CASES:
            for direction in directions:
                lines += measure(find(name), direction, threads, budget)
    headings = ["call", "direction", "form", "threads", "alone, us", "fused/alone", "saves, x"]
    report = Report([], 0)
    report.table("float32", headings, [line.cells() for line in lines], left=3)
    report.write(
        "fused/alone: time over that of the norm alone; saves: time of the sequence over that"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
