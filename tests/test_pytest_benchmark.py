# SPDX-License-Identifier: BSD-3-Clause
"""``pytest benches/compare``: a group per case, a flag for a correct result, JSON and histogram."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastnorm.compare.catalogue import find

ROOT = Path(__file__).resolve().parents[1]
CASE = "layer_norm-bert-base-token"
# As short as it goes: what is tested is what is recorded, not how fast it is.
BRIEFLY = ["--benchmark-min-rounds=1", "--benchmark-max-time=0.001", "--benchmark-warmup=off"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One case in a session of its own; what it wrote."""
    # Not imported: pygal puts a finder on sys.meta_path that every later import warns of.
    for needed in ("pytest_benchmark", "pygal"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} comes with the extra fastnorm[bench]")
    folder = tmp_path_factory.mktemp("benchmark")
    # -P: what is measured is what is installed, as with the command `pytest`.
    command = [sys.executable, "-P", "-m", "pytest", "benches/compare", "-k", f"test_op and {CASE}",
               "--benchmark-group-by=group", f"--benchmark-json={folder / 'all.json'}",
               f"--benchmark-histogram={folder / 'plot'}", "-p", "no:cacheprovider",
               "-p", "no:xdist", *BRIEFLY]  # fmt: skip
    # A worker of pytest-xdist says so in the environment, and nothing is timed in workers.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command, cwd=ROOT, env=outside, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def groups(folder):
    """What the JSON file says, by group."""
    groups = {}
    for entry in json.loads((folder / "all.json").read_text("utf-8"))["benchmarks"]:
        groups.setdefault(entry["group"], []).append(entry)
    return groups


def test_a_group_per_case_and_direction(groups):
    label = f"layer_norm {find(CASE).label}"
    assert set(groups) == {f"{label} forward", f"{label} backward"}
    for entries in groups.values():
        names = sorted(entry["extra_info"]["implementation"] for entry in entries)
        assert names == ["fastnorm", "numpy"]


def test_the_result_is_judged(groups):
    for entries in groups.values():
        for entry in entries:
            said = entry["extra_info"]
            assert said["case"] == CASE
            assert said["correct"] is True
            assert 0 < said["error_ulp"] < 10
            streams = {"forward": 2, "backward": 3}[said["direction"]]
            assert said["bytes"] == streams * 4 * find(CASE).size
            assert entry["stats"]["median"] > 0


def test_a_histogram_per_group(folder, groups):
    drawn = [path.read_text("utf-8") for path in folder.glob("plot-*.svg")]
    assert len(drawn) == len(groups)
    for name in groups:
        assert any(f"of {name}" in text for text in drawn)
