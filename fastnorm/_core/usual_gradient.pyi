# SPDX-License-Identifier: BSD-3-Clause
from typing import Any

from fastnorm._core.groups import Recent

def gradient(
    dy: Any,
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    count: Any,
    eps: Any,
    out: Any,
    flags: int,
    recent: Recent,
    first: Any,
    second: Any = ...,
    running_mean: Any = ...,
    running_var: Any = ...,
    onward: Any = ...,
) -> Any: ...
