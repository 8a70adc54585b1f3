# SPDX-License-Identifier: BSD-3-Clause
"""JAX on CPUs: jit of the stable, two-pass formula, and of its pullback.

The number of threads is that of the CPUs the process may run on when JAX starts; `prepare` cannot
change it. A gradient counts from what the forward call kept, which JAX chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benches.compare.peers.contract import Prepared, Unsupported
from benches.compare.peers.forms import MOMENTUM, Form, form
from fastnorm.compare.case import Direction
from fastnorm.compare.problem import Array, Call, Problem


class Jax:
    """JAX, compiled for the shapes of the case; compiling is no part of a time."""

    def prepare(self, problems: Sequence[Problem], direction: Direction, threads: int) -> Prepared:
        """Return the calls, each of which waits for its result."""
        first = problems[0]
        if first.x.dtype == np.float64:
            raise Unsupported("float64 is off unless the whole process turns it on")
        function = _function(form(first.case), first)
        if direction == "forward":
            calls = [_forward(jax.jit(function), problem) for problem in problems]
        else:
            calls = _backward(function, problems)
        return Prepared(calls, partial(_read, first, direction))


def _forward(function: Callable[..., Any], problem: Problem) -> Call:
    arguments = jax.block_until_ready([jnp.asarray(problem.x), *_parameters(problem)])

    def call() -> Any:
        return jax.block_until_ready(function(*arguments))

    return call


def _backward(function: Callable[..., Any], problems: Sequence[Problem]) -> list[Call]:
    """The pullback is an argument: jit compiles it once and calls it on the residuals."""

    def of_parameters(*arguments: Any) -> Any:
        y = function(*arguments)
        return y[0] if isinstance(y, tuple) else y

    count = sum(name in problems[0].parameters for name in ("weight", "bias"))

    def forward(x: Any, *parameters: Any) -> Any:
        statistics = parameters[count:]
        return jax.vjp(lambda x, *p: of_parameters(x, *p, *statistics), x, *parameters[:count])

    compiled = jax.jit(forward)
    pull = jax.jit(lambda pullback, dy: pullback(dy))

    def gradient(problem: Problem) -> Call:
        _, pullback = compiled(jnp.asarray(problem.x), *_parameters(problem))
        pullback, dy = jax.block_until_ready((pullback, jnp.asarray(problem.dy)))
        return lambda: jax.block_until_ready(pull(pullback, dy))

    return [gradient(problem) for problem in problems]


def _parameters(problem: Problem) -> list[Any]:
    names = ("weight", "bias", "running_mean", "running_var")
    return [jnp.asarray(problem.parameters[n]) for n in names if n in problem.parameters]


def _function(shape: Form, problem: Problem) -> Callable[..., Any]:
    """Return the forward function; its arguments are x and the parameters that there are."""
    axes, eps, ndim = shape.axes, shape.eps, shape.ndim
    sizes = [1] * ndim
    if shape.op in ("layer_norm", "rms_norm"):
        for axis in axes:
            sizes[axis] = problem.x.shape[axis]
    elif shape.op != "standardize":
        channel = ndim - 1 if shape.channels_last else 1
        sizes[channel] = problem.x.shape[channel]

    def spread(values: Any) -> Any:
        return values if shape.op == "standardize" else values.reshape(sizes)

    def centred(wide: Any, over: tuple[int, ...]) -> tuple[Any, Any, Any]:
        mean = wide.mean(over, keepdims=True)
        away = wide - mean
        return away, mean, jnp.square(away).mean(over, keepdims=True)

    def moments(x: Any) -> Any:
        wide = x.astype(jnp.float32)
        mean = wide.mean(axes)
        return mean, jnp.square(wide - wide.mean(axes, keepdims=True)).mean(axes)

    def normalize(x: Any, w: Any, b: Any) -> Any:
        away, _, var = centred(x.astype(jnp.float32), axes)
        return (away * jax.lax.rsqrt(var + eps) * spread(w) + spread(b)).astype(x.dtype)

    def rms_norm(x: Any, w: Any) -> Any:
        wide = x.astype(jnp.float32)
        square = jnp.square(wide).mean(axes, keepdims=True)
        return (wide * jax.lax.rsqrt(square + eps) * spread(w)).astype(x.dtype)

    def batch_norm(x: Any, w: Any, b: Any, mean: Any, var: Any) -> Any:
        wide = x.astype(jnp.float32)
        if not shape.training:
            scale = spread(w) * jax.lax.rsqrt(spread(var) + eps)
            return ((wide - spread(mean)) * scale + spread(b)).astype(x.dtype)
        away, batch_mean, batch_var = centred(wide, axes)
        y = (away * jax.lax.rsqrt(batch_var + eps) * spread(w) + spread(b)).astype(x.dtype)
        bessel = x.size / w.size / (x.size / w.size - 1)
        new_mean = mean + MOMENTUM * (batch_mean.reshape(-1) - mean)
        return y, new_mean, var + MOMENTUM * (bessel * batch_var.reshape(-1) - var)

    def group_norm(x: Any, w: Any, b: Any) -> Any:
        channel = ndim - 1 if shape.channels_last else 1
        split = (*x.shape[:channel], shape.groups, -1, *x.shape[channel + 1 :])
        wide = x.astype(jnp.float32).reshape(split)
        over = tuple(axis for axis in range(1, ndim + 1) if axis != channel)
        away, _, var = centred(wide, over)
        y = (away * jax.lax.rsqrt(var + eps)).reshape(x.shape)
        return (y * spread(w) + spread(b)).astype(x.dtype)

    chosen: dict[str, Callable[..., Any]] = {
        "moments": moments,
        "rms_norm": rms_norm,
        "batch_norm": batch_norm,
        "group_norm": group_norm,
    }
    return chosen.get(shape.op, normalize)


def _read(problem: Problem, direction: Direction, result: Any) -> dict[str, Array]:
    if problem.case.op == "moments":
        mean, var = result
        return {"mean": np.asarray(mean), "var": np.asarray(var)}
    if direction == "forward":
        return {"y": np.asarray(result[0] if isinstance(result, tuple) else result)}
    names = [name for name in ("x", "weight", "bias") if name == "x" or name in problem.parameters]
    return {f"d{name}": np.asarray(value) for name, value in zip(names, result, strict=True)}
