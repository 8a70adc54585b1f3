# SPDX-License-Identifier: BSD-3-Clause
"""Build the wheel of a commit for asv, without compiling twice what two commits share.

    python benches/build_wheel.py SOURCE WHEELS KEPT

asv cleans its working copy between commits, and compiling is minutes while most commits touch no
compiled source. What the compiler made is kept in the folder KEPT under a name made from the
content of everything it is made of, and put back before a build with the same content. KEPT is to
be in asv's environment: it then never sees another NumPy, Cython or Python.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

# What setup.py compiles, and how. Of what it makes only these kinds are kept: a Python file from
# another commit would end up in the wheel.
_COMPILED_FROM = ("src", "fastnorm/_core", "setup.py")
_KINDS = {".c", ".o", ".so"}
_MOST_KEPT = 4


def main(source: Path, wheels: Path, kept: Path) -> None:
    """Build the wheel of `source` into `wheels`."""
    build, saved = source / "build", kept / content_of(source)
    if saved.is_dir():
        copy_compiled(saved, build)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", wheels, source], check=True)
    if not saved.is_dir():
        unfinished = saved.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        copy_compiled(build, unfinished)
        unfinished.rename(saved)
        for old in sorted(kept.iterdir(), key=lambda path: path.stat().st_mtime)[:-_MOST_KEPT]:
            shutil.rmtree(old)


def content_of(source: Path) -> str:
    """Return a name for the content of all that is compiled, as the commit has it."""
    command = ["git", "-C", source, "ls-tree", "-r", "HEAD", "--", *_COMPILED_FROM]
    listing = subprocess.run(command, check=True, capture_output=True).stdout
    return hashlib.sha256(listing).hexdigest()[:16]


def copy_compiled(source: Path, target: Path) -> None:
    """Copy what the compiler made; the copies are newer than any source, so that it is used."""
    for path in source.rglob("*"):
        if path.suffix in _KINDS and path.is_file():
            to = target / path.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
