# SPDX-License-Identifier: BSD-3-Clause
"""The shape catalogue: unique names, callable cases, every operation and layout covered."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from fastnorm.compare.arguments import ARGUMENTS
from fastnorm.compare.case import Case
from fastnorm.compare.catalogue import CATALOGUE, OPS, find, select
from fastnorm.compare.grid import GRID
from fastnorm.compare.problem import build


def test_names_are_unique_and_begin_with_the_operation():
    names = [case.name for case in (*CATALOGUE, *GRID)]
    assert len(set(names)) == len(names)
    for case in (*CATALOGUE, *GRID):
        assert case.name.startswith(f"{case.op}-")
        assert case.model


def test_labels_tell_the_cases_of_an_operation_apart():
    labels = [(case.op, case.label) for case in (*CATALOGUE, *GRID)]
    assert len(set(labels)) == len(labels)


def test_every_operation_is_in_the_short_list():
    assert {case.op for case in select(quick=True)} == set(OPS)


@pytest.mark.parametrize("op", ["batch_norm", "instance_norm", "group_norm"])
def test_both_memory_orders_are_there(op):
    assert {case.options.get("channel_axis", 1) for case in select([op])} == {1, -1}


def test_batch_norm_in_training_and_in_evaluation():
    assert {case.options.get("training", True) for case in select(["batch_norm"])} == {True, False}


def test_selection_groups_by_operation():
    assert [case.op for case in select(["rms_norm", "layer_norm"])] == sorted(
        case.op for case in select(["rms_norm", "layer_norm"])
    )
    assert len(select()) == len(CATALOGUE)


def test_the_grid_comes_only_when_asked_for():
    assert not {case.name for case in GRID} & {case.name for case in select()}
    everything = select(grid=True)
    assert len(everything) == len(CATALOGUE) + len(GRID)
    assert [case.op for case in everything] == sorted(
        (case.op for case in everything), key=OPS.index
    )
    assert select(["rms_norm"], grid=True)[: len(select(["rms_norm"]))] == select(["rms_norm"])


def test_the_grid_stays_within_its_limits():
    """Its cases add shapes to operations that are there, of at most 64 MB of float32."""
    assert all(case.size * 4 <= 64 * 2**20 for case in GRID)
    assert {case.op for case in GRID} <= set(OPS)
    assert all("-grid-" in case.name and not case.quick for case in GRID)


def test_find():
    assert find(GRID[0].name) is GRID[0]
    assert find(CATALOGUE[3].name) is CATALOGUE[3]
    with pytest.raises(KeyError, match="no-such-case"):
        find("no-such-case")


@pytest.mark.parametrize("case", [*CATALOGUE, *GRID], ids=lambda case: case.name)
def test_case_can_be_built(case):
    """With a smaller batch, which costs less and leaves everything else as it is."""
    smaller = dataclasses.replace(case, shape=(min(2, case.shape[0]), *case.shape[1:]))
    problem = build(smaller, np.dtype(np.float16))
    assert problem.x.shape == problem.dy.shape == smaller.shape
    assert problem.x.dtype == np.float16
    streams = {"moments": 1, "add_layer_norm": 4, "add_rms_norm": 4}.get(case.op, 2)
    style = problem.parameters.get("style", np.empty(0, np.float16))
    assert problem.traffic("forward") == 2 * streams * math.prod(smaller.shape) + style.nbytes
    of_x = {argument.name for argument in ARGUMENTS.get(case.op, ()) if argument.of_x}
    for name, values in problem.parameters.items():
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            assert values.dtype == (np.float16 if name in of_x else np.float32)


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "2x3"),
        ({"axis": -1}, "2x3"),
        ({"axis": 0}, "2x3 axis=0"),
        ({"axis": (0, 1)}, "2x3 axes=0,1"),
        ({"axis": None}, "2x3 all axes"),
        ({"channel_axis": -1, "training": False}, "2x3 last eval"),
        ({"channel_axis": 0}, "2x3 C at 0"),
        ({"num_groups": 3}, "2x3 G=3"),
    ],
)
def test_label(options, label):
    assert Case("name", "op", (2, 3), "model", options).label == label


def test_data_depend_on_the_name_alone():
    case = Case("some name", "layer_norm", (4, 6), "model", {"axis": -1})
    first, again = (build(case, np.dtype(np.float32)) for _ in range(2))
    other = build(dataclasses.replace(case, name="another name"), np.dtype(np.float32))
    assert np.array_equal(first.x, again.x)
    assert np.array_equal(first.dy, again.dy)
    assert not np.array_equal(first.x, other.x)
