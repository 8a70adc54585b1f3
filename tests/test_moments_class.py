# SPDX-License-Identifier: BSD-3-Clause
"""`Moments`: merging, folding in further batches, and behaving as a tuple."""

from __future__ import annotations

import copy
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnorm
from fastnorm import Moments, reference


def assert_close(ours: Moments, theirs, scale: float = 1.0) -> None:
    """Equal within float64 rounding of values of size `scale`; the count exactly."""
    assert ours.count == theirs.count
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-14, atol=1e-14 * scale)
    np.testing.assert_allclose(ours.var, theirs.var, rtol=1e-12, atol=1e-14 * scale)


def of_list(values: list[int]) -> Moments:
    """Exact moments of integers, rounded once."""
    n = len(values)
    mean = sum(map(Fraction, values)) / n
    var = sum((value - mean) ** 2 for value in values) / n
    return Moments(float(mean), float(var), n)


# --- merging --------------------------------------------------------------------------------------


@given(cuts=st.lists(st.integers(0, 40), max_size=5), seed=st.integers(0, 2**32))
def test_merging_parts_gives_the_moments_of_the_whole(cuts, seed):
    x = np.random.default_rng(seed).normal(3.0, 2.0, (40, 3))
    parts = [fastnorm.moments(part, axis=0) for part in np.split(x, sorted(cuts))]
    merged = Moments.merge(*parts)
    assert_close(merged, reference.moments(x, 0))
    assert_close(parts[0].merge(*parts[1:]), merged)


@given(st.lists(st.lists(st.integers(-1000, 1000), min_size=1), min_size=1))
def test_merging_against_exact_arithmetic(lists):
    merged = Moments.merge(*map(of_list, lists))
    assert_close(merged, of_list([value for values in lists for value in values]), scale=1e6)


def test_merging_agrees_with_the_reference(rng):
    parts = [rng.normal(1e4, 1.0, (n, 5)) for n in (3, 50, 1)]
    ours = Moments.merge(*(fastnorm.moments(part, 0) for part in parts))
    theirs = reference.Moments.merge(*(reference.moments(part, 0) for part in parts))
    assert_close(ours, theirs, scale=1e4)


def test_a_large_mean_costs_no_digits():
    """Sums of squares would leave nothing of this variance."""
    a, b = Moments(1e9, 1.0, 1000), Moments(1e9 + 1, 1.0, 1000)
    assert a.merge(b).var == 1.25


def test_merging_constant_values_is_exact():
    parts = [fastnorm.moments(np.full((n, 2), 0.1, np.float32), 0) for n in (7, 3, 1, 100)]
    merged = Moments.merge(*parts)
    assert (merged.mean == np.float64(np.float32(0.1))).all()
    assert (merged.var == 0).all()
    assert merged.count == 111


def test_counts_stay_exact_beyond_float64():
    assert Moments(0.0, 1.0, 2**53).merge(Moments(0.0, 1.0, 1)).count == 2**53 + 1


@pytest.mark.parametrize(
    "order", [("empty", "full"), ("full", "empty"), ("empty", "full", "empty")]
)
def test_a_part_without_values_contributes_nothing(order, rng):
    full = fastnorm.moments(rng.normal(size=(5, 3)), 0)
    parts = {"full": full, "empty": fastnorm.moments(np.empty((0, 3)), 0)}
    merged = Moments.merge(*(parts[name] for name in order))
    assert merged.count == 5
    np.testing.assert_array_equal(merged.mean, full.mean)
    np.testing.assert_array_equal(merged.var, full.var)


def test_nothing_but_empty_parts():
    empty = fastnorm.moments(np.empty((0, 3)), 0)
    merged = empty.merge(empty)
    assert merged.count == 0
    assert np.isnan(merged.mean).all()


def test_nan_and_inf_stay_in_their_group():
    a = Moments([np.inf, np.nan, 1.0], [np.nan, np.nan, 0.0], 2)
    b = Moments([-np.inf, 1.0, 1.0], [np.nan, 0.0, 0.0], 2)
    merged = a.merge(b)
    assert np.isnan(merged.mean[:2]).all()
    assert merged.mean[2] == 1.0
    assert merged.var[2] == 0.0


def test_merging_leaves_the_parts_alone(rng):
    a, b = (fastnorm.moments(rng.normal(size=(4, 3)), 0) for _ in range(2))
    before = copy.deepcopy(a), copy.deepcopy(b)
    merged = a.merge(b)
    merged.mean[...] = 0
    alone = a.merge()
    alone.mean[...] = 0
    for part, old in zip((a, b), before, strict=True):
        np.testing.assert_array_equal(part.mean, old.mean)
        np.testing.assert_array_equal(part.var, old.var)


def test_parts_of_other_shapes_are_refused(rng):
    a, b = (
        fastnorm.moments(rng.normal(size=(4, 3)), 0),
        fastnorm.moments(rng.normal(size=(4, 2)), 0),
    )
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        a.merge(b)


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="tuple"):
        Moments(0.0, 1.0, 2).merge((0.0, 1.0, 2))


# --- updating -------------------------------------------------------------------------------------


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [0, -1, (0, 2), None])
def test_update_is_merge_over_the_same_axes(axis, keepdims, dtype, rng):
    batches = [rng.normal(2.0, 1.0, (4, 3, 5)).astype(dtype) for _ in range(3)]
    total = fastnorm.moments(batches[0], axis, keepdims=keepdims)
    for batch in batches[1:]:
        assert total.update(batch) is total
    parts = [fastnorm.moments(batch, axis, keepdims=keepdims) for batch in batches]
    merged = Moments.merge(*parts)
    np.testing.assert_array_equal(total.mean, merged.mean)
    np.testing.assert_array_equal(total.var, merged.var)
    assert total.count == merged.count
    assert np.shape(total.mean) == np.shape(parts[0].mean)


def test_update_with_batches_of_other_lengths(rng):
    x = rng.normal(size=(30, 4))
    total = fastnorm.moments(x[:0], axis=0)
    for start, stop in ((0, 1), (1, 20), (20, 20), (20, 30)):
        total.update(x[start:stop])
    assert_close(total, reference.moments(x, 0))


def test_moments_made_by_hand_reduce_all_axes_or_the_first(rng):
    x = rng.normal(size=(6, 4))
    assert_close(Moments(0.0, 0.0, 0).update(x), reference.moments(x))
    assert_close(Moments(np.zeros(4), np.zeros(4), 0).update(x), reference.moments(x, 0))


def test_a_merged_total_can_be_updated(rng):
    x = rng.normal(size=(3, 4, 5))
    total = Moments.merge(*(fastnorm.moments(part, axis=1) for part in x[:2]))
    assert_close(total.update(x[2]), reference.moments(np.concatenate(x, axis=1), 1))


@pytest.mark.parametrize("op", ["layer_norm", "batch_norm", "instance_norm"])
def test_statistics_of_a_normalizer_can_be_updated(op, rng):
    first, second = rng.normal(size=(2, 4, 3, 5))
    total = getattr(fastnorm, op)(first, return_stats=True)[1].update(second)
    parts = [getattr(reference, op)(x, return_stats=True)[1] for x in (first, second)]
    assert_close(total, reference.Moments.merge(*parts))


def test_statistics_of_channel_groups_take_x_with_its_channels_split(rng):
    first, second = rng.normal(size=(2, 4, 6, 5))
    stats = fastnorm.group_norm(first, 3, return_stats=True)[1]
    with pytest.raises(ValueError, match="axis"):
        stats.update(second)
    stats.update(second.reshape(4, 3, 2, 5))
    parts = [reference.group_norm(x, 3, return_stats=True)[1] for x in (first, second)]
    assert_close(stats, reference.Moments.merge(*parts))


def test_update_keeps_arrays_handed_out_before(rng):
    total = fastnorm.moments(rng.normal(size=(4, 3)), 0)
    mean, var, _ = total
    kept = mean.copy(), var.copy()
    total.update(rng.normal(size=(4, 3)))
    np.testing.assert_array_equal(mean, kept[0])
    np.testing.assert_array_equal(var, kept[1])


@pytest.mark.parametrize("x", [np.zeros((4, 2)), np.zeros(3), np.zeros((4, 3), int)], ids=str)
def test_a_failed_update_changes_nothing(x, rng):
    total = fastnorm.moments(rng.normal(size=(4, 3)), 0)
    before = copy.copy(total)
    with pytest.raises((ValueError, TypeError)):
        total.update(x)
    assert total.count == before.count
    assert total.mean is before.mean
    assert total.var is before.var


# --- the class ------------------------------------------------------------------------------------


def test_behaves_as_a_tuple():
    m = Moments([1.0, 2.0], [3.0, 4.0], 5)
    mean, var, count = m
    assert mean is m.mean is m[0]
    assert var is m.var is m[1]
    assert count == m.count == m[-1] == 5
    assert len(m) == 3
    assert tuple(m[1:])[-1] == 5


def test_is_float64_whatever_it_is_made_of():
    m = Moments(np.ones(2, np.float16), [1, 2], np.int32(3))
    assert m.mean.dtype == m.var.dtype == np.float64
    assert type(m.count) is int


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((np.zeros(2), np.zeros(3), 1), ValueError, r"var has shape \(3,\)"),
        ((0.0, 0.0, -1), ValueError, "count must be >= 0, got -1"),
        ((0.0, 0.0, 2.0), TypeError, "count must be an integer, got 2.0"),
        ((0.0, 0.0, True), TypeError, "count must be an integer, got True"),
    ],
)
def test_refuses_what_makes_no_sense(arguments, error, match):
    with pytest.raises(error, match=match):
        Moments(*arguments)


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_go_on_over_the_same_axes(duplicate, rng):
    x = rng.normal(size=(4, 3))
    m = duplicate(fastnorm.moments(x, axis=1, keepdims=True))
    assert_close(m.update(x), reference.moments(np.hstack([x, x]), 1, keepdims=True))


def test_repr_can_be_read_back():
    m = Moments([1.0, 2.0], [0.0, 0.25], 7)
    back = eval(repr(m), {"Moments": Moments, "array": np.array})
    assert repr(back) == repr(m)
