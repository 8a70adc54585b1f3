# SPDX-License-Identifier: BSD-3-Clause
"""No primitive and no tier goes untested: the lists here follow those of the core."""

from __future__ import annotations

import inspect
import re
from itertools import product
from pathlib import Path

import pytest

import sizes
from fastnorm._core import dispatch
from fastnorm._core.probe import Probe
from kernels import (
    calls,
    test_activate,
    test_affine,
    test_curve,
    test_grad_combine,
    test_grad_sums,
    test_moments,
    test_normalize,
    test_statistics,
    test_window,
)

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    *(test_activate, test_affine, test_curve),
    *(test_grad_combine, test_grad_sums, test_moments, test_normalize, test_statistics),
    test_window,
)


@pytest.mark.parametrize("primitive", dispatch.PRIMITIVES)
def test_primitive_is_tested_by_name_on_every_tier_and_type(primitive):
    tests = [
        value
        for module in MODULES
        for name, value in vars(module).items()
        if name == f"test_{primitive}"
    ]
    assert len(tests) == 1
    assert {"isa", "kind"} <= inspect.signature(tests[0]).parameters.keys()


@pytest.mark.parametrize("tier", dispatch.available())
def test_tier_is_among_those_compared(tier):
    assert tier in calls.TIERS


def test_every_method_of_the_probe_has_variants():
    methods = {name for name in vars(Probe) if not name.startswith("_")} - {"real", "own"}
    assert methods == calls.VARIANTS.keys()


def test_every_kind_is_one_of_the_probe():
    for kind in calls.KINDS:
        assert Probe(calls.BASELINE, kind).real is calls.real(kind)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        *product(
            ["include/fn_common.h"],
            ["ROW_BLOCK", "COL_BLOCK", "CURVE_BLOCK", "BAND", "COLS_AT_ONCE"],
        ),
        *product(["drivers/fn_rows.h"], ["BATCH", "SHORT"]),
    ],
)
def test_size_is_that_of_the_sources(header, name):
    source = (ROOT / "src" / header).read_text("utf-8")
    assert re.search(rf"^#define FN_{name} (\d+)", source, re.MULTILINE)[1] == str(
        vars(sizes)[name]
    )


def test_unknown_tier_is_named():
    with pytest.raises(ValueError, match="isa='v99'"):
        Probe("v99", "f32")
