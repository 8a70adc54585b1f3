# SPDX-License-Identifier: BSD-3-Clause
"""pytest looks for benchmarks alone here: other modules need libraries that may be missing."""

from __future__ import annotations

from pathlib import Path


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Ignore files whose examples `--doctest-modules` would look for; None: as usual."""
    if collection_path.suffix == ".py" and not collection_path.name.startswith("test_"):
        return True
    return None
