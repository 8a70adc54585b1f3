# SPDX-License-Identifier: BSD-3-Clause
"""Masks and lengths: statistics over the part of x that counts."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastnorm
from cases import DTYPES, assert_same_bits, digest, same_bits
from fastnorm import reference
from gradcheck import assert_gradients
from layouts import c_order, channels_last, dense, lay_out, views_of_same_order
from tolerance import assert_within, centring, largest, relative, stored, unit

# op: shape of x, options, shape of the mask. Values, steps of samples, channels.
CALLS = (
    ("layer_norm", (6, 40), {}, (6, 40)),
    ("layer_norm", (3, 5, 20), {}, (3, 5, 1)),
    ("layer_norm", (3, 30, 7), {"axis": 1}, (3, 30, 1)),
    ("layer_norm", (4, 6, 33), {"activation": "gelu"}, (6, 33)),
    ("rms_norm", (6, 40), {}, (6, 40)),
    ("rms_norm", (4, 9, 20), {"axis": (1, 2)}, (4, 9, 1)),
    ("batch_norm", (5, 20, 8), {"channel_axis": -1}, (5, 20, 1)),
    ("batch_norm", (5, 8, 20), {}, (5, 1, 20)),
    ("batch_norm", (4, 3, 6, 7), {"activation": "relu"}, (4, 3, 6, 7)),
    ("instance_norm", (4, 3, 40), {}, (4, 1, 40)),
    ("instance_norm", (4, 40, 3), {"channel_axis": -1}, (4, 40, 1)),
    ("group_norm", (4, 6, 20), {"num_groups": 2}, (4, 1, 20)),
    ("group_norm", (4, 20, 6), {"num_groups": 3, "channel_axis": -1}, (4, 20, 1)),
)
every_call = pytest.mark.parametrize(
    ("op", "shape", "options", "masked"), CALLS, ids=lambda v: str(v).replace(" ", "")
)


def drawn(op, shape, options, masked, rng, dtype=np.float64, mean=0.0):
    """dy, x, the parameters, and a mask that leaves one group of some kinds empty."""
    x = (rng.standard_normal(shape) + mean).astype(dtype)
    dy = rng.standard_normal(shape).astype(dtype)
    axis = options.get("axis", -1) if "channel_axis" not in options else options["channel_axis"]
    if op in ("batch_norm", "instance_norm", "group_norm"):
        axis = options.get("channel_axis", 1)
    axes = axis if isinstance(axis, tuple) else (axis,)
    parameter = tuple(shape[a] for a in axes)
    kind = np.float64 if dtype == np.float64 else np.float32
    parameters = {"weight": (1 + 0.3 * rng.standard_normal(parameter)).astype(kind)}
    if op != "rms_norm":
        parameters["bias"] = rng.standard_normal(parameter).astype(kind)
    mask = rng.random(masked) < 0.6
    if mask.ndim == len(shape):
        mask[0] = False
    return dy, x, parameters, mask


@every_call
@pytest.mark.parametrize("zero", [False, True])
def test_reference_gradients_match_finite_differences(op, shape, options, masked, zero, rng):
    dy, x, parameters, mask = drawn(op, shape, options, masked, rng)
    words = {**options, "mask": mask, "zero_masked": zero, "eps": 0.1}
    gradients = getattr(reference, f"{op}_backward")(dy, x, **parameters, **words)
    function = getattr(reference, op)
    assert_gradients(
        lambda x, *a: function(x, **dict(zip(parameters, a, strict=True)), **words),
        [gradients.x, *(getattr(gradients, name) for name in parameters)],
        dy,
        [x, *parameters.values()],
    )


def check(op, options, dy, x, parameters, **words):
    """Everything against the reference."""
    share = relative(x) + (0.0 if op == "rms_norm" else centring(x, 1.0))
    y, stats = getattr(fastnorm, op)(x, **parameters, **options, **words, return_stats=True)
    y64, stats64 = getattr(reference, op)(x, **parameters, **options, **words, return_stats=True)
    assert y.dtype == x.dtype
    assert_within(y, y64, stored(y64, x.dtype) + 8 * share * largest(y64), "y")
    assert np.array_equal(stats[-1], stats64[-1])
    for got, want in zip(stats[:-1], stats64[:-1], strict=True):
        limit = 8 * share * np.nanmax(np.abs(want), initial=0.0)
        assert_within(got, want, limit, "statistics")
    words |= {"stats": stats}
    gradients = getattr(fastnorm, f"{op}_backward")(dy, x, **parameters, **options, **words)
    words.pop("stats")
    wanted = getattr(reference, f"{op}_backward")(dy, x, **parameters, **options, **words)
    found = getattr(fastnorm, f"{op}_backward")(dy, x, **parameters, **options, **words)
    if options.get("activation"):
        share += unit(x.dtype)
    for name, got, again, want in zip(gradients._fields, gradients, found, wanted, strict=True):
        assert same_bits(got, again), "statistics given"
        bound = stored(want, got.dtype) + 32 * share * largest(want)
        assert_within(got, want, bound, f"gradient of {name}")


@every_call
@pytest.mark.parametrize("zero", [False, True])
def test_matches_the_reference(op, shape, options, masked, zero, dtype, rng):
    dy, x, parameters, mask = drawn(op, shape, options, masked, rng, dtype)
    check(op, options, dy, x, parameters, mask=mask, zero_masked=zero)


@every_call
@pytest.mark.parametrize("mean", [1e2, 1e4, 1e6])
def test_error_does_not_grow_with_the_mean(op, shape, options, masked, mean, rng):
    if op == "rms_norm":
        pytest.skip("no centre is subtracted: the result itself grows with the mean")
    dy, x, parameters, mask = drawn(op, shape, options, masked, rng, np.float32, mean)
    check(op, options, dy, x, parameters, mask=mask, zero_masked=True)


# More values than a block holds, cut along the first axis and along the last.
@pytest.mark.parametrize(
    ("op", "shape", "options", "masked"),
    [
        ("layer_norm", (3, 140000), {}, (3, 140000)),
        ("batch_norm", (40, 90, 64), {"channel_axis": -1}, (40, 90, 1)),
        ("batch_norm", (40, 64, 90), {}, (40, 1, 90)),
        ("group_norm", (4, 8, 9000), {"num_groups": 2}, (4, 1, 9000)),
    ],
    ids=str,
)
def test_several_blocks(op, shape, options, masked, rng):
    dy, x, parameters, mask = drawn(op, shape, options, masked, rng, np.float32, 100.0)
    check(op, options, dy, x, parameters, mask=mask, zero_masked=False)
    with fastnorm.num_threads(1):
        alone = getattr(fastnorm, op)(x, **parameters, **options, mask=mask)
    for threads in (2, 8):
        with fastnorm.num_threads(threads):
            assert same_bits(getattr(fastnorm, op)(x, **parameters, **options, mask=mask), alone)


@every_call
def test_a_mask_of_everything(op, shape, options, masked, rng):
    _, x, parameters, mask = drawn(op, shape, options, masked, rng, np.float32)
    everything = np.ones_like(mask)
    y = getattr(fastnorm, op)(x, **parameters, **options)
    np.testing.assert_allclose(
        getattr(fastnorm, op)(x, **parameters, **options, mask=everything), y, rtol=0, atol=4e-6
    )


@every_call
def test_what_is_masked_does_not_matter(op, shape, options, masked, rng):
    """Padding may hold anything, were it NaN."""
    dy, x, parameters, mask = drawn(op, shape, options, masked, rng, np.float32)
    inside = np.broadcast_to(mask, shape)
    function, gradient = getattr(fastnorm, op), getattr(fastnorm, f"{op}_backward")
    words = {**parameters, **options, "mask": mask, "zero_masked": True}
    y, gradients = function(x, **words), gradient(dy, x, **words)
    assert not y[~inside].any()
    assert not gradients.x[~inside].any()
    for poison in (np.nan, np.inf, 1e30):
        bad_x, bad_dy = (np.where(inside, v, np.float32(poison)) for v in (x, dy))
        assert same_bits(function(bad_x, **words), y)
        assert_same_bits(gradient(bad_dy, bad_x, **words)._asdict(), gradients._asdict(), "padding")
        bad = function(bad_x, **words | {"zero_masked": False})
        assert same_bits(bad[inside], y[inside])


@pytest.mark.parametrize(
    ("op", "shape", "options", "axis"),
    [
        ("layer_norm", (4, 9, 20), {}, 1),
        ("layer_norm", (4, 9, 20), {"axis": (1, 2)}, 1),
        ("rms_norm", (4, 9, 20), {"axis": (1, 2)}, 1),
        ("batch_norm", (4, 9, 20), {"channel_axis": -1}, 1),
        ("batch_norm", (4, 9, 20), {}, 2),
        ("instance_norm", (4, 9, 20), {}, 2),
        ("group_norm", (4, 9, 20), {"num_groups": 3}, 2),
    ],
)
def test_lengths_are_a_mask(op, shape, options, axis, rng):
    dy, x = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    lengths = np.array([3, shape[axis], 0, 1], np.int32)
    mask = np.arange(shape[axis]) < lengths[:, None]
    mask = mask.reshape([n if a in (0, axis) else 1 for a, n in enumerate(shape)])
    for zero in (False, True):
        results = []
        for words in ({"lengths": lengths}, {"mask": mask}):
            words |= {**options, "zero_masked": zero}
            gradients = getattr(fastnorm, f"{op}_backward")(dy, x, **words)
            results.append({"y": getattr(fastnorm, op)(x, **words), "dx": gradients.x})
        assert_same_bits(results[0], results[1], "lengths")


@every_call
def test_views_and_out(op, shape, options, masked, rng):
    dy, x, parameters, mask = drawn(op, shape, options, masked, rng, np.float32)
    words = {**parameters, **options, "mask": mask}
    function, gradient = getattr(fastnorm, op), getattr(fastnorm, f"{op}_backward")
    for order in {c_order(len(shape)), channels_last(len(shape))}:
        straight = [lay_out(array, dense(order)) for array in (dy, x)]
        y, dx = function(straight[1], **words), gradient(*straight, **words).x
        for layout in views_of_same_order(order).values():
            views = [lay_out(array, layout) for array in (dy, x)]
            before = [view.tobytes() for view in views]
            assert same_bits(np.array(function(views[1], **words)), np.array(y))
            assert same_bits(np.array(gradient(*views, **words).x), np.array(dx))
            assert before == [view.tobytes() for view in views]
    for which in (0, 1):
        inputs = [dy.copy(), x.copy()]
        out = gradient(*inputs, **words, out=inputs[which]).x
        assert out is inputs[which]
        assert same_bits(out, gradient(dy, x, **words).x)
    there = x.copy()
    assert same_bits(function(there, **words, out=there), function(x, **words))


def test_moments_of_a_part(dtype, rng):
    x = (rng.standard_normal((6, 50)) + 1e3).astype(dtype)
    mask = rng.random((6, 50)) < 0.5
    mask[3] = False
    found = fastnorm.moments(x, axis=1, mask=mask)
    assert found.count.tolist() == mask.sum(1).tolist()
    for row in range(6):
        values = x[row][mask[row]].astype(np.float64)
        if row == 3:
            assert np.isnan(found.mean[row])
            assert np.isnan(found.var[row])
            continue
        bound = relative(x) + centring(x, 1.0)
        assert abs(found.mean[row] - values.mean()) <= bound * max(values.std(), 1e-9) + 1e-9
        assert abs(found.var[row] - values.var()) <= 4 * bound * values.var() + 1e-12
    assert fastnorm.moments(x, axis=1, keepdims=True, mask=mask).mean.shape == (6, 1)


def test_moments_of_parts_merge(rng):
    """Halves of a mask make the whole, groups without a value on either side too."""
    x, mask = rng.standard_normal((5, 40)) + 1e4, rng.random((5, 40)) < 0.5
    mask[0, :20] = mask[1, 20:] = mask[2] = False
    halves = [
        fastnorm.moments(x[:, s], axis=1, mask=mask[:, s]) for s in (slice(20), slice(20, 40))
    ]
    whole = fastnorm.moments(x, axis=1, mask=mask)
    merged = fastnorm.Moments.merge(*halves)
    assert np.array_equal(merged.count, whole.count)
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(merged.var, whole.var, rtol=1e-9)


def test_constants_have_no_variance(rng):
    for value in (0.1, 1e7, 1e30):
        x = np.full((4, 300), value, np.float32)
        mask = rng.random(x.shape) < 0.5
        assert not fastnorm.moments(x, axis=1, mask=mask).var.any()
        y = fastnorm.layer_norm(x, bias=np.full(300, 3, np.float32), mask=mask)
        assert (y == 3).all()


def test_running_statistics_of_a_part(rng):
    """A channel of which nothing counts keeps them, one of a single value too."""
    x = rng.standard_normal((3, 4, 10)).astype(np.float32)
    mask = rng.random(x.shape) < 0.7
    mask[:, 1] = mask[:, 2] = False
    mask[0, 2, 0] = True
    running_mean, running_var = np.full(4, 0.5), np.full(4, 2.0)
    fastnorm.batch_norm(x, None, None, running_mean, running_var, momentum=0.25, mask=mask)
    assert running_mean[1] == 0.5
    assert running_var[1] == running_var[2] == 2.0
    for channel in (0, 3):
        values = x[:, channel][mask[:, channel]].astype(float)
        assert abs(running_mean[channel] - (0.375 + 0.25 * values.mean())) < 1e-6
        assert abs(running_var[channel] - (1.5 + 0.25 * values.var(ddof=1))) < 1e-6


def test_layers_take_masks(rng):
    x, dy = (rng.standard_normal((4, 6, 20)).astype(np.float32) for _ in range(2))
    lengths = np.array([20, 3, 0, 7])
    for layer, keys in (
        (fastnorm.BatchNorm(6), {}),
        (fastnorm.InstanceNorm(6), {}),
        (fastnorm.GroupNorm(2, 6), {"num_groups": 2}),
    ):
        op = {"BatchNorm": "batch", "InstanceNorm": "instance", "GroupNorm": "group"}
        op = f"{op[type(layer).__name__]}_norm"
        words = {**keys, "lengths": lengths, "zero_masked": True}
        y = getattr(fastnorm, op)(x, **words)
        assert same_bits(layer(x, lengths=lengths, zero_masked=True), y)
        assert same_bits(layer.backward(dy), getattr(fastnorm, f"{op}_backward")(dy, x, **words).x)
    for layer in (fastnorm.LayerNorm(20), fastnorm.RMSNorm(20)):
        y = layer(x, lengths=np.array([6, 3, 0, 1]), zero_masked=True)
        assert not y[1, 3:].any()
        assert not layer.backward(dy)[1, 3:].any()


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ({"mask": np.ones((4, 5))}, TypeError, "mask has dtype float64"),
        ({"mask": np.ones((3, 5), bool)}, ValueError, r"mask has shape \(3, 5\)"),
        ({"lengths": np.ones(4)}, TypeError, "lengths has dtype float64"),
        ({"lengths": np.ones(3, int)}, ValueError, r"lengths has shape \(3,\)"),
        ({"lengths": np.array([1, 6, 1, 1])}, ValueError, "entry 6, expected 0 to 5"),
        ({"lengths": np.array([1, -1, 1, 1])}, ValueError, "entry -1"),
        ({"mask": np.ones((4, 5), bool), "lengths": np.ones(4, int)}, ValueError, "one of them"),
        ({"zero_masked": True}, ValueError, "needs a mask or lengths"),
    ],
    ids=str,
)
def test_refusals(words, error, text):
    x, out = np.ones((4, 5), np.float32), np.full((4, 5), 7, np.float32)
    for function in (fastnorm.layer_norm, fastnorm.rms_norm, fastnorm.batch_norm):
        if function is fastnorm.batch_norm and "lengths" in words and "mask" not in words:
            continue  # of an (N, C) input there are no steps
        with pytest.raises(error, match=text):
            function(x, out=out, **words)
    assert (out == 7).all()


# Printed by a child process on one tier each; the test compares what they print.
PRINT_DIGESTS = """
import json
from test_masks import tier_digests
print(json.dumps(tier_digests()))
"""


def tier_digests() -> dict[str, str]:
    """Digests of every call in every type."""
    digests = {}
    for op, shape, options, masked in CALLS:
        for kind in DTYPES:
            rng = np.random.default_rng(0)
            dy, x, parameters, mask = drawn(op, shape, options, masked, rng, kind, 3.0)
            words = {**parameters, **options, "mask": mask}
            results = getattr(fastnorm, f"{op}_backward")(dy, x, **words)._asdict()
            results = {"y": getattr(fastnorm, op)(x, **words)} | results
            digests[f"{op} {shape} {kind}"] = digest(results)
    return digests


def test_isa_tiers(run_python):
    expected = tier_digests()
    for tier in fastnorm.show_config("dicts")["isa_available"]:
        actual = json.loads(run_python(PRINT_DIGESTS, FASTNORM_ISA=tier).stdout)
        assert not {name for name in expected if actual[name] != expected[name]}, tier
