# SPDX-License-Identifier: BSD-3-Clause
from typing import Any

from fastnorm._core.groups import Recent

STATS: int
MANY: int
AGAINST: int
RUNNING: int

def normalize(
    x: Any,
    weight: Any,
    bias: Any,
    eps: Any,
    out: Any,
    flags: int,
    recent: Recent,
    first: Any,
    second: Any = ...,
    third: Any = ...,
) -> Any: ...
def normalize_sum(
    x: Any,
    residual: Any,
    weight: Any,
    bias: Any,
    eps: Any,
    out: Any,
    residual_out: Any,
    flags: int,
    recent: Recent,
    first: Any,
    second: Any = ...,
) -> Any: ...
def normalize_batch(
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    momentum: Any,
    eps: Any,
    out: Any,
    flags: int,
    recent: Recent,
    first: Any,
    second: Any = ...,
) -> Any: ...
def measure(x: Any, recent: Recent, first: Any, keepdims: Any) -> Any: ...
