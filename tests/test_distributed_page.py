# SPDX-License-Identifier: BSD-3-Clause
"""docs/distributed.md: its code runs, with the engine it is for where that is installed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import fastnorm
from mpiexec import needs_mpi, run

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "distributed.md").read_text("utf-8")


def block(word: str) -> str:
    """The one block of Python in which a word stands."""
    (found,) = (b for b in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if word in b)
    return found


def run_block(word: str, **names) -> dict:
    """Run that block; return the names that it leaves."""
    namespace = {"fastnorm": fastnorm, **names}
    exec(compile(block(word), "docs/distributed.md", "exec"), namespace)
    return namespace


@needs_mpi
def test_program_under_mpi(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(block("MPI.COMM_WORLD") + "print(layer.running_mean[0])\n", "utf-8")
    status, printed = run(2, program)
    assert status == 0, printed
    first, second = printed.split()
    assert first == second


def test_dask(capsys):
    pytest.importorskip("dask", reason="the snippet is for Dask")
    left = run_block("import dask")
    assert capsys.readouterr().out.strip() in PAGE
    data = np.concatenate([left["chunk"](seed) for seed in range(20)])
    np.testing.assert_allclose(left["mean"], data.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(left["var"], data.var(axis=0, dtype=np.float64), rtol=1e-5)


def test_torch_distributed():
    dist = pytest.importorskip("torch.distributed", reason="the snippet is for PyTorch")
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("this PyTorch cannot communicate")
    comm = run_block("class TorchRanks")["TorchRanks"]()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        x = np.random.default_rng(0).normal(size=(8, 3))
        y = fastnorm.sync_batch_norm(x, comm=comm)
    finally:
        dist.destroy_process_group()
    np.testing.assert_array_equal(y, fastnorm.batch_norm(x))


class Later:
    """What Ray makes of a function."""

    def __init__(self, function):
        self.remote = function


class Parts(list):
    """What Spark makes of a list."""

    def map(self, function):
        return Parts(map(function, self))

    def collect(self):
        return list(self)


@pytest.mark.parametrize("engine", ["ray", "spark"])
def test_ray_and_spark(engine, rng, monkeypatch):
    """With stand-ins, as both are too large for a test: the words fit together."""
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(remote=Later, get=list))
    chunks = list(rng.normal(1e6, 1.0, (4, 10, 3)))
    words = {"ray": "import ray", "spark": "spark.parallelize"}[engine]
    names = {"chunks": chunks, "spark": SimpleNamespace(parallelize=Parts)}
    total = run_block(words, **names)["total"]
    want = fastnorm.moments(np.concatenate(chunks), axis=0)
    assert total.count == want.count
    np.testing.assert_allclose(total.var, want.var, rtol=1e-9)
