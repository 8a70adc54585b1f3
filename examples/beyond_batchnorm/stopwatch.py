# SPDX-License-Identifier: BSD-3-Clause
"""Where the time of a process goes: to normalization, to BLAS, to laying out patches, elsewhere."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NORMALIZERS, BLAS, PATCHES = "normalizers", "BLAS", "patches"

spent: defaultdict[str, float] = defaultdict(float)  # seconds, by what they were spent on


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Add the time of the block to what was spent on `what`."""
    start = time.perf_counter()
    try:
        yield
    finally:
        spent[what] += time.perf_counter() - start
