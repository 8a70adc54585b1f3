# SPDX-License-Identifier: BSD-3-Clause
"""The compiled core: what the family modules, config.py and the tests may use of it."""

from fastnorm._core import dispatch, threads
from fastnorm._core.curve import FLOOR, RATIO, SWISH, TANH, curve, curve_gradient
from fastnorm._core.entry import ACTIVATED, ACTIVATIONS, FIXED, GIVEN, RAW, backward, forward, slope
from fastnorm._core.groups import Groups, Recent
from fastnorm._core.threads import (
    get_num_threads,
    max_threads,
    set_local_num_threads,
    set_num_threads,
)
from fastnorm._core.usual import (
    AGAINST,
    MANY,
    RUNNING,
    STATS,
    measure,
    normalize,
    normalize_batch,
    normalize_sum,
)
from fastnorm._core.usual_gradient import gradient
from fastnorm._core.window import window

__all__ = [
    "ACTIVATED",
    "ACTIVATIONS",
    "AGAINST",
    "FIXED",
    "FLOOR",
    "GIVEN",
    "MANY",
    "RATIO",
    "RAW",
    "RUNNING",
    "STATS",
    "SWISH",
    "TANH",
    "Groups",
    "Recent",
    "backward",
    "config",
    "curve",
    "curve_gradient",
    "forward",
    "get_num_threads",
    "gradient",
    "max_threads",
    "measure",
    "normalize",
    "normalize_batch",
    "normalize_sum",
    "set_local_num_threads",
    "set_num_threads",
    "slope",
    "window",
]


def config() -> dict[str, object]:
    """What was built and what was chosen, as plain values."""
    return {
        "isa": dispatch.isa(),
        "isa_built": dispatch.built(),
        "isa_available": dispatch.available(),
        "primitives": dispatch.PRIMITIVES,
        "openmp": threads.openmp_version(),
        "threads": get_num_threads(),
        **dispatch.caches(),
    }
