# SPDX-License-Identifier: BSD-3-Clause
"""Starting a program on several ranks: processes under mpiexec, or threads of this process."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HANG = 120.0  # seconds; every program here ends in a small part of it

# More ranks than cores, and root in a container: MPICH allows both, Open MPI wants to be told.
ALLOWED = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}


def found() -> str | None:
    """The mpiexec of this environment, else that of the system."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


needs_mpi = pytest.mark.skipif(
    found() is None or importlib.util.find_spec("mpi4py") is None,
    reason="needs mpi4py and mpiexec: pip install 'fastnorm[mpi]'",
)


def run(ranks: int, script: str, *words: str, timeout: float = HANG):
    """Run a script of the checkout on some ranks; return its status and all that it prints.

    Whoever is left after `timeout` is killed: the launcher gets a signal that it passes on.
    """
    command = [
        found(),
        "-n",
        str(ranks),
        sys.executable,
        "-m",
        "mpi4py",
        str(ROOT / script),
        *words,
    ]
    process = subprocess.Popen(
        command,
        env=os.environ | ALLOWED | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        pytest.fail(f"{script} {' '.join(words)} on {ranks} ranks did not end in {timeout} s")
    return process.returncode, printed


def sweep(before: set[Path]) -> None:
    """Remove the shared memory that ranks of MPICH left behind because they were ended."""
    for left in shared_memory() - before:
        maps = Path("/proc").glob("[0-9]*/maps")
        if not any(left.name in _text(path) for path in maps):
            with contextlib.suppress(OSError):  # it is gone, or another user's
                left.unlink()


def shared_memory() -> set[Path]:
    """The shared memory of MPICH on this machine."""
    return set(Path("/dev/shm").glob("mpich_shm_*"))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process is gone, or another user's
        return ""


class Threads:
    """Ranks that are threads: what one gives reaches the others through pickle, as by MPI."""

    def __init__(self, rank: int, slots: list, barrier: threading.Barrier) -> None:
        self.rank = rank
        self._slots = slots
        self._barrier = barrier

    def allgather(self, value):
        """The values of all ranks."""
        self._slots[self.rank] = pickle.dumps(value)
        self._barrier.wait()
        values = [pickle.loads(slot) for slot in self._slots]
        self._barrier.wait()
        return values


def run_threads(ranks: int, function) -> list:
    """Call ``function(comm, rank, ranks)`` on every rank; return what each returns."""
    slots, barrier = [b""] * ranks, threading.Barrier(ranks, timeout=HANG)

    def on(rank: int):
        try:
            return function(Threads(rank, slots, barrier), rank, ranks)
        except BaseException:
            barrier.abort()  # the others are not to wait
            raise

    with ThreadPoolExecutor(ranks) as pool:
        futures = [pool.submit(on, rank) for rank in range(ranks)]
    errors = [error for future in futures if (error := future.exception())]
    broken = threading.BrokenBarrierError
    for error in sorted(errors, key=lambda error: isinstance(error, broken)):
        raise error  # that of the rank that failed first, not of those that waited for it
    return [future.result() for future in futures]
