# SPDX-License-Identifier: BSD-3-Clause
"""Whitening: channels without correlation."""

# asv names the package after this folder, so that only a relative import finds its modules.
from . import bases  # noqa: TID252

FAMILY = bases.Family(
    "whitening",
    ("whiten",),
)


class Calls(bases.Calls, family=FAMILY):
    """Time and memory."""


class Comparisons(bases.Comparisons, family=FAMILY):
    """Ratios and errors."""

    def setup_cache(self):
        return self.measure()

    setup_cache.timeout = bases.MEASURING_S
