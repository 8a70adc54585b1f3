# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch, eager: the functions of `torch.nn.functional` and the backward operators of ATen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from benches.compare.peers import pytorch_functions
from benches.compare.peers.contract import Prepared, with_rounded_parameters
from benches.compare.peers.forms import form
from benches.compare.peers.pytorch_functions import Tensor
from fastnorm.compare.case import Direction
from fastnorm.compare.problem import Array, Call, Problem


class Eager:
    """PyTorch as it comes."""

    def prepare(self, problems: Sequence[Problem], direction: Direction, threads: int) -> Prepared:
        """Return the calls of the functions as they are."""
        torch.set_num_threads(threads)
        return prepare(problems, direction, lambda function: function, compiled=False)


def prepare(
    problems: Sequence[Problem],
    direction: Direction,
    translate: Callable[[Callable[..., Any]], Callable[..., Any]],
    *,
    compiled: bool,
) -> Prepared:
    """Return the calls of a case's functions, each given to `translate` once.

    Parameters
    ----------
    problems : sequence of Problem
        Sets of arrays of one case.
    direction : {"forward", "backward"}
        Which of the two functions.
    translate : callable
        Eager or compiled: function -> function.
    compiled : bool
        Whether operators that only the compiler knows may be used.
    """
    case = problems[0].case
    functions = pytorch_functions.functions(case)
    # torch leaves its fused kernel, and warns, where the weight of rms_norm is wider than x.
    rounded = case.op == "rms_norm" and problems[0].x.itemsize == 2
    if rounded:
        problems = [with_rounded_parameters(problem) for problem in problems]

    calls: list[Call]
    if direction == "forward":
        forward = translate(functions.forward)
        calls = [partial(forward, *pytorch_functions.arguments(problem)) for problem in problems]
    elif functions.backward is not None and (functions.eager or compiled):
        backward = translate(functions.backward)
        calls = []
        for problem in problems:
            arguments = pytorch_functions.arguments(problem)
            assert functions.saved is not None
            saved = functions.saved(*arguments)
            dy = pytorch_functions.image(problem, problem.dy)
            calls.append(partial(backward, dy, *arguments, *saved))
    else:
        forward = translate(functions.forward)
        calls = [_by_autograd(forward, problem) for problem in problems]
    return Prepared(calls, partial(_read, problems[0], direction), rounded)


def _by_autograd(forward: Callable[..., Any], problem: Problem) -> Call:
    """Return the gradient call alone; its forward call runs here, once."""
    arguments = [
        value if value is None else value.detach().requires_grad_()
        for value in pytorch_functions.arguments(problem)
    ]
    wanted = [value for value in arguments if value is not None]
    y = forward(*arguments)
    dy = pytorch_functions.image(problem, problem.dy)

    def backward() -> tuple[Tensor | None, ...]:
        found = torch.autograd.grad(y, wanted, dy, retain_graph=True)
        return (*found, None)[:3]

    return backward


def _read(problem: Problem, direction: Direction, result: Any) -> dict[str, Array]:
    if form(problem.case).op == "moments":
        var, mean = result
        return {"mean": mean.numpy(), "var": var.numpy()}
    if direction == "forward":
        return {"y": pytorch_functions.array(problem, result)}
    found = {"dx": pytorch_functions.array(problem, result[0])}
    for name, value in zip(("weight", "bias"), result[1:], strict=True):
        if value is not None and name in problem.parameters:
            gradient = pytorch_functions.array(problem, value)
            found[f"d{name}"] = gradient.reshape(problem.parameters[name].shape)
    return found
