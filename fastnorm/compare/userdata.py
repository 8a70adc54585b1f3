# SPDX-License-Identifier: BSD-3-Clause
"""Cases from the user's own arrays: ``fastnorm compare --input FILE.npy --op layer_norm``."""

from __future__ import annotations

import inspect
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnorm
from fastnorm.compare.case import Case
from fastnorm.compare.catalogue import OPS
from fastnorm.compare.problem import DTYPES, Problem, build

# The options of the command line that an operation may take, and its own defaults.
_WORDS = ("axis", "num_groups", "channel_axis")
_SIGNATURES = {op: inspect.signature(getattr(fastnorm, op)).parameters for op in OPS}
OPTIONS = {op: tuple(w for w in _WORDS if w in _SIGNATURES[op]) for op in OPS}


class InputError(ValueError):
    """The file or the options do not fit; the message is one line for the user."""


def load_problems(
    path: Path, op: str, options: Mapping[str, Any], dtype: np.dtype[Any] | None
) -> list[Problem]:
    """Return one problem per array in `path`.

    Parameters
    ----------
    path : Path
        A .npy file, or a .npz file with any number of arrays.
    op : str
        The operation to call on every array.
    options : mapping
        What the user gave of axis, num_groups and channel_axis.
    dtype : dtype, optional
        Type to convert to; None keeps the arrays' own, which must then be supported.

    Raises
    ------
    InputError
        If the file cannot be read, an array has no supported type or no values, or the operation
        refuses it with these options.
    """
    for name in options:
        if name not in OPTIONS[op]:
            raise InputError(f"{op} takes no --{name.replace('_', '-')}")
    arguments = dict(options)
    for name in OPTIONS[op]:
        default = _SIGNATURES[op][name].default
        if name not in options and default is inspect.Parameter.empty:
            raise InputError(f"{op} needs --{name.replace('_', '-')}")
        if name == "axis":
            arguments.setdefault(name, default)

    return [
        _problem(path, name, _convert(values, dtype, name), op, arguments)
        for name, values in _read(path).items()
    ]


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file under names that tell them apart."""
    try:
        # Opened here, since numpy.load leaves a broken archive open.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {path.name: loaded}
            arrays = {f"{path.name}[{key}]": loaded[key] for key in loaded.files}
    except FileNotFoundError:
        raise InputError(f"no such file: {path}") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} is no readable .npy or .npz file: {reason}") from None
    if not arrays:
        raise InputError(f"{path} holds no arrays")
    return arrays


def _convert(values: NDArray[Any], dtype: np.dtype[Any] | None, name: str) -> NDArray[Any]:
    """`values` in `dtype`, or in their own type, in native byte order."""
    if values.size == 0:
        raise InputError(f"{name} has shape {values.shape}: there is nothing to measure")
    if values.dtype.kind == "V" and values.dtype.itemsize == 2:
        # numpy.save writes bfloat16, which NumPy itself does not know, as two raw bytes.
        if dtype is not None and dtype.name == "bfloat16":
            return values.view(dtype)
        raise InputError(f"{name} has two raw bytes per value: if bfloat16, add --dtype bfloat16")
    if dtype is None:
        dtype = values.dtype.newbyteorder("=")
        if dtype.name not in DTYPES:
            choice = ", ".join(DTYPES)
            raise InputError(f"{name} is {dtype.name}: convert it with --dtype, one of {choice}")
    if values.dtype.kind not in "biuf" and values.dtype != dtype:
        raise InputError(f"{name} is {values.dtype.name}: not real numbers")
    return values.astype(dtype, copy=False)


def _problem(
    path: Path, name: str, x: NDArray[Any], op: str, options: Mapping[str, Any]
) -> Problem:
    case = Case(name, op, x.shape, str(path), options)
    try:
        problem = build(case, x.dtype, x)
        problem.call(fastnorm, "forward")()
    except (ValueError, TypeError) as error:
        raise InputError(f"{name}: {error}") from None
    return problem
