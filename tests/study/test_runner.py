# SPDX-License-Identifier: BSD-3-Clause
"""Running trials: each once, each kept whole, and the command as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from examples.beyond_batchnorm import runner
from examples.beyond_batchnorm.claims_of_identities import IDENTITIES
from examples.beyond_batchnorm.claims_of_starts import STARTS, with_depth, with_speed
from examples.beyond_batchnorm.figures import FIGURES
from examples.beyond_batchnorm.nets import Design
from examples.beyond_batchnorm.results import Results
from examples.beyond_batchnorm.training import Recipe
from examples.beyond_batchnorm.trials import Trial, plan
from examples.beyond_batchnorm.verdicts import HELD

ROOT = Path(__file__).resolve().parents[2]
SMALL = Trial("curves", 0, Design("group-4", depth=2, channels=4), Recipe(epochs=1))


@pytest.fixture
def counted(monkeypatch):
    """Run trials in this process, and count them."""
    ran = []

    class Pool:
        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, function, trial, *others):
            from concurrent.futures import Future

            done = Future()
            ran.append(trial.name)
            done.set_result(function(trial, *others))
            return done

    monkeypatch.setattr(runner, "ProcessPoolExecutor", Pool)
    return ran


def test_what_is_kept_is_not_run_again(tmp_path, counted):
    first = runner.run([SMALL], tmp_path)
    (tmp_path / "another.part").write_text("{")  # what an interruption leaves
    assert runner.run([SMALL], tmp_path) == first
    assert counted == [SMALL.name]


def test_another_recipe_is_another_trial(tmp_path, counted):
    runner.run([SMALL], tmp_path)
    runner.run([replace(SMALL, recipe=Recipe(epochs=2))], tmp_path)
    assert counted == [SMALL.name] * 2


def test_same_seed_same_numbers(tmp_path, counted):
    losses = [runner.run([SMALL], tmp_path / str(time))[0]["result"]["loss"] for time in range(2)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("quick", [True, False])
def test_trials_have_names_of_their_own(quick):
    names = [trial.name for trial in plan(quick=quick)]
    assert len(set(names)) == len(names)


@pytest.mark.slow
def test_quick_run(tmp_path):
    """The command in one go: every file, and the inequalities that one seed must show."""
    words = [sys.executable, "-m", "examples.beyond_batchnorm", "--quick", "--keep", tmp_path]
    environment = os.environ | {"COLUMNS": "200"}
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    out = tmp_path / "quick"
    assert {file.stem for file in out.glob("*.svg")} == set(FIGURES)
    results = Results(json.loads((out / "results.json").read_text("utf-8")))
    # One is about small groups too, where it does not hold; one is about how fast all learn.
    orders = [claim for claim in STARTS if claim.judge not in (with_depth, with_speed)]
    for claim in (*orders, *IDENTITIES):
        assert claim.judge(results).held == HELD, (claim.text, claim.judge(results).measured)
    spent = results.seconds()
    assert 0 < spent["normalizers"] < spent["all"]
