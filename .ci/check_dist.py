# SPDX-License-Identifier: BSD-3-Clause
"""Look into the sdist and the wheel of a folder: is everything in them, and nothing else?

``python .ci/check_dist.py DIST``, in the checkout they were built from. Exit status 1 and a line
per fault.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

WHEEL_LIMIT = 13 * 2**18  # bytes: kernels of three tiers and four types, nothing else
IN_WHEEL = {".py", ".pyi", ".pxd", ".so"}  # suffixes; beside py.typed and the dist-info folder


def tracked() -> set[str]:
    """Return the files of the checkout that git knows, as relative paths."""
    listing = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True)
    return set(listing.stdout.splitlines())


def check_sdist(path: Path) -> list[str]:
    """Return the faults of an sdist: whoever has only it must be able to build and to test."""
    with tarfile.open(path) as archive:
        files = [PurePosixPath(member.name) for member in archive if member.isfile()]
    names = {str(PurePosixPath(*path.parts[1:])) for path in files}
    written = {"PKG-INFO", "setup.cfg"}  # by setuptools, and fastnorm.egg-info
    extra = [n for n in names - tracked() - written if not n.startswith("fastnorm.egg-info/")]
    return [f"sdist lacks {name}" for name in sorted(tracked() - names)] + [
        f"sdist holds {name}" for name in sorted(extra)
    ]


def check_wheel(path: Path) -> list[str]:
    """Return the faults of a wheel: the package alone, without sources, and small."""
    with zipfile.ZipFile(path) as archive:
        names = [PurePosixPath(name) for name in archive.namelist()]
    ours = [name for name in names if not name.parts[0].endswith(".dist-info")]
    faults = [
        f"wheel holds {name}"
        for name in ours
        if name.parts[0] != "fastnorm" or (name.suffix not in IN_WHEEL and name.name != "py.typed")
    ]
    packaged = {str(name) for name in ours}
    modules = {name for name in tracked() if name.startswith("fastnorm/")}
    faults += [f"wheel lacks {name}" for name in sorted(modules - packaged)]
    if not any(name.suffix == ".so" for name in ours):
        faults.append("wheel holds no compiled module")
    size = path.stat().st_size
    print(f"{path.name}: {size / 1024:.0f} KiB, {len(ours)} files")
    if size > WHEEL_LIMIT:
        faults.append(f"wheel has {size} bytes, more than {WHEEL_LIMIT}")
    return faults


def main(folder: str) -> int:
    """Check the one sdist and the one wheel in `folder`."""
    (sdist,) = Path(folder).glob("*.tar.gz")
    (wheel,) = Path(folder).glob("*.whl")
    faults = check_sdist(sdist) + check_wheel(wheel)
    print(*faults, sep="\n", end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
