# SPDX-License-Identifier: BSD-3-Clause
"""No primitive and no tier goes untested: the lists here follow those of the core."""

from __future__ import annotations

import inspect

import pytest

from fastnorm._core import dispatch
from fastnorm._core.probe import Probe
from kernels import calls, test_affine, test_grad_combine, test_grad_sums, test_moments

MODULES = (test_affine, test_grad_combine, test_grad_sums, test_moments)


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
    # settle writes into its arguments: test_settle compares it with other kernels and tiers itself.
    methods = {name for name in vars(Probe) if not name.startswith("_")} - {"real", "settle"}
    assert methods == calls.VARIANTS.keys()


def test_every_kind_is_one_of_the_probe():
    for kind in calls.KINDS:
        assert Probe(calls.BASELINE, kind).real is calls.real(kind)


def test_unknown_tier_is_named():
    with pytest.raises(ValueError, match="isa='v99'"):
        Probe("v99", "f32")
