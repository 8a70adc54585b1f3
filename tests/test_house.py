# SPDX-License-Identifier: BSD-3-Clause
"""The rules of CONTRIBUTING.md about where things live, read off the sources.

One arrow: the API calls the plan and the drivers, the drivers call the kernels, and nothing names a
room above its own. The rules are checked on names (imports, cimports, includes), with comments and
docstrings taken out first.
"""

from __future__ import annotations

import ast
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

import fastnorm

ROOT = Path(__file__).resolve().parents[1]
SPDX = "SPDX-License-Identifier: BSD-3-Clause"
LONGEST = {".c": 500, ".h": 500, ".inc": 500, ".py": 400, ".pyi": 400, ".pyx": 400, ".pxd": 400}


def in_tree(*folders: str) -> list[Path]:
    """Return every source file below `folders`, sorted."""
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in LONGEST and "__pycache__" not in path.parts
    )


def name_of(path: Path) -> str:
    """Name a file as messages and test ids should: relative to the checkout, with slashes."""
    return path.relative_to(ROOT).as_posix()


EVERYWHERE = [*in_tree("fastnorm", "src", "tests", "benches", "examples", ".ci"), ROOT / "setup.py"]
API = sorted(p for p in (ROOT / "fastnorm").glob("*.py") if p.stem != "__main__")
KERNELS = in_tree("src/kernels")
COMPILED = [p for p in in_tree("src", "fastnorm/_core") if p.suffix not in {".py", ".pyi"}]


def test_the_sources_were_found():
    """The rules below are parametrized from the tree: an empty list would pass them all."""
    assert len(API) >= 8
    assert len(KERNELS) >= 8
    assert {p.suffix for p in EVERYWHERE} >= {".c", ".h", ".py", ".pyx", ".pxd", ".pyi"}


# --- what a file names ----------------------------------------------------------------------------


def python_imports(source: str) -> set[str]:
    """Return the modules `source` imports anywhere; ``from a import b`` counts as a.b too."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def c_code(source: str) -> str:
    """Return C without comments; string literals stay, includes are made of them."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", source, flags=re.DOTALL)


def cython_code(source: str) -> str:
    """Return Cython without docstrings and comments."""
    source = re.sub(r'(?:[rRbBuUfF]{0,2})("""|\'\'\').*?\1', '""', source, flags=re.DOTALL)
    return re.sub(r"#[^\n]*", "", source)


def code_of(path: Path) -> str:
    """Return what a compiler sees of a C or Cython file."""
    source = path.read_text("utf-8")
    return cython_code(source) if path.suffix in {".pyx", ".pxd"} else c_code(source)


def includes(path: Path) -> set[str]:
    """Return the headers a C or Cython file names, by their file name alone."""
    code = code_of(path)
    named = re.findall(r'#\s*include\s*["<]([^">]+)[">]', code)
    named += re.findall(r'cdef\s+extern\s+from\s+["\']<?([^"\'>]+)', code)
    return {Path(name).name for name in named}


def cimports(path: Path) -> set[str]:
    """Return the modules a Cython file cimports; ``from a cimport b`` counts as a.b too."""
    names = set()
    for module, imported in re.findall(
        r"^\s*from\s+([\w.]+)\s+cimport\s+(\([^)]*\)|[^\n]*)", code_of(path), re.MULTILINE
    ):
        names.add(module)
        names |= {f"{module}.{name}" for name in re.findall(r"\w+", imported)}
    names |= set(re.findall(r"^\s*cimport\s+([\w.]+)", code_of(path), re.MULTILINE))
    return names


def headers_of(room: str) -> set[str]:
    """Return the file names of the headers and templates in a room under src/."""
    return {p.name for p in in_tree(f"src/{room}") if p.suffix in {".h", ".inc"}}


# --- one arrow ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", API, ids=name_of)
def test_the_api_names_neither_reference_nor_compare(path):
    named = python_imports(path.read_text("utf-8"))
    if path.stem == "__init__":
        # It hands out the reference when somebody asks for it; test_import.py sees that it waits.
        named -= {"fastnorm.reference"}
    above = r"(fastnorm\.(reference|compare|__main__)|tests|benches)\b"
    assert not {name for name in named if re.match(above, name)}


SHARED = sorted(p.stem for p in API if re.match(r"_(?!\w+_layer$)[a-z]|config", p.stem))


@pytest.mark.parametrize("name", SHARED)
def test_what_families_share_names_no_family(name):
    """Checks, groups and settings serve every family; they know `moments`, which all build on."""
    families = {p.stem for p in API if not p.stem.startswith("_")} - {"config", "moments"}
    named = python_imports((ROOT / "fastnorm" / f"{name}.py").read_text("utf-8"))
    assert not named & {f"fastnorm.{family}" for family in families}


@pytest.mark.parametrize("path", in_tree("fastnorm/reference"), ids=name_of)
def test_the_reference_needs_numpy_alone(path):
    """An oracle that shares code with what it judges shares its mistakes."""
    for name in python_imports(path.read_text("utf-8")):
        if name.split(".")[0] == "fastnorm":
            assert name.startswith("fastnorm.reference"), name
        else:
            assert name.split(".")[0] in {"__future__", "collections", "math", "numpy", "typing"}, (
                name
            )


@pytest.mark.parametrize("path", KERNELS, ids=name_of)
def test_kernels_are_innocent(path):
    """No threads, no Python, no memory, no errors, and nothing from the rooms above."""
    code = code_of(path)
    assert not re.search(r"\b_?omp_?\w*\b|#\s*pragma\s+omp", code)
    assert not re.search(
        r"\b(malloc|calloc|realloc|aligned_alloc|posix_memalign|free|alloca)\b", code
    )
    assert not re.search(r"\b(Py[A-Z]\w*|abort|exit|errno|printf|fprintf|assert)\b", code)
    above = headers_of("plan") | headers_of("drivers") | headers_of("dispatch") | {"fn_plan.h"}
    assert not includes(path) & (above | {"Python.h", "stdlib.h", "stdio.h"})


@pytest.mark.parametrize("path", in_tree("src/include"), ids=name_of)
def test_shared_headers_name_no_room_but_the_list_of_kernels(path):
    shared = headers_of("include")
    ours = {
        name for room in ("plan", "drivers", "dispatch", "kernels") for name in headers_of(room)
    }
    assert includes(path) & ours - shared <= {"kernels.inc"}


@pytest.mark.parametrize("path", in_tree("src/plan"), ids=name_of)
def test_the_plan_calls_nothing(path):
    """Shapes in, loops out: it sees no data, no kernel, no driver, no thread."""
    code = code_of(path)
    assert includes(path) <= {"fn_plan.h", "fn_common.h"}
    named = {name for name in cimports(path) | python_names(code) if name.startswith("fastnorm")}
    assert all(name.startswith("fastnorm._core.plan") for name in named), named
    assert "prange" not in code


@pytest.mark.parametrize("path", in_tree("src/dispatch"), ids=name_of)
def test_dispatch_knows_only_kernels(path):
    """It picks a table once; who walks the table is not its business."""
    above = headers_of("plan") | headers_of("drivers") | {"fn_plan.h"}
    assert not includes(path) & above
    for room in ("plan", "drivers", "forward", "backward", "threads"):
        assert not any(name.split(".")[-1] == room for name in cimports(path))


def python_names(code: str) -> set[str]:
    """Return the modules that a Cython file imports the Python way."""
    return set(re.findall(r"^\s*(?:from\s+([\w.]+)\s+import|import\s+[\w.]+)", code, re.MULTILINE))


@pytest.mark.parametrize("path", COMPILED, ids=name_of)
def test_only_threads_knows_openmp(path):
    """One room decides how many threads run and opens the region, and works without OpenMP too."""
    names_it = re.search(r"\bomp_\w+|\bopenmp\b|\bomp\.h\b|#\s*pragma\s+omp", code_of(path))
    assert not names_it or path.name in {"threads.pyx", "threads.pxd", "fn_omp.h", "fn_team.h"}


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EVERYWHERE, ids=name_of)
def test_file_says_its_license_and_stays_short(path):
    lines = path.read_text("utf-8").splitlines()
    if not lines:
        assert path.name == "__init__.py"
        return
    first = lines[1] if lines[0].startswith("#!") else lines[0]
    assert SPDX in first
    assert len(lines) <= LONGEST[path.suffix]


@pytest.mark.parametrize(
    "path", [*in_tree("fastnorm", "src", "tests"), ROOT / "setup.py"], ids=name_of
)
def test_file_has_a_subject(path):
    """A file called utils collects what nobody found a place for."""
    assert not re.fullmatch(r"_?(utils?|helpers?|misc|common|tools)", path.stem)


# --- what is packaged -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project() -> dict:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_every_data_file_of_the_package_is_in_the_wheel(project):
    """Type stubs, py.typed and the declarations that Cython users cimport."""
    patterns = [p for some in project["tool"]["setuptools"]["package-data"].values() for p in some]
    data = [
        path
        for path in (ROOT / "fastnorm").rglob("*")
        if path.name == "py.typed" or path.suffix in {".pyi", ".pxd", ".h", ".json", ".txt"}
    ]
    assert {path.name for path in data} >= {"py.typed"}
    for path in data:
        assert any(fnmatch(path.name, pattern) for pattern in patterns), name_of(path)


def test_every_folder_of_the_package_is_a_package():
    """`packages.find` takes folders with an __init__.py only."""
    for path in in_tree("fastnorm"):
        assert (path.parent / "__init__.py").exists(), name_of(path)


def test_numpy_is_the_only_hard_dependency(project):
    assert [re.match(r"[\w-]+", d)[0] for d in project["project"]["dependencies"]] == ["numpy"]


def test_pre_commit_runs_the_pinned_linters(project):
    """A linter of one version in CI and of another before a commit would quarrel."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    tags = re.findall(r"repo: \S+/(\S+)\n\s+rev: v(\S+)", hooks)
    named = {re.sub(r"^mirrors-|-pre-commit$", "", repo): tag for repo, tag in tags}
    dev = project["project"]["optional-dependencies"]["dev"]
    pins = dict(d.split("==") for d in dev if "==" in d)
    assert set(named) >= {"ruff", "clang-format", "cython-lint", "codespell"}
    assert named.items() <= pins.items()


def test_version_is_said_once_more_only_in_the_citation():
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE)[1] == fastnorm.__version__
