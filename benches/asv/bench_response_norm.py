# SPDX-License-Identifier: BSD-3-Clause
"""Division by the length of a vector, or by the response of other channels."""

# asv names the package after this folder, so that only a relative import finds its modules.
from . import bases  # noqa: TID252

FAMILY = bases.Family(
    "norms of vectors and responses",
    (
        "lp_normalize",
        "global_response_norm",
        "local_response_norm",
    ),
)


class Calls(bases.Calls, family=FAMILY):
    """Time and memory."""


class Comparisons(bases.Comparisons, family=FAMILY):
    """Ratios and errors."""

    def setup_cache(self):
        return self.measure()

    setup_cache.timeout = bases.MEASURING_S
