# SPDX-License-Identifier: BSD-3-Clause
"""benches/asv: its configuration, what it runs and records, and how a commit is built."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastnorm
from benches import build_wheel
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
    [command] = settings["build_command"]
    assert Path(build_wheel.__file__) == ROOT / re.search(r"{conf_dir}/(\S+)", command)[1]


@pytest.fixture
def load(monkeypatch):
    """Import the benchmark modules as asv imports them, benches/ first on the path, by name."""
    monkeypatch.syspath_prepend(str(ASV.parent))
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if of_asv(name)}

    def modules(profile="quick"):
        monkeypatch.setenv("FASTNORM_BENCH", profile)
        for name in list(filter(of_asv, sys.modules)):
            del sys.modules[name]
        return {path.stem: importlib.import_module(f"asv.{path.stem}")
                for path in sorted(ASV.glob("*.py")) if path.stem != "__init__"}  # fmt: skip

    yield modules
    for name in list(filter(of_asv, sys.modules)):
        del sys.modules[name]
    sys.modules.update(kept)


def of_asv(name):
    """Whether a module is one of `asv`, the tool or our folder of that name."""
    return name.split(".")[0] == "asv"


def families(modules):
    """The modules that hold a family, by name."""
    return {name: module for name, module in modules.items() if hasattr(module, "FAMILY")}


def benchmarks(modules):
    """Yield name, class and method of everything that asv would run."""
    for module in modules.values():
        for cls in vars(module).values():
            if isinstance(cls, type) and not inspect.isabstract(cls):
                for name, method in inspect.getmembers(cls, inspect.isfunction):
                    if re.match("(time|peakmem|track)_", name):
                        yield f"{module.__name__}.{cls.__name__}.{name}", cls, method


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_every_operation_is_in_one_family(load, profile):
    modules = load(profile)
    assert sorted(op for module in families(modules).values() for op in module.FAMILY.ops) == (
        sorted(catalogue.OPS)
    )
    chosen = [case.name for case in catalogue.CATALOGUE if case.quick or profile == "full"]
    for recorded in ("Calls", "Comparisons"):
        cases = [case for module in families(modules).values()
                 for case in getattr(module, recorded).params[0]]  # fmt: skip
        assert sorted(cases) == sorted(chosen)


def test_full_has_all_that_quick_has(load):
    quick = {name: cls.params for name, cls, _ in benchmarks(load("quick"))
             if hasattr(cls, "params")}  # fmt: skip
    full = {name: cls.params for name, cls, _ in benchmarks(load("full")) if hasattr(cls, "params")}
    assert quick.keys() == full.keys()
    for name, params in quick.items():
        for few, all_of_them in zip(params, full[name], strict=True):
            assert set(few) <= set(all_of_them)


def test_a_misspelt_profile_is_refused(load):
    with pytest.raises(ValueError, match="'slow' is none of quick, full"):
        load("slow")


def test_names_tell_benchmarks_apart(load):
    found = list(benchmarks(load()))
    names = [method.pretty_name for _, _, method in found]
    assert len(found) > 30
    assert len(set(names)) == len(names)
    for name, cls, method in found:
        if ".track" in name:
            assert getattr(method, "unit", None) or cls.unit


def smallest(cls):
    """The parameters of the smallest case of a class, forward."""
    names = set(cls.params[0])
    case = min((case for case in catalogue.CATALOGUE if case.name in names), key=size)
    return [case.name, "forward", *(values[0] for values in cls.params[2:])]


def size(case):
    return case.size


def test_timed_methods_run_in_every_layout_and_on_all_threads(load):
    before = fastnorm.get_num_threads()
    try:
        for module in families(load("full")).values():
            call = smallest(module.Calls)
            module.Calls().time_call(*call)
            module.Calls().peakmem_call(*call[:-2], "F", "all")
    finally:
        fastnorm.set_num_threads(before)


def test_every_overhead_call_runs(load):
    overhead = load()["bench_overhead"].Overhead
    assert not overhead.skip_params
    for call in overhead.params[0]:
        overhead().time_call(call)


def test_comparisons(load):
    comparisons = load()["bench_layer_norm"].Comparisons
    comparisons.params = [["layer_norm-bert-base-token"], ["forward", "backward"], ["float32"]]
    found = comparisons().setup_cache()
    assert len(found) == 2
    for call in found:
        assert 0 < comparisons().track_error(found, *call) < 10
        assert 0 < comparisons().track_over_numpy(found, *call) < math.inf
        assert 0 < comparisons().track_over_copy(found, *call) < math.inf


def test_a_call_that_fails_does_not_take_the_others_along(load):
    comparisons = load()["bench_layer_norm"].Comparisons
    comparisons.params = [["layer_norm-bert-base-token", "no-such-case"], ["forward"], ["float32"]]
    found = comparisons().setup_cache()
    assert comparisons().track_error(found, "layer_norm-bert-base-token", "forward", "float32") > 0
    with pytest.raises(RuntimeError, match="no case is called 'no-such-case'"):
        comparisons().track_error(found, "no-such-case", "forward", "float32")


def test_what_a_commit_lacks_is_not_applicable(load, monkeypatch):
    monkeypatch.delattr(fastnorm, "whiten_backward")
    # A function that does not know one of the arguments yet.
    monkeypatch.setattr(fastnorm, "rms_norm", lambda x, *, axis: x)
    monkeypatch.delattr(fastnorm, "LayerNorm")
    modules = load()
    skipped = {values[:2] for module in families(modules).values()
               for values in module.Calls.skip_params}  # fmt: skip
    assert skipped == {
        ("moments-bert-large-tokens", "backward"),  # has none
        ("whiten-dbn-vgg", "backward"),
        ("rms_norm-llama-7b-decode", "forward"),
        ("rms_norm-llama-7b-prompt", "forward"),
    }
    assert modules["bench_overhead"].Overhead.skip_params == (("LayerNorm",),)
    instructions = modules["bench_instructions"].Instructions
    assert ("rms_norm-llama-7b-decode", "forward") in instructions.skip_params


def test_without_valgrind_instructions_are_not_applicable(load, monkeypatch):
    modules = load()
    monkeypatch.setattr(modules["instructions"], "missing", lambda: "no valgrind here")
    instructions = modules["bench_instructions"].Instructions()
    found = instructions.setup_cache()
    with pytest.raises(NotImplementedError, match="no valgrind here"):
        instructions.setup(found, *smallest(instructions))


def test_a_case_that_an_older_catalogue_lacks_has_no_instructions(load, monkeypatch):
    modules = load()
    monkeypatch.setattr(modules["instructions"], "missing", lambda: None)
    answers = ["KeyError: \"no case is called 'new'\"", "TypeError: of any other kind"]
    monkeypatch.setattr(modules["instructions"], "counts", lambda requests: answers)
    instructions = modules["bench_instructions"].Instructions
    instructions.params = [["rms_norm-llama-7b-decode"], ["forward", "backward"]]
    found = instructions().setup_cache()
    with pytest.raises(NotImplementedError, match="no case is called 'new'"):
        instructions().setup(found, "rms_norm-llama-7b-decode", "forward")
    failed = ("rms_norm-llama-7b-decode", "backward")
    instructions().setup(found, *failed)
    with pytest.raises(RuntimeError, match="of any other kind"):
        instructions().track_core(found, *failed)


def test_import_time_and_wheel(load, monkeypatch, tmp_path):
    module = load()["bench_import"]
    monkeypatch.setattr(module, "INTERPRETERS", 1)
    assert 0 < module.Import().track_import() < math.inf

    class Installed:
        def read_text(self, name):
            wheel = (tmp_path / "fastnorm x.whl").as_uri()
            return json.dumps({"url": wheel}) if name == "direct_url.json" else None

    monkeypatch.setattr(module, "distribution", lambda name: Installed())
    with pytest.raises(NotImplementedError, match="wheel"):
        module.Size().setup()
    (tmp_path / "fastnorm x.whl").write_bytes(bytes(123))
    module.Size().setup()
    assert module.Size().track_wheel() == 123


@pytest.mark.parametrize("path", sorted(ASV.glob("*.py")), ids=lambda path: path.name)
def test_rules_of_the_benchmark_modules(path):
    """No setup beside timed methods (asv would run it before every call), no pytest."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            if any(name.startswith("time") for name in methods):
                assert not methods & {"setup", "setup_cache", "teardown"}
        if isinstance(node, ast.Import):
            assert all(alias.name != "pytest" for alias in node.names)


def test_an_older_commit_is_measured_with_the_code_of_the_checkout(tmp_path):
    """An installed package without the catalogue stands for one with another."""
    package = Path(fastnorm.__file__).parent
    shutil.copytree(package, tmp_path / "fastnorm", ignore=shutil.ignore_patterns("compare"))
    code = f"""
import sys
sys.path[:0] = [{str(tmp_path)!r}, {str(ASV.parent)!r}]
import asv.bench_whiten, fastnorm.compare.catalogue
print(fastnorm.__file__)
print(fastnorm.compare.catalogue.__file__)
print(fastnorm.reference.__file__)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert list(map(Path, done.stdout.split())) == [
        tmp_path / "fastnorm" / "__init__.py",
        ROOT / "fastnorm" / "compare" / "catalogue.py",
        ROOT / "fastnorm" / "reference" / "__init__.py",
    ]


@pytest.fixture
def source(tmp_path):
    """A repository with a compiled source and a Python file."""
    folder = tmp_path / "source"
    for name in ("src/kernel.h", "setup.py", "fastnorm/layer_norm.py"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("first")
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def git(folder, *arguments):
    subprocess.run(["git", "-C", folder, *arguments], check=True)


def commit(folder):
    git(folder, "add", ".")
    name = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    git(folder, *name, "commit", "--quiet", "--message=one")


def test_what_is_kept_goes_by_the_content_of_compiled_sources(source):
    first = build_wheel.content_of(source)
    (source / "fastnorm" / "layer_norm.py").write_text("second")
    commit(source)
    assert build_wheel.content_of(source) == first
    (source / "src" / "kernel.h").write_text("second")
    commit(source)
    assert build_wheel.content_of(source) != first


def test_a_second_build_finds_what_the_first_compiled(source, tmp_path, monkeypatch):
    """No Python file is kept: it would end up in the wheel of another commit."""
    compiled = source / "build" / "lib" / "layer_norm.so"
    found = []

    def pip(command, **kwargs):
        if command[0] == "git":
            return run(command, **kwargs)
        found.append(compiled.exists())
        compiled.parent.mkdir(parents=True, exist_ok=True)
        compiled.write_text("machine code")
        compiled.with_suffix(".py").write_text("first")
        return None

    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", pip)
    build_wheel.main(source, tmp_path, tmp_path / "kept")
    shutil.rmtree(source / "build")
    build_wheel.main(source, tmp_path, tmp_path / "kept")
    assert found == [False, True]
    kept = [path.name for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert kept == ["layer_norm.so"]
