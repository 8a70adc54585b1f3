# SPDX-License-Identifier: BSD-3-Clause
"""The command: measure both, print what got worse. Exit status 1 where anything did."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benches.asv import instructions
from benches.gate import figures, trees
from benches.gate.verdict import Figure, Finding, judge

ROOT = Path(__file__).resolve().parents[2]

# Of a commit message: "Accepts-regression: rms_norm-* forward float32 path".
TRAILER = "Accepts-regression"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gate; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benches.gate",
        description="Compare this checkout with a commit before it; fail where it got worse.",
    )
    parser.add_argument(
        "base", nargs="?", help="commit; default: where the branch left main, on main HEAD~1"
    )
    parser.add_argument(
        "--counts", action="store_true", help="instruction counts alone, of a few small calls"
    )
    parser.add_argument(
        "--cases", default="*", metavar="PATTERN", help="only cases of such names (default: all)"
    )
    options = parser.parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    if (why := instructions.missing()) is not None:
        console.print(f"gate: {why}, and without it no instruction is counted", style="red")
        return 2
    try:
        base = (
            trees.git(ROOT, "rev-parse", "--verify", f"{options.base}^{{commit}}")
            if options.base
            else trees.default_base(ROOT)
        )
    except subprocess.CalledProcessError as error:
        console.print(f"gate: no commit to compare with: {error.stderr.strip()}", style="red")
        return 2
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            findings, lines = compare(base, Path(folder), options.counts, options.cases)
        except (trees.BuildError, LookupError) as error:
            console.print(str(error), markup=False, style="red")
            return 2
    report(console, findings)
    subject = trees.git(ROOT, "log", "-1", "--format=%h %s", base)
    console.print(f"base: {subject}", markup=False)
    for line in lines:
        console.print(line, markup=False)
    failures = sum(not found.accepted for found in findings)
    took = f"{time.monotonic() - started:.0f} s"
    if failures:
        console.print(f"gate: {failures} regressions ({took})", style="bold red")
    else:
        console.print(f"gate: passed ({took})", style="bold green")
    return 1 if failures else 0


def compare(
    base: str, folder: Path, only_counts: bool, pattern: str
) -> tuple[list[Finding], list[str]]:
    """Build and measure both trees; return what got worse, and what was measured in words."""
    head_tree = trees.head_tree(ROOT, folder)
    base_tree = trees.base_tree(ROOT, base, folder)
    cases = figures.catalogue(head_tree)
    before = figures.catalogue(base_tree)
    known = {case.name for case in before}
    trees.share_measuring(head_tree, base_tree)

    # Those of the base that the checkout no longer has are asked for too, and found missing.
    gone = [case for case in before if case.name not in {case.name for case in cases}]
    everything = [case for case in [*cases, *gone] if fnmatchcase(case.name, pattern)]
    if not everything:
        raise LookupError(f"no case is called {pattern}")
    counted = figures.few(everything)
    if not only_counts:
        counted = list(dict.fromkeys([*counted, *figures.quick(everything)]))
    found = [figures.of_both(figures.counts, base_tree, head_tree, counted)]
    lines = [f"instructions: {len(counted)} calls; a regression is more than 2 %"]
    band = 1.0
    if not only_counts:
        from fastnorm.compare.problem import DTYPES  # compiled by now, if it was not before

        checked = figures.quick(everything, DTYPES)
        found.append(figures.of_both(figures.errors, base_tree, head_tree, checked))
        lines.append(f"errors: {len(checked)} calls; none may grow")
        timed = [subject for subject in figures.quick(everything) if subject.case in known]
        again, head = figures.times(base_tree, head_tree, timed)
        band = figures.noise_band(again)
        suspects = [
            figure for figure, ratio in head.items() if isinstance(ratio, float) and ratio > band
        ]
        if suspects:
            # What is only noise is not beyond it twice.
            subjects = [figures.Subject(*figure[:3]) for figure in suspects]
            repeated, second = figures.times(base_tree, head_tree, subjects)
            band = max(band, figures.noise_band(repeated))
            head |= {
                figure: min(head[figure], ratio) if isinstance(ratio, float) else ratio
                for figure, ratio in second.items()
            }
        found.append((dict.fromkeys(head, 1.0), head))
        lines.append(f"times: {len(timed)} calls; noise of base / base up to {band - 1:.1%}")
    results: list[dict[Figure, float | str]] = [{}, {}]
    for pair in found:
        for result, part in zip(results, pair, strict=True):
            result.update(part)
    return judge(*results, known, band, accepted(base)), lines


def accepted(base: str) -> list[str]:
    """Return the patterns that commit messages since the base accept."""
    format_ = f"--format=%(trailers:key={TRAILER},valueonly)"
    return [line for line in trees.git(ROOT, "log", format_, f"{base}..HEAD").splitlines() if line]


def report(console: Console, findings: Sequence[Finding]) -> None:
    """Print a line per regression."""
    if not findings:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("figure", overflow="fold")
    for heading in ("base", "head", "change", "allowed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for found in findings:
        table.add_row(
            str(found.figure),
            *(_value(found, value) for value in (found.base, found.head)),
            "" if found.factor is None else f"{found.factor - 1:+.1%}",
            "accepted"
            if found.accepted
            else ""
            if found.limit is None
            else f"{found.limit - 1:+.1%}",
            style="dim" if found.accepted else "red",
        )
    console.print(table)


def _value(found: Finding, value: float | str) -> str:
    """A count in full, a ratio or an error with its decimals, a reason as it is."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if found.figure.kind in ("core", "path") else f"{value:.4f}"


if __name__ == "__main__":
    sys.exit(main())
