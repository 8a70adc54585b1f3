# SPDX-License-Identifier: BSD-3-Clause
"""benches/ is not installed: tests of it put the checkout on the path."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Last, so that fastnorm remains the one that is installed.
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))
