# SPDX-License-Identifier: BSD-3-Clause
"""How much is measured: ``FASTNORM_BENCH=quick``, which is the default, or ``full``.

quick: the short list of the catalogue in float32, on one thread. full: the whole catalogue in every
type, memory layout and number of threads. asv and pytest-benchmark both ask here.
"""

from __future__ import annotations

import os

PROFILES = ("quick", "full")


def is_quick() -> bool:
    """Return whether the short list is asked for.

    Raises
    ------
    ValueError
        If ``FASTNORM_BENCH`` names no profile.
    """
    chosen = os.environ.get("FASTNORM_BENCH", "quick")
    if chosen not in PROFILES:
        raise ValueError(f"FASTNORM_BENCH={chosen!r} is none of {', '.join(PROFILES)}")
    return chosen == "quick"
