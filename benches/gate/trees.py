# SPDX-License-Identifier: BSD-3-Clause
"""The package as it is in the checkout and as it was in the base, side by side in a folder.

The base is unpacked from the repository (nothing is left there) and built from what the checkout
has built already: files that are the same in both get the same times, so that setup.py compiles
what differs and nothing else. The compiled modules are kept in ``$XDG_CACHE_HOME/fastnorm-gate``,
by what they are made of and by the build environment, so that commits of the same sources share
them; remove that folder after building with other compiler options.
"""

from __future__ import annotations

import filecmp
import hashlib
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

_KEPT_BUILDS = 8

# What measures is the checkout's in both trees; the reference belongs to it.
_MEASURING = ("compare", "reference")


class BuildError(Exception):
    """A tree could not be built; the message ends with what the build said."""


def git(root: Path, *arguments: str) -> str:
    """Return what a git command prints; CalledProcessError where it fails."""
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def default_base(root: Path) -> str:
    """Return where this branch left main; on main, the commit before."""
    head = git(root, "rev-parse", "HEAD")
    for main in ("main", "origin/main"):
        try:
            base = git(root, "merge-base", "HEAD", main)
        except subprocess.CalledProcessError:
            continue
        if base != head:
            return base
    return git(root, "rev-parse", "HEAD~1")


def head_tree(root: Path, folder: Path) -> Path:
    """Bring the compiled modules of the checkout up to date; return a copy of its package."""
    modules = _modules(root)
    newest = max(path.stat().st_mtime for path in _sources(root))
    if not modules or newest > min(path.stat().st_mtime for path in modules):
        _compile(root)
    shutil.copytree(root / "fastnorm", folder / "head" / "fastnorm")
    return folder / "head"


def base_tree(root: Path, commit: str, folder: Path) -> Path:
    """Return a copy of the package as it was at `commit`, compiled; after `head_tree`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "fastnorm-gate")
    sources = git(root, "ls-tree", "-r", commit, "setup.py", "src", "fastnorm/_core")
    key = hashlib.sha256(f"{sources}\n{_build_environment()}".encode()).hexdigest()[:32]
    kept = cache / key
    if not kept.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=cache) as scratch:
            built = Path(scratch, "built")
            _build(root, commit, built)
            modules = Path(scratch, "modules")
            modules.mkdir()
            for module in _modules(built):
                module.rename(modules / module.name)
            modules.replace(kept)
        builds = sorted(cache.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime)
        for old in builds[:-_KEPT_BUILDS]:
            shutil.rmtree(old)
    base = folder / "base"
    _unpack(root, base, commit, "fastnorm")
    for module in kept.iterdir():
        shutil.copy2(module, base / "fastnorm" / "_core")
    return base


def share_measuring(head: Path, base: Path) -> None:
    """Put the benchmark code of the checkout in the place of the base's own."""
    for name in _MEASURING:
        shutil.rmtree(base / "fastnorm" / name)
        shutil.copytree(head / "fastnorm" / name, base / "fastnorm" / name)


def _build(root: Path, commit: str, target: Path) -> None:
    """Unpack a commit into `target` and compile what differs from the checkout."""
    _unpack(root, target, commit)
    same = True
    for path in _sources(target):
        ours = root / path.relative_to(target)
        if ours.is_file() and filecmp.cmp(path, ours, shallow=False):
            shutil.copystat(ours, path)
        else:
            os.utime(path)
            same = False
    # Flags are in setup.py, and no object depends on it.
    if filecmp.cmp(root / "setup.py", target / "setup.py", shallow=False):
        known = {path.stem for path in (target / "src").rglob("*.pyx")}
        for module in _modules(root):
            if module.name.split(".")[0] in known:
                shutil.copy2(module, target / "fastnorm" / "_core")
        if not same and (root / "build").is_dir():
            shutil.copytree(root / "build", target / "build")
    if not same:
        _compile(target)


def _unpack(root: Path, target: Path, *what: str) -> None:
    """Write the files of a commit, or those below some of its folders."""
    command = ["git", "-C", str(root), "archive", *what]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        # Python 3.11 has filters from 3.11.4 on; the archive is git's own.
        if hasattr(tarfile, "data_filter"):
            tar.extractall(target, filter="data")
        else:
            tar.extractall(target)


def _compile(tree: Path) -> None:
    """Compile what changed, in place."""
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    command += ["--parallel", str(os.cpu_count())]
    child = subprocess.run(
        command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if child.returncode:
        said = "\n".join(child.stdout.splitlines()[-20:])
        raise BuildError(f"{' '.join(command)} in {tree}:\n{said}")


def _sources(tree: Path) -> Iterator[Path]:
    """What the compiled modules are made of."""
    yield tree / "setup.py"
    yield from sorted((tree / "fastnorm" / "_core").glob("*.pxd"))
    yield from sorted(path for path in (tree / "src").rglob("*") if path.suffix != ".md")


def _modules(tree: Path) -> list[Path]:
    """The compiled modules of this interpreter."""
    return sorted((tree / "fastnorm" / "_core").glob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"))


def _build_environment() -> str:
    """What else decides what is compiled: interpreter, Cython, NumPy, variables."""
    versions = []
    for package in ("Cython", "numpy"):
        try:
            versions.append(metadata.version(package))
        except metadata.PackageNotFoundError:
            versions.append("")
    variables = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("FASTNORM_") or name in ("CC", "CFLAGS", "LDFLAGS")
    }
    return repr((sys.version, *versions, sorted(variables.items())))
