# SPDX-License-Identifier: BSD-3-Clause
from collections.abc import Callable

class Groups:
    axes: tuple[int, ...]
    kept: tuple[int, ...]
    free: tuple[int, ...]
    size: int
    shape: tuple[int, ...]
    view: tuple[int, ...]
    where: str
    split: tuple[int, ...]
    def __init__(
        self,
        split: tuple[int, ...],
        axes: tuple[int, ...],
        along: tuple[int, ...],
        where: str,
        channel: int = ...,
    ) -> None: ...

class Recent:
    def __init__(self, make: Callable[..., Groups], keys: int) -> None: ...
