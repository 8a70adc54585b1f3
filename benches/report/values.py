# SPDX-License-Identifier: BSD-3-Clause
"""Numbers as text: a value with its unit, a change, a spread."""

from __future__ import annotations

import math

from asv_runner.statistics import get_err

from benches.report.history import Measurement

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes"))
_SCALES = {"seconds": _SECONDS, "bytes": _BYTES}


def value_text(value: float, unit: str) -> str:
    """Return a value with its unit, in three or four digits: ``2.45 µs``, ``0.512 ulp``."""
    if unit not in _SCALES:
        # Counts are exact, and a change of one in ten thousand is worth seeing.
        digits = f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
        return f"{digits} {unit}"
    scales = _SCALES[unit]
    scale, name = next((one for one in scales if abs(value) >= one[0]), scales[-1])
    return f"{_three_digits(value / scale)} {name}"


def spread_text(point: Measurement) -> str:
    """Return half the interquartile range of a time in per cent of it, empty for other figures."""
    if not point.stats or not point.value or "q_25" not in point.stats:
        return ""
    return f"± {100 * get_err(point.value, point.stats) / point.value:.1f} %"


def change_text(share: float) -> str:
    """Return a relative change with its sign: ``+3.2 %``; from 2 on as a factor: ``x 2.5``."""
    if math.isinf(share):
        return "from 0"
    if share >= 1:
        return f"x {1 + share:.3g}"
    digits = 2 if abs(share) < 0.0995 else 1 if abs(share) < 0.995 else 0
    return f"{100 * share:+.{digits}f} %" if share else "0 %"


def _three_digits(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value else "0"
