# SPDX-License-Identifier: BSD-3-Clause
"""The figure: time against a memory copy, and speed-up over NumPy, case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastnorm.compare.case import Direction
from fastnorm.compare.results import Row, count_threads

# File formats that matplotlib draws without a window or another program.
FORMATS = (".png", ".svg", ".pdf")

_COLORS: dict[Direction, str] = {"forward": "tab:blue", "backward": "tab:orange"}
_MARKERS = "osD^v"  # one per thread count


def draw(path: Path, rows: Sequence[Row], machine: Mapping[str, Any]) -> None:
    """Write the figure to `path`; its suffix, one of `FORMATS`, sets the format.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.
    """
    # Figure alone, without pyplot: no window system is asked for, no global state is touched.
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    names = list(dict.fromkeys(row.case.name for row in rows))
    labels = {row.case.name: f"{row.case.op} {row.case.label}" for row in rows}
    threads = sorted({row.threads for row in rows})

    figure = Figure(figsize=(11, 1.6 + 0.24 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    panels = (
        (left, "time / time of a memory copy of the same bytes", [row.copy_ratio for row in rows]),
        (right, "speed-up over the same formula in NumPy", [row.speedup for row in rows]),
    )
    for axes, heading, values in panels:
        for direction, color in _COLORS.items():
            for count, marker in zip(threads, _MARKERS, strict=False):
                chosen = [
                    (value, names.index(row.case.name))
                    for row, value in zip(rows, values, strict=True)
                    if (row.direction, row.threads) == (direction, count)
                ]
                if chosen:
                    axes.plot(
                        *zip(*chosen, strict=True),
                        linestyle="",
                        marker=marker,
                        markersize=5,
                        color=color,
                        alpha=0.8,
                        label=f"{direction}, {count_threads(count)}",
                    )
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xlabel(heading)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="x", labelsize=7)
        axes.grid(alpha=0.3)
    left.set_yticks(range(len(names)), [labels[name] for name in names], fontsize=7)
    left.set_ylim(len(names) - 0.5, -0.5)
    handles, texts = left.get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=len(texts), fontsize=7)
    dtypes = ", ".join(sorted({row.dtype for row in rows}))
    figure.suptitle(
        f"fastnorm {machine['fastnorm']}, {dtypes}: {machine['cpu']}, ISA {machine['isa']}",
        fontsize=9,
    )
    figure.savefig(path, dpi=150)
