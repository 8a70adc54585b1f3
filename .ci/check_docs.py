# SPDX-License-Identifier: BSD-3-Clause
"""Validate the docstrings of everything public with numpydoc; exit status 1 and a line per fault.

`numpydoc lint` reads files and would ask full sections of one-line helpers too; this asks them of
what `__all__` names, and a summary of every public method. What is not asked stands in
pyproject.toml, with the reasons.
"""

from __future__ import annotations

import inspect
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from numpydoc.validate import validate

import fastnorm
from fastnorm import reference

SUMMARY = {"GL08", "SS03", "SS06"}  # there is one, ends in a full stop, takes one line


def public(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield the import path and the object of each public class, function and method."""
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value):
            for method, function in vars(value).items():
                if inspect.isfunction(function) and not method.startswith("_"):
                    yield f"{module.__name__}.{name}.{method}", function
        if inspect.isclass(value) or inspect.isfunction(value):
            yield f"{module.__name__}.{name}", value


def asked(value: object, code: str, ignored: set[str]) -> bool:
    """Whether numpydoc's `code` is asked of `value`."""
    if inspect.isclass(value) and issubclass(value, tuple) and code == "PR01":
        return False  # the fields of a named tuple are its Attributes
    is_method = inspect.isfunction(value) and "." in value.__qualname__
    return code in SUMMARY if is_method else code not in ignored


def main() -> int:
    """Check the package and its reference."""
    settings = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
    ignored = set(settings["tool"]["numpydoc_validation"]["checks"])
    objects = dict(pair for module in (fastnorm, reference) for pair in public(module))
    faults = [
        f"{name}: {code} {text}"
        for name, value in objects.items()
        for code, text in validate(name)["errors"]
        if asked(value, code, ignored)
    ]
    print(*faults, f"{len(objects)} docstrings, {len(faults)} faults", sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
