# SPDX-License-Identifier: BSD-3-Clause
"""What the trainings took, and on what; by fastnorm, and the same ones by its NumPy reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from examples.beyond_batchnorm.results import Results
from examples.beyond_batchnorm.stopwatch import BLAS, NORMALIZERS, PATCHES

if TYPE_CHECKING:
    from collections.abc import Sequence

    Entries = Sequence[dict[str, Any]]


def table(entries: Entries, by_reference: Entries = ()) -> str:
    """Return seconds and shares as a table in Markdown; a pair of rows are the same trainings."""
    lines = [
        "| trainings | all | normalizers | BLAS | laying out patches | everything else |",
        "|---|---|---|---|---|---|",
        _row("all, by fastnorm", entries),
    ]
    if by_reference:
        both = {entry["trial"]["name"] for entry in by_reference}
        ours = [entry for entry in entries if entry["trial"]["name"] in both]
        lines.append(_row("first seed, by fastnorm", ours))
        lines.append(_row("first seed, by the NumPy reference", by_reference))
    return "\n".join(lines) + "\n"


def _row(words: str, entries: Entries) -> str:
    seconds = Results(list(entries)).seconds()
    whole = seconds["all"]
    parts = [seconds.get(what, 0.0) for what in (NORMALIZERS, BLAS, PATCHES)]
    parts.append(whole - sum(parts))
    cells = " | ".join(f"{part:.0f} s ({part / whole:.0%})" for part in parts)
    return f"| {words} | {whole:.0f} s | {cells} |"
