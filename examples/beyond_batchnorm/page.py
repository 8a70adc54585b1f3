# SPDX-License-Identifier: BSD-3-Clause
"""Tables of a Markdown page between markers, ``<!-- name:begin -->`` and ``<!-- name:end -->``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def between(page: Path, name: str) -> str:
    """Return what stands between two markers."""
    return _marked(name).search(page.read_text("utf-8"))[2]


def put(page: Path, name: str, table: str) -> None:
    """Put a table between two markers, in the place of what stands there."""
    text = page.read_text("utf-8")
    page.write_text(_marked(name).sub(lambda found: found[1] + table + found[3], text), "utf-8")


def _marked(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}:begin -->\n)(.*?)(<!-- {name}:end -->)", re.DOTALL)
