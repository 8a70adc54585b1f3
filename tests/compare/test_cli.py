# SPDX-License-Identifier: BSD-3-Clause
"""The command: exit status, one-line messages, what is printed where. No time is asserted."""

from __future__ import annotations

import json
import os
import pty
import signal
import sys

import numpy as np
import pytest

import fastnorm
from fastnorm.compare import cli
from fastnorm.compare.catalogue import OPS, select
from fastnorm.compare.results import SCHEMA_VERSION


def run(*words):
    """Exit status of the command in this process."""
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as leaving:
        return leaving.code


# --- what it does ---------------------------------------------------------------------------------


def test_the_command_measures_prints_and_writes(command, tmp_path):
    process = command("compare", "--quick", "--only", "rms_norm", "--json", "rows.json")
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert errors == ""
    assert output.isascii()
    assert "\x1b" not in output

    document = json.loads((tmp_path / "rows.json").read_text())
    assert document["schema"] == SCHEMA_VERSION
    assert set(document) == {"schema", "machine", "settings", "rows", "summary"}
    settings, machine = document["settings"], document["machine"]
    assert settings["command"] == [
        "fastnorm", "compare", "--quick", "--only", "rms_norm", "--json", "rows.json",
    ]  # fmt: skip
    assert machine["fastnorm"] == fastnorm.__version__
    assert {"cpu", "cores", "isa", "config", "environment"} <= set(machine)

    cases = select(["rms_norm"], quick=True)
    assert [(row["case"], row["direction"], row["threads"]) for row in document["rows"]] == [
        (case.name, direction, threads)
        for case in cases
        for direction in case.directions
        for threads in settings["threads"]
    ]
    for row in document["rows"]:
        assert row["within_bound"] is True
        assert row["seconds"] > 0
        assert row["speedup_over_numpy"] == pytest.approx(row["numpy_seconds"] / row["seconds"])
        assert row["ratio_to_copy"] == pytest.approx(row["seconds"] / row["copy_seconds"])
        assert row["gigabytes_per_second"] == pytest.approx(row["bytes"] / row["seconds"] / 1e9)
        assert row["dtype"] == "float32"
    # One line of the table for each row, in the same order.
    lines = output.splitlines()[1:]
    for row, line in zip(document["rows"], lines, strict=False):
        assert line.split()[:3] == [row["op"], "x".join(map(str, row["shape"])), row["direction"]]


def test_one_number_of_threads(instant, capsys, tmp_path, activations):
    words = ("--input", activations, "--op", "rms_norm", "--json", tmp_path / "rows.json")
    assert run("compare", *words, "--threads", 1) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["threads"] for row in rows] == [1, 1]


@pytest.mark.parametrize(
    ("op", "options"),
    [
        ("moments", []),
        ("standardize", ["--axis", "0"]),
        ("layer_norm", ["--axis", "-1"]),
        ("layer_norm", ["--axis", "0", "1"]),
        ("rms_norm", []),
        ("batch_norm", []),
        ("batch_norm", ["--channel-axis", "-1"]),
        ("instance_norm", []),
        ("group_norm", ["--num-groups", "2"]),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_own_data(op, options, dtype, instant, capsys, tmp_path, rng):
    np.savez(
        tmp_path / "data.npz", first=rng.standard_normal((3, 8, 50)), second=np.ones((2, 4, 9))
    )
    status = run(
        "compare", "--input", tmp_path / "data.npz", "--op", op, *options, "--dtype", dtype
    )
    output = capsys.readouterr().out
    assert status == 0, output
    assert "3x8x50" in output
    assert "2x4x9" in output
    assert f"{dtype}, " in output


def test_list_needs_no_measurement(capsys):
    assert run("compare", "--list", "--only", "moments,group_norm") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        case.name for case in select(["moments", "group_norm"])
    ]


def test_list_of_the_short_list(capsys):
    assert run("compare", "--list", "--quick") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(select(quick=True))


def test_plot(instant, capsys, tmp_path, activations):
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra fastnorm[compare]")
    path = tmp_path / "figure.png"
    assert run("compare", "--input", activations, "--op", "rms_norm", "--plot", path) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_info(capsys):
    assert run("info") == 0
    by_command = capsys.readouterr().out
    fastnorm.show_config()
    assert by_command == capsys.readouterr().out


def test_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"fastnorm {fastnorm.__version__}\n"


# --- errors beyond their bound --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["layer_norm", "layer_norm_backward"])
def test_a_wrong_kernel_is_exit_status_1(name, instant, capsys, tmp_path, activations, monkeypatch):
    right = getattr(fastnorm, name)

    def wrong(*args, **keywords):
        result = right(*args, **keywords)
        array = result.x if name.endswith("backward") else result
        array = array[0] if isinstance(array, tuple) else array
        array[0, 0] += 0.001
        return result

    monkeypatch.setattr(fastnorm, name, wrong)
    words = ("--input", activations, "--op", "layer_norm", "--json", tmp_path / "rows.json")
    assert run("compare", *words) == 1
    output = capsys.readouterr().out
    direction = "backward" if name.endswith("backward") else "forward"
    assert "ERRORS" in output
    assert f"layer_norm 12x40 {direction}, 1 thread: " in output
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert {row["direction"] for row in rows if not row["within_bound"]} == {direction}


# --- bad arguments --------------------------------------------------------------------------------


def refuse(capsys, words, *named):
    """The command ends with status 2 and one line on standard error that names what is wrong."""
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("fastnorm")
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("\n")
    for word in named:
        assert word in captured.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], ["COMMAND"]),
        (["dance"], ["dance"]),
        (["compare", "--only", "layer_norm,softmax"], ["'softmax'", *OPS]),
        (["compare", "--dtype", "int8"], ["int8"]),
        (["compare", "--threads", "0"], ["threads", "'0'"]),
        (["compare", "--threads", "many"], ["threads", "'many'"]),
        (["compare", "--op", "layer_norm"], ["--op", "--input"]),
        (["compare", "--axis", "1"], ["--axis", "--input"]),
        (["compare", "--num-groups", "1"], ["--num-groups", "--input"]),
        (["compare", "--input", "x.npy"], ["--input", "--op"]),
        (["compare", "--input", "no-such.npy", "--op", "layer_norm"], ["no-such.npy"]),
        (["compare", "--input", "x.npy", "--op", "softmax"], ["softmax"]),
        (["compare", "--json", "no/such/rows.json"], ["no/such/rows.json"]),
        (["compare", "--json", "/"], ["directory"]),
        (["compare", "--plot", "figure.docx"], ["figure.docx", ".png"]),
        (["compare", "--nonsense"], ["--nonsense"]),
    ],
)
def test_bad_arguments(words, named, capsys):
    refuse(capsys, words, *named)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--op", "layer_norm", "--axis", "5"], ["activations.npy", "axis", "5"]),
        (["--op", "layer_norm", "--axis", "1", "1"], ["axis"]),
        (["--op", "layer_norm", "--only", "layer_norm"], ["--only"]),
        (["--op", "group_norm"], ["--num-groups"]),
        (["--op", "group_norm", "--num-groups", "7"], ["num_groups=7"]),
        (["--op", "batch_norm", "--axis", "1"], ["--axis"]),
    ],
)
def test_bad_options_for_own_data(words, named, capsys, activations):
    refuse(capsys, ["compare", "--input", activations, *words], *named)


def test_integers_need_a_dtype(capsys, tmp_path):
    np.save(tmp_path / "counts.npy", np.arange(12).reshape(3, 4))
    words = ["compare", "--input", tmp_path / "counts.npy", "--op", "layer_norm"]
    refuse(capsys, words, "counts.npy", "int64", "--dtype")


@pytest.mark.parametrize(
    ("missing", "words", "named"),
    [
        ("matplotlib", ["--plot", "f.png"], "pip install 'fastnorm[compare]'"),
        ("ml_dtypes", ["--dtype", "bfloat16"], "pip install ml_dtypes"),
    ],
)
def test_missing_package(missing, words, named, capsys, monkeypatch):
    find_spec = cli.importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == missing else find_spec(name)
    )
    monkeypatch.setitem(sys.modules, missing, None)
    refuse(capsys, ["compare", *words], missing, named)


# --- terminals, pipes, signals --------------------------------------------------------------------


def read_all(descriptor):
    """Everything that is written to a terminal until its other end closes."""
    chunks = []
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # what Linux says instead of an end of file
            break
        if not chunk:
            break
        chunks.append(chunk)
    return b"".join(chunks).decode()


@pytest.fixture
def terminal():
    """Both ends of a pseudo-terminal: ours, the command's."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)


def test_rich_table_in_a_terminal(command, terminal, activations):
    pytest.importorskip("rich", reason="rich comes with the extra fastnorm[compare]")
    ours, theirs = terminal
    process = command(
        *("compare", "--quick", "--input", activations, "--op", "layer_norm"),
        stdout=theirs,
        env={"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
    )
    os.close(theirs)
    output = read_all(ours)
    assert process.wait() == 0, process.stderr.read()
    assert "\x1b[?25l" in output  # the cursor is hidden while the bar is live,
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")  # and comes back
    assert "━" in output
    assert "12x40" in output
    assert "─" in output


@pytest.mark.parametrize("stop", [signal.SIGINT], ids=str)
def test_ctrl_c(stop, command):
    # A job in the background of a shell ignores the signal, and so does what it starts.
    kept = signal.signal(stop, signal.default_int_handler)
    process = command("compare", "--only", "layer_norm")
    signal.signal(stop, kept)
    assert process.stdout.readline().startswith("op ")
    process.send_signal(stop)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors == "fastnorm: interrupted\n"


def test_reader_that_leaves_early(command):
    process = command("compare", "--quick", "--only", "rms_norm")
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait() == 141
    assert errors == ""


def test_terminal_without_rich_gets_plain_text_and_a_hint(
    instant, capsys, monkeypatch, activations
):
    find_spec = cli.importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "rich" else find_spec(name)
    )
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run("compare", "--input", activations, "--op", "rms_norm") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("op ")
    assert "\x1b" not in captured.out
    assert captured.err == "fastnorm: for a live table, pip install 'fastnorm[compare]'\n"
