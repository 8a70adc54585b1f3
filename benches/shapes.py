# SPDX-License-Identifier: BSD-3-Clause
"""The shapes that benchmarks run on: those of `fastnorm compare`, not a second list.

The catalogue lives in the package, since the command needs it where there is no checkout. The
modules under asv/ take it from there too: asv lets them import nothing from the folder above.
"""

from fastnorm.compare.case import Case, Direction
from fastnorm.compare.catalogue import CATALOGUE, OPS, find, select
from fastnorm.compare.grid import GRID

__all__ = ["CATALOGUE", "GRID", "OPS", "Case", "Direction", "find", "select"]
