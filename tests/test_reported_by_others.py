# SPDX-License-Identifier: BSD-3-Clause
"""Numeric bugs that users reported to other projects: NaN, a wrong mean, a lost variance.

Each test is named after its report. Values and shapes are the report's own; where they were scaled
down the test says so.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fastnorm
from fastnorm import reference
from tolerance import UNIT64, ulps_apart

PROMISE = 1e-6  # the documented error of float32 results at any mean


def reported(*reports: str):
    """Give a test the references of the reports that it settles as its id."""
    return pytest.mark.parametrize("report", [pytest.param(None, id=" ".join(reports))])


def error(y, y64) -> float:
    """Largest deviation; NaN if there is one."""
    return float(np.max(np.abs(y - y64)))


def one_pass_variance(x: np.ndarray) -> np.ndarray:
    """E[x^2] - E[x]^2 in x's type, along the last axis: what most of these projects computed."""
    return np.mean(x * x, axis=-1, dtype=x.dtype) - np.mean(x, axis=-1, dtype=x.dtype) ** 2


# ---- means ------------------------------------------------------------------------------------


@reported("numpy/numpy#22956")
def test_mean_of_ones_down_two_columns(report):
    """NumPy gives 0.8388608."""
    for columns in (1, 2):
        ones = np.ones((20_000_000, columns), np.float32)
        assert (fastnorm.moments(ones, axis=0).mean == 1.0).all()


@reported("numpy/numpy#29772")
def test_mean_depends_on_the_shape(report):
    """6 % off over axis 0 of two columns, right over (0, 1) and with one column."""
    x = np.random.default_rng(802701).random((32 * 32 * 32 * 320, 2), np.float32) * 70 + 250
    expected = x.mean(axis=0, dtype=np.float64)
    box = x.reshape(32 * 32, 32, 320, 2)
    for values, axis in (
        (x, 0),
        (box, (0, 1, 2)),
        (box, (2, 0, 1)),
        (box.transpose(2, 0, 1, 3), (0, 1, 2)),
        (x.T, 1),
    ):
        np.testing.assert_allclose(fastnorm.moments(values, axis).mean, expected, rtol=PROMISE)
    np.testing.assert_allclose(fastnorm.moments(x, (0, 1)).mean, expected.mean(), rtol=PROMISE)


@reported("numpy/numpy#11331")
def test_mean_of_a_stack_of_images(report):
    """NumPy gives 64 for the mean of each channel of 1024 images of values 0 to 255.

    All images are the same one, repeated by a zero stride: the report's shape in little memory.
    """
    image = np.random.default_rng(0).random((256, 256, 3), np.float32) * 255
    stack = np.broadcast_to(image, (1024, 256, 256, 3))
    stats = fastnorm.moments(stack, axis=(0, 1, 2))
    assert stats.count == 1024 * 256 * 256
    values = image.astype(np.float64)
    np.testing.assert_allclose(stats.mean, values.mean(axis=(0, 1)), rtol=PROMISE)
    np.testing.assert_allclose(stats.var, values.var(axis=(0, 1)), rtol=PROMISE)


@reported("pydata/xarray#1346")
def test_mean_of_many_ones(report):
    """bottleneck gives 0.5."""
    stats = fastnorm.moments(np.ones(2**25, np.float32))
    assert float(stats.mean) == 1.0
    assert float(stats.var) == 0.0


@reported("numpy/numpy#5681", "numpy/numpy#20381")
def test_a_column_and_the_matrix_it_is_in(report):
    """The variance of a column of 0.1 is 0 by itself and 5.6e-17 beside another column."""
    rng = np.random.default_rng(0)
    for rows in (10, 1000, 100_000):
        for columns in (1, 2, 5):
            x = rng.standard_normal((rows, columns)).astype(np.float32)
            x[:, 0] = 0.1
            together = fastnorm.moments(x, axis=0)
            assert together.var[0] == 0
            assert together.mean[0] == np.float64(np.float32(0.1))
            for column in range(columns):
                alone = fastnorm.moments(x[:, column])
                assert abs(alone.mean - together.mean[column]) <= PROMISE
                assert abs(alone.var - together.var[column]) <= PROMISE * alone.var


@reported("scikit-learn/scikit-learn#12333")
def test_scaler_of_a_large_float32_set(report):
    """2**25 rows in eight batches; the batches are one and the same, so that the truth is known."""
    batch = np.random.default_rng(0).random((2**22, 2), np.float32)
    one = batch.astype(np.float64)
    total = fastnorm.moments(batch, axis=0)
    for _ in range(7):
        total.update(batch)
    assert total.count == 2**25
    np.testing.assert_allclose(total.mean, one.mean(axis=0), rtol=PROMISE)
    np.testing.assert_allclose(total.var, one.var(axis=0), rtol=PROMISE)


@reported("scikit-learn/scikit-learn#5602")
def test_running_mean_of_huge_values(report):
    """mean * count leaves the range of float64 long before the mean does."""
    batch = np.full((2, 3), 8e307)
    total = fastnorm.Moments(np.zeros(3), np.zeros(3), 0)
    for _ in range(20):
        total.update(batch)
    assert total.count == 40
    assert (total.mean == 8e307).all()
    assert (total.var == 0).all()


# ---- variances --------------------------------------------------------------------------------


@reported("numpy/numpy#14691")
def test_variance_of_constant_columns(report):
    """NumPy gives a standard deviation of 1.32 for a million times 100 and -100."""
    x = np.tile(np.array([100.0, -100.0], np.float32), (1_000_000, 1))
    stats = fastnorm.moments(x, axis=0)
    assert (stats.mean == [100.0, -100.0]).all()
    assert (stats.var == 0).all()


@reported("numpy/numpy#13199")
def test_mean_and_variance_in_one_call(report):
    """The request: both in one pass, without a temporary (tests/test_memory.py), at mean 1e7."""
    x = np.random.default_rng(0).normal(1e7, size=(1000, 1000))
    for axis in (0, 1, None):
        mean, var, _ = fastnorm.moments(x, axis)
        centred = x - 1e7  # exact
        np.testing.assert_allclose(mean, 1e7 + np.mean(centred, axis), rtol=4 * UNIT64)
        np.testing.assert_allclose(var, np.var(centred, axis), rtol=1e7 * UNIT64)


@reported("numpy/numpy#6231")
def test_welford_for_a_stream(report):
    """The request: mean and variance of values that come in portions, stable at a large mean."""
    x = np.random.default_rng(0).normal(1e6, size=100_003).astype(np.float32)
    stream = fastnorm.Moments(0.0, 0.0, 0)
    for start in range(0, x.size, 1000):
        stream.update(x[start : start + 1000])
    values = x.astype(np.float64)
    assert stream.count == x.size
    np.testing.assert_allclose(stream.mean, values.mean(), rtol=1e-15)
    np.testing.assert_allclose(stream.var, values.var(), rtol=PROMISE)


@reported("google/flax#3690", "google/flax#3693", "patrick-kidger/equinox#314",
          "keras-team/keras-core#866")  # fmt: skip
def test_fast_variance_is_negative(report):
    """Clipping at 0 hides the sign, not the error."""
    x = (300.0 + 0.01 * np.random.default_rng(0).standard_normal((64, 768))).astype(np.float32)
    assert (one_pass_variance(x) < 0).any()
    stats = fastnorm.moments(x, axis=-1)
    np.testing.assert_allclose(stats.var, x.astype(np.float64).var(axis=-1), rtol=PROMISE)
    assert error(fastnorm.layer_norm(x), reference.layer_norm(x)) <= PROMISE


@reported("scikit-learn/scikit-learn#19546")
def test_variance_of_an_incremental_constant(report):
    """100 in every row: -2.2e-11 in float64 and 1.2e-3 in float32 there."""
    for dtype in (np.float32, np.float64):
        total = fastnorm.Moments(np.zeros(1), np.zeros(1), 0)
        for _ in range(10):
            total.update(np.full((100, 1), 100.0, dtype))
        assert total.mean[0] == 100.0
        assert total.var[0] == 0.0


@reported("pytorch/pytorch#40302")
def test_small_variance_at_mean_100(report):
    """randn * 0.01 + 100 had variance 0; 16 of the report's 1024 rows of 32768."""
    x = (100.0 + 0.01 * np.random.default_rng(0).standard_normal((16, 32768))).astype(np.float32)
    assert error(fastnorm.layer_norm(x), reference.layer_norm(x)) <= PROMISE
    images = x.reshape(2, 64, 64, 64)
    last = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    for values, channel_axis in ((images, 1), (last, -1)):
        options = {"channel_axis": channel_axis, "return_stats": True}
        y, stats = fastnorm.group_norm(values, 8, **options)
        y64, stats64 = reference.group_norm(values, 8, **options)
        assert error(y, y64) <= PROMISE
        np.testing.assert_allclose(stats.var, stats64.var, rtol=PROMISE)
        assert (abs(stats.var / 1e-4 - 1) < 0.1).all()


# ---- layer norm -------------------------------------------------------------------------------


@reported("microsoft/onnxruntime#28463")
def test_four_values_at_40000(report):
    """NaN, for [40000, 40001, 40002, 40003]."""
    for start in (40000.0, 80000.0):
        x = np.array([[start, start + 1, start + 2, start + 3]], np.float32)
        if start == 40000.0:
            assert one_pass_variance(x) == -128
        expected = np.array([[-1.5, -0.5, 0.5, 1.5]]) / np.sqrt(1.25 + 1e-5)
        ones, zeros = np.ones(4, np.float32), np.zeros(4, np.float32)
        assert error(fastnorm.layer_norm(x, ones, zeros), expected) <= PROMISE


@reported("microsoft/onnxruntime#21935")
def test_constant_1234(report):
    """NaN, for 256 times 1234.0."""
    assert (fastnorm.layer_norm(np.full(256, 1234.0, np.float32)) == 0).all()


@reported("pytorch/pytorch#51102")
def test_rows_of_four_at_mean_2000(report):
    """Output variances of 30822 where 1 was due; also at the means between 1e2 and 1e6."""
    for mean in (2000.0, 1e2, 1e3, 1e4, 1e5, 1e6):
        x = (mean + np.random.default_rng(5).standard_normal((500, 4))).astype(np.float32)
        assert error(fastnorm.layer_norm(x), reference.layer_norm(x)) <= PROMISE


@reported("tracel-ai/burn#5607")
def test_a_ramp_at_means_up_to_10000(report):
    """Error 1.03 at mean 100 and 1.33 at mean 10000, for 16 steps of 1e-3."""
    for mean in (0.0, 100.0, 1000.0, 10000.0):
        row = (mean + np.arange(16) * 1e-3).astype(np.float32)
        assert error(fastnorm.layer_norm(row), reference.layer_norm(row)) <= PROMISE


@reported("ml-explore/mlx#2238")
def test_sixteen_values_near_1449(report):
    """A row of NaN on the GPU."""
    # fmt: off
    x = np.array([
        1449.570556640625, 1448.8741455078125, 1450.650390625, 1449.2633056640625,
        1449.7763671875, 1449.317138671875, 1449.3297119140625, 1449.077880859375,
        1449.2181396484375, 1449.4329833984375, 1449.1605224609375, 1449.413330078125,
        1449.7933349609375, 1450.066650390625, 1449.7762451171875, 1450.364990234375,
    ], np.float32)
    # fmt: on
    y = fastnorm.layer_norm(x)
    assert np.isfinite(y).all()
    assert error(y, reference.layer_norm(x)) <= PROMISE


@reported("microsoft/onnxruntime#29034")
@pytest.mark.parametrize("op", [fastnorm.rms_norm, fastnorm.layer_norm])
@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_activations_above_7600(op, kind, report):
    """The sum of squares left float16 and the row became zeros."""
    x = np.random.default_rng(0).standard_normal((4, 2048))
    for top in (7600.0, 60000.0):
        values = (x * (top / np.abs(x).max())).astype(kind)
        y = op(values)
        assert y.any(axis=-1).all()
        assert np.max(ulps_apart(y, getattr(reference, op.__name__)(values))) <= 1


# ---- every normalizer -------------------------------------------------------------------------


@reported("pytorch/pytorch#178123", "pytorch/pytorch#162489")
def test_values_near_1e30(report):
    """Zeros on the CPU, NaN on the GPU: the squared deviation left float32."""
    x = (1e30 * np.random.default_rng(0).standard_normal((4, 8, 16, 16))).astype(np.float32)
    calls = {
        "batch_norm": {},
        "layer_norm": {"axis": (1, 2, 3)},
        "group_norm": {"num_groups": 2},
        "instance_norm": {},
        "rms_norm": {},
    }
    for name, options in calls.items():
        y = getattr(fastnorm, name)(x, **options)
        assert error(y, getattr(reference, name)(x, **options)) <= PROMISE, name


@reported("pytorch/pytorch#5410", "BVLC/caffe#3963")
def test_batch_norm_of_constant_channels(report):
    """-1 and 1 where 0 was due, at 1e10; -0.0048 at 100."""
    values = np.random.default_rng(0).uniform(-1e10, 1e10, 5).astype(np.float32)
    x = np.broadcast_to(values[None, :, None, None], (1, 5, 10, 10))
    assert (fastnorm.batch_norm(x) == 0).all()
    assert (fastnorm.batch_norm(np.ascontiguousarray(x)) == 0).all()
    assert (fastnorm.batch_norm(np.full((1, 1, 3, 3), 100.0, np.float32)) == 0).all()


@reported("tenstorrent/tt-metal#45968", "davisking/dlib#3113")
def test_batch_norm_of_large_means_and_small_deviations(report):
    """NaN, for channels of mean -5 or 5 and standard deviation 0.1."""
    rng = np.random.default_rng(0)
    means = rng.choice([-5.0, 5.0], 64)[:, None, None]
    x = means + 0.1 * rng.standard_normal((2, 64, 32, 32))
    narrow = x.astype(np.float32)
    assert error(fastnorm.batch_norm(narrow), reference.batch_norm(narrow)) <= PROMISE
    half = x.astype(ml_dtypes.bfloat16)
    assert np.max(ulps_apart(fastnorm.batch_norm(half), reference.batch_norm(half))) <= 1
