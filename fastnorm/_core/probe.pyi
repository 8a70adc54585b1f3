# SPDX-License-Identifier: BSD-3-Clause
from typing import Any

from numpy.typing import NDArray

class Probe:
    real: type
    def __init__(self, isa: str, dtype: str) -> None: ...
    def shift_rows(self, samples: NDArray[Any]) -> float: ...
    def moments_rows(self, x: NDArray[Any], shift: float, wide: bool = ...) -> NDArray[Any]: ...
    def moments_cols(
        self, x: NDArray[Any], shift: NDArray[Any], wide: bool = ...
    ) -> NDArray[Any]: ...
    def affine(
        self,
        x: NDArray[Any],
        mean: float = ...,
        rstd: float = ...,
        hi: NDArray[Any] | None = ...,
        lo: NDArray[Any] | None = ...,
        r: NDArray[Any] | None = ...,
        w: NDArray[Any] | None = ...,
        b: NDArray[Any] | None = ...,
        w0: float = ...,
        b0: float = ...,
        stream: bool = ...,
    ) -> NDArray[Any]: ...
    def grad_sums_rows(
        self,
        x: NDArray[Any],
        dy: NDArray[Any],
        mean: float = ...,
        rstd: float = ...,
        hi: NDArray[Any] | None = ...,
        lo: NDArray[Any] | None = ...,
        r: NDArray[Any] | None = ...,
        w: NDArray[Any] | None = ...,
    ) -> NDArray[Any]: ...
    def grad_sums_cols(
        self,
        x: NDArray[Any],
        dy: NDArray[Any],
        hi: NDArray[Any],
        lo: NDArray[Any],
        r: NDArray[Any],
        by_row: bool = ...,
        w: NDArray[Any] | None = ...,
        w_by_row: bool = ...,
    ) -> NDArray[Any]: ...
    def grad_combine(
        self,
        x: NDArray[Any],
        dy: NDArray[Any],
        mean: float = ...,
        rstd: float = ...,
        hi: NDArray[Any] | None = ...,
        lo: NDArray[Any] | None = ...,
        r: NDArray[Any] | None = ...,
        w: NDArray[Any] | None = ...,
        w0: float = ...,
        c0: NDArray[Any] | None = ...,
        c1: NDArray[Any] | None = ...,
        c00: float = ...,
        c10: float = ...,
        dw: NDArray[Any] | None = ...,
        db: NDArray[Any] | None = ...,
        stream: bool = ...,
    ) -> NDArray[Any]: ...
    def settle(self, part: NDArray[Any], total: NDArray[Any]) -> None: ...
    def split(self, v: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]: ...
