# SPDX-License-Identifier: BSD-3-Clause
"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import fastnorm

# Environment variables that change what is measured.
_PREFIXES = ("FASTNORM_", "OMP_", "GOMP_")


def describe() -> dict[str, Any]:
    """Return the machine, the versions and the settings that times depend on, ready for JSON."""
    config = fastnorm.show_config(mode="dicts")
    return {
        "cpu": cpu_model(),
        "architecture": platform.machine(),
        "cores": _usable_cores(),
        "load": _load(),
        "system": platform.platform(),
        "isa": config["isa"],
        "fastnorm": fastnorm.__version__,
        "config": config,
        "environment": {
            name: value for name, value in sorted(os.environ.items()) if name.startswith(_PREFIXES)
        },
    }


def cpu_model() -> str:
    """Return the processor's name, or its architecture where the system does not tell it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    fields = (line.partition(":") for line in lines)
    names = [value.strip() for key, _, value in fields if key.strip() == "model name"]
    return names[0] if names else platform.processor() or platform.machine()


def _load() -> float | None:
    """Processes that wanted a core in the last minute, on average; None where unknown."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def _usable_cores() -> int:
    """Logical cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
