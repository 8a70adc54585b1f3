# SPDX-License-Identifier: BSD-3-Clause
"""The arrays of one case, and the calls on them.

`fastnorm`, `fastnorm.reference` and `numpy_twin` are modules with the same names and arguments, so
a call is found by ``getattr(module, op)``: what is timed and what is checked cannot drift apart.
"""

from __future__ import annotations

import importlib
import inspect
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnorm.compare import numpy_twin
from fastnorm.compare.arguments import ARGUMENTS, draw_arguments, normal
from fastnorm.compare.case import Case, Direction

Array = NDArray[Any]
Call = Callable[[], Any]

DTYPES = ("float32", "float16", "bfloat16", "float64")

# Arrays as large as x that a call has to move: x; x and y; x, dy and dx. Parameters and statistics
# are left out, they are small; re-reading is the implementation's own business.
_STREAMS = {"moments": 1, "forward": 2, "backward": 3}
# The same of arguments of x's type beside x (`Argument.of_x`): read, and where written the sum that
# forward returns, which backward takes in x's place; the gradient of the style.
_MORE_STREAMS = {
    "add_layer_norm": {"forward": 2, "backward": 0},
    "add_rms_norm": {"forward": 2, "backward": 0},
    "adaptive_instance_norm": {"forward": 1, "backward": 2},
}


@dataclass(frozen=True)
class Problem:
    """A case with its arrays.

    Attributes
    ----------
    case : Case
        The operation and its options.
    x, dy : ndarray
        The input and the upstream gradient, of the same shape, type and memory order.
    parameters : dict of str to ndarray
        The arguments beside x under their names: weight, bias, running_mean, running_var and so
        on. They are of the compute type: float32 for 16-bit x, as in mixed-precision inference.
    """

    case: Case
    x: Array
    dy: Array
    parameters: dict[str, Array] = field(default_factory=dict)

    def traffic(self, direction: Direction) -> int:
        """Bytes that a call in `direction` has to read and write at least once."""
        op = self.case.op
        traffic = self.x.nbytes * _STREAMS["moments" if op == "moments" else direction]
        for argument in ARGUMENTS.get(op, ()):
            if argument.of_x:
                traffic += self.parameters[argument.name].nbytes * _MORE_STREAMS[op][direction]
        return traffic

    def buffer(self) -> Array:
        """Return an output buffer like x, with every page touched."""
        out = np.empty_like(self.x)
        out.fill(0)
        return out

    def call(
        self, module: ModuleType, direction: Direction, stats: Any = None, **options: Any
    ) -> Call:
        """Return the call of `module`'s implementation, without arguments.

        Parameters
        ----------
        module : module
            `fastnorm`, `fastnorm.reference` or `numpy_twin`.
        direction : {"forward", "backward"}
            Which of the two functions.
        stats : object, optional
            For the backward function: the statistics of its own forward one, see `statistics`;
            None where there are none.
        **options
            Further keyword arguments, such as out.
        """
        arguments = {**self.parameters, **self.case.options, **options}
        if direction == "forward":
            return partial(getattr(module, self.case.op), self.x, **arguments)
        backward = getattr(module, f"{self.case.op}_backward")
        given = {} if stats is None else {"stats": stats}
        return partial(backward, self.dy, self.x, **arguments, **given)

    def statistics(self, module: ModuleType) -> Any:
        """Return what the forward function of `module` keeps for its backward function, if any."""
        if module is numpy_twin:
            return self.call(module, "forward")()[-1]
        if "return_stats" not in inspect.signature(getattr(module, self.case.op)).parameters:
            return None
        return self.call(module, "forward", return_stats=True)()[-1]

    def timed_call(self, module: ModuleType, direction: Direction) -> Call:
        """Return the call as it is timed: into touched outputs, a gradient with what was kept.

        That is the statistics, and of a residual the sum, which the twin keeps beside them.
        """
        if self.case.op == "moments":
            return self.call(module, direction)
        given: dict[str, Any] = {"out": self.buffer()}
        residual = "residual" in self.parameters
        if direction == "forward":
            if residual:
                given["residual_out"] = self.buffer()
            return self.call(module, direction, **given)
        given["stats"] = self.statistics(module)
        if residual and module is not numpy_twin:
            total = self.call(module, "forward")()[1]
            return replace(self, x=total).call(module, direction, residual=None, **given)
        return self.call(module, direction, **given)

    def in_float64(self) -> Problem:
        """Return the same values for the reference: parameters in float64, in arrays of their own.

        The reference converts x and dy itself, and has to know their type where sums are rounded.
        """
        parameters = {name: _widened(values) for name, values in self.parameters.items()}
        for argument in ARGUMENTS.get(self.case.op, ()):
            if argument.of_x:
                parameters[argument.name] = self.parameters[argument.name]
        return Problem(self.case, self.x, self.dy, parameters)

    def outputs(self, module: ModuleType, direction: Direction) -> dict[str, Array]:
        """Call `module`'s implementation and return its results by name.

        ``mean, var`` for moments, ``y`` for the other forward functions; ``dx`` and, where there
        are such parameters, ``dweight, dbias`` for the backward ones.
        """
        if self.case.op == "moments":
            mean, var, *_ = self.call(module, direction)()
            return {"mean": mean, "var": var}
        if direction == "forward":
            result = self.call(module, direction)()
            return {"y": result[0] if isinstance(result, tuple) else result}
        gradients = self.call(module, direction, stats=self.statistics(module))()._asdict()
        return {f"d{name}": value for name, value in gradients.items() if value is not None}


def as_dtype(name: str) -> np.dtype[Any]:
    """Return one of `DTYPES`; bfloat16, which NumPy does not know, is that of ml_dtypes.

    Raises
    ------
    ImportError
        If bfloat16 is asked for and ml_dtypes is not installed.
    """
    if name == "bfloat16":
        importlib.import_module("ml_dtypes")  # teaches NumPy the name
    return np.dtype(name)


def build(case: Case, dtype: np.dtype[Any], x: Array | None = None) -> Problem:
    """Return the problem of `case` in `dtype`: `x` if given, standard-normal data otherwise.

    The data depend on the case's name alone; arguments.py says how the others are drawn.

    Raises
    ------
    numpy.exceptions.AxisError
        If an axis in the case's options is out of range.
    ValueError
        If an axis is repeated.
    """
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    if x is None:
        x = normal(rng, case.shape, dtype)
    dy = np.empty_like(x)
    dy[...] = normal(rng, case.shape, dtype)

    compute = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    return Problem(case, x, dy, draw_arguments(case, rng, compute, dtype))


def _widened(value: Any) -> Any:
    """A float array in float64; labels and whatever else a call takes as they are."""
    if isinstance(value, np.ndarray) and value.dtype.kind not in "iub":
        return value.astype(np.float64)
    return value
