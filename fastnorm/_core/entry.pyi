# SPDX-License-Identifier: BSD-3-Clause
from typing import Any

from numpy.typing import NDArray

from fastnorm._core.groups import Groups

RAW: int
GIVEN: int
FIXED: int
ACTIVATED: int
ACTIVATIONS: dict[str, int]

def forward(
    x: NDArray[Any],
    out: NDArray[Any] | None,
    groups: Groups,
    weight: NDArray[Any] | None,
    bias: NDArray[Any] | None,
    mean: NDArray[Any] | None,
    var: NDArray[Any],
    eps: float,
    flags: int,
    term: NDArray[Any] | None = None,
    other: NDArray[Any] | None = None,
) -> None: ...
def slope(
    dy: NDArray[Any],
    x: NDArray[Any],
    dx: NDArray[Any],
    groups: Groups,
    weight: NDArray[Any] | None,
    bias: NDArray[Any] | None,
    mean: NDArray[Any] | None,
    var: NDArray[Any],
    eps: float,
    flags: int,
) -> None: ...
def backward(
    dy: NDArray[Any],
    x: NDArray[Any],
    dx: NDArray[Any] | None,
    groups: Groups,
    weight: NDArray[Any] | None,
    mean: NDArray[Any] | None,
    var: NDArray[Any],
    eps: float,
    flags: int,
    dweight: NDArray[Any] | None,
    dbias: NDArray[Any] | None,
    means: NDArray[Any] | None = None,
    bias: NDArray[Any] | None = None,
    onward: NDArray[Any] | None = None,
) -> None: ...
