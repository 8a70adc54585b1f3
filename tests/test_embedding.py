# SPDX-License-Identifier: BSD-3-Clause
"""Inside other programs: Python threads, forked processes, other OpenMP users, PyTorch."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastnorm
from cases import Case, assert_same_bits, digest, draw, everything

CONFIG = fastnorm.show_config("dicts")
needs_openmp = pytest.mark.skipif(not CONFIG["openmp"], reason="built without OpenMP")
needs_fork = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="OpenMP and fork are used together on Linux alone"
)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)

# Large enough for a team of threads; rows, columns, maps, few groups.
PARALLEL = (
    Case("layer_norm", (300, 768)),
    Case("layer_norm", (768, 300), {"axis": 0}),
    Case("rms_norm", (100, 2048)),
    Case("batch_norm", (8, 32, 28, 28)),
    Case("batch_norm", (8, 28, 28, 32), {"channel_axis": -1}),
    Case("instance_norm", (1, 6, 181, 181)),
    Case("group_norm", (1, 64, 56, 56), {"num_groups": 32}),
    Case("moments", (200_001,), {"axis": None}),
)


def results_of(number: int) -> str:
    """Digest of everything about one of the cases, on data that depend on `number`."""
    case = PARALLEL[number % len(PARALLEL)]
    return digest(everything(case, draw(case, np.random.default_rng(number))))


def all_results() -> list[str]:
    """Digests of all cases."""
    return [results_of(number) for number in range(len(PARALLEL))]


# ---- the GIL ----------------------------------------------------------------------------------


@pytest.fixture
def no_forced_switches():
    """Python threads change only where one lets go of the GIL by itself."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("no_forced_switches")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "call",
    [
        lambda x, out: fastnorm.moments(x, axis=-1),
        lambda x, out: fastnorm.layer_norm(x, out=out),
        lambda x, out: fastnorm.layer_norm_backward(x, x, out=out),
        lambda x, out: fastnorm.batch_norm(x, out=out),
        lambda x, out: fastnorm.batch_norm_backward(x, x, out=out),
    ],
    ids=["moments", "layer_norm", "layer_norm_backward", "batch_norm", "batch_norm_backward"],
)
def test_the_gil_is_released(call, threads):
    """Another Python thread counts on while a call runs; it could not if the call held the GIL."""
    x = np.ones((4096, 2048), np.float32)
    out = np.empty_like(x)
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0)  # lets go of the GIL: the caller gets it back when its work is done

    counter = threading.Thread(target=count)
    counter.start()
    try:
        progress = 0
        with fastnorm.num_threads(threads):
            for _ in range(100):  # a loaded machine may not schedule the counter during one call
                before = counted[0]
                call(x, out)
                progress = counted[0] - before
                if progress:
                    break
    finally:
        stop.set()
        counter.join()
    assert progress


# ---- Python threads ---------------------------------------------------------------------------


@pytest.mark.parametrize("openmp_threads", [1, 2, 3])
def test_eight_python_threads(openmp_threads):
    """Calls from eight threads at once give the bits of calls one after the other."""
    numbers = range(3 * len(PARALLEL))
    expected = [results_of(number) for number in numbers]
    start = threading.Barrier(8)

    def work(worker: int) -> list[str]:
        start.wait()
        with fastnorm.num_threads(openmp_threads):
            return [results_of(number) for number in numbers[worker::8]]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    for worker, result in enumerate(results):
        assert result == expected[worker::8]


def test_python_threads_sharing_one_input():
    """All threads read the same arrays and write each its own."""
    case = PARALLEL[0]
    arguments = draw(case, np.random.default_rng(0))
    expected = everything(case, arguments)
    with ThreadPoolExecutor(8) as pool:
        for result in pool.map(lambda _: everything(case, arguments), range(16)):
            assert_same_bits(result, expected, "shared input")


# ---- fork -------------------------------------------------------------------------------------

PATIENCE = 20.0  # seconds until a forked child counts as hung

WAIT = f"""
import os, signal, time

def wait(pid):
    deadline = time.monotonic() + {PATIENCE}
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hung"

def fork(work):
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return pid
"""


@needs_fork
def test_fork_after_a_parallel_call(run_python):
    """Child, grandchild and parent go on, each with a team of its own, with the same bits."""
    run_python(
        f"""{WAIT}
import fastnorm
from test_embedding import all_results
fastnorm.set_num_threads(2)
expected = all_results()

def child():
    return all_results() == expected and wait(fork(lambda: all_results() == expected)) == 0

pid = fork(child)
assert all_results() == expected, "the parent, while the child works"
assert wait(pid) == 0
assert all_results() == expected, "the parent, afterwards"
for _ in range(5):
    assert wait(fork(child)) == 0
"""
    )


@needs_fork
@needs_openmp
def test_a_forked_child_keeps_its_threads(run_python):
    """The child is not reduced to one thread: the parent's team was put to rest before the fork."""
    run_python(
        f"""{WAIT}
import fastnorm
from test_embedding import all_results
fastnorm.set_num_threads(2)
all_results()
assert wait(fork(lambda: fastnorm.get_num_threads() == 2)) == 0
"""
    )


@needs_fork
def test_pre_fork_server(run_python):
    """Workers forked after a warm-up call work at the same time, and so does the parent."""
    run_python(
        f"""{WAIT}
import fastnorm
from test_embedding import all_results
fastnorm.set_num_threads(2)
expected = all_results()
workers = [fork(lambda: all_results() == expected) for _ in range(4)]
assert all_results() == expected
assert [wait(pid) for pid in workers] == [0] * 4
"""
    )


@needs_fork
def test_fork_while_another_thread_works(run_python):
    """A fork in the middle of another Python thread's call."""
    run_python(
        f"""{WAIT}
import threading
import fastnorm
from test_embedding import all_results, results_of
fastnorm.set_num_threads(2)
expected, stop, wrong = all_results(), threading.Event(), []

def busy():
    while not stop.is_set():
        if all_results() != expected:
            wrong.append(1)

thread = threading.Thread(target=busy)
thread.start()
codes = [wait(fork(lambda: results_of(0) == expected[0])) for _ in range(10)]
stop.set()
thread.join()
assert codes == [0] * 10 and not wrong, (codes, wrong)
"""
    )


@needs_fork
def test_multiprocessing_fork(run_python):
    """A pool of forked processes, made after a parallel call."""
    run_python(
        """
import multiprocessing
import fastnorm
from test_embedding import all_results, results_of
fastnorm.set_num_threads(2)
expected = all_results()
with multiprocessing.get_context("fork").Pool(2) as pool:
    found = pool.map_async(results_of, range(len(expected))).get(timeout=20)
assert found == expected
assert all_results() == expected
"""
    )


# ---- other users of OpenMP --------------------------------------------------------------------


@needs_openmp
def test_threadpoolctl_sees_us(run_python):
    """Nothing but NumPy and fastnorm is loaded: the OpenMP runtime listed is ours."""
    run_python(
        """
import fastnorm, threadpoolctl
runtimes = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "openmp"]
assert len(runtimes) == 1, runtimes
assert runtimes[0]["num_threads"] >= 1
"""
    )


@needs_openmp
def test_threadpoolctl_limits_us(run_python):
    run_python(
        """
import fastnorm, threadpoolctl
from test_embedding import all_results
fastnorm.set_num_threads(2)
expected = all_results()
with threadpoolctl.threadpool_limits(1):
    assert fastnorm.get_num_threads() == 1
    with fastnorm.num_threads(2):
        assert fastnorm.get_num_threads() == 1
    assert all_results() == expected
assert fastnorm.get_num_threads() == 2
with threadpoolctl.threadpool_limits(limits=1, user_api="openmp"):
    assert fastnorm.get_num_threads() == 1
with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
    assert fastnorm.get_num_threads() == 2
""",
        OMP_NUM_THREADS="2",
    )


# A product of small integers is exact, in whichever order PyTorch's threads add.
TORCH = """
import hashlib
import torch

def torch_results():
    torch.manual_seed(0)
    torch.set_num_threads(2)
    x, weight = (torch.randint(-4, 5, (700, 700)).float() for _ in range(2))
    y = torch.nn.functional.layer_norm(x @ weight, (700,))
    return hashlib.sha256(y.numpy().tobytes()).hexdigest()
"""


@needs_torch
@pytest.mark.parametrize("first", ["torch", "fastnorm"])
def test_torch_in_the_same_process(first, run_python):
    """Imported in either order and used in turns, both give what they give alone."""
    second = {"torch": "fastnorm", "fastnorm": "torch"}[first]
    ours = run_python("from test_embedding import *; print(digest_list())").stdout
    theirs = run_python(f"{TORCH}\nprint(torch_results())").stdout
    together = run_python(
        f"""
import {first}
import {second}
{TORCH}
from test_embedding import digest_list
before = torch_results()
print(digest_list())
print(torch_results())
assert before == torch_results()
"""
    ).stdout
    assert together == ours + theirs


def digest_list() -> str:
    """All digests in one line."""
    return " ".join(all_results())


@needs_torch
@needs_fork
@pytest.mark.parametrize("first", ["torch", "fastnorm"])
def test_fork_with_torch(first, run_python):
    """Both used, then a fork, then fastnorm in the child and both in the parent.

    Not PyTorch in the child: without fastnorm in the process it hangs there.
    """
    second = {"torch": "fastnorm", "fastnorm": "torch"}[first]
    run_python(
        f"""{WAIT}
import {first}
import {second}
{TORCH}
from test_embedding import all_results
fastnorm.set_num_threads(2)
expected, theirs = all_results(), torch_results()
assert wait(fork(lambda: all_results() == expected)) == 0
assert all_results() == expected
assert torch_results() == theirs
assert wait(fork(lambda: all_results() == expected)) == 0
"""
    )


@needs_torch
def test_tensors_are_taken_without_a_copy(run_python):
    """A CPU tensor comes in through DLPack or ``__array__``; `out` may be its memory."""
    run_python(
        """
import numpy as np
import torch
import fastnorm
x = torch.randn(20, 30)
y = fastnorm.layer_norm(x)
assert isinstance(y, np.ndarray)
np.testing.assert_array_equal(y, fastnorm.layer_norm(x.numpy()))
fastnorm.layer_norm(x, out=x.numpy())
np.testing.assert_array_equal(y, x.numpy())
"""
    )
