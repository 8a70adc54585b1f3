# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benches.compare``: the shape catalogue against other libraries.

Run it from the root of the checkout, on an idle machine. Exit status: 0 done, 1 an error of
`fastnorm` exceeds its bound, 2 bad arguments, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import fastnorm
from benches.compare import peers, plot, report, results
from benches.compare.peers.forms import OPS
from benches.compare.session import Session
from fastnorm.compare import machine
from fastnorm.compare.case import Case
from fastnorm.compare.catalogue import select
from fastnorm.compare.measure import Budget, effective_threads
from fastnorm.compare.problem import DTYPES, as_dtype

_FULL_S, _QUICK_S = 2.0, 0.4


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    cases = _cases(options)
    if not cases:
        parser.error("no case is selected")
    for dtype in options.dtypes:
        try:
            as_dtype(dtype)
        except ImportError as error:
            parser.error(f"{dtype} needs {error.name}")
    for path in (options.json, options.plot):
        if path is not None and not path.parent.is_dir():
            parser.error(f"cannot write {path}: no such directory")
    if options.plot is not None and options.plot.suffix.lower() not in plot.FORMATS:
        parser.error(f"--plot {options.plot}: the name must end in one of {plot.FORMATS}")
    if options.plot is not None and importlib.util.find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib")
    try:
        return _compare(options, cases)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


def _compare(options: argparse.Namespace, cases: Sequence[Case]) -> int:
    absent = {name: why for name in options.peers if (why := peers.missing(name)) is not None}
    names = [name for name in peers.LIBRARIES if name in options.peers and name not in absent]
    threads = sorted({effective_threads(count) for count in options.threads})
    seconds = options.seconds or (_QUICK_S if options.quick else _FULL_S)
    rounds = (3, 30) if options.quick else (7, 100)
    budget = Budget(seconds, *rounds, batch_s=1e-3 if options.quick else 2e-3)
    versions = {"fastnorm": fastnorm.__version__} | {name: peers.version(name) for name in names}
    description = machine.describe()

    total = sum(len(case.directions) for case in cases) * len(threads) * len(options.dtypes)
    table = report.Report(names, total)
    for name, why in absent.items():
        table.write(f"{name}: {why}")
    table.write(report.describe_run(threads, versions, description))
    lines: list[results.Comparison] = []
    start = time.perf_counter()
    with Session(names, threads) as session:
        for case in cases:
            for dtype in options.dtypes:
                table.progress(f"{case.op} {case.label} {dtype}")
                for line in session.measure(case, dtype, case.directions, budget):
                    lines.append(line)
                    table.show(line)
                    table.progress(line.title)
        offsets = session.offset_errors()
    table.close(lines, offsets, absent)
    table.write(f"{len(lines)} lines, {time.perf_counter() - start:.0f} s")

    settings = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["python", "-m", "benches.compare", *options.words],
        "threads": threads,
        "dtypes": options.dtypes,
        "seconds": seconds,
        "versions": versions,
        "absent": absent,
    }
    if options.json is not None:
        results.write_json(options.json, lines, offsets, description, settings)
    if options.plot is not None:
        plot.draw(options.plot, lines, offsets, description)
    return 0 if all(line.ours.error.within for line in lines) else 1


def _cases(options: argparse.Namespace) -> list[Case]:
    cases = select(options.ops, quick=options.quick, grid=options.grid)
    if not options.cases:
        return cases
    words = options.cases.split(",")
    return [case for case in cases if any(word in case.name for word in words)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benches.compare",
        description="Time and error of every normalizer beside other libraries and a memory copy, "
        "all with the same number of threads, in interleaved rounds.",
    )
    parser.add_argument("--ops", type=_words(OPS), default=OPS, metavar="OP,...",
                        help=f"of {', '.join(OPS)}")  # fmt: skip
    parser.add_argument("--cases", metavar="TEXT,...", help="cases with one of these in their name")
    parser.add_argument("--dtypes", type=_words(DTYPES), default=("float32",), metavar="TYPE,...",
                        help=f"of {', '.join(DTYPES)}; default float32")  # fmt: skip
    parser.add_argument("--threads", type=_counts, metavar="N,...",
                        default=[1, fastnorm.get_num_threads()],
                        help="default: one thread, and all")  # fmt: skip
    parser.add_argument("--peers", type=_words(peers.LIBRARIES), default=tuple(peers.LIBRARIES),
                        metavar="NAME,...", help=f"of {', '.join(peers.LIBRARIES)}")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="the short list of cases, less time")
    parser.add_argument("--grid", action=argparse.BooleanOptionalAction, default=True,
                        help="the wider grid of shapes too (default)")  # fmt: skip
    parser.add_argument("--seconds", type=_seconds, metavar="S",
                        help="per case, direction, number of threads and process, shared by its "
                        f"contenders; default {_FULL_S:g}, quick {_QUICK_S:g}")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a figure: .svg, .png, .pdf")
    parser.set_defaults(words=sys.argv[1:])
    return parser


def _words(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    known = tuple(known)

    def parse(text: str) -> tuple[str, ...]:
        words = tuple(word.strip() for word in text.split(","))
        for word in words:
            if word not in known:
                raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(known)}")
        return words

    return parse


def _counts(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of positive integers")
    return [int(word) for word in words]


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds")
    return value


if __name__ == "__main__":
    sys.exit(main())
