# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benches.report``: the page of what asv recorded.

Run it from the root of the checkout after `asv run`. Exit status: 0 written, 2 bad arguments or no
results. What got worse is also printed, and does not fail: asv's times are no gate.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benches.report.changes import judge
from benches.report.history import NoResults, load
from benches.report.page import render
from benches.report.values import change_text


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benches.report", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(".asv/report.html"), help="%(default)s")
    parser.add_argument("--config", type=Path, default=Path("asv.conf.json"), help="%(default)s")
    parser.add_argument("--machine", help="default: that of the latest commit")
    parser.add_argument("--environment", help="default: that of the latest commit")
    parser.add_argument(
        "--commits", type=int, default=100, metavar="N", help="at most the last N (%(default)s)"
    )
    options = parser.parse_args(argv)
    if options.commits < 1:
        parser.error("--commits must be at least 1")
    if not options.config.is_file():
        parser.error(f"no file {options.config}")
    try:
        history = load(options.config, options.machine, options.environment, options.commits)
    except NoResults as reason:
        parser.error(str(reason))
    verdict = judge(history)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(render(history, verdict), encoding="utf-8")

    print(
        f"{history.commits[-1].short}: {len(verdict.worse)} worse, {len(verdict.better)} better, "
        f"{len(verdict.unsure)} to be measured again, "
        f"{verdict.steady} as before, {len(verdict.failed)} failed, {len(verdict.absent)} not run"
    )
    for change in verdict.worse:
        print(f"    {change_text(change.share):>8}  {change.series.name}")
    print(f"written: {options.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
