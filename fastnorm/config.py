# SPDX-License-Identifier: BSD-3-Clause
"""Threads, and what the compiled core is made of: views over it."""

from __future__ import annotations

import sys
from _thread import get_ident
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

import fastnorm
from fastnorm import _core
from fastnorm._numbers import positive

if TYPE_CHECKING:
    from types import TracebackType


def set_num_threads(n: int) -> None:
    """Set the number of threads of the calls from every Python thread of this process.

    Parameters
    ----------
    n : int
        At least 1. Small calls take fewer. Results do not depend on it.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is below 1.

    See Also
    --------
    num_threads : Sets it for a block of code in one Python thread.

    Notes
    -----
    At first it is what ``OMP_NUM_THREADS``, the CPU affinity of the process and the quota of its
    container leave.
    """
    _core.set_num_threads(positive(n, "n"))


def get_num_threads() -> int:
    """Return the number of threads that a call from this Python thread may take.

    Returns
    -------
    int
        That of the innermost `num_threads` block, or else of `set_num_threads`.
    """
    return _core.get_num_threads()


class num_threads:
    """Set the number of threads for a block of code, in the Python thread that runs it.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is below 1.

    Notes
    -----
    Other Python threads are not affected. Blocks nest, and one instance may be entered again, also
    by several threads at once. The setting belongs to the thread and not to a task: a coroutine
    that awaits inside the block would leave it to the other tasks of its thread, so have no
    ``await`` in it.

    Examples
    --------
    >>> import fastnorm
    >>> with fastnorm.num_threads(1):
    ...     fastnorm.get_num_threads()
    1
    """

    def __init__(self, n: int) -> None:
        self._n = positive(n, "n")
        # What each thread had before each of its blocks. The module `threading`, whose `local` says
        # the same, would be a tenth of the time that importing fastnorm takes.
        self._outer: dict[int, list[int]] = {}

    def __enter__(self) -> None:
        outer = _core.set_local_num_threads(self._n)
        self._outer.setdefault(get_ident(), []).append(outer)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        thread = get_ident()
        outer = self._outer[thread]
        _core.set_local_num_threads(outer.pop())
        if not outer:
            del self._outer[thread]


@overload
def show_config(mode: Literal["stdout"] = "stdout") -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...
def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, Any] | None:
    """Show the instruction set chosen, OpenMP, threads, cache sizes and versions.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, default "stdout"
        Print them for people, or return them as nested dicts; as ``numpy.show_config`` does.

    Returns
    -------
    dict or None
        The configuration with ``mode="dicts"``, else None.

    Raises
    ------
    ValueError
        If `mode` is another one.
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f'mode must be "stdout" or "dicts", got {mode!r}')
    config = {
        "versions": {
            "fastnorm": fastnorm.__version__,
            "numpy": np.__version__,
            "python": sys.version.split()[0],
        },
        **_core.config(),
    }
    if mode == "dicts":
        return config
    for name, value in config.items():
        print(f"{name}: {_in_words(value)}")
    return None


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_in_words(entry) for entry in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
