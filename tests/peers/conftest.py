# SPDX-License-Identifier: BSD-3-Clause
"""The threads that peers set in the process of the tests are set back."""

from __future__ import annotations

import sys

import pytest

from fastnorm._core import max_threads

BEFORE = max_threads()  # of OpenMP, before anybody's adapter changed it


@pytest.fixture(autouse=True)
def threads_of_torch():
    """PyTorch may share our OpenMP runtime, where what an adapter sets is a limit of ours too."""
    yield
    torch = sys.modules.get("torch")
    if torch:
        torch.set_num_threads(BEFORE)
