# SPDX-License-Identifier: BSD-3-Clause
"""The words of the annotations, for type checkers alone: numpy.typing is slow to import."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray


class SupportsArray(Protocol):
    """What has an ``__array__`` method."""

    def __array__(self, *args: Any, **kwargs: Any) -> NDArray[Any]: ...


class SupportsDLPack(Protocol):
    """What follows the DLPack protocol."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...

    def __dlpack_device__(self) -> tuple[int, int]: ...


class Communicator(Protocol):
    """What has the ``allgather`` of mpi4py."""

    def allgather(self, value: Any, /) -> list[Any]: ...


Array: TypeAlias = NDArray[Any]
ArrayInput: TypeAlias = Array | SupportsArray | SupportsDLPack | memoryview
Axis: TypeAlias = int | tuple[int, ...] | None
Shape: TypeAlias = tuple[int, ...]
