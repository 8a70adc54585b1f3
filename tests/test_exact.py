# SPDX-License-Identifier: BSD-3-Clause
"""The error does not grow with the mean: the numbers that the documentation promises.

Everything is compared with `fastnorm.reference`, in float64, on the same float32 (float16,
bfloat16) values.
"""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

import fastnorm
from cases import OPS, Arguments, Case, backward, draw, forward
from fastnorm import reference
from oracle import check_backward, check_forward
from sizes import ROW_BLOCK
from tolerance import largest, ulps_apart

PROMISE = 1e-6  # largest |y - y64| of float32, standard-normal data, at any mean below
GRADIENT_PROMISE = 1e-5  # largest |dx - dx64|, relative to the largest |dx64|, at mean 1e4
MEANS = (0.0, 1e2, 1e4, 1e6)

# (n, h, w): a statistics group has n * h * w values, from 64 to a million, not all of them round.
GROUPS = ((4, 4, 4), (3, 7, 13), (8, 28, 28), (32, 56, 56), (10, 250, 400))


def group_cases():
    """Layer, batch, instance and group norm, channels first and last, for every group size."""
    for n, h, w in GROUPS:
        values = n * h * w
        big = values > 10_000
        few = 2 if big else 19  # rows, columns or channels
        samples = 1 if big else 2
        yield Case("layer_norm", (few, values), {"axis": -1})
        yield Case("layer_norm", (values, few), {"axis": 0})
        yield Case("layer_norm", (samples, n * h, few, w), {"axis": (1, -1)})
        yield Case("batch_norm", (n, few, h, w), {"channel_axis": 1})
        yield Case("batch_norm", (n, h, w, few), {"channel_axis": -1})
        yield Case("instance_norm", (samples, few, n * h, w), {"channel_axis": 1})
        yield Case("instance_norm", (samples, n * h, w, few), {"channel_axis": -1})
        yield Case("group_norm", (samples, 2 * n, h, w), {"num_groups": 2, "channel_axis": 1})
        yield Case("group_norm", (samples, h, w, 2 * n), {"num_groups": 2, "channel_axis": -1})


CASES = [*group_cases()]
MODEST_CASES = [case for case in CASES if math.prod(case.shape) < 200_000]


def without_parameters(case: Case, x, dy=None) -> Arguments:
    """No weight, no bias, no running statistics."""
    names = ("weight",) if case.op == "rms_norm" else ("weight", "bias")
    return Arguments(x, dy, dict.fromkeys(names))


def batch_statistics(arguments: Arguments) -> Arguments:
    """The same arguments without running statistics."""
    kept = {k: v for k, v in arguments.parameters.items() if not k.startswith("running")}
    return Arguments(arguments.x, arguments.dy, kept)


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_error_does_not_grow_with_the_mean(case, mean, rng):
    x = rng.standard_normal(case.shape, dtype=np.float32) + np.float32(mean)
    plain = without_parameters(case, x)
    y64 = forward(reference, case, plain)[0]
    y = forward(fastnorm, case, plain)[0]
    assert y.dtype == np.float32
    assert np.max(np.abs(y - y64)) <= PROMISE

    ones = np.ones(case.parameter_shape, np.float32)
    unit = Arguments(x, None, {"weight": ones, "bias": np.zeros_like(ones)})
    assert np.max(np.abs(forward(fastnorm, case, unit)[0] - y64)) <= PROMISE


@pytest.mark.parametrize("mean", [5e3, *(2.0**k for k in range(8, 18))])
@pytest.mark.parametrize("case", [c for c in CASES if c.shape[0] == 8 or 6272 in c.shape], ids=str)
def test_means_between(case, mean, rng):
    """Near 1e4 float32 data lie on a grid whose squares are 0 or 1 modulo 4 of its square.

    A sum of such squares that is a few bits too narrow rounds each of them down, never up.
    """
    x = rng.standard_normal(case.shape, dtype=np.float32) + np.float32(mean)
    plain = without_parameters(case, x)
    y, y64 = (forward(module, case, plain)[0] for module in (fastnorm, reference))
    assert np.max(np.abs(y - y64)) <= PROMISE


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_at_a_large_mean(case, rng):
    arguments = batch_statistics(draw(case, rng, np.float32, mean=1e4))
    ours, theirs = (backward(module, case, arguments) for module in (fastnorm, reference))
    for name in theirs._fields:
        error = largest(getattr(ours, name) - getattr(theirs, name))
        assert error <= GRADIENT_PROMISE * largest(getattr(theirs, name)), name


# Values of very different size where a shift or a sample of the group would be taken from: they
# make a bad guess of the centre, and the variance cancels unless the guess is found out.
def _misleading(kind: str, values: int, rng) -> np.ndarray:
    x = rng.standard_normal(values)
    if kind == "first values":
        x[:64] += 1e6
    elif kind == "last values":
        x[-64:] += 1e6
    elif kind == "every quarter":
        for quarter in range(4):
            x[quarter * values // 4 :][:16] += 1e6
    elif kind == "one value":
        x[0] = 1e8
    elif kind == "two levels":
        x[values // 2 :] += 1e6
    elif kind == "ramp":
        x += np.linspace(-1e5, 1e6, values)
    return x.astype(np.float32)


@pytest.mark.parametrize("values", [640, 5 * ROW_BLOCK + 7, 200_003])
@pytest.mark.parametrize(
    "kind", ["first values", "last values", "every quarter", "one value", "two levels", "ramp"]
)
@pytest.mark.parametrize("layout", ["row", "column"])
def test_a_misleading_part_of_the_group(layout, kind, values, rng):
    x = _misleading(kind, values, rng)
    if layout == "row":
        case, x = Case("layer_norm", (2, values), {"axis": -1}), np.stack([x, x[::-1]])
    else:
        case, x = Case("layer_norm", (values, 3), {"axis": 0}), np.stack([x, x[::-1], -x], axis=1)
    plain = without_parameters(case, x, rng.standard_normal(x.shape, dtype=np.float32))
    check_forward(case, plain)
    check_backward(case, plain)


def constants(dtype) -> list[float]:
    """Values whose multiples and squares are not exact, or not in range."""
    values = (0.1, 1234.0, 1e7, 1e30, -0.0, -3.3e-5)
    return [value for value in values if abs(value) <= float(ml_dtypes.finfo(dtype).max)]


def constant_cases():
    """Group sizes that are odd, prime, and one off a block; both layouts of every normalizer."""
    for values in (2, 3, 7, 61, 1000, ROW_BLOCK + 1, 70_001):
        yield Case("layer_norm", (3, values), {"axis": -1})
        yield Case("layer_norm", (values, 3), {"axis": 0})
        yield Case("standardize", (2, values, 3), {"axis": (0, 1)})
        yield Case("batch_norm", (values, 5), {"channel_axis": 1})
        yield Case("batch_norm", (2, 5, values), {"channel_axis": 1})
        yield Case("instance_norm", (2, 5, values), {"channel_axis": 1})
        yield Case("instance_norm", (2, values, 5), {"channel_axis": -1})
        yield Case("group_norm", (2, 6, values), {"num_groups": 2, "channel_axis": 1})
        yield Case("group_norm", (2, values, 6), {"num_groups": 2, "channel_axis": -1})


@pytest.mark.parametrize("case", [*constant_cases()], ids=str)
def test_constant_input_gives_the_bias(case, dtype, rng):
    arguments = batch_statistics(draw(case, rng, dtype))
    bias = case.spread_parameter(arguments.parameters["bias"])
    for value in constants(dtype):
        arguments.x = np.full(case.shape, value, dtype)
        y, stats = forward(fastnorm, case, arguments)
        assert (stats.mean == arguments.x.flat[0].astype(np.float64)).all(), value
        assert (stats.var == 0).all(), value
        assert (y == np.broadcast_to(bias, case.shape)).all(), value

        y, _ = forward(fastnorm, case, without_parameters(case, arguments.x))
        assert (y == 0).all(), value


def test_constant_channel_among_others(dtype, rng):
    """One constant channel beside ordinary ones, in each layout, is still exactly constant."""
    for shape, channel_axis in (((9, 37, 41), 1), ((9, 41, 37), 2)):
        x = rng.standard_normal(shape).astype(dtype)
        channel = (slice(None),) * channel_axis + (20,)
        for value in constants(dtype):
            x[channel] = value
            y, stats = fastnorm.batch_norm(x, channel_axis=channel_axis, return_stats=True)
            assert stats.var[20] == 0, value
            assert (np.delete(stats.var, 20) > 0).all(), value
            assert (y[channel] == 0).all(), value


def test_mean_of_twenty_million_ones():
    stats = fastnorm.moments(np.ones((20_000_000, 2), np.float32), axis=0)
    assert (stats.mean == 1.0).all()
    assert (stats.var == 0.0).all()


# Squares of 1e30 and sums of 1e37 leave float32; means, deviations and results do not.
@pytest.mark.parametrize("scale", [1e30, 1e37])
@pytest.mark.parametrize("case", MODEST_CASES, ids=str)
def test_values_near_the_end_of_the_range(case, scale, rng):
    x = rng.standard_normal(case.shape, dtype=np.float32) * np.float32(scale)
    plain = without_parameters(case, x)
    y, stats = forward(fastnorm, case, plain)
    y64, stats64 = forward(reference, case, plain)
    assert np.isfinite(y).all()
    assert np.max(np.abs(y - y64)) <= PROMISE
    np.testing.assert_allclose(stats.var, stats64.var, rtol=PROMISE)


@pytest.mark.parametrize("case", MODEST_CASES, ids=str)
def test_gradients_near_the_end_of_the_range(case, rng):
    arguments = batch_statistics(draw(case, rng, np.float32, std=1e30))
    ours, theirs = (backward(module, case, arguments) for module in (fastnorm, reference))
    for name in theirs._fields:
        error = largest(getattr(ours, name) - getattr(theirs, name))
        assert error <= GRADIENT_PROMISE * largest(getattr(theirs, name)), name


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("scale", [1e-20, 1e-30])
def test_tiny_values_without_eps(op, scale, rng):
    """With eps = 0 the result does not depend on the scale, also where squares leave float32."""
    config = {"num_groups": 2} if op == "group_norm" else {}
    config |= {"axis": (2,)} if op in ("standardize", "layer_norm", "rms_norm") else {}
    case = Case(op, (4, 6, 50), config | {"eps": 0.0})
    x = rng.standard_normal(case.shape, dtype=np.float32) * np.float32(scale)
    plain = without_parameters(case, x)
    y, y64 = (forward(module, case, plain)[0] for module in (fastnorm, reference))
    assert np.max(np.abs(y - y64)) <= PROMISE


@pytest.mark.parametrize("mean", [0.0, 3.0, 100.0])
@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("case", MODEST_CASES, ids=str)
def test_half_precision_is_within_one_ulp(case, kind, mean, rng):
    x = (rng.standard_normal(case.shape) + mean).astype(kind)
    plain = without_parameters(case, x)
    y64 = forward(reference, case, plain)[0]
    assert np.max(ulps_apart(forward(fastnorm, case, plain)[0], y64)) <= 1

    ones = np.ones(case.parameter_shape, kind)
    unit = Arguments(x, None, {"weight": ones, "bias": np.zeros_like(ones)})
    assert np.max(ulps_apart(forward(fastnorm, case, unit)[0], y64)) <= 1


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_parameters_are_not_rounded_before_the_sum(kind, rng):
    """A weight gradient is summed wide: 4096 equal terms do not stall at the type's precision."""
    rows, n = 4096, 8
    x = np.tile(np.arange(n), (rows, 1)).astype(kind)
    dy = np.ones((rows, n), kind)
    weight = np.ones(n, kind)
    ours = fastnorm.layer_norm_backward(dy, x, weight, weight)
    theirs = reference.layer_norm_backward(dy, x, weight, weight)
    assert np.max(ulps_apart(ours.weight, theirs.weight)) <= 1
    assert (ours.bias.astype(np.float64) == rows).all()
