# SPDX-License-Identifier: BSD-3-Clause
"""benches/: asv understands its configuration and finds the benchmarks; one list of shapes."""

from __future__ import annotations

import ast
import importlib
import json
import re
import sys
from pathlib import Path

import pytest

from fastnorm.compare import catalogue

ROOT = Path(__file__).resolve().parents[1]
ASV = ROOT / "benches" / "asv"


@pytest.fixture(scope="module")
def settings():
    """asv.conf.json, whose comments are whole lines."""
    text = (ROOT / "asv.conf.json").read_text("utf-8")
    return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))


def test_asv_knows_every_key(settings):
    """asv ignores a misspelt key without a word."""
    config = pytest.importorskip("asv.config", reason="asv comes with the extra fastnorm[bench]")
    template = (Path(config.__file__).parent / "template" / "asv.conf.json").read_text("utf-8")
    documented = set(re.findall(r'^\s*(?://\s*)?"(\w+)":', template, re.MULTILINE))
    assert set(settings) <= documented | set(vars(config.Config()))
    assert set(settings["matrix"]) <= {"req", "env", "env_nobuild"}


def test_folders_exist(settings):
    assert ROOT / settings["benchmark_dir"] == ASV


@pytest.fixture
def benchmarks(monkeypatch):
    """The benchmark modules, imported as asv imports them: benches/ first on the path."""
    monkeypatch.syspath_prepend(str(ASV.parent))
    before = set(sys.modules)
    names = [name for name in before if name.split(".")[0] in ("asv", "shapes")]
    kept = {name: sys.modules.pop(name) for name in names}
    yield [importlib.import_module(f"asv.{path.stem}") for path in sorted(ASV.glob("bench_*.py"))]
    for name in set(sys.modules) - before:
        del sys.modules[name]
    sys.modules.update(kept)


def classes(module):
    """The benchmark classes of a module."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
        and any(name.startswith(("time", "track")) for name in vars(value))
    ]  # fmt: skip


def test_parameters_are_names_from_the_catalogue(benchmarks):
    names = [case.name for case in catalogue.CATALOGUE]
    found = 0
    for module in benchmarks:
        for cls in classes(module):
            if "case" in getattr(cls, "param_names", ()):
                found += 1
                chosen = cls.params[cls.param_names.index("case")]
                assert [name for name in names if name in chosen] == list(chosen)
    assert found >= 8


@pytest.mark.parametrize("implementation", ["fastnorm", "numpy"])
def test_timed_methods_run(benchmarks, implementation):
    by_name = {cls.__name__: cls for module in benchmarks for cls in classes(module)}
    by_name["Forward"]().time_forward("layer_norm-bert-base-token", implementation)
    by_name["Backward"]().time_backward("layer_norm-bert-base-token", implementation)


def test_every_overhead_call_runs(benchmarks):
    overhead = next(cls for module in benchmarks for cls in classes(module)
                    if cls.__name__ == "Overhead")  # fmt: skip
    for call in overhead.params[0]:
        overhead().time_call(call)


def test_tracked_error_is_a_number(benchmarks):
    by_name = {cls.__name__: cls for module in benchmarks for cls in classes(module)}
    for name in ("ForwardError", "BackwardError"):
        assert by_name[name]().track_error("layer_norm-bert-base-token", "float32") < 10


@pytest.mark.parametrize("path", sorted(ASV.glob("*.py")), ids=lambda path: path.name)
def test_rules_of_the_benchmark_modules(path):
    """No setup beside timed methods (asv would run it before every call), no pytest."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            if any(name.startswith("time") for name in methods):
                assert not methods & {"setup", "teardown"}
        if isinstance(node, ast.Import):
            assert all(alias.name != "pytest" for alias in node.names)
