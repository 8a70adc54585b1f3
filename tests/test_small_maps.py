# SPDX-License-Identifier: BSD-3-Clause
"""Group norm of small maps: the ways its weights are met, which follow from a few numbers.

Runs of a channel beside those of the next group (`fn_batch_of_parts`), or vectors of weights that
are laid out along a group (`fn_lay.h`), whose groups follow each other in an order of their own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastnorm
from cases import Arguments, Case, assert_same_bits, draw, everything
from layouts import c_order, lay_out, views_of_same_order
from oracle import check_backward, check_forward
from sizes import SMALL_MAPS

by_size = pytest.mark.parametrize(("shape", "groups"), SMALL_MAPS.values(), ids=SMALL_MAPS.keys())


def problem(shape, groups, rng, dtype=np.float32) -> tuple[Case, Arguments]:
    case = Case("group_norm", shape, {"num_groups": groups})
    return case, draw(case, rng, dtype, mean=3.0)


@by_size
def test_against_the_reference(shape, groups, dtype, rng):
    case, arguments = problem(shape, groups, rng, dtype)
    _, stats = check_forward(case, arguments)
    check_backward(case, arguments)
    check_backward(case, arguments, stats=stats)


@by_size
@pytest.mark.parametrize("missing", ["weight", "bias"])
def test_one_parameter(missing, shape, groups, rng):
    case, arguments = problem(shape, groups, rng)
    arguments.parameters[missing] = None
    check_forward(case, arguments)
    check_backward(case, arguments)


@by_size
def test_threads(shape, groups, dtype, rng):
    case, arguments = problem(shape, groups, rng, dtype)
    with fastnorm.num_threads(1):
        alone = everything(case, arguments)
    for threads in (2, 3, 8):
        with fastnorm.num_threads(threads):
            assert_same_bits(everything(case, arguments), alone, f"{threads} threads")


@by_size
def test_views(shape, groups, rng):
    """Of x and dy, which are gathered then, and of the parameters, which may be laid out."""
    case, arguments = problem(shape, groups, rng)
    expected = everything(case, arguments)
    for name, layout in views_of_same_order(c_order(len(shape))).items():
        x, dy = lay_out(arguments.x, layout), lay_out(arguments.dy, layout)
        assert_same_bits(everything(case, replace(arguments, x=x, dy=dy)), expected, f"x, {name}")
    for name, layout in views_of_same_order(c_order(1)).items():
        views = {key: lay_out(value, layout) for key, value in arguments.parameters.items()}
        actual = everything(case, replace(arguments, parameters=views))
        assert_same_bits(actual, expected, f"parameters, {name}")


@by_size
def test_what_else_is_made_on_the_way(shape, groups, rng):
    """Activations and their slopes, and one NaN, which stays in its group."""
    case, arguments = problem(shape, groups, rng)
    plain = everything(case, arguments)
    z, dy = plain["y"].astype(np.float64), arguments.dy
    parameters = {"num_groups": groups, **arguments.parameters}
    y = fastnorm.group_norm(arguments.x, **parameters, activation="relu")
    assert np.array_equal(y, np.maximum(plain["y"], 0))
    slope = np.where(z > 0, dy, 0).astype(np.float32)
    dx = fastnorm.group_norm_backward(dy, arguments.x, **parameters, activation="relu").x
    assert np.array_equal(dx, fastnorm.group_norm_backward(slope, arguments.x, **parameters).x)

    x = arguments.x.copy()
    x[-1, -1] = np.nan
    broken = everything(case, replace(arguments, x=x))
    grouped = (shape[0], groups, -1)
    for name in ("y", "gradient of x"):
        hit = np.isnan(broken[name]).reshape(grouped)
        assert hit[-1, -1].all(), name
        assert hit.sum() == hit[-1, -1].size, name
        sound = np.where(hit, 0, broken[name].reshape(grouped))
        assert np.array_equal(sound, np.where(hit, 0, plain[name].reshape(grouped))), name
