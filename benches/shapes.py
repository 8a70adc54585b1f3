# SPDX-License-Identifier: BSD-3-Clause
"""The shapes that benchmarks run on: those of `fastnorm compare`, not a second list.

The catalogue lives in the package, since the command needs it where there is no checkout.
"""

from fastnorm.compare.catalogue import CATALOGUE, OPS, Case, Direction, find, select
from fastnorm.compare.results import MEMORY_BOUND_BYTES

__all__ = ["CATALOGUE", "MEMORY_BOUND_BYTES", "OPS", "Case", "Direction", "find", "select"]
