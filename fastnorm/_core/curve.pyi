# SPDX-License-Identifier: BSD-3-Clause
from typing import Any

from numpy.typing import NDArray

FLOOR: int
RATIO: int
SWISH: int
TANH: int

def curve(
    kind: int, x: NDArray[Any], out: NDArray[Any], coefs: tuple[NDArray[Any], ...]
) -> None: ...
def curve_gradient(
    kind: int,
    dy: NDArray[Any],
    x: NDArray[Any],
    dx: NDArray[Any] | None,
    coefs: tuple[NDArray[Any], ...],
    sums: tuple[NDArray[Any] | None, ...],
) -> None: ...
