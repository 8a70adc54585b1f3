# SPDX-License-Identifier: BSD-3-Clause
"""examples/beyond_batchnorm wants scikit-learn, for its images."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn", reason="scikit-learn comes with the extra fastnorm[examples]")
