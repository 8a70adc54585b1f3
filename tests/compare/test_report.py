# SPDX-License-Identifier: BSD-3-Clause
"""Table, summary, JSON and figure from rows made up here."""

from __future__ import annotations

import io
import json

import pytest

from fastnorm.compare import plot, report, results
from fastnorm.compare.catalogue import find
from fastnorm.compare.errors import Error
from fastnorm.compare.results import Row

MACHINE = {"cpu": "A CPU", "cores": 4, "load": 0.1, "isa": "v3", "fastnorm": "0.1.0"}
LARGE, SMALL = find("layer_norm-bert-base-batch"), find("layer_norm-bert-base-token")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def row(case=LARGE, direction="forward", threads=1, *, share=0.5, seconds=1e-3):
    return Row(
        case=case,
        dtype="float32",
        direction=direction,
        threads=threads,
        error=Error("y", absolute=share * 1e-6, ulps=share * 4, share=share),
        seconds=seconds,
        numpy_seconds=4e-3,
        copy_seconds=8e-4,
        traffic=case.size * 8,
        rounds=7,
    )


ROWS = [
    row(),
    row(threads=2, seconds=5e-4),
    row(direction="backward", seconds=2e-3),
    row(direction="backward", threads=2, seconds=1e-3),
    row(SMALL, seconds=16e-3),
]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.234e-6, "1.23 us"),
        (9.996e-6, "10.0 us"),
        (99.96e-6, "100 us"),
        (999.6e-6, "1.00 ms"),
        (45.67e-3, "45.7 ms"),
        (2.5, "2.50 s"),
    ],
)
def test_three_digits_and_a_unit(seconds, text):
    assert report.format_seconds(seconds) == text


def written(reporter_type, rows, stream):
    with reporter_type(stream, [LARGE, SMALL]) as reporter:
        for one in rows:
            reporter.start(one.case, one.direction)
            reporter.show([one])
        reporter.close(results.summary_lines(rows, MACHINE, 12.3))
    return stream.getvalue()


def test_plain_table_is_aligned_and_plain():
    text = written(report.PlainReporter, ROWS, io.StringIO())
    assert text.isascii()
    assert "\x1b" not in text
    heading, *lines = text.splitlines()[: 1 + len(ROWS)]
    ends = {name: heading.index(name) + len(name) for name in ("ulp", "x NumPy", "x copy")}
    for line, one in zip(lines, ROWS, strict=True):
        assert line[: ends["x NumPy"]].endswith(f" {one.speedup:.2f}")
        assert line[: ends["x copy"]].endswith(f" {one.copy_ratio:.2f}")


def test_error_beyond_its_bound_is_marked_and_listed():
    bad = row(SMALL, share=3.0)
    text = written(report.PlainReporter, [*ROWS, bad], io.StringIO())
    assert "3.0e-06!" in text
    assert "ERRORS: 1 of 6 exceed" in text
    assert f"    {bad.title}: y is off by 3.00e-06 (12.0 ulp), 3 times its bound" in text


def test_rich_table_has_a_title_for_each_operation():
    pytest.importorskip("rich", reason="rich comes with the extra fastnorm[compare]")
    text = written(report.RichReporter, ROWS, Terminal())
    assert "layer_norm" in text
    assert "4096x768" in text


@pytest.mark.parametrize(
    ("stream", "rich", "expected"),
    [
        (io.StringIO(), True, "PlainReporter"),
        (io.StringIO(), False, "PlainReporter"),
        (Terminal(), False, "PlainReporter"),
        (Terminal(), True, "RichReporter"),
    ],
)
def test_choice_of_reporter(stream, rich, expected, monkeypatch):
    if rich:
        pytest.importorskip("rich", reason="rich comes with the extra fastnorm[compare]")
    else:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert type(report.make_reporter(stream, [LARGE])).__name__ == expected


def test_summary():
    summary = results.summarize(ROWS)
    one, two = summary["by_threads"]
    assert one["threads"] == 1
    assert one["speedup_over_numpy"] == pytest.approx((4 * 2 * 0.25) ** (1 / 3))
    assert one["speedup_forward"] == pytest.approx(1)
    assert one["least_speedup"]["ratio"] == 0.25
    assert one["worst_ratio_to_copy"]["ratio"] == pytest.approx(2.5)  # the small call is left out
    assert two["worst_ratio_to_copy"]["row"] == "layer_norm 4096x768 backward, 2 threads"
    assert summary["exceeding"] == []
    assert summary["largest_share_of_bound"] == 0.5


def test_summary_of_small_calls_alone():
    rows = [row(SMALL)]
    assert results.summarize(rows)["by_threads"][0]["worst_ratio_to_copy"] is None
    text = "\n".join(results.summary_lines(rows, MACHINE, 1.0))
    assert "copy" not in text
    assert "ISA v3" in text


@pytest.mark.parametrize(("load", "said"), [(None, False), (1.0, False), (2.0, True)])
def test_a_busy_machine_is_mentioned(load, said):
    lines = results.summary_lines(ROWS, MACHINE | {"load": load}, 1.0)
    assert any("busy machine: load average 2.0 on 4 cores" in line for line in lines) is said


def test_json_has_no_infinity(tmp_path):
    path = tmp_path / "rows.json"
    bad = row(share=float("inf"))
    results.write_json(path, [bad], MACHINE, {"threads": [1]})
    document = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert document["rows"][0]["error"]["absolute"] is None
    assert document["rows"][0]["within_bound"] is False
    assert document["summary"]["exceeding"] == [bad.title]


@pytest.mark.parametrize("suffix", plot.FORMATS)
def test_figure(suffix, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra fastnorm[compare]")
    path = tmp_path / f"figure{suffix}"
    plot.draw(path, ROWS, MACHINE)
    head = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(head)
