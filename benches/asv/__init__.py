# SPDX-License-Identifier: BSD-3-Clause
"""The benchmarks of asv, one file per family; bases.py says what is recorded of each call."""

# First of all, since it decides where `fastnorm.compare` comes from. asv names the package after
# this folder, so that only a relative import finds its modules.
from . import harness  # noqa: F401, TID252
