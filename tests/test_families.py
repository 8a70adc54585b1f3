# SPDX-License-Identifier: BSD-3-Clause
"""Every family computes what its reference does, to the same bits however it is called."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest

import fastnorm
from cases import DTYPES, assert_same_bits, digest, same_bits
from families import FAMILIES, Family
from family_calls import backward, every_call, every_family, everything, forward
from fastnorm import reference
from fastnorm.compare.case import Case
from layouts import c_order, channels_last, dense, lay_out, views_of_same_order
from tolerance import assert_within, centring, largest, relative, stored, unit


def check(family: Family, case: Case, dy, x, arguments) -> None:
    """y, updated arguments and gradients of `fastnorm` within their bounds.

    A bound is what storing the result costs, and a rounding of every step relative to the largest
    term: `growth` times the largest result.
    """
    ours, theirs = family.copied(arguments), family.copied(arguments)
    options = dict(case.options)
    y = getattr(fastnorm, family.op)(x, **ours, **options)
    y64 = getattr(reference, family.op)(x, **theirs, **options)
    if family.several:
        y, y64 = y[0], y64[0]
    shifted = centring(x, 1.0) if family.centred else 0.0
    share = relative(x) + shifted
    assert y.dtype == x.dtype
    assert_within(y, y64, stored(y64, x.dtype) + share * family.growth * largest(y64), "y")
    for name in ours:
        if not same_bits(np.asarray(ours[name]), np.asarray(arguments[name])):
            want = np.asarray(theirs[name], np.float64)
            bound = stored(want, ours[name].dtype) + share * family.growth * largest(want)
            assert_within(ours[name], want, bound, name)
    gradients = backward(fastnorm, family, case, dy, x, arguments)
    if options.get("activation"):  # the gradient before it is stored in x's type on the way
        share += unit(x.dtype)
    wanted = backward(reference, family, case, dy, x, arguments)
    assert gradients._fields == wanted._fields
    for name, got, want in zip(gradients._fields, gradients, wanted, strict=True):
        assert (got is None) == (want is None), name
        if got is not None:
            like = x if name == gradients._fields[0] else arguments[name]
            assert got.dtype == like.dtype, name
            bound = stored(want, like.dtype) + 4 * share * family.growth * largest(want)
            assert_within(got, want, bound, f"gradient of {name}")


@every_call
def test_matches_the_reference(family, case, dtype):
    check(family, case, *family.draw(case, dtype))


@every_call
@pytest.mark.parametrize("parameter_dtype", [np.float32, np.float64, ml_dtypes.bfloat16], ids=str)
def test_parameters_of_another_type(family, case, parameter_dtype):
    for kind in (ml_dtypes.bfloat16, np.float32):
        check(family, case, *family.draw(case, kind, parameter_dtype=parameter_dtype))


@every_family
@pytest.mark.parametrize("kind", [np.float32, np.float64], ids=str)
def test_matches_the_reference_on_several_threads(family, kind):
    case = family.case(*family.shared)
    with fastnorm.num_threads(2):
        check(family, case, *family.draw(case, kind))


@every_family
@pytest.mark.parametrize("mean", [1e2, 1e4, 1e6])
def test_error_does_not_grow_with_the_mean(family, mean):
    if not family.centred:
        pytest.skip("no centre is subtracted: the result itself grows with the mean")
    for case in (*family.cases, family.case(*family.shared)):
        check(family, case, *family.draw(case, np.float32, mean=mean))


@every_call
def test_given_statistics_change_nothing(family, case, dtype):
    if not family.statistics:
        pytest.skip("the family has no statistics to hand on")
    dy, x, arguments = family.draw(case, dtype)
    y, stats = forward(fastnorm, family, case, x, arguments, return_stats=True)
    assert same_bits(y, forward(fastnorm, family, case, x, arguments))
    given = backward(fastnorm, family, case, dy, x, arguments, stats=stats)._asdict()
    found = backward(fastnorm, family, case, dy, x, arguments)._asdict()
    for results in (given, found):
        for name in [name for name, value in results.items() if value is None]:
            del results[name]
    assert_same_bits(given, found, "stats given")


@every_family
def test_threads(family, dtype):
    for shape, options in (family.shared, *family.calls):
        case = family.case(shape, options)
        drawn = family.draw(case, dtype, mean=3.0 if family.centred else 0.0)
        with fastnorm.num_threads(1):
            alone = everything(family, case, *drawn)
        for threads in (2, 3, 8):
            with fastnorm.num_threads(threads):
                assert_same_bits(everything(family, case, *drawn), alone, f"{threads} threads")


@every_call
def test_views(family, case):
    dy, x, arguments = family.draw(case, np.float32)
    ndim = len(case.shape)
    for order in {c_order(ndim), channels_last(ndim), c_order(ndim)[::-1]}:
        straight = [lay_out(array, dense(order)) for array in (dy, x)]
        expected = everything(family, case, *straight, arguments)
        for name, layout in views_of_same_order(order).items():
            views = [lay_out(array, layout) for array in (dy, x)]
            before = [view.tobytes() for view in views]
            actual = everything(family, case, *views, arguments)
            assert_same_bits(actual, expected, f"{name} of {order}")
            assert before == [view.tobytes() for view in views], "an input was written to"


@every_call
def test_views_of_other_arguments(family, case):
    dy, x, arguments = family.draw(case, np.float32)
    expected = everything(family, case, dy, x, arguments)
    for name in family.differentiable:
        if arguments.get(name) is None or arguments[name].ndim == 0:
            continue
        for kind, layout in views_of_same_order(c_order(arguments[name].ndim)).items():
            other = {**arguments, name: lay_out(arguments[name], layout)}
            assert_same_bits(everything(family, case, dy, x, other), expected, f"{name}, {kind}")


@every_call
def test_out(family, case, dtype):
    dy, x, arguments = family.draw(case, dtype)
    y = forward(fastnorm, family, case, x, arguments)
    dx = backward(fastnorm, family, case, dy, x, arguments)[0]
    order = c_order(len(case.shape))
    for layout in (dense(order), *views_of_same_order(order).values()):
        if layout.writeable:
            out = lay_out(np.zeros_like(y), layout)
            assert forward(fastnorm, family, case, x, arguments, out=out) is out
            assert same_bits(np.array(out), np.array(y))
            out = lay_out(np.zeros_like(dx), layout)
            assert backward(fastnorm, family, case, dy, x, arguments, out=out)[0] is out
            assert same_bits(np.array(out), np.array(dx))
    there = x.copy()
    forward(fastnorm, family, case, there, arguments, out=there)
    assert same_bits(there, y)
    for which in (0, 1):
        inputs = [dy.copy(), x.copy()]
        backward(fastnorm, family, case, *inputs, arguments, out=inputs[which])
        assert same_bits(inputs[which], dx)
    overlapping = np.zeros(x.size + 3, x.dtype)
    inside = overlapping[1 : 1 + x.size].reshape(x.shape)
    inside[...] = x
    out = overlapping[3 : 3 + x.size].reshape(x.shape)
    forward(fastnorm, family, case, inside, arguments, out=out)
    assert same_bits(out, y)


# Printed by a child process on one tier each; the test compares what they print.
PRINT_DIGESTS = """
import json
from test_families import tier_digests
print(json.dumps(tier_digests()))
"""


def tier_digests() -> dict[str, str]:
    """Digests of every call in every type."""
    return {
        f"{case.name} {kind}": digest(everything(family, case, *family.draw(case, kind)))
        for family in FAMILIES.values()
        for case in family.cases
        for kind in DTYPES
    }


def test_isa_tiers(run_python):
    expected = tier_digests()
    for tier in fastnorm.show_config("dicts")["isa_available"]:
        for threshold in ("0", str(2**62)):
            child = run_python(
                PRINT_DIGESTS, FASTNORM_ISA=tier, FASTNORM_STREAM_THRESHOLD=threshold
            )
            actual = json.loads(child.stdout)
            assert not {name for name in expected if actual[name] != expected[name]}, tier
