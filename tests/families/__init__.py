# SPDX-License-Identifier: BSD-3-Clause
"""What the generic tests of test_families.py have to know of a family: one module here for each.

A module ``tests/families/<op>.py`` defines ``FAMILY``; it is found by being there. How the
arguments beside x are drawn is said once, in `fastnorm.compare.arguments`.
"""

from __future__ import annotations

import importlib
import pkgutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnorm.compare.arguments import ARGUMENTS, Argument, draw_arguments
from fastnorm.compare.case import Case

Options = Mapping[str, Any]


def one_group(shape: tuple[int, ...], options: Options) -> np.ndarray:
    """All of x is one statistics group."""
    return np.zeros(shape, int)


def each_channel(shape: tuple[int, ...], options: Options) -> np.ndarray:
    """Every channel is a group, as in `batch_norm`."""
    axis = options.get("channel_axis", 1) % len(shape)
    numbers = np.arange(shape[axis])
    return np.broadcast_to(
        numbers.reshape([-1 if a == axis else 1 for a in range(len(shape))]), shape
    )


def each_row(shape: tuple[int, ...], options: Options) -> np.ndarray:
    """Every row of a weight is a group, as in `weight_norm`; None: all of it is one."""
    axis = options.get("channel_axis", 0)
    return one_group(shape, {}) if axis is None else each_channel(shape, {"channel_axis": axis})


def each_plane(shape: tuple[int, ...], options: Options) -> np.ndarray:
    """Every channel of every sample is a group, as in `instance_norm`."""
    samples = np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    axis = options.get("channel_axis", 1) % len(shape)
    return each_channel(shape, options) + shape[axis] * samples


def each_sample(shape: tuple[int, ...], options: Options) -> np.ndarray:
    """Every entry of axis 0 is a group."""
    return np.broadcast_to(np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)), shape)


def each_element(shape: tuple[int, ...], options: Options) -> np.ndarray:
    """No statistics: every value by itself."""
    return np.arange(np.prod(shape)).reshape(shape)


@dataclass(frozen=True)
class Family:
    """A normalizer, its calls, and what is true of it.

    Attributes
    ----------
    op : str
        Name of the function in `fastnorm` and `fastnorm.reference`.
    calls : tuple of (shape, options)
        Small calls, of up to some hundred values each: ranks, layouts (channel_axis=-1), modes.
    shared : (shape, options)
        A call of 0.3 to 1 million values, which several threads share.
    groups : callable
        ``groups(shape, options)``: the number of its statistics group at every value of x. A NaN
        stays within its group.
    torch : callable or None
        ``torch(x, **arguments, **options)``: y as a differentiable expression of float64 tensors
        (options have eps); None where PyTorch cannot express it, and `no_torch` says why.
    no_torch : str
        The reason.
    layer : callable or None
        ``layer(case, arguments)``: the layer with these arguments as its parameters, and a tuple of
        its inputs beside x; called on x in training mode it gives the function's y. None for a
        function without one.
    learned : tuple of str
        Names that `layer.grads` has, with those of the gradient's fields: ``(("weight", "g"),)``.
    centred : bool
        Whether a centre is subtracted, so that the error must not grow with the mean of x.
    smooth_eps : float or None
        An eps for finite differences and PyTorch, large enough for a misplaced one to show; None
        for a function without eps.
    growth : float
        Largest factor by which the largest term behind a result exceeds the largest result: the
        error bounds are relative to it.
    statistics : bool
        Whether `return_stats` and `stats` are there.
    settled : bool
        Whether the gradient takes what a call updates as the call has left it.
    several : bool
        Whether the function returns a tuple, of which y is the first.
    parametric : bool
        Whether the layer holds x, a weight: `layer` finds it in the arguments under "x", and the
        layer is called without it.
    draw_x : callable
        ``draw_x(rng, shape)``: x of float64, by default normal around 0.5.
    """

    op: str
    calls: tuple[tuple[tuple[int, ...], Options], ...]
    shared: tuple[tuple[int, ...], Options]
    groups: Callable[[tuple[int, ...], Options], np.ndarray]
    torch: Callable[..., Any] | None
    layer: Callable[[Case, dict[str, Any]], tuple[Any, tuple[Any, ...]]] | None
    learned: tuple[tuple[str, str], ...] = (("weight", "weight"), ("bias", "bias"))
    no_torch: str = ""
    centred: bool = True
    smooth_eps: float | None = 0.1
    growth: float = 8.0
    statistics: bool = True
    settled: bool = False
    several: bool = False
    parametric: bool = False
    draw_x: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray] = field(
        default=lambda rng, shape: rng.normal(0.5, 1.0, shape)
    )

    @property
    def cases(self) -> list[Case]:
        """The small calls."""
        return [self.case(shape, options) for shape, options in self.calls]

    def case(self, shape: tuple[int, ...], options: Options) -> Case:
        """A call as the catalogue has them, named for a test's id."""
        words = ["x".join(map(str, shape)), *(f"{k}={v}" for k, v in options.items())]
        return Case("-".join([self.op, *words]).replace(" ", ""), self.op, shape, "", options)

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """What the function takes beside x."""
        return ARGUMENTS.get(self.op, ())

    @property
    def differentiable(self) -> tuple[str, ...]:
        """Arguments beside x that have a gradient, in order."""
        return tuple(argument.name for argument in self.arguments if argument.differentiable)

    def draw(self, case: Case, dtype=np.float64, *, parameter_dtype=None, mean: float = 0.0):
        """dy, x, and the other arguments by name; the same for every type, but for rounding."""
        rng = np.random.default_rng(zlib.crc32(case.name.encode()))
        x = self.draw_x(rng, case.shape) + mean
        dy = rng.standard_normal(case.shape)
        kind = np.dtype(dtype if parameter_dtype is None else parameter_dtype)
        drawn = draw_arguments(case, rng, np.dtype(np.float64))
        of_x = {argument.name for argument in self.arguments if argument.of_x}
        given = {
            name: value.astype(dtype if name in of_x else kind) if _is_float(value) else value
            for name, value in drawn.items()
        }
        return dy.astype(dtype), x.astype(dtype), given

    def made(self, case: Case, x, arguments: dict[str, Any]) -> tuple[Any, tuple[Any, ...]]:
        """The layer with these arguments, and all inputs of its call."""
        held = self.copied(arguments)
        layer, others = self.layer(case, {"x": x, **held} if self.parametric else held)
        return layer, others if self.parametric else (x, *others)

    def copied(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments with copies of those that a call may update."""
        updated = {argument.name for argument in self.arguments if argument.updated}
        return {k: v.copy() if k in updated else v for k, v in arguments.items()}


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind not in "iub"


def _found() -> dict[str, Family]:
    modules = (
        importlib.import_module(f"families.{info.name}") for info in pkgutil.iter_modules(__path__)
    )
    families = [module.FAMILY for module in modules]
    return {family.op: family for family in sorted(families, key=lambda family: family.op)}


FAMILIES = _found()
