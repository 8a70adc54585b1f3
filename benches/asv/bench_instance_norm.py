# SPDX-License-Identifier: BSD-3-Clause
"""Channels, or groups of them, of each sample by itself."""

# asv names the package after this folder, so that only a relative import finds its modules.
from . import bases  # noqa: TID252

FAMILY = bases.Family(
    "instance and group norms",
    (
        "instance_norm",
        "conditional_instance_norm",
        "adaptive_instance_norm",
        "group_norm",
        "filter_response_norm",
        "evonorm_s0",
    ),
)


class Calls(bases.Calls, family=FAMILY):
    """Time and memory."""


class Comparisons(bases.Comparisons, family=FAMILY):
    """Ratios and errors."""

    def setup_cache(self):
        return self.measure()

    setup_cache.timeout = bases.MEASURING_S
