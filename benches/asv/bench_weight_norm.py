# SPDX-License-Identifier: BSD-3-Clause
"""Norms of the weights of a layer."""

# asv names the package after this folder, so that only a relative import finds its modules.
from . import bases  # noqa: TID252

FAMILY = bases.Family(
    "norms of weights",
    (
        "weight_norm",
        "weight_standardization",
        "scaled_weight_standardization",
        "spectral_norm",
    ),
)


class Calls(bases.Calls, family=FAMILY):
    """Time and memory."""


class Comparisons(bases.Comparisons, family=FAMILY):
    """Ratios and errors."""

    def setup_cache(self):
        return self.measure()

    setup_cache.timeout = bases.MEASURING_S
