# SPDX-License-Identifier: BSD-3-Clause
"""benches/gate: what gets worse fails and is named, what does not passes."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benches.asv import instructions
from benches.gate import figures, trees
from benches.gate.verdict import Figure, judge
from fastnorm._core import dispatch

ROOT = Path(__file__).resolve().parents[1]
CORE = Figure("case", "forward", "float32", "core")
PATH, ULP, TIME = (CORE._replace(kind=kind) for kind in ("path", "ulp", "time"))


# --- the verdict ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "passes", "fails"),
    [(CORE, 10200, 10201), (PATH, 10200, 10201), (ULP, 10000, 10001), (TIME, 10500, 10501)],
    ids=lambda value: value.kind if isinstance(value, Figure) else None,
)
def test_limits(figure, passes, fails):
    assert not judge({figure: 10000}, {figure: passes}, {"case"}, band=1.05)
    assert not judge({figure: 10000}, {figure: 5000}, {"case"}, band=1.05)
    (found,) = judge({figure: 10000}, {figure: fails}, {"case"}, band=1.05)
    assert found.figure == figure
    assert not found.accepted


def test_an_error_out_of_nothing_is_worse():
    (found,) = judge({ULP: 0.0}, {ULP: 0.0001}, {"case"})
    assert found.factor is None


def test_fewer_figures_fail():
    assert [found.head for found in judge({CORE: 1}, {}, {"case"})] == ["not measured"]
    assert [found.head for found in judge({CORE: 1}, {CORE: "broken"}, {"case"})] == ["broken"]
    assert [found.base for found in judge({CORE: "broken"}, {CORE: 1}, {"case"})] == ["broken"]
    assert len(judge({CORE: "broken"}, {CORE: "broken"}, {"case"})) == 1


def test_what_the_base_does_not_know_is_new():
    assert not judge({CORE: "no such case"}, {CORE: 1}, set())
    assert len(judge({CORE: "no such case"}, {CORE: "broken"}, set())) == 1


def test_a_commit_message_may_accept():
    base, head = {CORE: 100, PATH: 100}, {CORE: 110, PATH: 120}
    found = judge(base, head, {"case"}, accepted=["case * path"])
    assert [(one.figure.kind, one.accepted) for one in found] == [("path", True), ("core", False)]
    assert not judge(base, {CORE: 100}, {"case"}, accepted=["*"])[0].accepted


def test_the_noise_band_is_as_wide_as_the_worst_noise():
    assert figures.noise_band({}) == figures.noise_band({TIME: 1.001}) == 1.03
    assert figures.noise_band({TIME: 1 / 1.1, CORE: 1.02, PATH: "broken"}) == pytest.approx(1.1)


# --- the command ----------------------------------------------------------------------------------


def test_every_operation_with_a_small_case_is_counted():
    listed = [
        figures.Listed("small", "a", 10, False, ("forward", "backward")),
        figures.Listed("large", "a", 11, True, ("forward",)),
        figures.Listed("huge", "b", 1 << 30, True, ("forward",)),
    ]
    assert {subject.case for subject in figures.few(listed)} == {"small"}
    assert len(figures.few(listed)) == 2
    assert {subject.case for subject in figures.quick(listed)} == {"large", "huge"}


@pytest.fixture
def clone(tmp_path):
    """A repository of its own with this checkout's files, one commit, and what is compiled."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("an unpacked sdist: the gate compares commits")
    root = tmp_path / "clone"
    for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    trees.git(root, "init", "--quiet", "--initial-branch=main")
    trees.git(root, "config", "user.name", "gate")
    trees.git(root, "config", "user.email", "gate@example.org")
    commit(root, "as it is")
    if (ROOT / "build").is_dir():
        shutil.copytree(ROOT / "build", root / "build", copy_function=shutil.copyfile)
        for module in (ROOT / "fastnorm" / "_core").glob("*.so"):
            shutil.copyfile(module, root / "fastnorm" / "_core" / module.name)
    return root


def commit(root, message):
    """Commit all of a repository."""
    trees.git(root, "add", "--all")
    trees.git(root, "commit", "--quiet", "--allow-empty", "-m", message)


def replace(path, old, new):
    """Replace the first place where a file has `old`."""
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def gate(root, base="HEAD~1"):
    """The exit status of the gate on one operation, and the figures it names."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(root.parent / "cache"), "COLUMNS": "160"}
    environment.pop("PYTHONPATH", None)
    run = subprocess.run(
        [sys.executable, "-m", "benches.gate", "--counts", "--cases=rms_norm-*", base],
        cwd=root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode in (0, 1), run.stdout + run.stderr
    lines = [line.split("  ")[0].strip() for line in run.stdout.splitlines()]
    return run.returncode, {line for line in lines if line.endswith((" core", " path"))}


@pytest.mark.slow
@pytest.mark.skipif(instructions.missing() is not None, reason=str(instructions.missing()))
@pytest.mark.skipif(importlib.util.find_spec("Cython") is None, reason="nothing compiles here")
def test_what_gets_worse_is_named(clone):
    """One test: both bases have the same sources, which the gate keeps compiled."""
    forward = "rms_norm-llama-7b-decode forward float32"

    commit(clone, "nothing")
    first = gate(clone)  # builds the base, which the others find
    with ThreadPoolExecutor(2) as pool:
        others = pool.map(lambda _: gate(clone), range(9))
    assert [first, *others] == [(0, set())] * 10

    family = clone / "fastnorm" / "rms_norm.py"
    before = "    flags = _RAW_STATS if return_stats else _core.RAW\n"
    replace(family, before, f"    np.empty(8, np.float32)\n{before}")
    commit(clone, "an allocation that nobody needs")

    # The loop is 3 instructions for 20 values, of which the kernel spends some 50 on them.
    kernel = clone / "src" / "kernels" / "affine.tmpl.h"
    head, function, rest = kernel.read_text("utf-8").partition("FN_N(fn_affine)(void *y")
    slower = (
        '    for (size_t i = 0; i < rows * n / 20; i++) {\n        __asm__ volatile("");\n    }\n'
    )
    kernel.write_text(
        head + function + rest.replace("    fn_out o;\n", slower + "    fn_out o;\n", 1)
    )
    commit(clone, "a slower kernel")
    if "v3" in dispatch.available():
        # Valgrind runs this tier, and the cases this type; the others need not be compiled again.
        for compiled in clone.glob("build/kernels/*/**/*.o"):
            if not compiled.relative_to(clone / "build/kernels").parts[0].startswith("v3-f32-"):
                os.utime(compiled, (time.time() + 1,) * 2)
    assert gate(clone, "HEAD~2") == (1, {f"{forward} path", f"{forward} core"})
