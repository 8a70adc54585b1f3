# SPDX-License-Identifier: BSD-3-Clause
"""The claims of the study: those that need no training are judged here on real measurements."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.beyond_batchnorm import claims, costs, identities, page
from examples.beyond_batchnorm.at_start import measure
from examples.beyond_batchnorm.claims_of_identities import IDENTITIES
from examples.beyond_batchnorm.claims_of_starts import (
    early_gradient,
    explodes,
    exponential,
    with_group_size,
)
from examples.beyond_batchnorm.normalizers import GROUP_SIZES, OF_WEIGHTS
from examples.beyond_batchnorm.results import Results
from examples.beyond_batchnorm.verdicts import HELD, NOT_HELD, PARTLY, TOO_SMALL, held_if

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_at_the_start():
    """What needs no training, of a real network: one test, as measuring is what takes the time."""
    names = {*OF_WEIGHTS, "none", *GROUP_SIZES, "instance", "batch", "layer"}
    trials = {name: {"part": "start", "design": {"normalizer": name}} for name in names}
    measured = Results(
        [{"trial": trial, "result": measure(name, seed=0)} for name, trial in trials.items()]
    )
    for judge in (exponential, with_group_size, early_gradient, explodes):
        verdict = judge(measured)
        assert verdict.held == HELD, (judge.__name__, verdict.measured)


def test_identities():
    trial = {"part": "identities", "design": {}}
    measured = Results([{"trial": trial, "result": identities.measure(seed=0)}])
    for claim in IDENTITIES:
        if not claim.figure:
            verdict = claim.judge(measured)
            assert verdict.held == HELD, (claim.text, verdict.measured)


def test_verdicts():
    assert held_if([True, True], "").held == HELD
    assert held_if([True, False], "").held == PARTLY
    assert held_if(False, "").held == NOT_HELD


@pytest.fixture(scope="module")
def committed():
    return Results(json.loads((DOCS / "study" / "results.json").read_text("utf-8")))


def test_page_has_the_verdicts_of_the_committed_results(committed):
    assert page.between(DOCS / "study.md", "claims") == claims.table(committed)


def test_page_has_the_costs_of_the_committed_results():
    ours, theirs = (
        json.loads((DOCS / "study" / name).read_text("utf-8"))
        for name in ("results.json", "reference.json")
    )
    assert page.between(DOCS / "study.md", "costs") == costs.table(ours, theirs)


def test_tables_go_between_their_markers(tmp_path):
    file = tmp_path / "page.md"
    file.write_text("a\n<!-- one:begin -->\nold\n<!-- one:end -->\nb\n", "utf-8")
    page.put(file, "one", "| new \\1 |\n")
    assert page.between(file, "one") == "| new \\1 |\n"
    assert file.read_text("utf-8").startswith("a\n")
    assert file.read_text("utf-8").endswith("\nb\n")


def test_claims_have_sources_and_verdicts(committed):
    judged = claims.judged(committed)
    assert len(judged) >= 15
    for claim, verdict in judged:
        assert claim.source
        assert verdict.held in (HELD, NOT_HELD, PARTLY, TOO_SMALL)
        assert not claim.figure or (DOCS / "study" / f"{claim.figure}.svg").exists()
