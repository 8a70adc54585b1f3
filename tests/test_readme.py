# SPDX-License-Identifier: BSD-3-Clause
"""What README.md and the other pages show is true: the code runs, the links and names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fastnorm

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src", "benches", "docs")
PAGES = sorted([*ROOT.glob("*.md"), *(page for f in FOLDERS for page in (ROOT / f).rglob("*.md"))])
README = (ROOT / "README.md").read_text("utf-8")


def test_the_example_runs_and_prints_what_it_says(capsys):
    (example,) = (b for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "import" in b)
    exec(compile(example, "README.md", "exec"), {})
    said = re.findall(r"print\(.*\)\s+# (.*)", example)
    assert said
    assert capsys.readouterr().out.splitlines() == said


def test_the_table_lists_every_function():
    rows = re.findall(r"^\| `(\w+)\(.*?\| (?:`(\w+)`)? *\|", README, re.MULTILINE)
    assert {name for row in rows for name in row if name} == {
        name
        for name in fastnorm.__all__
        if f"{name}_backward" in fastnorm.__all__
        or name == "moments"
        or (hasattr(getattr(fastnorm, name), "load_state_dict") and name != "Layer")
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_named_files_exist(page):
    """A recipe that names a file that moved sends its reader looking."""
    for name in re.findall(
        r"`((?:fastnorm|src|tests|benches)/[\w./]+\.\w+)`", page.read_text("utf-8")
    ):
        assert (ROOT / name).exists(), name


def test_the_two_commands_stand_between_their_markers():
    """.ci/run takes them from there."""
    (block,) = re.findall(r"<!-- commands:begin -->(.*?)<!-- commands:end -->", README, re.DOTALL)
    assert len(re.findall(r"^python -m pip install -e ", block, re.MULTILINE)) == 2
