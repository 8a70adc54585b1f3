# SPDX-License-Identifier: BSD-3-Clause
"""What `import fastnorm` does: choose an ISA tier or refuse to, and little else."""

from __future__ import annotations

import platform
import shutil
import textwrap
from pathlib import Path

import pytest

import fastnorm

# Tiers that exist, and that no machine of this architecture has.
FOREIGN = {"x86_64": "neon", "AMD64": "neon", "aarch64": "v3", "arm64": "v3"}


@pytest.mark.parametrize("value", ["avx9000", "V3", "v3,v4", "1"])
def test_unknown_isa_is_an_import_error(run_python, value):
    done = run_python("import fastnorm", check=False, FASTNORM_ISA=value)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert "FASTNORM_ISA" in last
    assert repr(value) in last
    assert "baseline" in last  # the values that would do


def test_isa_of_another_machine_is_an_import_error(run_python):
    value = FOREIGN.get(platform.machine())
    if value is None:
        pytest.skip(f"no tier is known to be foreign to {platform.machine()}")
    done = run_python("import fastnorm", check=False, FASTNORM_ISA=value)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert "FASTNORM_ISA" in last
    assert repr(value) in last


def test_import_loads_no_optional_package(run_python):
    """They cost tens of milliseconds each; the budget is 10 ms over NumPy."""
    code = """
        import sys
        import numpy
        before = set(sys.modules)
        import fastnorm
        print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
        print(*sorted(name for name in sys.modules if name.startswith("fastnorm.")))
    """
    new, ours = run_python(textwrap.dedent(code)).stdout.splitlines()
    assert not {"matplotlib", "ml_dtypes", "rich", "scipy", "threadpoolctl", "torch"} & set(
        new.split()
    )
    assert "fastnorm._core" in ours.split()
    assert not [
        name for name in ours.split() if name.startswith(("fastnorm.reference", "fastnorm.compare"))
    ]


def test_import_leaves_the_process_as_it_was(run_python):
    """No thread is started, no environment variable, signal handler or warning filter changed."""
    code = """
        import os, signal, sys, warnings
        import numpy
        def state():
            handlers = {s: signal.getsignal(s) for s in signal.valid_signals()}
            tasks = "/proc/self/task"  # Linux: a folder per thread
            threads = os.listdir(tasks) if os.path.isdir(tasks) else []
            return dict(os.environ), handlers, threads, list(warnings.filters), numpy.geterr()
        before = state()
        import fastnorm
        assert state() == before
    """
    done = run_python(textwrap.dedent(code))
    assert done.stdout == done.stderr == ""


def test_missing_core_says_what_to_do(run_python, tmp_path):
    """A checkout that was never built is the first thing a newcomer imports by accident."""
    source = Path(fastnorm.__file__).parent
    shutil.copytree(
        source, tmp_path / "fastnorm", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import fastnorm"
    done = run_python(code, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode != 0
    assert last.startswith("ImportError: ")
    assert "pip install -e ." in last
