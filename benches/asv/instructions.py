# SPDX-License-Identifier: BSD-3-Clause
"""Instructions of one call under callgrind: figures that do not depend on how busy a machine is.

A child process draws the arrays of a case, warms the call up and makes it some times between two
calls of libc that nothing else in the process makes: callgrind sets its counters to zero before
the first and writes them to a file before the second. No wildcard and no name of ours is involved,
so that nothing compiled differently is miscounted. What an object file costs by itself is in the
file; the compiled modules of `fastnorm` are told from the rest by their folder.

What memory looks like costs or saves some per cent of a small call: libc searches its heap for a
hole that fits, an object may or may not be the first of its pool. So the holes are filled first,
and each call is counted several times, with some objects more each time; the lowest counts.

Start-up, some seconds, is shared by all calls that one process counts. One thread, since what a
thread spends waiting is not repeatable; a fixed environment, hash seed and no garbage collector,
since all three change what the interpreter executes. Valgrind knows no AVX-512: without a tier, the
best one below is counted.

Imported, this module runs nothing: asv imports every module of its folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

# Where counting begins and ends: exported by libc, cheap, and called by nothing but `_count_calls`.
_BEGIN, _END = "getppid", "getpgrp"

# How often a call is counted; how many calls at a time, fewer of those that take long; how many
# times as many go before, so that the interpreter has specialized what it runs.
_ROUNDS, _CALLS, _WARM = 6, 8, 6
_VALUES = 1 << 20  # of x, in one round

# Bytes of one object in each of the interpreter's pools, and of the blocks that fill the holes of
# libc's heap, below what it maps.
_OBJECTS = range(1, 480, 16)
_BLOCKS = [1 << power for power in range(16, 8, -1)]

_CORE = "/fastnorm/_core/"


class Counts(NamedTuple):
    """Instructions per call on one thread.

    Attributes
    ----------
    core : int
        In the compiled modules of `fastnorm`, and in libc on their behalf.
    path : int
        Everywhere else: interpreter, NumPy.
    """

    core: int
    path: int


class Request(NamedTuple):
    """What to count: the name of a case of the catalogue, a direction, a type of x."""

    case: str
    direction: str
    dtype: str = "float32"


def missing() -> str | None:
    """Return why nothing can be counted on this machine, or None."""
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    return None


def count(
    case: str,
    direction: str,
    *,
    dtype: str = "float32",
    tier: str | None = None,
    python: str = sys.executable,
    path: str | None = None,
) -> Counts:
    """Return the instructions of one call; see `counts` for the arguments.

    Raises
    ------
    RuntimeError
        If the call cannot be made or valgrind fails.
    """
    result = counts([Request(case, direction, dtype)], tier=tier, python=python, path=path)[0]
    if isinstance(result, str):
        raise RuntimeError(f"{case} {direction} {dtype}: {result}")
    return result


def counts(
    requests: Iterable[Request],
    *,
    tier: str | None = None,
    python: str = sys.executable,
    path: str | None = None,
) -> list[Counts | str]:
    """Return the instructions of several calls, counted in one process.

    Parameters
    ----------
    requests : iterable of Request
        The calls.
    tier : str, optional
        Instruction set to count on (``FASTNORM_ISA``); None: the best that valgrind can run.
    python : str
        The interpreter; it has to find NumPy and, without `path`, `fastnorm`.
    path : str, optional
        Folder that holds the package `fastnorm` to count in.

    Returns
    -------
    list of Counts or str
        In the order of `requests`; text says why a call could not be made.

    Raises
    ------
    RuntimeError
        If valgrind or the interpreter fails.
    """
    requests = list(requests)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "counts")
        command = [
            *("valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"),
            *(f"--zero-before={_BEGIN}", f"--dump-before={_END}"),
            # The cost of skipped linkage code is not set to zero with the rest (valgrind 3.19).
            *("--skip-plt=no", "--compress-strings=no", "--compress-pos=no"),
            # -P: this folder holds modules of other things, and is not to be on the path.
            *(python, "-P", __file__, json.dumps(requests), path or ""),
        ]
        child = subprocess.run(
            command, env=_environment(tier, path), capture_output=True, text=True, check=False
        )
        if child.returncode:
            last = child.stderr.strip().splitlines()[-3:]
            raise RuntimeError(f"counting failed: {' | '.join(last)}")
        results: list[Counts | str] = []
        for line in child.stdout.splitlines():
            said = json.loads(line)
            results.append(
                said["error"]
                if "error" in said
                else _lowest(_read(f"{out}.{file}", said["calls"]) for file in said["files"])
            )
    if len(results) != len(requests):
        raise RuntimeError(f"{len(results)} of {len(requests)} calls were counted")
    return results


def _environment(tier: str | None, path: str | None) -> dict[str, str]:
    """All that the child sees: the same variables from any shell, so that its stack is the same."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    isa = {"FASTNORM_ISA": tier} if tier else {}
    # No symbol is looked up between the marks, and every byte of a `rep` would count as one more.
    # What malloc does depends on the size asked for alone, not on what was freed before. Little is
    # kept at the top of the heap: large arrays are mapped, and all begin alike within a line.
    tunables = {
        "cpu.x86_rep_movsb_threshold": 1 << 40,
        "cpu.x86_rep_stosb_threshold": 1 << 40,
        "malloc.mmap_threshold": 1 << 17,
        "malloc.trim_threshold": 1 << 40,
        "malloc.top_pad": 1 << 16,
    }
    libc = {
        "LD_BIND_NOW": "1",
        "GLIBC_TUNABLES": ":".join(f"glibc.{name}={value}" for name, value in tunables.items()),
    }
    python = {"PYTHONHASHSEED": "0", "PYTHONPATH": path or ""}
    return {**kept, **threads, **isa, **libc, **python}


def _read(file: str, calls: int) -> Counts:
    """Sum what callgrind wrote, by object file.

    The format: lines ``ob=`` and ``fn=`` name what the costs after them belong to, a line of a
    position and a number is a cost. Lines ``cob=`` (where it is another object) and ``cfn=`` name
    what is called; the cost after ``calls=`` is that of the callee and of all it calls.
    """
    stubs = set()  # linkage code, in an object of no name
    own: Counter[tuple[str, str]] = Counter()  # (object, function): instructions
    of_libc: Counter[tuple[str, str]] = Counter()  # the same, in what they call of libc
    summary = 0
    thing = function = called = ""
    callee = False
    for line in Path(file).read_text("utf-8").splitlines():
        key, _, value = line.partition("=")
        if key == "ob":
            thing = value
        elif key == "fn":
            function, called = value, thing
        elif key == "cob":
            called = value
        elif key == "cfn" and _CORE in thing and value.endswith("[PLT]"):
            stubs.add(value)
        elif key == "calls":
            callee = True
        elif line.startswith("summary:"):
            summary = int(line.split()[1])
        elif line[:1].isdigit():
            cost = int(line.split()[1])
            if not callee:
                own[thing, function] += cost
            elif "/libc.so" in called:
                of_libc[thing, function] += cost
            if callee:
                callee, called = False, thing
    if own.total() != summary:
        raise RuntimeError(f"callgrind counted {summary} instructions, its file {own.total()}")
    core = sum(
        own[caller] + of_libc[caller]
        for caller in {*own, *of_libc}
        if _CORE in caller[0] or caller[1] in stubs
    )
    return Counts(round(core / calls), round((summary - core) / calls))


def _lowest(rounds: Iterable[Counts]) -> Counts:
    """Return the lowest of each figure."""
    core, path = zip(*rounds, strict=True)
    return Counts(min(core), min(path))


# --- in the child ---------------------------------------------------------------------------------


def _count_all(requests: Sequence[Request], path: str) -> None:
    """Make the calls and say about each, in a line of JSON, which file its costs are in."""
    import gc

    import numpy as np

    import fastnorm

    if path and not Path(fastnorm.__file__).is_relative_to(Path(path).resolve()):
        raise SystemExit(f"fastnorm was imported from {fastnorm.__file__}, not from {path}")
    gc.disable()
    # Never freed, which would make new holes. The last one is at the top of the heap.
    kept = [np.empty(_BLOCKS[0], np.uint8) for _ in range(64)]
    done = 0
    for request in requests:
        try:
            calls = _count_calls(*request, kept)
        except Exception as error:  # whatever an older commit cannot do is its answer
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
            continue
        print(json.dumps({"files": [done + 1 + i for i in range(_ROUNDS)], "calls": calls}))
        done += _ROUNDS


def _count_calls(name: str, direction: str, dtype: str, kept: list[np.ndarray]) -> int:
    """Have callgrind write down what some calls cost, `_ROUNDS` times; return how many calls."""
    import fastnorm
    from fastnorm.compare.catalogue import find
    from fastnorm.compare.problem import as_dtype, build

    case = find(name)
    call = build(case, as_dtype(dtype)).timed_call(fastnorm, direction)
    calls = min(_CALLS, max(1, _VALUES // case.size))
    for _ in repeat(None, _WARM * calls):
        call()
    objects = []
    for _ in range(_ROUNDS):
        _fill_holes(kept)
        objects += [bytes(size) for size in _OBJECTS]
        os.getppid()
        for _ in repeat(None, calls):
            call()
        os.getpgrp()
    return calls


def _fill_holes(kept: list[np.ndarray]) -> None:
    """Allocate blocks, larger ones first, until they come from the top of libc's heap."""
    import numpy as np

    def address(block: np.ndarray) -> int:
        return block.__array_interface__["data"][0]

    for size in _BLOCKS:
        top = address(kept[-1])
        while address(block := np.empty(size, np.uint8)) < top:
            kept.insert(0, block)
        kept.append(block)


if __name__ == "__main__":
    _count_all([Request(*request) for request in json.loads(sys.argv[1])], sys.argv[2])
