# SPDX-License-Identifier: BSD-3-Clause
"""Calls of the families that tests/families describes, and tests over all of them."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from families import FAMILIES, Family
from fastnorm.compare.case import Case

CALLS = [
    pytest.param(family, case, id=case.name)
    for family in FAMILIES.values()
    for case in family.cases
]
every_call = pytest.mark.parametrize(("family", "case"), CALLS)
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))


def forward(module, family: Family, case: Case, x, arguments, **options):
    """y, and the statistics where they are asked for; the arguments stay as they are."""
    function = getattr(module, family.op)
    results = function(x, **family.copied(arguments), **(dict(case.options) | options))
    if not family.several:
        return results
    return (results[0], results[-1]) if options.get("return_stats") else results[0]


def backward(module, family: Family, case: Case, dy, x, arguments, **options):
    """The named tuple of gradients, of a family that is `settled` after the call itself."""
    function = getattr(module, f"{family.op}_backward")
    held = family.copied(arguments)
    if family.settled:
        settings = {"eps": options["eps"]} if "eps" in options else {}
        getattr(module, family.op)(x, **held, **(dict(case.options) | settings))
    return function(dy, x, **held, **(dict(case.options) | options))


def everything(family: Family, case: Case, dy, x, arguments, **options) -> dict[str, np.ndarray]:
    """y, every updated argument and every gradient of `fastnorm`, by name."""
    held = family.copied(arguments)
    y = getattr(fastnorm, family.op)(x, **held, **case.options, **options)
    results = {f"y {i}": values for i, values in enumerate(y)} if family.several else {"y": y}
    results |= {a.name: held[a.name] for a in family.arguments if a.updated and a.name in held}
    gradients = backward(fastnorm, family, case, dy, x, arguments)._asdict()
    results |= {f"gradient of {name}": v for name, v in gradients.items() if v is not None}
    return results


def with_eps(family: Family) -> dict[str, float]:
    """The eps at which a misplaced eps shows."""
    return {} if family.smooth_eps is None else {"eps": family.smooth_eps}
