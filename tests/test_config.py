# SPDX-License-Identifier: BSD-3-Clause
"""Threads, instruction sets, and what `show_config` says about them."""

from __future__ import annotations

import concurrent.futures
import os
import platform

import numpy as np
import pytest

import fastnorm

CONFIG = fastnorm.show_config("dicts")
needs_openmp = pytest.mark.skipif(not CONFIG["openmp"], reason="built without OpenMP")
needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="the system sets no CPU affinity"
)


def test_show_config_prints_what_it_returns(capsys):
    assert fastnorm.show_config() is None
    printed = capsys.readouterr().out
    for name in CONFIG:
        assert f"{name}:" in printed
    assert fastnorm.__version__ in printed
    assert np.__version__ in printed


def test_show_config_content():
    assert CONFIG["versions"]["fastnorm"] == fastnorm.__version__
    assert CONFIG["versions"]["numpy"] == np.__version__
    assert CONFIG["isa"] in CONFIG["isa_available"]
    assert set(CONFIG["isa_available"]) <= set(CONFIG["isa_built"])
    if platform.machine() == "x86_64":
        assert set(CONFIG["isa_built"]) == {"baseline", "v3", "v4"}
        assert "baseline" in CONFIG["isa_available"]
    assert CONFIG["l2"] > 0
    assert CONFIG["llc"] >= CONFIG["l2"]


@needs_openmp
def test_show_config_is_of_now():
    with fastnorm.num_threads(3):
        assert fastnorm.show_config("dicts")["threads"] == 3


@pytest.mark.parametrize("mode", ["yaml", None, "DICTS"])
def test_show_config_mode(mode):
    with pytest.raises(ValueError, match="mode") as raised:
        fastnorm.show_config(mode)
    assert repr(mode) in str(raised.value)


# ---- instruction sets -------------------------------------------------------------------------

SHOW_ISA = "import fastnorm; print(fastnorm.show_config('dicts')['isa'])"


@pytest.mark.parametrize("tier", CONFIG["isa_available"])
def test_isa_is_forced(tier, run_python):
    assert run_python(SHOW_ISA, FASTNORM_ISA=tier).stdout.strip() == tier


@pytest.mark.parametrize("empty", [None, ""])
def test_isa_is_the_best_by_default(empty, run_python):
    chosen = run_python(SHOW_ISA, FASTNORM_ISA=empty).stdout.strip()
    order = ("baseline", "neon", "v3", "v4")
    assert chosen == max(CONFIG["isa_available"], key=order.index)


@pytest.mark.parametrize("name", ["avx512", "V3", "v5", "scalar", "v3 "])
def test_unknown_isa(name, run_python):
    done = run_python("import fastnorm", check=False, FASTNORM_ISA=name)
    message = done.stderr.strip().splitlines()[-1]
    assert done.returncode != 0
    assert message.startswith("ImportError")
    assert "FASTNORM_ISA" in message
    assert name.strip() in message
    assert all(tier in message for tier in CONFIG["isa_built"]), "it should say what there is"


LACKING = sorted(set(CONFIG["isa_built"]) - set(CONFIG["isa_available"]))


@pytest.mark.skipif(not LACKING, reason="this machine runs every tier that was built")
def test_isa_that_this_machine_lacks(run_python):
    done = run_python("import fastnorm", check=False, FASTNORM_ISA=LACKING[0])
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError")
    assert LACKING[0] in message


@pytest.mark.parametrize("value", ["-1", "1e6", "many", "1 MB"])
def test_bad_stream_threshold(value, run_python):
    done = run_python("import fastnorm", check=False, FASTNORM_STREAM_THRESHOLD=value)
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError")
    assert "FASTNORM_STREAM_THRESHOLD" in message
    assert value in message


# ---- threads ----------------------------------------------------------------------------------

SHOW_THREADS = "import fastnorm; print(fastnorm.get_num_threads())"


@needs_openmp
@pytest.mark.parametrize("threads", [1, 2])
def test_omp_num_threads(threads, run_python):
    shown = run_python(SHOW_THREADS, OMP_NUM_THREADS=str(threads)).stdout
    assert int(shown) == threads


@needs_affinity
def test_affinity(run_python):
    """A process on one CPU takes one thread."""
    code = f"import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n{SHOW_THREADS}"
    assert int(run_python(code, OMP_NUM_THREADS=None).stdout) == 1


@needs_affinity
@needs_openmp
def test_all_cpus_by_default(run_python):
    available = len(os.sched_getaffinity(0))
    assert 1 <= int(run_python(SHOW_THREADS, OMP_NUM_THREADS=None).stdout) <= available


@needs_openmp
def test_set_num_threads():
    for n in (3, 1, 8, np.int64(2)):
        fastnorm.set_num_threads(n)
        assert fastnorm.get_num_threads() == n


@needs_openmp
def test_set_num_threads_reaches_other_python_threads():
    fastnorm.set_num_threads(3)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(fastnorm.get_num_threads).result() == 3


@pytest.mark.parametrize("function", [fastnorm.set_num_threads, fastnorm.num_threads])
@pytest.mark.parametrize(
    ("n", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (1.0, TypeError),
        ("2", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_bad_number_of_threads(function, n, error):
    before = fastnorm.get_num_threads()
    with pytest.raises(error, match=r"\bn\b") as raised:
        function(n)
    assert repr(n) in str(raised.value)
    assert fastnorm.get_num_threads() == before


@needs_openmp
def test_num_threads_restores():
    before = fastnorm.get_num_threads()
    with fastnorm.num_threads(3):
        assert fastnorm.get_num_threads() == 3
        with fastnorm.num_threads(1):
            assert fastnorm.get_num_threads() == 1
        assert fastnorm.get_num_threads() == 3
    assert fastnorm.get_num_threads() == before


@needs_openmp
def test_num_threads_restores_after_an_error():
    before = fastnorm.get_num_threads()
    with pytest.raises(RuntimeError), fastnorm.num_threads(before + 1):
        raise RuntimeError
    assert fastnorm.get_num_threads() == before


@needs_openmp
def test_num_threads_can_be_entered_again():
    before = fastnorm.get_num_threads()
    block = fastnorm.num_threads(3)
    for _ in range(2):
        with block, block:
            assert fastnorm.get_num_threads() == 3
        assert fastnorm.get_num_threads() == before


@needs_openmp
def test_num_threads_is_of_its_python_thread():
    before = fastnorm.get_num_threads()
    with concurrent.futures.ThreadPoolExecutor(1) as pool, fastnorm.num_threads(before + 2):
        assert pool.submit(fastnorm.get_num_threads).result() == before


@needs_openmp
def test_set_num_threads_within_a_block():
    """The block's number holds inside it, the process's after it."""
    with fastnorm.num_threads(3):
        fastnorm.set_num_threads(5)
        assert fastnorm.get_num_threads() == 3
    assert fastnorm.get_num_threads() == 5
