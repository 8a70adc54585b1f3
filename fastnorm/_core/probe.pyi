# SPDX-License-Identifier: BSD-3-Clause
from typing import Any

from numpy.typing import NDArray

class Probe:
    real: type
    def __init__(self, isa: str, dtype: str) -> None: ...
    def shift_rows(self, x: NDArray[Any]) -> NDArray[Any]: ...
    def moments_rows(
        self, x: NDArray[Any], shift: NDArray[Any], wide: bool = False, raw: bool = False
    ) -> NDArray[Any]: ...
    def sampled_rows(self, x: NDArray[Any]) -> NDArray[Any]: ...
    def moments_sum(
        self,
        x: NDArray[Any],
        other: NDArray[Any],
        shift: NDArray[Any],
        sums: NDArray[Any],
        raw: bool = False,
    ) -> NDArray[Any]: ...
    def moments_cols(
        self, x: NDArray[Any], shift: NDArray[Any], wide: bool = False, raw: bool = False
    ) -> NDArray[Any]: ...
    def affine(
        self,
        x: NDArray[Any],
        hi: NDArray[Any],
        r: NDArray[Any],
        m: NDArray[Any],
        by_row: bool = False,
        w: NDArray[Any] | None = None,
        b: NDArray[Any] | None = None,
        param_by_row: bool = False,
        stream: bool = False,
    ) -> NDArray[Any]: ...
    def activated(
        self,
        activation: str,
        x: NDArray[Any],
        hi: NDArray[Any],
        r: NDArray[Any],
        m: NDArray[Any],
        by_row: bool = False,
        w: NDArray[Any] | None = None,
        b: NDArray[Any] | None = None,
        dy: NDArray[Any] | None = None,
        stream: bool = False,
    ) -> NDArray[Any]: ...
    def normalize_rows(
        self,
        x: NDArray[Any],
        y: NDArray[Any],
        eps: float,
        raw: bool = False,
        w: NDArray[Any] | None = None,
        b: NDArray[Any] | None = None,
        param_by_row: bool = False,
        relu: bool = False,
    ) -> tuple[int, NDArray[Any]] | None: ...
    def grad_sums_rows(
        self,
        x: NDArray[Any],
        dy: NDArray[Any],
        hi: NDArray[Any],
        r: NDArray[Any],
        m: NDArray[Any],
        by_row: bool = False,
        w: NDArray[Any] | None = None,
    ) -> NDArray[Any]: ...
    def grad_sums_cols(
        self,
        x: NDArray[Any],
        dy: NDArray[Any],
        hi: NDArray[Any],
        r: NDArray[Any],
        m: NDArray[Any],
        by_row: bool = False,
        w: NDArray[Any] | None = None,
        param_by_row: bool = False,
    ) -> NDArray[Any]: ...
    def grad_combine(
        self,
        x: NDArray[Any],
        dy: NDArray[Any],
        hi: NDArray[Any],
        r: NDArray[Any],
        m: NDArray[Any],
        a: NDArray[Any],
        b: NDArray[Any],
        c: NDArray[Any],
        by_row: bool = False,
        w: NDArray[Any] | None = None,
        param_by_row: bool = False,
        dw: NDArray[Any] | None = None,
        db: NDArray[Any] | None = None,
        stream: bool = False,
    ) -> NDArray[Any]: ...
    def sum(self, x: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]: ...
    def curve(
        self,
        x: NDArray[Any],
        which: str,
        a: NDArray[Any],
        b: NDArray[Any],
        c: NDArray[Any],
        d: NDArray[Any] | None = None,
        e: NDArray[Any] | None = None,
        by_row: bool = False,
        stream: bool = False,
    ) -> NDArray[Any]: ...
    def curve_gradient(
        self,
        x: NDArray[Any],
        dy: NDArray[Any],
        which: str,
        sums: NDArray[Any],
        a: NDArray[Any],
        b: NDArray[Any],
        c: NDArray[Any],
        d: NDArray[Any] | None = None,
        e: NDArray[Any] | None = None,
        by_row: bool = False,
        stream: bool = False,
    ) -> NDArray[Any]: ...
    def window(
        self,
        x: NDArray[Any],
        along: bool,
        before: int,
        after: int,
        scale: float,
        beta: float,
        k: float,
        high: float,
        dy: NDArray[Any] | None = None,
    ) -> NDArray[Any]: ...
    def statistics(
        self,
        count: float,
        shift: NDArray[Any],
        s1: NDArray[Any],
        s2: NDArray[Any],
        raw: bool = False,
    ) -> tuple[NDArray[Any], ...]: ...
    def centres(
        self,
        var: NDArray[Any],
        eps: float,
        mean: NDArray[Any] | None = None,
        w: NDArray[Any] | None = None,
        b: NDArray[Any] | None = None,
    ) -> tuple[NDArray[Any], ...]: ...
    def slopes(
        self,
        rstd: NDArray[Any],
        low: NDArray[Any],
        c0: NDArray[Any],
        c1: NDArray[Any],
        w: NDArray[Any] | None = None,
    ) -> tuple[NDArray[Any], ...]: ...
    def settle(self, part: NDArray[Any], total: NDArray[Any]) -> None: ...
    def narrow(self, v: NDArray[Any]) -> NDArray[Any]: ...
