# SPDX-License-Identifier: BSD-3-Clause
"""The `fastnorm` command: arguments, exit status, nothing else.

Exit status: 0 done; 1 an error exceeds its documented bound; 2 bad arguments, said in one line on
standard error; 130 interrupted by Ctrl-C; 141 nobody reads the output any more.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import fastnorm
from fastnorm.compare import machine, plot
from fastnorm.compare.case import Case
from fastnorm.compare.catalogue import OPS, select
from fastnorm.compare.measure import FULL, QUICK, effective_threads
from fastnorm.compare.problem import DTYPES, Problem, as_dtype, build
from fastnorm.compare.report import make_reporter
from fastnorm.compare.results import Row, measure_rows, summary_lines, write_json
from fastnorm.compare.userdata import InputError, load_problems

_EXTRA_HINT = "pip install 'fastnorm[compare]'"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line instead of the usage and a line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`, the process's arguments if None, and return its exit status."""
    parser, compare_parser = _parsers()
    try:
        arguments = parser.parse_args(argv)
        arguments.words = list(sys.argv[1:] if argv is None else argv)
        if arguments.command == "info":
            fastnorm.show_config()
            status = 0
        else:
            status = _compare(arguments)
        sys.stdout.flush()  # a reader that left is noticed here, not at the interpreter's exit
        return status
    except InputError as error:
        compare_parser.error(str(error))
    except KeyboardInterrupt:
        print("fastnorm: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The interpreter flushes once more at exit; let it write where somebody listens.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    parser = _Parser(prog="fastnorm", description="Normalization layers for NumPy arrays on CPUs.")
    parser.add_argument("--version", action="version", version=f"fastnorm {fastnorm.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("info", help="print the ISA tier, threads, caches and versions in use")

    compare = commands.add_parser(
        "compare",
        help="measure error and speed of every normalizer against NumPy and a memory copy",
        description="Measures every normalizer, forward and backward, on shapes of real models or "
        "on your own arrays: largest error against a float64 reference, time, speed-up over the "
        "same formula in NumPy, ratio to a memory copy of the same bytes.",
        epilog="Exit status: 0 done, 1 an error exceeds its documented bound, 2 bad arguments.",
    )
    compare.add_argument("--list", action="store_true", help="list the cases and stop")
    compare.add_argument("--quick", action="store_true", help="a short list, half a minute")
    compare.add_argument("--only", type=_ops, metavar="OP,...", help=f"of {', '.join(OPS)}")
    compare.add_argument("--dtype", choices=DTYPES, help="type of x; default float32")
    compare.add_argument(
        "--threads", type=_positive, metavar="N", help="default: one thread and all threads"
    )
    compare.add_argument("--json", type=Path, metavar="FILE", help="write all rows to FILE")
    compare.add_argument("--plot", type=Path, metavar="FILE.png", help="draw a figure")

    data = compare.add_argument_group("your own data")
    data.add_argument("--input", type=Path, metavar="FILE", help=".npy, or .npz: all its arrays")
    data.add_argument("--op", choices=OPS, metavar="OP", help=f"one of {', '.join(OPS)}")
    data.add_argument("--axis", type=int, nargs="+", metavar="N", help="axes of the statistics")
    data.add_argument(
        "--num-groups", type=_positive, metavar="N", help="for group_norm, evonorm_s0"
    )
    data.add_argument("--channel-axis", type=int, metavar="N", help="1 (default), or -1 for last")
    return parser, compare


def _compare(arguments: argparse.Namespace) -> int:
    cases, problems = _work(arguments)
    if arguments.list:
        _print_cases(cases)
        return 0
    _check_output(arguments.json)
    _check_output(arguments.plot)
    if arguments.plot is not None:
        _check_plot(arguments.plot)
    if sys.stdout.isatty() and importlib.util.find_spec("rich") is None:
        print(f"fastnorm: for a live table, {_EXTRA_HINT}", file=sys.stderr)

    threads = _thread_counts(arguments.threads)
    budget = QUICK if arguments.quick else FULL
    description = machine.describe()
    settings = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["fastnorm", *arguments.words],
        "threads": threads,
        "quick": arguments.quick,
    }
    rows: list[Row] = []
    start = time.perf_counter()
    with make_reporter(sys.stdout, cases) as reporter:
        for problem in problems:
            for direction in problem.case.directions:
                reporter.start(problem.case, direction)
                measured = measure_rows(problem, direction, threads, budget)
                reporter.show(measured)
                rows += measured
        reporter.close(summary_lines(rows, description, time.perf_counter() - start))

    try:
        if arguments.json is not None:
            write_json(arguments.json, rows, description, settings)
        if arguments.plot is not None:
            plot.draw(arguments.plot, rows, description)
    except OSError as error:
        raise InputError(f"cannot write {error.filename}: {error.strerror}") from None
    return 0 if all(row.error.within for row in rows) else 1


def _work(arguments: argparse.Namespace) -> tuple[list[Case], Iterable[Problem]]:
    """What to measure: the cases, and their problems, made one by one where they are large."""
    dtype = None if arguments.dtype is None else _dtype(arguments.dtype)
    options = {
        name: value
        for name in ("axis", "num_groups", "channel_axis")
        if (value := getattr(arguments, name)) is not None
    }
    if arguments.input is None:
        if arguments.op is not None or options:
            given = "op" if arguments.op is not None else next(iter(options)).replace("_", "-")
            raise InputError(f"--{given} goes with --input FILE; to choose operations use --only")
        cases = select(arguments.only or OPS, quick=arguments.quick)
        return cases, (build(case, dtype or np.dtype(np.float32)) for case in cases)

    if arguments.op is None:
        raise InputError("--input needs --op")
    if arguments.only is not None or arguments.list:
        raise InputError("--only and --list are about the built-in cases, --input is not")
    if "axis" in options:
        axis = options["axis"]
        options["axis"] = axis[0] if len(axis) == 1 else tuple(axis)
    loaded = load_problems(arguments.input, arguments.op, options, dtype)
    return [problem.case for problem in loaded], loaded


def _thread_counts(wanted: int | None) -> list[int]:
    """The thread counts to measure, as `fastnorm` will really use them."""
    if wanted is not None:
        return [effective_threads(wanted)]
    return sorted({1, fastnorm.get_num_threads()})


def _dtype(name: str) -> np.dtype[Any]:
    try:
        return as_dtype(name)
    except ImportError as error:
        raise InputError(f"{name} needs {error.name}: pip install {error.name}") from None


def _ops(text: str) -> tuple[str, ...]:
    ops = tuple(word.strip() for word in text.split(","))
    for op in ops:
        if op not in OPS:
            raise argparse.ArgumentTypeError(f"unknown op {op!r}, choose from {', '.join(OPS)}")
    return ops


def _positive(text: str) -> int:
    value = int(text) if text.strip().isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive integer")
    return value


def _check_output(path: Path | None) -> None:
    """Fail before minutes of measuring, not after."""
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a directory")
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: no such directory")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"cannot write {path}: permission denied")


def _check_plot(path: Path) -> None:
    if path.suffix.lower() not in plot.FORMATS:
        raise InputError(f"--plot {path}: the name must end in one of {', '.join(plot.FORMATS)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError(f"--plot needs matplotlib: {_EXTRA_HINT}")


def _print_cases(cases: Sequence[Case]) -> None:
    names = max(len(case.name) for case in cases)
    labels = max(len(case.label) for case in cases)
    for case in cases:
        quick = "quick" if case.quick else ""
        print(f"{case.name:{names}}  {case.label:{labels}}  {quick:5}  {case.model}")
