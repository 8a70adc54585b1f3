# SPDX-License-Identifier: BSD-3-Clause
from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

class Probe:
    real: type
    def __init__(self, isa: str, dtype: str) -> None: ...
    def shift_rows(self, samples: Array) -> float: ...
    def moments_rows(self, x: Array, shift: float, wide: bool = ...) -> Array: ...
    def moments_cols(self, x: Array, shift: Array, wide: bool = ...) -> Array: ...
    def affine(
        self,
        x: Array,
        mean: float = ...,
        rstd: float = ...,
        hi: Array | None = ...,
        lo: Array | None = ...,
        r: Array | None = ...,
        w: Array | None = ...,
        b: Array | None = ...,
        w0: float = ...,
        b0: float = ...,
        stream: bool = ...,
    ) -> Array: ...
    def grad_sums_rows(
        self,
        x: Array,
        dy: Array,
        mean: float = ...,
        rstd: float = ...,
        hi: Array | None = ...,
        lo: Array | None = ...,
        r: Array | None = ...,
        w: Array | None = ...,
    ) -> Array: ...
    def grad_sums_cols(
        self,
        x: Array,
        dy: Array,
        hi: Array,
        lo: Array,
        r: Array,
        by_row: bool = ...,
        w: Array | None = ...,
        w_by_row: bool = ...,
    ) -> Array: ...
    def grad_combine(
        self,
        x: Array,
        dy: Array,
        mean: float = ...,
        rstd: float = ...,
        hi: Array | None = ...,
        lo: Array | None = ...,
        r: Array | None = ...,
        w: Array | None = ...,
        w0: float = ...,
        c0: Array | None = ...,
        c1: Array | None = ...,
        c00: float = ...,
        c10: float = ...,
        stream: bool = ...,
    ) -> Array: ...
    def split(self, v: Array) -> tuple[Array, Array]: ...
