# SPDX-License-Identifier: BSD-3-Clause
"""Where the data of a case lie while it is measured, and how many sets of arrays that takes."""

from __future__ import annotations

import math
from typing import Literal, get_args

from fastnorm._core import dispatch

Regime = Literal["small", "cache", "middle", "memory"]
REGIMES: tuple[Regime, ...] = get_args(Regime)

_SMALL = 64 * 2**10
# The last level of a server is shared among guests; nobody owns more of it than this.
_LARGEST_SHARE = 64 * 2**20
_MOST_AT_ONCE = 2**30
# For machines that do not tell.
_USUAL_L2, _USUAL_LLC = 2**20, 32 * 2**20


def caches() -> tuple[int, int]:
    """Return the bytes of a core's second-level cache and of the last level, as counted here."""
    sizes = dispatch.caches()
    l2 = sizes.get("l2") or _USUAL_L2
    return l2, max(l2, min(sizes.get("llc") or _USUAL_LLC, _LARGEST_SHARE))


def regime(traffic: int, threads: int) -> Regime:
    """Return the regime of a call that moves `traffic` bytes with so many threads.

    ``small``: one row or token, less than 64 KiB: the call itself is what costs. ``cache``: all
    fits the second-level caches of the threads. ``middle``: it fits the last level. ``memory``: it
    fits none.
    """
    l2, llc = caches()
    if traffic < _SMALL:
        return "small"
    if traffic <= threads * l2:
        return "cache"
    return "middle" if traffic <= llc else "memory"


def number_of_sets(traffic: int, threads: int) -> int:
    """Return how many sets of arrays the calls take in turn.

    One, where the case may lie in a cache. In memory so many that they exceed twice the last level:
    what a call reads was then not left in a cache by the call before. Together at most 1 GiB.
    """
    if regime(traffic, threads) != "memory":
        return 1
    wanted = math.ceil(2 * caches()[1] / traffic)
    return max(1, min(wanted, _MOST_AT_ONCE // traffic))
