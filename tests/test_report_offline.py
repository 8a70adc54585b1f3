# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benches.report.offline``: the page of asv's site, without a network."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from pathlib import Path
from urllib.error import URLError

import pytest

from benches.report import offline


@pytest.fixture
def site(tmp_path):
    """The page and the scripts that `asv publish` copies beside its data."""
    asv = pytest.importorskip("asv", reason="asv comes with the extra fastnorm[bench]")
    shutil.copytree(Path(asv.__file__).parent / "www", tmp_path / "html")
    return tmp_path / "html"


@pytest.fixture
def scripts(tmp_path):
    """Where files are kept."""
    return tmp_path / "scripts"


def test_a_site_without_a_network(site, scripts):
    """Every address of asv's page gives way to a copy; the second time nothing is fetched."""
    index = site / "index.html"
    fetched = []

    def serve(address):
        fetched.append(address)
        return address.encode()

    original = index.read_text("utf-8")
    assert "https://" in original
    # Checksums of what is served here, in the place of asv's of the real files.
    served = re.sub(
        r'"(https://[^"]+)" integrity="sha\d+-[^"]+"',
        lambda match: f'"{match[1]}" integrity="{_checksum(match[1].encode())}"',
        original,
    )
    index.write_text(served, "utf-8")
    count = offline.localize(site, scripts, serve)
    local = index.read_text("utf-8")
    assert count == len(fetched) >= 5
    assert not re.search(r'(src|href)="https://(?!github\.com/airspeed)', local)
    assert "integrity" not in local
    for name in re.findall(rf'"{offline.FOLDER}/([^"]+)"', local):
        assert (site / offline.FOLDER / name).read_text("utf-8").endswith(name)

    index.write_text(served, "utf-8")
    offline.localize(site, scripts, _unreachable)
    assert index.read_text("utf-8") == local


def _checksum(content):
    return f"sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}"


def _unreachable(address):
    raise URLError("no network")


def test_a_file_that_is_not_the_one_is_refused(site, scripts):
    before = (site / "index.html").read_text("utf-8")
    with pytest.raises(offline.Refused, match="is not the file"):
        offline.localize(site, scripts, str.encode)
    with pytest.raises(offline.Refused, match="no network"):
        offline.localize(site, scripts, _unreachable)
    assert (site / "index.html").read_text("utf-8") == before
    assert not list(scripts.iterdir())


def test_files_that_are_there_are_taken_as_they_are(site, scripts):
    """Copies from a package manager, minified by another program, have another checksum."""
    scripts.mkdir()
    names = re.findall(
        r'"https://[^"]+/([^"/]+)" integrity', (site / "index.html").read_text("utf-8")
    )
    for name in names:
        (scripts / name).write_text(f"own {name}", "utf-8")
    assert offline.localize(site, scripts, _unreachable) == len(names)
    for name in names:
        assert (site / offline.FOLDER / name).read_text("utf-8") == f"own {name}"


def test_the_command(site, scripts, capsys):
    scripts.mkdir()
    with pytest.raises(SystemExit) as stopped:
        offline.main([str(site / "nowhere")])
    assert stopped.value.code == 2
    assert "asv publish" in capsys.readouterr().err
