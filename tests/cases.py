# SPDX-License-Identifier: BSD-3-Clause
"""A normalizer on a shape, and how `fastnorm` and `fastnorm.reference` are called on it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np

import fastnorm
from fastnorm.compare.catalogue import CATALOGUE

DTYPES = tuple(map(np.dtype, (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)))

# The normalizers that came first, whose arguments are of one kind; `moments` is no normalizer. All
# others are described one by one in tests/families.
OPS = ("standardize", "layer_norm", "rms_norm", "batch_norm", "instance_norm", "group_norm")


@dataclass(frozen=True)
class Case:
    """`fastnorm.<op>` on an x of `shape`, with the keywords `config`.

    affine: shape of the parameters of `standardize`, which may be any that broadcasts; by default
    they run along the reduced axes. The other functions leave no choice.
    """

    op: str
    shape: tuple[int, ...]
    config: dict[str, Any] = field(default_factory=dict)
    affine: tuple[int, ...] | None = None

    def __str__(self) -> str:
        words = [f"{name}={value}".replace(" ", "") for name, value in self.config.items()]
        return "-".join([self.op, "x".join(map(str, self.shape)), *words])

    @property
    def channel(self) -> int | None:
        """The channel axis, not negative; None for the functions that have none."""
        if self.op in ("moments", "standardize", "layer_norm", "rms_norm"):
            return None
        return self.config.get("channel_axis", 1) % len(self.shape)

    @property
    def group_axes(self) -> tuple[int, ...]:
        """Axes of x that number the statistics groups; the channel axis of `group_norm` in part."""
        ndim = len(self.shape)
        if self.op == "batch_norm":
            return (self.channel,)
        if self.channel is not None:
            return (0, self.channel)
        reduced = self.config.get("axis", None if self.op == "moments" else -1)
        reduced = range(ndim) if reduced is None else np.atleast_1d(reduced) % max(ndim, 1)
        return tuple(axis for axis in range(ndim) if axis not in reduced)

    @property
    def parameter_axes(self) -> tuple[int, ...]:
        """Axes of x along which weight and bias run."""
        ndim = len(self.shape)
        if self.channel is not None:
            return (self.channel,)
        if self.affine is not None:
            return tuple(axis for axis, n in enumerate(self._aligned(self.affine)) if n != 1)
        return tuple(axis for axis in range(ndim) if axis not in self.group_axes)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Shape of weight and bias."""
        if self.op == "standardize":
            return self._along(self.parameter_axes) if self.affine is None else self.affine
        return tuple(self.shape[axis] for axis in self.parameter_axes)

    def _aligned(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (1,) * (len(self.shape) - len(shape)) + shape

    def _along(self, axes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(n if axis in axes else 1 for axis, n in enumerate(self.shape))

    def spread(self, statistic: np.ndarray) -> np.ndarray:
        """One value per statistics group, made to broadcast against x."""
        if self.op == "group_norm":
            width = self.shape[self.channel] // self.config["num_groups"]
            statistic = np.repeat(statistic, width, axis=1)
        return np.reshape(statistic, self._along(self.group_axes))

    def spread_parameter(self, parameter: np.ndarray) -> np.ndarray:
        """A weight or bias, made to broadcast against x."""
        return np.reshape(parameter, self._along(self.parameter_axes))

    def sum_to_parameter(self, values: np.ndarray) -> np.ndarray:
        """Sum of `values`, of x's shape, over the axes along which the parameters are broadcast."""
        others = tuple(a for a in range(len(self.shape)) if a not in self.parameter_axes)
        return values.sum(axis=others).reshape(self.parameter_shape)

    def group_numbers(self) -> np.ndarray:
        """The number of its statistics group at every element of x."""
        groups = [self.shape[axis] for axis in self.group_axes]
        if self.op == "group_norm":
            groups[1] = self.config["num_groups"]
        numbers = np.arange(math.prod(groups)).reshape(groups)
        return np.broadcast_to(self.spread(numbers), self.shape)


@dataclass
class Arguments:
    """The arrays of one call; `parameters` under the names the function gives them."""

    x: np.ndarray
    dy: np.ndarray
    parameters: dict[str, np.ndarray | None]

    def parameter(self, case: Case, name: str, absent: float) -> np.ndarray:
        """The float64 value of a parameter against x; `absent` where there is none."""
        value = self.parameters.get(name)
        return np.float64(absent) if value is None else case.spread_parameter(value.astype(float))


def draw(
    case: Case,
    rng: np.random.Generator,
    dtype=np.float32,
    *,
    parameter_dtype=None,
    mean: float = 0.0,
    std: float = 1.0,
) -> Arguments:
    """Normal x and dy, weights around 1, biases around 0, running statistics where they are needed.

    parameter_dtype: the parameters' type, x's by default.
    """
    x = (rng.standard_normal(case.shape) * std + mean).astype(dtype)
    dy = rng.standard_normal(case.shape).astype(dtype)
    if case.op == "moments":
        return Arguments(x, dy, {})
    shape, kind = case.parameter_shape, dtype if parameter_dtype is None else parameter_dtype
    parameters = {"weight": (1 + 0.5 * rng.standard_normal(shape)).astype(kind)}
    if case.op != "rms_norm":
        parameters["bias"] = rng.standard_normal(shape).astype(kind)
    if case.op == "batch_norm":
        parameters["running_mean"] = (mean + rng.standard_normal(shape)).astype(kind)
        parameters["running_var"] = rng.uniform(0.5, 2.0, shape).astype(kind)
    return Arguments(x, dy, parameters)


def forward(module: ModuleType, case: Case, arguments: Arguments, **options):
    """``(y, stats)`` of the forward function."""
    function = getattr(module, case.op)
    return function(
        arguments.x, **arguments.parameters, **case.config, return_stats=True, **options
    )


def backward(module: ModuleType, case: Case, arguments: Arguments, **options):
    """The named tuple of gradients."""
    function = getattr(module, f"{case.op}_backward")
    return function(arguments.dy, arguments.x, **arguments.parameters, **case.config, **options)


def everything(case: Case, arguments: Arguments, **options) -> dict[str, np.ndarray]:
    """Forward, statistics, updated running statistics and every gradient of `fastnorm`, by name.

    `options` go to the forward function alone. The arguments are left as they are.
    """
    if case.op == "moments":
        return statistics(fastnorm.moments(arguments.x, **case.config))
    parameters = {
        name: array.copy() if name.startswith("running") else array
        for name, array in arguments.parameters.items()
    }
    arguments = Arguments(arguments.x, arguments.dy, parameters)
    gradients = backward(fastnorm, case, arguments)
    y, stats = forward(fastnorm, case, arguments, **options)
    given = backward(fastnorm, case, arguments, stats=stats)
    results = {"y": y}
    results |= statistics(stats)
    results |= {name: parameters[name] for name in parameters if name.startswith("running")}
    results |= {f"gradient of {name}": value for name, value in gradients._asdict().items()}
    results |= {f"gradient of {name}, stats given": v for name, v in given._asdict().items()}
    return {name: value for name, value in results.items() if value is not None}


def statistics(stats) -> dict[str, np.ndarray]:
    """The fields of a Moments or RawMoments by name."""
    names = ("mean_square",) if hasattr(stats, "mean_square") else ("mean", "var")
    return {name: getattr(stats, name) for name in names}


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Same type, shape and bits; NaN equals the same NaN, and 0 differs from -0."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def assert_same_bits(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray], what) -> None:
    """Fail with the names of the results that differ."""
    assert actual.keys() == expected.keys()
    different = [name for name in expected if not same_bits(actual[name], expected[name])]
    assert not different, f"{what}: {', '.join(different)} differ in their bits"


def digest(results: dict[str, np.ndarray]) -> str:
    """SHA-256 of all results: names, types, shapes and bits.

    All NaN count as one: IEEE 754 leaves a NaN's sign and payload to the order of the operands,
    which is the compiler's.
    """
    state = hashlib.sha256()
    for name, array in results.items():
        state.update(f"{name} {array.dtype} {array.shape}".encode())
        state.update(np.where(np.isnan(array), np.array(np.nan, array.dtype), array).tobytes())
    return state.hexdigest()


def catalogue(limit: int) -> dict[str, Case]:
    """The cases of `fastnorm.compare.catalogue`, halved along one axis until x has at most `limit`
    values: along the batch first, then along the longest axis that does not carry channels.
    """
    cases = {}
    for entry in CATALOGUE:
        if entry.op not in (*OPS, "moments"):
            continue  # described in tests/families
        shape, fixed = list(entry.shape), channels(entry)
        while math.prod(shape) > limit:
            free = [axis for axis in range(len(shape)) if axis not in fixed]
            axis = 0 if shape[0] > 1 else max(free, key=shape.__getitem__)
            shape[axis] = -(-shape[axis] // 2)
        cases[entry.name] = Case(entry.op, tuple(shape), dict(entry.options), entry.affine)
    return cases


def channels(entry) -> tuple[int, ...]:
    """Axes whose length is the model's width."""
    ndim = len(entry.shape)
    if entry.op in ("batch_norm", "instance_norm", "group_norm"):
        return (entry.options.get("channel_axis", 1) % ndim,)
    return (ndim - 1,)
