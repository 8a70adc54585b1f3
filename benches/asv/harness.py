# SPDX-License-Identifier: BSD-3-Clause
"""What is measured with: `fastnorm.compare` and `fastnorm.reference` of this checkout.

asv installs one commit after the other, and takes the benchmarks from the checkout. The catalogue,
the twin, the clock and the oracle are benchmark code too: taken from each commit, parameters would
depend on the commit that is measured, and a better twin would look like a slower kernel. The
functions that they call are those of the commit.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import fastnorm

_PACKAGE = Path(__file__).resolve().parents[2] / "fastnorm"


def _take_from_checkout(name: str) -> None:
    """Import the package `fastnorm.<name>` of the checkout in the place of the installed one."""
    full_name, folder = f"fastnorm.{name}", _PACKAGE / name
    if full_name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(
        full_name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[full_name] = module
    spec.loader.exec_module(module)
    setattr(fastnorm, name, module)


_take_from_checkout("reference")
_take_from_checkout("compare")
