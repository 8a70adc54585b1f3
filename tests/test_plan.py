# SPDX-License-Identifier: BSD-3-Clause
"""The plan of a call: (shape, strides, axes) -> loops: the table of plans.py, and properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnorm._core.plan import describe
from plans import TABLE
from strategies import shapes

LONGEST_FOLD = 95  # a reduced run of 96 values is walked as rows
FOLD_ROWS = 16


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
def test_plan(row):
    *problem, plan = row
    assert describe(*problem) == plan


def test_more_axes_than_numpy_has():
    with pytest.raises(ValueError, match="65 axes"):
        describe((1,) * 65, (1,) * 65, ())


# --- properties -----------------------------------------------------------------------------------


@st.composite
def problems(draw):
    """(shape, order, axes, param_axes): order lists the axes from the slowest to the fastest."""
    shape = draw(shapes(max_size=50_000, empty=False))
    ndim = len(shape)
    some_axes = st.sets(st.sampled_from(range(ndim)))
    order = tuple(draw(st.permutations(range(ndim))))
    return shape, order, tuple(sorted(draw(some_axes))), tuple(sorted(draw(some_axes)))


def strides_of(shape, order, pads=None, signs=None):
    """Strides in elements; pads: unused slots after each axis; signs: 1, or -1 to walk back."""
    strides, step = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = step * (1 if signs is None else signs[axis])
        step *= shape[axis] + (0 if pads is None else pads[axis])
    return tuple(strides)


def loops(plan):
    """What a plan says about which values meet, whatever the number of axes it says it with."""
    kept = {name: plan[name] for name in ("layout", "fold", "count", "run_param", "red_param")}
    kept |= {part: math.prod(plan[part]) for part in ("outer", "red", "run")}
    return kept | {"per parameter": math.prod(plan["run"][plan["split"] :])}


@given(problems())
def test_parts_make_up_the_whole(problem):
    shape, order, axes, param_axes = problem
    plan = describe(shape, strides_of(shape, order), axes, param_axes)
    groups, segs, n = (math.prod(plan[part]) for part in ("outer", "red", "run"))
    assert groups * segs * n == math.prod(shape)
    assert plan["count"] == math.prod(shape[axis] for axis in axes)
    assert plan["direct"]
    assert plan["even"] == (len(plan["red"]) <= 1)
    assert 0 <= plan["split"] < max(len(plan["run"]), 1)
    if plan["layout"] == "rows":
        assert plan["fold"] == 1
        assert groups * plan["count"] == math.prod(shape)
        assert segs * n == plan["count"]
    else:
        assert n % plan["fold"] == plan["split"] == 0
        assert groups * (n // plan["fold"]) * plan["count"] == math.prod(shape)
        assert segs * plan["fold"] == plan["count"]
    if plan["fold"] > 1:
        assert plan["fold"] <= LONGEST_FOLD
        assert segs >= FOLD_ROWS


@given(problems(), st.data())
def test_padded_and_reversed_views_have_the_same_loops(problem, data):
    shape, order, axes, param_axes = problem
    ndim = len(shape)
    pads = data.draw(st.tuples(*[st.sampled_from((0, 0, 1, 7))] * ndim))
    signs = data.draw(st.tuples(*[st.sampled_from((1, 1, -1))] * ndim))
    dense = describe(shape, strides_of(shape, order), axes, param_axes)
    view = describe(shape, strides_of(shape, order, pads, signs), axes, param_axes)
    assert loops(view) == loops(dense)


@given(problems(), st.data())
def test_names_of_the_axes_do_not_matter(problem, data):
    shape, order, axes, param_axes = problem
    strides = strides_of(shape, order)
    names = data.draw(st.permutations(range(len(shape))))
    place = {axis: i for i, axis in enumerate(names)}
    transposed = describe(
        tuple(shape[axis] for axis in names),
        tuple(strides[axis] for axis in names),
        tuple(place[axis] for axis in axes),
        tuple(place[axis] for axis in param_axes),
    )
    assert transposed == describe(shape, strides, axes, param_axes)


@given(problems(), st.integers(0, 5), st.integers(-9, 9), st.booleans())
def test_an_axis_of_length_one_changes_nothing(problem, place, stride, reduced):
    shape, order, axes, param_axes = problem
    strides, place = strides_of(shape, order), min(place, len(shape))

    def moved(some):
        return tuple(axis + (axis >= place) for axis in some)

    longer = describe(
        (*shape[:place], 1, *shape[place:]),
        (*strides[:place], stride, *strides[place:]),
        moved(axes) + ((place,) if reduced else ()),
        moved(param_axes),
    )
    assert longer == describe(shape, strides, axes, param_axes)
