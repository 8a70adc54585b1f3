# SPDX-License-Identifier: BSD-3-Clause
from typing import Any

PARTS: tuple[str, str, str]

def describe(
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    axes: tuple[int, ...],
    param_axes: tuple[int, ...] = ...,
) -> dict[str, Any]: ...
