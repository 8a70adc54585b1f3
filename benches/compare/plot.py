# SPDX-License-Identifier: BSD-3-Clause
"""The figure: every library against the copy limit, and what becomes of precision far from zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benches.compare.contest import OURS
from benches.compare.report import SHORT
from benches.compare.results import Comparison, Result
from fastnorm.compare.results import count_threads

FORMATS = (".png", ".svg", ".pdf")

# Okabe and Ito's colours, which nobody confuses; shapes say the same for those who see none.
_STYLES = {
    OURS: ("#000000", "o"),
    "torch": ("#D55E00", "s"),
    "inductor": ("#E69F00", "D"),
    "onnxruntime": ("#0072B2", "^"),
    "openvino": ("#009E73", "v"),
    "jax": ("#CC79A7", "P"),
}
_ROW_INCHES, _RIGHT_INCHES = 0.17, 4.2


def draw(
    path: Path,
    lines: Sequence[Comparison],
    offsets: Mapping[str, Mapping[str, float]],
    machine: Mapping[str, Any],
) -> None:
    """Write the figure; the suffix of `path`, one of `FORMATS`, sets the format.

    Left: the lines of the first type and the largest number of threads. Right: the largest error of
    `layer_norm` by the mean of the data.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    threads, dtype = max(line.threads for line in lines), lines[0].dtype
    shown = [line for line in lines if line.threads == threads and line.dtype == dtype]
    height = max(_RIGHT_INCHES + 1.0, 1.6 + _ROW_INCHES * len(shown))
    figure = Figure(figsize=(13, height), layout="constrained")
    heights = (_RIGHT_INCHES, max(0.01, height - _RIGHT_INCHES))
    grid = figure.add_gridspec(2, 2, width_ratios=(1.5, 1), height_ratios=heights)
    left, right = figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[0, 1])

    for name in _STYLES:
        points = [
            (result.copy_ratio, row)
            for row, line in enumerate(shown)
            if (result := _result(line, name)) is not None
        ]
        if points:
            left.plot(*zip(*points, strict=True), **_style(name), linestyle="", label=name)
    left.axvline(1, color="0.4", linewidth=0.8)
    left.set_xscale("log")
    left.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.xaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_formatter(NullFormatter())
    left.set_xlabel("time / time of a memory copy of the same bytes (1: the limit for large data)")
    labels = [f"{line.case.op} {line.case.label} {SHORT[line.direction]}" for line in shown]
    left.set_yticks(range(len(shown)), labels, fontsize=6)
    left.set_ylim(len(shown) - 0.5, -0.5)
    left.grid(alpha=0.3)
    left.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=6, fontsize=7, frameon=False)

    _draw_offsets(right, offsets)
    figure.suptitle(
        f"fastnorm {machine['fastnorm']}, {dtype}, {count_threads(threads)}: {machine['cpu']}",
        fontsize=10,
    )
    figure.savefig(path, dpi=150)


def _draw_offsets(axes: Any, offsets: Mapping[str, Mapping[str, float]]) -> None:
    """The errors by mean; a mean of 0 has no logarithm, hence places instead of numbers."""
    means = list(next(iter(offsets.values()), {}))
    for name, errors in offsets.items():
        values = [errors.get(mean) or float("nan") for mean in means]
        axes.plot(range(len(means)), values, **_style(name), linewidth=1.2, label=name)
    axes.set_yscale("log")
    axes.set_xticks(range(len(means)), means)
    axes.set_xlabel("mean of the data")
    axes.set_ylabel("largest error")
    axes.set_title("layer_norm, float32, rows of 768, std 1", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


def _result(line: Comparison, name: str) -> Result | None:
    return line.ours if name == OURS else line.peers.get(name)


def _style(name: str) -> dict[str, Any]:
    color, marker = _STYLES[name]
    front = 3 if name == OURS else 2
    return {"color": color, "marker": marker, "markersize": 4.5, "alpha": 0.85, "zorder": front}
