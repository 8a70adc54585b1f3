# SPDX-License-Identifier: BSD-3-Clause
"""The figures: what was measured against depth, group size, batch size and steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

from examples.beyond_batchnorm.nets import NETWORKS
from examples.beyond_batchnorm.normalizers import (
    GROUP_SIZES,
    KINDS,
    OF_ACTIVATIONS,
    OF_PAPER,
    OF_WEIGHTS,
)
from examples.beyond_batchnorm.results import final_accuracy, mean_loss, mismatch
from examples.beyond_batchnorm.trials import BY_BATCH

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from examples.beyond_batchnorm.results import Result, Results

# Okabe and Ito's colours, which do not need a reader who sees red beside green; where lines are
# in an order, as group sizes are, viridis has it.
BLUE, ORANGE, GREEN, PINK, SKY, RED, YELLOW, BLACK = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#000000"),
)
STYLE = {
    "figure.dpi": 100,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "svg.hashsalt": "beyond_batchnorm",  # the same file for the same results
}


def _figure(columns: int, rows: int = 1) -> tuple[Figure, np.ndarray]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        rows, columns, figsize=(3.9 * columns, 3.0 * rows), layout="constrained", squeeze=False
    )
    return figure, axes


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _group_colours() -> dict[str, tuple[float, ...]]:
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.88, len(GROUP_SIZES)))
    return dict(zip(GROUP_SIZES, shades, strict=True))


def variance(results: Results) -> Figure:
    """Draw the variance of the activations of residual networks at the start, by block."""
    figure, axes = _figure(2)
    names = [name for name in OF_PAPER if name in OF_ACTIVATIONS]
    others = iter((BLUE, ORANGE, GREEN, PINK, SKY, RED, BLACK))
    groups = _group_colours()
    colours = {name: groups[name] if name in groups else next(others) for name in names}
    blocks = np.arange(1, 21)
    # Weight norm begins with the weights that are there: its line is that of none.
    for name, colour, line in zip((*OF_WEIGHTS, "none"), (RED, ORANGE, BLACK), "--:", strict=True):
        axes[0, 0].plot(blocks, results.by_depth(name, "variance"), line, color=colour,
                        label=KINDS[name].label)  # fmt: skip
    for name in names:
        values = results.by_depth(name, "variance")
        axes[0, 0].plot(blocks, values, color=SKY, linewidth=0.8,
                        label="of activations, all" if name == names[0] else None)  # fmt: skip
        axes[0, 1].plot(blocks, values, "--" if name in groups else "-", color=colours[name],
                        label=KINDS[name].label)  # fmt: skip
    axes[0, 0].set_yscale("log")
    _label(axes[0, 0], "weights alone: a factor in every block", "residual block", "variance (log)")
    _label(axes[0, 1], "activations: a summand in every block", "residual block", "variance")
    axes[0, 0].legend()
    axes[0, 1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def cosine(results: Results) -> Figure:
    """Draw how alike the activations of two images are at the start, beside the later loss."""
    figure, axes = _figure(3)
    layers = np.arange(1, 21)
    for name, colour in _group_colours().items():
        axes[0, 0].plot(
            layers, results.by_depth(name, "cosine"), color=colour, label=KINDS[name].label
        )
    axes[0, 0].plot(
        layers, results.by_depth("none", "cosine"), color=BLACK, linestyle=":", label="none"
    )
    others = ("batch", "layer", *OF_PAPER[6:])
    colours = (BLUE, ORANGE, GREEN, PINK, SKY, YELLOW, RED, BLACK)
    for name, colour in zip(others, colours, strict=True):
        axes[0, 1].plot(layers, results.by_depth(name, "cosine"), ":" if name == "weight" else "-",
                        color=colour, label=KINDS[name].label)  # fmt: skip
    for panel, title in zip(axes[0, :2], ("by group size", "other normalizers"), strict=True):
        _label(panel, title, "layer of the plain network", "mean cosine of two images")
        panel.set_ylim(0, 1)
        panel.legend(ncols=2)
    for place, name in enumerate(OF_PAPER):
        x = float(results.by_depth(name, "cosine")[19])
        y = mean_loss(results.curves(name, residual=False))
        axes[0, 2].plot(x, y, "o", color=BLUE, markersize=4)
        axes[0, 2].annotate(KINDS[name].label, (x, y), fontsize=7, xytext=(3, 3 - 9 * (place % 2)),
                            textcoords="offset points")  # fmt: skip
    axes[0, 2].margins(x=0.25)
    _label(axes[0, 2], "does it tell the speed of learning?",
           "mean cosine at layer 20, at the start", "mean training loss, plain")  # fmt: skip
    return figure


def gradient(results: Results) -> Figure:
    """Draw the gradients of early layers by group size, and the speed of learning by group size."""
    figure, axes = _figure(2)
    layers = np.arange(1, 21)
    for name, colour in _group_colours().items():
        values = results.by_depth(name, "gradient")
        axes[0, 0].plot(layers, values / values[-1], color=colour, label=KINDS[name].label)
    values = results.by_depth("batch", "gradient")
    axes[0, 0].plot(layers, values / values[-1], color=BLACK, linestyle=":", label="batch")
    axes[0, 0].set_yscale("log")
    axes[0, 0].legend()
    _label(
        axes[0, 0],
        "at the start",
        "layer of the plain network",
        "gradient norm over layer 20's (log)",
    )
    for (words, residual), colour in zip(NETWORKS.items(), (BLUE, ORANGE), strict=True):
        seeds = [[np.mean(result["loss"]) for result in results.curves(name, residual=residual)]
                 for name in GROUP_SIZES]  # fmt: skip
        mean = [np.mean(losses) for losses in seeds]
        around = [[m - min(s) for m, s in zip(mean, seeds, strict=True)],
                  [max(s) - m for m, s in zip(mean, seeds, strict=True)]]  # fmt: skip
        axes[0, 1].errorbar(range(len(seeds)), mean, around, color=colour, capsize=3, marker="o",
                            label=words)  # fmt: skip
    axes[0, 1].set_xticks(range(len(GROUP_SIZES)), ["1", "2", "4", "8", "32"])
    axes[0, 1].legend()
    _label(axes[0, 1], "speed of learning; bars: all seeds", "channels in a group",
           "mean training loss")  # fmt: skip
    return figure


FAMILIES = (
    ("the known ones", ("none", "layer", "instance"), (BLACK, ORANGE, GREEN)),
    ("groups", GROUP_SIZES, ()),
    ("variance and response", ("filter-response", "variance", "evonorm-b0", "evonorm-s0"),
     (GREEN, PINK, SKY, RED)),
    ("of weights", (*OF_WEIGHTS, "corrected"), (RED, ORANGE, GREEN)),
    ("batch norm, altered", ("batch-noise", "batch-renorm", "whitening"), (RED, ORANGE, GREEN)),
)  # fmt: skip


def curves(results: Results) -> Figure:
    """Draw the training loss by epoch, of every normalizer, beside that of batch norm."""
    figure, axes = _figure(len(FAMILIES), rows=2)
    for row, (words, residual) in enumerate(NETWORKS.items()):
        for panel, (title, names, colours) in zip(axes[row], FAMILIES, strict=True):
            _draw(panel, results.curves("batch", residual=residual), BLUE, "batch", "--")
            shades = _group_colours().values() if names is GROUP_SIZES else colours
            for name, colour in zip(names, shades, strict=True):
                if name != "corrected":
                    seeds = results.curves(name, residual=residual)
                    _draw(panel, seeds, colour, KINDS[name].label)
                elif residual:
                    seeds = results.curves("weight", residual=True, corrected=True)
                    _draw(panel, seeds, colour, "weight, corrected")
            panel.set_yscale("log")
            panel.legend(fontsize=7)
            _label(panel, f"{words}: {title}", "epoch", "training loss (log)")
    return figure


def _draw(panel: Axes, seeds: list[Result], colour: object, label: str, line: str = "-") -> None:
    losses = np.array([result["loss"] for result in seeds])
    epochs = np.arange(1, losses.shape[1] + 1)
    panel.plot(epochs, losses.mean(0), line, color=colour, label=label)
    panel.fill_between(epochs, losses.min(0), losses.max(0), color=colour, alpha=0.15, linewidth=0)


def batches(results: Results) -> Figure:
    """Draw accuracy by batch size, and how training and evaluation differ by batch size."""
    figure, axes = _figure(3)
    colours = dict(zip(BY_BATCH, (BLUE, ORANGE, GREEN, PINK), strict=True))
    for panel, (words, residual) in zip(axes[0], NETWORKS.items(), strict=False):
        for name, colour in colours.items():
            found = results.batches(name, residual=residual)
            values = [100 * final_accuracy(seeds) for seeds in found.values()]
            panel.plot(list(found), values, "o-", color=colour, label=KINDS[name].label)
        _label(panel, words, "batch size (log)", "test accuracy (%)")
    for name in ("batch", "batch-renorm"):
        for (words, residual), line in zip(NETWORKS.items(), ("-", "--"), strict=True):
            found = results.batches(name, residual=residual)
            axes[0, 2].plot(list(found), [mismatch(seeds) for seeds in found.values()], f"o{line}",
                            color=colours[name], label=f"{KINDS[name].label}, {words}")  # fmt: skip
    axes[0, 2].set_yscale("log")
    _label(axes[0, 2], "training against evaluation statistics", "batch size (log)",
           "difference of the test loss (log)")  # fmt: skip
    for panel in axes[0]:
        panel.set_xscale("log", base=2)
        panel.set_xticks(list(found), [str(size) for size in found])
        panel.legend()
    return figure


def run(results: Results) -> Figure:
    """Draw the lengths of weights along a run, and the steps that they feel."""
    figure, axes = _figure(2)
    for panel, name in zip(axes[0], ("weight", "batch"), strict=True):
        for place, result in enumerate(results.run(name)):
            words = ("measured, every seed", "from the steps, sqrt(1 + c²)")
            words = (None, None) if place else words
            panel.plot(100 * np.array(result["grown"]), color=BLUE, label=words[0])
            panel.plot(100 * np.array(result["predicted"]), ":", color=ORANGE, label=words[1])
        _label(panel, f"{name} norm, plain descent", "step", "growth of the weights (%)")
        panel.legend()
    return figure


FIGURES: dict[str, Callable[[Results], Figure]] = {
    "variance": variance,
    "cosine": cosine,
    "gradient": gradient,
    "curves": curves,
    "batches": batches,
    "run": run,
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Write every figure as SVG, and return the files."""
    import matplotlib.pyplot as plt

    files = []
    for name, make in FIGURES.items():
        with mpl.rc_context(STYLE):
            figure = make(results)
            files.append(folder / f"{name}.svg")
            figure.savefig(files[-1], metadata={"Date": None})
            plt.close(figure)
    return files
