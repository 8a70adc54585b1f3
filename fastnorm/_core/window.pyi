# SPDX-License-Identifier: BSD-3-Clause
from typing import Any

from numpy.typing import NDArray

def window(
    x: NDArray[Any],
    out: NDArray[Any],
    dy: NDArray[Any] | None,
    axis: int,
    before: int,
    after: int,
    scale: float,
    beta: float,
    k: float,
) -> None: ...
