# SPDX-License-Identifier: BSD-3-Clause
"""benches/ is not installed: tests of it put the checkout on the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fastnorm._core import max_threads

ROOT = Path(__file__).resolve().parents[2]
# Last, so that fastnorm remains the one that is installed.
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))


BEFORE = max_threads()  # of OpenMP, before anybody's adapter changed it


@pytest.fixture(autouse=True)
def threads_of_torch():
    """PyTorch may share our OpenMP runtime, where what an adapter sets is a limit of ours too."""
    yield
    torch = sys.modules.get("torch")
    if torch:
        torch.set_num_threads(BEFORE)
