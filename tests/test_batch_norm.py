# SPDX-License-Identifier: BSD-3-Clause
"""`batch_norm` against the reference: training, evaluation, running statistics, and its edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnorm
from cases import DTYPES, Case, backward, draw, forward, same_bits
from layouts import lay_out
from oracle import check_backward, check_forward
from sizes import COLUMN_SIZES, MAP_SIZES
from strategies import cases, layouts
from tolerance import stored


@given(data=st.data(), seed=st.integers(0, 2**32))
def test_any_shape_strides_and_types(data, seed):
    case = data.draw(cases(ops=("batch_norm",)))
    kind, parameter_kind = (data.draw(st.sampled_from(DTYPES)) for _ in range(2))
    arguments = draw(case, np.random.default_rng(seed), kind, parameter_dtype=parameter_kind)
    arguments.x = lay_out(arguments.x, data.draw(layouts(len(case.shape))))
    arguments.dy = lay_out(arguments.dy, data.draw(layouts(len(case.shape))))
    _, stats = check_forward(case, arguments)
    check_backward(case, arguments)
    check_backward(case, arguments, stats=stats)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", MAP_SIZES, ids=str)
def test_maps(shape, training, dtype, rng):
    n, c, h, w = shape
    for case in (
        Case("batch_norm", shape, {"training": training}),
        Case("batch_norm", (n, h, w, c), {"training": training, "channel_axis": -1}),
        Case("batch_norm", (n, c, h * w), {"training": training}),
        Case("batch_norm", (n, c, 1, h, w), {"training": training}),
    ):
        arguments = draw(case, rng, dtype, mean=3.0)
        check_forward(case, arguments)
        check_backward(case, arguments)


@pytest.mark.parametrize(("rows", "columns"), COLUMN_SIZES)
def test_batch_of_vectors(rows, columns, dtype, rng):
    case = Case("batch_norm", (rows, columns))
    arguments = draw(case, rng, dtype, mean=3.0)
    check_forward(case, arguments)
    check_backward(case, arguments)


def test_channels_first_of_all(dtype, rng):
    """The channel axis may be axis 0."""
    case = Case("batch_norm", (5, 4, 6), {"channel_axis": 0})
    arguments = draw(case, rng, dtype)
    check_forward(case, arguments)
    check_backward(case, arguments)


@pytest.mark.parametrize("missing", [("weight",), ("bias",), ("weight", "bias")])
@pytest.mark.parametrize("training", [True, False])
def test_missing_parameters(missing, training, dtype, rng):
    case = Case("batch_norm", (4, 6, 5), {"training": training})
    arguments = draw(case, rng, dtype)
    for name in missing:
        arguments.parameters[name] = None
    check_forward(case, arguments)
    check_backward(case, arguments)


@pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
def test_running_statistics(momentum, dtype, rng):
    """running = (1 - momentum) * running + momentum * new; the new variance is unbiased."""
    x = rng.normal(2.0, 3.0, (8, 5, 7)).astype(dtype)
    mean, var = np.full(5, 0.5, dtype), np.full(5, 2.0, dtype)
    fastnorm.batch_norm(x, None, None, mean, var, momentum=momentum)
    values = x.astype(np.float64)
    for running, new, old in (
        (mean, values.mean(axis=(0, 2)), 0.5),
        (var, values.var(axis=(0, 2), ddof=1), 2.0),
    ):
        expected = (1 - momentum) * old + momentum * new
        assert running.dtype == dtype
        assert (np.abs(running - expected) <= stored(expected, dtype) + 1e-6 * new).all()


def test_running_statistics_of_another_type_and_stride(rng):
    x = rng.standard_normal((8, 5, 7), dtype=np.float32)
    buffer = np.zeros((5, 3))
    mean, var = buffer[:, 0], buffer[::-1, 2][::-1]
    fastnorm.batch_norm(x, None, None, mean, var, momentum=1.0)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 2), dtype=float), atol=1e-7)
    np.testing.assert_allclose(var, x.var(axis=(0, 2), dtype=float, ddof=1), rtol=1e-6)
    assert (buffer[:, 1] == 0).all()


@pytest.mark.parametrize("given_one", ["running_mean", "running_var"])
def test_one_running_statistic(given_one, rng):
    """In training either of the two may be kept without the other."""
    x = rng.standard_normal((8, 5), dtype=np.float32)
    running = np.zeros(5)
    y = fastnorm.batch_norm(x, **{given_one: running})
    assert running.all()
    assert same_bits(y, fastnorm.batch_norm(x))


def test_the_running_statistics_do_not_change_the_result(rng):
    case = Case("batch_norm", (8, 5, 4))
    arguments = draw(case, rng)
    with_running = forward(fastnorm, case, arguments)[0]
    assert same_bits(
        with_running,
        fastnorm.batch_norm(
            arguments.x, arguments.parameters["weight"], arguments.parameters["bias"]
        ),
    )


def test_evaluation_leaves_the_running_statistics(dtype, rng):
    case = Case("batch_norm", (8, 5, 4), {"training": False})
    arguments = draw(case, rng, dtype)
    before = {name: value.tobytes() for name, value in arguments.parameters.items()}
    stats = forward(fastnorm, case, arguments)[1]
    backward(fastnorm, case, arguments)
    assert before == {name: value.tobytes() for name, value in arguments.parameters.items()}
    assert (stats.mean == arguments.parameters["running_mean"].astype(np.float64)).all()
    assert (stats.var == arguments.parameters["running_var"].astype(np.float64)).all()
    assert stats.count == 0


def test_backward_leaves_the_running_statistics(rng):
    case = Case("batch_norm", (8, 5, 4))
    arguments = draw(case, rng)
    before = {name: value.tobytes() for name, value in arguments.parameters.items()}
    backward(fastnorm, case, arguments)
    assert before == {name: value.tobytes() for name, value in arguments.parameters.items()}


def test_evaluation_at_a_large_mean(rng):
    """x - mean comes first: folding the statistics into a*x + b would lose four digits here."""
    x = (1e4 + 0.1 * rng.standard_normal((16, 3, 50))).astype(np.float32)
    values = x.astype(np.float64)
    mean, var = values.mean(axis=(0, 2)), values.var(axis=(0, 2))
    y = fastnorm.batch_norm(x, None, None, mean, var, training=False)
    expected = (values - mean[:, None]) / np.sqrt(var + 1e-5)[:, None]
    assert np.max(np.abs(y - expected)) <= 1e-6


@pytest.mark.parametrize("shape", [(1, 5), (1, 5, 600), (1, 5, 1024), (2, 5, 600)])
def test_evaluation_of_few_samples(shape, dtype, rng):
    """Evaluation needs no second value per channel, and no sums of one for its dx."""
    case = Case("batch_norm", shape, {"training": False})
    arguments = draw(case, rng, dtype)
    check_forward(case, arguments)
    check_backward(case, arguments)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(0, 5), (4, 0), (0, 5, 3), (2, 5, 0)])
def test_empty(shape, training, dtype):
    x = np.empty(shape, dtype)
    c = shape[1]
    parameters = {"weight": np.ones(c, dtype), "bias": np.ones(c, dtype)}
    running = {"running_mean": np.full(c, 0.5, dtype), "running_var": np.full(c, 2.0, dtype)}
    y = fastnorm.batch_norm(x, **parameters, **running, training=training)
    assert y.shape == shape
    assert y.dtype == dtype
    assert (running["running_mean"] == 0.5).all()
    assert (running["running_var"] == 2.0).all()
    gradients = fastnorm.batch_norm_backward(x, x, **parameters, **running, training=training)
    assert gradients.x.shape == shape
    assert gradients.weight.shape == gradients.bias.shape == (c,)
    assert (gradients.weight == 0).all()
    assert (gradients.bias == 0).all()


def test_zero_eps_and_a_constant_channel(rng):
    x = rng.standard_normal((6, 3), dtype=np.float32)
    x[:, 1] = 7.0
    y = fastnorm.batch_norm(x, bias=np.array([0, 5, 0], np.float32), eps=0.0)
    assert (y[:, 1] == 5).all()
    dx = fastnorm.batch_norm_backward(np.ones_like(x), x, eps=0.0).x
    assert (dx[:, 1] == 0).all()
