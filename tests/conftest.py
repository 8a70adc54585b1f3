# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures and settings for every test module.

Random data come from the `rng` fixture or from a generator seeded in the test, so that a failure
repeats. Property tests run the same examples every time ("ci"); ``HYPOTHESIS_PROFILE=explore``
draws new ones, and more of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import hypothesis
import numpy as np
import pytest

# At the end of the path: `benches` is found in the checkout, fastnorm where it is installed.
sys.path.append(str(Path(__file__).resolve().parents[1]))

pytest.register_assert_rewrite("cases", "families", "oracle", "tolerance")

import fastnorm  # noqa: E402
from cases import DTYPES, OPS  # noqa: E402  (announced above, before the first import)

hypothesis.settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, max_examples=60
)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A child that takes longer than this hangs; everything here is done in a small part of it.
HANG = 120.0


@pytest.fixture
def rng(request) -> np.random.Generator:
    """Random numbers of the test's own, the same in every run and in any order of the tests."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request) -> np.dtype:
    """Each of the four float types."""
    return request.param


@pytest.fixture(params=OPS)
def op(request) -> str:
    """The name of each normalizer."""
    return request.param


@pytest.fixture(autouse=True)
def _threads_restored():
    """A number of threads that a test sets for the process ends with the test."""
    before = fastnorm.get_num_threads()
    yield
    fastnorm.set_num_threads(before)


@pytest.fixture
def run_python():
    """Run a snippet in a fresh interpreter, which can import the helpers beside the tests.

    ``run_python(code, FASTNORM_ISA="v3")`` returns the finished process; an environment variable
    given as None is removed. Unless ``check=False`` a failing snippet fails the test.
    """

    def run(code: str, *, check: bool = True, **environment: str | None):
        env = {name: value for name, value in os.environ.items() if name not in environment}
        env |= {name: value for name, value in environment.items() if value is not None}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parent,
            env=env,
            capture_output=True,
            text=True,
            timeout=HANG,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run
