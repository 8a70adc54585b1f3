# SPDX-License-Identifier: BSD-3-Clause
"""Instructions of a call, counted under callgrind: on a busy machine as on a quiet one."""

from itertools import product

from fastnorm.compare.catalogue import OPS, find, select

# asv names the package after this folder, so that only a relative import finds its modules.
from . import bases, instructions, profiles  # noqa: TID252
from .common import missing  # noqa: TID252

# Valgrind runs everything, drawing the arrays too, some fifty times slower than the CPU.
MOST_VALUES = 1 << 20


def counted():
    """The smallest case of each operation on the short list; in full, the short list."""
    short = select(quick=True)
    if not profiles.is_quick():
        return short
    smallest = {op: min((case for case in short if case.op == op), key=size) for op in OPS}
    return [case for case in smallest.values() if case.size <= MOST_VALUES]


def size(case):
    return case.size


CASES = counted()


class Instructions:
    """One thread, float32, the best tier that valgrind can run."""

    version = "1"
    params = ([case.name for case in CASES], bases.DIRECTIONS)
    param_names = ("case", "direction")
    skip_params = sorted(missing(CASES))

    def setup_cache(self):
        if instructions.missing():
            return {}
        calls = [call for call in product(*self.params) if call not in self.skip_params]
        requests = [instructions.Request(*call) for call in calls]
        return dict(zip(calls, instructions.counts(requests), strict=True))

    setup_cache.timeout = bases.MEASURING_S

    def setup(self, found, case, direction):
        """Nothing here is timed, so that this may be a setup."""
        reason = instructions.missing()
        if reason is not None:
            raise NotImplementedError(reason)
        # What counts has a process of its own, with the catalogue of the commit.
        counts = found.get((case, direction))
        if isinstance(counts, str) and "no case is called" in counts:
            raise NotImplementedError(counts)

    def track_core(self, found, case, direction):
        """What callgrind counts in the compiled modules of fastnorm, on one thread."""
        return round(counts_of(found, case, direction).core / find(case).size, 4)

    def track_path(self, found, case, direction):
        """What callgrind counts everywhere else: interpreter, NumPy, libc."""
        return counts_of(found, case, direction).path

    track_core.unit = "instructions/value"
    track_core.pretty_name = "instructions: compiled core, per value of x"
    track_path.unit = "instructions/call"
    track_path.pretty_name = "instructions: path to the core (interpreter, NumPy), per call"


def counts_of(found, *call):
    """Return the counts of a call; raise what it failed with."""
    counts = found[call]
    if isinstance(counts, str):
        raise RuntimeError(counts)
    return counts
