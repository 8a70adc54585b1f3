# SPDX-License-Identifier: BSD-3-Clause
"""``python -m examples.beyond_batchnorm``: run the study, and write its figures and tables."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import matplotlib as mpl
from rich.console import Console
from rich.table import Table

from examples.beyond_batchnorm import claims, costs, figures, page, runner
from examples.beyond_batchnorm.results import Results
from examples.beyond_batchnorm.trials import plan


def parser() -> argparse.ArgumentParser:
    """Return what the command understands."""
    command = argparse.ArgumentParser(
        prog="python -m examples.beyond_batchnorm",
        description="Train small networks with every normalizer and see what the literature says.",
    )
    command.add_argument(
        "--quick",
        action="store_true",
        help="a minute or two: one seed, few epochs, two batch sizes",
    )
    command.add_argument(
        "--by-reference", action="store_true",
        help="run the first seed by fastnorm.reference too, to see what fastnorm is worth",
    )  # fmt: skip
    command.add_argument(
        "--keep", type=Path, default=Path("build/study"), metavar="DIR",
        help="where the result of every trial is kept, to go on after an interruption; "
        "delete it to begin anew (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--out", type=Path, metavar="DIR",
        help="where figures and numbers go (default: beside the trials)",
    )  # fmt: skip
    command.add_argument(
        "--page", type=Path, metavar="FILE",
        help="a Markdown file with markers for the tables of claims and costs, as docs/study.md is",
    )  # fmt: skip
    return command


def main(words: list[str] | None = None) -> int:
    """Run what is missing, and write what it shows."""
    options = parser().parse_args(words)
    trials = plan(quick=options.quick)
    kept = options.keep / ("quick" if options.quick else "full")
    out = options.out or kept
    start = time.perf_counter()
    try:
        entries = runner.run(trials, kept / "fastnorm")
        first = [trial for trial in trials if trial.seed == 0] if options.by_reference else []
        others = runner.run(first, kept / "reference", by_reference=True)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    minutes = (time.perf_counter() - start) / 60
    out.mkdir(parents=True, exist_ok=True)
    results = Results(entries)
    mpl.use("agg")
    (out / "results.json").write_text(one_line_each(entries), "utf-8")
    figures.draw(results, out)
    Console().print(verdicts(results))
    print(costs.table(entries, others), end="")
    if options.page:
        page.put(options.page, "claims", claims.table(results))
        page.put(options.page, "costs", costs.table(entries, others))
    if others:
        (out / "reference.json").write_text(one_line_each(others), "utf-8")
    print(f"{len(trials)} trials, {minutes:.1f} minutes for those that were missing; see {out}")
    return 0


def one_line_each(entries: list[dict[str, object]]) -> str:
    """Return JSON with a line for each trial, which a diff can show."""
    return "[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n"


def verdicts(results: Results) -> Table:
    """Return the claims as a table for a terminal."""
    shown = Table("", "claim", "source", "verdict", "measured", title="What the study shows")
    for place, (claim, verdict) in enumerate(claims.judged(results), 1):
        shown.add_row(str(place), claim.text, claim.source, verdict.held, verdict.measured)
    return shown


if __name__ == "__main__":
    sys.exit(main())
