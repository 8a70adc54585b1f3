# SPDX-License-Identifier: BSD-3-Clause
"""Every tier that runs here, and every storage type."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("kernels.calls", "kernels.places")

from kernels.calls import KINDS, TIERS  # noqa: E402  (announced above, before the first import)


@pytest.fixture(params=TIERS)
def isa(request) -> str:
    """The name of each ISA tier that this machine runs."""
    return request.param


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    """The name of each storage type."""
    return request.param
