# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures for the tests of the command."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from fastnorm.compare import cli
from fastnorm.compare.measure import Budget

# A command that takes longer than this hangs: the longest here measures for a second or two.
HANG = 120.0


@pytest.fixture
def instant(monkeypatch):
    """One round of one call each: what is tested is never a time."""
    for name in ("QUICK", "FULL"):
        monkeypatch.setattr(cli, name, Budget(seconds=0, min_rounds=1, max_rounds=1, batch_s=0))


@pytest.fixture
def command(tmp_path):
    """Start the real command in a fresh interpreter, its output in pipes."""
    started = []

    def start(*words, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        environment = {**os.environ, **options.pop("env", {})}
        process = subprocess.Popen(
            [sys.executable, "-m", "fastnorm", *map(str, words)],
            cwd=tmp_path,
            env=environment,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def activations(tmp_path, rng):
    """A small .npy file: (tokens, features) in float32, away from mean 0."""
    path = tmp_path / "activations.npy"
    np.save(path, rng.standard_normal((12, 40), dtype=np.float32) + 3)
    return path
