# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benches.report``: the page of a history that asv recorded, of known values.

The history is real: asv runs a handful of benchmarks over five commits of a toy repository. What
they return is committed beside them, so that every verdict is known.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

for needed in ("asv", "jinja2", "matplotlib"):
    pytest.importorskip(needed, reason=f"{needed} comes with the extra fastnorm[bench]")

from benches.report.__main__ import main  # noqa: E402
from benches.report.changes import judge, threshold  # noqa: E402
from benches.report.history import NoResults, load  # noqa: E402
from benches.report.values import change_text, value_text  # noqa: E402

BENCHMARKS = '''
import json
from pathlib import Path

VALUES = json.loads(Path(__file__).with_name("values.json").read_text())


class Toy:
    params = [["a row", "<plane> & co"], ["float32"]]
    param_names = ["case", "dtype"]

    def time_call(self, case, dtype):
        sum(range(1000))

    def track_count(self, case, dtype):
        """Instructions of one call.

        Not part of the explanation.
        """
        return VALUES["count"][case]

    track_count.unit = "instructions"
    track_count.pretty_name = "kernel: instructions"


class One:
    def track_over_numpy(self):
        return VALUES["over"]

    track_over_numpy.unit = "times NumPy"
    track_over_numpy.pretty_name = "Time over that of NumPy"

    def track_error(self):
        return VALUES["error"]

    track_error.unit = "ulp"

    def track_fragile(self):
        if VALUES["fragile"] is None:
            raise RuntimeError("broken by the last commit")
        return VALUES["fragile"]


class Nowhere:
    def setup(self):
        """Not the explanation of any figure."""
        raise NotImplementedError("for want of a tool")

    def track_nowhere(self):
        return 1
'''
# The kernel got slower in the fourth commit, and stayed so; the other case moves by less than 2 %.
SLOWER = 3
COUNTS = {
    "a row": [1000, 1000, 1001, 1060, 1060],
    "<plane> & co": [2000, 2001, 2010, 2011, 2009],
}
OVER = [0.25, 0.25, 0.25, 0.25, 0.5]
ERRORS = [0.75, 0.75, 0.75, 0.5, 0.5]
FRAGILE = [7, 7, 7, 7, None]
ASV = (sys.executable, "-m", "asv")
SETTINGS = {
    "version": 1,
    "project": "toy",
    "repo": ".",
    "branches": ["main"],
    "environment_type": "existing",
    "benchmark_dir": "benchmarks",
    "results_dir": "results",
    "regressions_thresholds": {".*track_count.*": 0.02},
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A repository of five commits, and what asv recorded at each."""
    root = tmp_path_factory.mktemp("toy")
    folder = root / "benchmarks"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "bench_toy.py").write_text(BENCHMARKS, "utf-8")
    (root / "asv.conf.json").write_text(json.dumps(SETTINGS), "utf-8")
    (root / ".gitignore").write_text("results/\n__pycache__/\n.asv-machine.json\n", "utf-8")
    _run(root, *ASV, "machine", "--machine=toy", "--yes")
    _run(root, "git", "init", "--quiet", "--initial-branch=main")
    for place in range(len(OVER)):
        values = {
            "count": {case: counts[place] for case, counts in COUNTS.items()},
            "over": OVER[place],
            "error": ERRORS[place],
            "fragile": FRAGILE[place],
        }
        (folder / "values.json").write_text(json.dumps(values), "utf-8")
        _run(root, "git", "add", ".")
        _run(root, "git", "commit", "--quiet", "-m", f"commit <{place}>")
        _asv_run(root)
    return root


def _run(root: Path, *command: str) -> str:
    """Run a command in the toy, which is also the home where asv keeps what machine it is on."""
    identity = {"NAME": "Toy", "EMAIL": "toy@example.org"}
    environment = {
        **os.environ,
        "HOME": str(root),
        **{f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in identity.items()},
    }
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode in (0, 2), f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def _asv_run(root: Path) -> None:
    """Record what is checked out, quickly; a failing benchmark makes the exit status 2."""
    commit = _run(root, "git", "rev-parse", "HEAD").strip()
    where = [
        f"--environment=existing:{sys.executable}",
        "--machine=toy",
        "--launch-method=forkserver",
    ]
    how = ["--attribute", "repeat=4", "--attribute", "number=10"]
    _run(root, *ASV, "run", f"--set-commit-hash={commit}", *where, *how)


@pytest.fixture(scope="module")
def history(toy):
    return load(toy / "asv.conf.json")


def _by_name(history, ending):
    found = [series for series in history.series if series.name.endswith(ending)]
    assert len(found) == 1
    return found[0]


# --- reading --------------------------------------------------------------------------------------


def test_values_are_those_that_asv_recorded(history):
    assert [commit.subject for commit in history.commits] == [f"commit <{n}>" for n in range(5)]
    for case, counts in COUNTS.items():
        series = _by_name(history, f"track_count({case!r}, 'float32')")
        assert series.values == (case, "float32")
        assert series.label == case
        assert series.numbers == counts
    assert _by_name(history, "track_over_numpy").numbers == OVER
    assert _by_name(history, "track_fragile").numbers == FRAGILE


def test_times_have_their_spread(history):
    for point in _by_name(history, "time_call('a row', 'float32')").points:
        assert point.stats["q_25"] <= point.value <= point.stats["q_75"]
        assert 0 < point.value < 1


def test_names_units_and_explanations_come_from_the_benchmarks(history):
    figures = {figure.name: figure for figure in history.figures}
    count = figures["bench_toy.Toy.track_count"]
    assert (count.title, count.unit) == ("kernel: instructions", "instructions")
    assert count.group == "kernel"
    assert count.explanation == "Instructions of one call."
    assert count.parameters == ("case", "dtype")
    assert (count.varying, count.fixed) == ([0], [("dtype", "float32")])
    assert figures["bench_toy.Toy.time_call"].unit == "seconds"


def test_every_benchmark_explains_itself():
    """The page has no other source for what a figure means."""
    found = 0
    for path in (Path(__file__).parents[1] / "benches" / "asv").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and re.match("(time|track|peakmem)_", node.name):
                found += 1
                assert ast.get_docstring(node), f"{path.name}: {node.name}"
    assert found >= 10


def test_the_last_commits_alone(toy):
    history = load(toy / "asv.conf.json", limit=2)
    assert [commit.subject for commit in history.commits] == ["commit <3>", "commit <4>"]
    assert _by_name(history, "track_over_numpy").numbers == OVER[-2:]


def test_commits_of_another_branch_are_left_out(toy):
    """HEAD of the toy moves back to the fourth commit: the fifth is no part of its history."""
    _run(toy, "git", "checkout", "--quiet", "--detach", "HEAD~1")
    try:
        history = load(toy / "asv.conf.json")
    finally:
        _run(toy, "git", "checkout", "--quiet", "main")
    assert [commit.subject for commit in history.commits] == [f"commit <{n}>" for n in range(4)]


def test_results_of_nobody(toy, tmp_path):
    with pytest.raises(NoResults, match="no results"):
        load(toy / "asv.conf.json", machine="another")
    (tmp_path / "asv.conf.json").write_text(json.dumps(SETTINGS), "utf-8")
    with pytest.raises(NoResults, match="asv run"):
        load(tmp_path / "asv.conf.json")


# --- judging --------------------------------------------------------------------------------------


def test_what_got_worse_is_found_and_dated(history):
    verdict = judge(history)
    found = {change.series.name: change for change in verdict.worse}
    count = found.pop("bench_toy.Toy.track_count('a row', 'float32')")
    assert (count.before, count.after) == (1001, 1060)
    assert (count.last_before, count.first_after) == (SLOWER - 1, SLOWER)
    over = found.pop("bench_toy.One.track_over_numpy")
    assert (over.before, over.after, over.first_after) == (0.25, 0.5, 4)
    assert not {name for name in found if "time_" not in name}


def test_what_got_better_is_found(history):
    better = {change.series.name: change for change in judge(history).better}
    assert better["bench_toy.One.track_error"].share == pytest.approx(-1 / 3)


def test_what_has_no_value_is_told_apart(history):
    verdict = judge(history)
    assert [series.name for series in verdict.failed] == ["bench_toy.One.track_fragile"]
    assert not verdict.absent
    changed = len(verdict.worse) + len(verdict.better) + len(verdict.unsure)
    everyone = changed + verdict.steady + len(verdict.failed)
    assert everyone == len(history.series)
    assert [figure.name for figure in history.inapplicable] == ["bench_toy.Nowhere.track_nowhere"]


def test_changes_within_the_threshold_pass(history):
    """The second case moves by half a per cent up and down; asv.conf.json lets 2 % pass."""
    verdict = judge(history)
    assert verdict.of(_by_name(history, "track_count('<plane> & co', 'float32')")) is None


def test_a_noisy_figure_has_to_stay(history):
    """Seen at the last commit alone, and may move by more than 5 %: no verdict yet."""
    patient = judge(replace(history, thresholds={".*track_over.*": 0.1, ".*track_count.*": 0.02}))
    names = {change.series.name for change in patient.unsure}
    assert "bench_toy.One.track_over_numpy" in names
    assert not any("over_numpy" in change.series.name for change in patient.worse)
    # Two commits on either side are evidence enough, of a noisy figure too.
    lasting = judge(replace(history, thresholds={".*track_(error|over).*": 0.1}))
    assert "bench_toy.One.track_error" in {change.series.name for change in lasting.better}


def test_thresholds_are_matched_as_asv_does():
    limits = {".*count.*": 0.02, "bench_toy.*": 0.1}
    assert threshold("bench_toy.track_count('a')", limits) == 0.1
    assert threshold("other.track_count", limits) == 0.02
    assert threshold("other.time_call", limits) == 0.05


# --- the page -------------------------------------------------------------------------------------


class _Outline(HTMLParser):
    """Checks that what opens is closed, and collects what is referred to and what is said."""

    VOID = frozenset({"meta", "br", "link", "img", "hr"})

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.text, self.tags = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "made" / "report.html"
    assert main(["--config", str(toy / "asv.conf.json"), "--output", str(path)]) == 0
    return path.read_text("utf-8")


def test_the_page_is_whole_and_needs_nothing_else(page):
    outline = _Outline()
    outline.feed(page)
    assert outline.open == []
    assert outline.links
    assert len(set(outline.ids)) == len(outline.ids)
    assert {link[1:] for link in outline.links} <= set(outline.ids)
    assert all(link.startswith("#") for link in outline.links)
    assert not {"script", "link", "img", "iframe"} & set(outline.tags)
    assert "url(http" not in page
    assert "@import" not in page


def test_the_page_says_what_happened(page):
    outline = _Outline()
    outline.feed(page)
    text = " ".join(" ".join(outline.text).split())
    worse, rest = text.split("Got better", 1)
    for words in ("kernel: instructions", "a row", "+5.89 %", "1060 instructions",
                  "Time over that of NumPy", "x 2", "bench_toy.One.track_fragile"):  # fmt: skip
        assert words in worse, words
    for words in ("bench_toy.One.track_error", "-33.3 %", "<plane> & co", "commit <0>",
                  "Kernel: instructions Instructions of one call. Here: dtype float32. May rise by",
                  "May rise by 2 %", "May rise by 5 %",
                  "needs: bench_toy.Nowhere.track_nowhere"):  # fmt: skip
        assert words in rest, words
    assert "Not part of the explanation" not in text


def test_every_series_with_two_values_is_drawn(page, history):
    drawn = [one for one in history.series if sum(n is not None for n in one.numbers) >= 2]
    verdict = judge(history)
    again = len(verdict.worse) + len(verdict.better) + len(verdict.unsure)
    assert page.count('class="spark"') == len(drawn) + again
    assert page.count('class="overview"') == len({one.figure for one in drawn})


def test_the_command_prints_what_got_worse(toy, tmp_path, capsys):
    main(["--config", str(toy / "asv.conf.json"), "--output", str(tmp_path / "report.html")])
    printed = capsys.readouterr().out
    assert re.search(r"\+5\.89 % +bench_toy\.Toy\.track_count\('a row', 'float32'\)", printed)
    assert "1 failed" in printed


def test_one_commit_alone_makes_a_page(toy, tmp_path):
    path = tmp_path / "report.html"
    main(["--config", str(toy / "asv.conf.json"), "--output", str(path), "--commits", "1"])
    text = path.read_text("utf-8")
    assert "the only one measured so far" in text
    assert "1060 instructions" in text
    assert "<svg" not in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(2.4531e-6, "seconds", "2.45 µs"), (0.0, "seconds", "0 ns"), (1.5, "seconds", "1.50 s"),
     (123.4e-9, "seconds", "123 ns"), (15_300_000, "bytes", "15.3 MB"), (512, "bytes", "512 bytes"),
     (488401, "instructions", "488,401 instructions"), (0.51234, "ulp", "0.5123 ulp")],
)  # fmt: skip
def test_values_as_text(value, unit, text):
    assert value_text(value, unit) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (0.0589, "+5.89 %"), (-0.25, "-25.0 %"), (1.5, "x 2.5"),
     (float("inf"), "from 0")],
)  # fmt: skip
def test_changes_as_text(share, text):
    assert change_text(share) == text
