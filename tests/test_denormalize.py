# SPDX-License-Identifier: BSD-3-Clause
"""What is special about `denormalize`: it inverts the others, and its coefficients may be many."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fastnorm
from cases import DTYPES, assert_same_bits, same_bits
from fastnorm import reference
from gradcheck import assert_gradients
from layouts import channels_last, dense, lay_out
from tolerance import stored


@pytest.fixture
def x(rng):
    """Four samples of six channels."""
    return rng.normal(100.0, 3.0, (4, 6, 5, 7))


@pytest.fixture
def line(rng):
    """Weight and bias of six channels."""
    return rng.normal(1.0, 0.3, 6), rng.normal(0.0, 5.0, 6)


def check_inverse(x, function, parameters, options, undo):
    """What the normalization made is undone, in float64 to rounding."""
    y, stats = function(x, *parameters, **options, return_stats=True)
    back = fastnorm.denormalize(y, stats.mean, stats.var, *parameters, **undo)
    np.testing.assert_allclose(back, x, rtol=1e-13)


@pytest.mark.parametrize("channel_axis", [1, -1])
@pytest.mark.parametrize("op", ["instance_norm", "batch_norm"])
def test_inverts_channels(x, line, op, channel_axis):
    moved = np.moveaxis(x, 1, channel_axis)
    channel = channel_axis % 4
    kept = (channel,) if op == "batch_norm" else (0, channel)
    axis = tuple(a for a in range(4) if a not in kept)
    options = {"channel_axis": channel_axis}
    check_inverse(moved, getattr(fastnorm, op), line, options, options | {"axis": axis})


@pytest.mark.parametrize("axis", [-1, (-2, -1), 1, (2, 0)])
def test_inverts_any_axes(x, axis, rng):
    parameters = rng.normal(1.0, 0.3, 7), rng.normal(size=(6, 1, 1))
    check_inverse(x, fastnorm.standardize, parameters, {"axis": axis}, {"axis": axis})


def test_inverts_all_axes_and_none(x):
    check_inverse(x, fastnorm.standardize, (), {"axis": None}, {})
    mean, var = np.full((), 3.0), np.full((), 4.0)
    y = fastnorm.denormalize(np.float64(2.0), mean, var, eps=0)
    assert y.shape == ()
    assert y == 7.0
    gradients = fastnorm.denormalize_backward(np.float64(1.0), np.float64(2.0), mean, var, eps=0)
    assert [float(g) for g in gradients[:3]] == [2.0, 1.0, 0.5]


@pytest.mark.parametrize("axis", [-1, (2, 3)])
def test_inverts_layer_norm(x, axis, rng):
    shape = x.shape[3:] if axis == -1 else x.shape[2:]
    parameters = rng.normal(1.0, 0.3, shape), rng.normal(size=shape)
    check_inverse(x, fastnorm.layer_norm, parameters, {"axis": axis}, {"axis": axis})


def test_inverts_revin(rng):
    """Series normalized over time, a weight and a bias for each; a forecast of other length."""
    series, forecast = rng.normal(50.0, 4.0, (3, 24, 6)), rng.normal(size=(3, 8, 6))
    weight, bias = rng.normal(1.0, 0.3, (2, 6))
    y, stats = fastnorm.standardize(series, weight, bias, axis=1, return_stats=True)
    arguments = (stats.mean, stats.var, weight, bias)
    np.testing.assert_allclose(fastnorm.denormalize(y, *arguments, axis=1), series, rtol=1e-13)
    std = np.sqrt(stats.var + 1e-5)[:, None]
    expected = (forecast - bias) / weight * std + stats.mean[:, None]
    np.testing.assert_allclose(
        fastnorm.denormalize(forecast, *arguments, axis=1), expected, rtol=1e-13
    )


def test_statistics_with_the_reduced_axes_kept(x, line):
    found = fastnorm.moments(x, (2, 3), keepdims=True)
    plain = fastnorm.moments(x, (2, 3))
    for options in ({}, {"axis": (2, 3)}):
        y = fastnorm.denormalize(x, found.mean, found.var, *line, channel_axis=1, **options)
        wanted = fastnorm.denormalize(x, plain.mean, plain.var, *line, channel_axis=1, axis=(2, 3))
        assert same_bits(y, wanted)


def test_style_transfer_in_two_calls(x, rng):
    """Of the content the normalized values, of the style the statistics."""
    style = rng.normal(-3.0, 2.0, (4, 6, 3, 3))
    mean, var, _ = fastnorm.moments(style, (2, 3))
    y = fastnorm.denormalize(fastnorm.instance_norm(x), mean, var, axis=(2, 3))
    np.testing.assert_allclose(y, fastnorm.adaptive_instance_norm(x, style), rtol=1e-12)


@pytest.mark.parametrize("offset", [1e2, 1e4, 1e6])
def test_a_large_bias_costs_no_digits(offset, rng):
    """It is subtracted before anything is multiplied."""
    bias = np.full(6, offset, np.float32)
    x = (rng.standard_normal((4, 50, 6)) + offset).astype(np.float32)
    mean, var = rng.standard_normal((4, 6)), rng.uniform(0.5, 2.0, (4, 6))
    y = fastnorm.denormalize(x, mean, var, np.full(6, 0.7), bias, axis=1)
    exact = reference.denormalize(x, mean, var, np.full(6, 0.7), bias, axis=1)
    np.testing.assert_allclose(y, exact, rtol=1e-6, atol=1e-6)


# ---- statistics and parameters along different axes, and many of them ----------------------------

MANY = (700, 300)


def test_few_and_many_coefficients_agree(dtype, monkeypatch, rng):
    """Rows with statistics, columns with parameters: in one step, in two steps, in pieces."""
    x, dy = (rng.standard_normal((2, *MANY)) + 0.5).astype(dtype)
    mean, var = rng.standard_normal(700), rng.uniform(0.5, 2.0, 700)
    weight, bias = rng.choice([-1, 1], 300) * rng.uniform(0.5, 2.0, 300), rng.standard_normal(300)
    arguments = (mean, var, weight.astype(dtype), bias.astype(dtype))
    wanted = [
        reference.denormalize(x, *arguments, axis=-1),
        *reference.denormalize_backward(dy, x, *arguments, axis=-1),
    ]
    unit = 1e-12 if dtype == np.float64 else 1e-5
    for few in (fastnorm.denormalize.__globals__["FEW"], 10**9):
        monkeypatch.setitem(fastnorm.denormalize.__globals__, "FEW", few)
        got = [
            fastnorm.denormalize(x, *arguments, axis=-1),
            *fastnorm.denormalize_backward(dy, x, *arguments, axis=-1),
        ]
        for name, ours, theirs in zip("yxmvwb", got, wanted, strict=True):
            limit = stored(theirs, ours.dtype) + unit * np.max(np.abs(theirs))
            assert (np.abs(ours.astype(float) - theirs) <= limit).all(), name


@pytest.mark.parametrize("piece", [1, 7, 1000])
@pytest.mark.parametrize("few", [0, 10**9])
def test_pieces_change_nothing_but_the_order_of_sums(piece, few, dtype, monkeypatch, rng):
    x, dy = rng.standard_normal((2, 4, 6, 9)).astype(dtype)
    mean, var = rng.standard_normal((4, 6)), rng.uniform(0.5, 2.0, (4, 6))
    weight, bias = rng.uniform(0.5, 2.0, 9), rng.standard_normal(9)
    module = fastnorm.denormalize.__globals__
    monkeypatch.setitem(module, "FEW", few)

    def results():
        y = fastnorm.denormalize(x, mean, var, weight, bias, axis=2)
        return y, fastnorm.denormalize_backward(dy, x, mean, var, weight, bias, axis=2)

    y, gradients = results()
    monkeypatch.setitem(module, "PIECE", piece)
    cut, cut_gradients = results()
    assert same_bits(cut, y)
    assert same_bits(cut_gradients.x, gradients.x)
    for got, want in zip(cut_gradients[1:], gradients[1:], strict=True):
        np.testing.assert_allclose(
            got, want, rtol=1e-12 if dtype == np.float64 else 1e-5, atol=1e-6
        )


@pytest.mark.parametrize("few", [0, 10**9])
def test_in_place_views_and_threads_have_the_same_bits(few, dtype, monkeypatch, rng):
    monkeypatch.setitem(fastnorm.denormalize.__globals__, "FEW", few)
    x, dy = rng.standard_normal((2, *MANY)).astype(dtype)
    mean, var = rng.standard_normal(700), rng.uniform(0.5, 2.0, 700)
    weight, bias = rng.uniform(0.5, 2.0, 300), rng.standard_normal(300)
    arguments = (mean, var, weight, bias)

    def everything(x, dy, out=None, dx=None):
        gradients = fastnorm.denormalize_backward(dy, x, *arguments, axis=1, out=dx)._asdict()
        y = fastnorm.denormalize(x, *arguments, axis=1, out=out)
        return {name: np.array(values) for name, values in ({"y": y} | gradients).items()}

    expected = everything(x, dy)
    with fastnorm.num_threads(3):
        assert_same_bits(everything(x, dy), expected, "threads")
    spaced = lay_out(x, dense((0, 1))), lay_out(dy, dense((0, 1)), 0)
    assert_same_bits(everything(*spaced), expected, "views")
    there, dthere = x.copy(), dy.copy()
    assert_same_bits(everything(there, dthere, there, dthere), expected, "in place")


def test_statistics_and_parameters_of_every_value(rng):
    """No value shares any of them."""
    x, dy, mean, weight, bias = rng.standard_normal((5, 3, 300, 200))
    var = rng.uniform(0.5, 2.0, x.shape)
    arguments = (mean, var, weight, bias)
    for order in (None, channels_last(3)):
        there = x if order is None else lay_out(x, dense(order))
        y = fastnorm.denormalize(there, *arguments)
        np.testing.assert_allclose(y, reference.denormalize(x, *arguments), rtol=1e-12)
        got = fastnorm.denormalize_backward(dy, there, *arguments)
        wanted = reference.denormalize_backward(dy, x, *arguments)
        for ours, theirs in zip(got, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_shapes_that_differ_between_the_arguments(rng):
    """Any that broadcast: the gradients have the shapes of the arguments."""
    x, dy = rng.standard_normal((2, 2, 3, 4, 5))
    arguments = (
        rng.standard_normal((3, 1, 1)), rng.uniform(0.5, 2.0, (2, 1, 4, 1)),
        rng.uniform(0.5, 2.0, (1, 5)), rng.standard_normal(()),
    )  # fmt: skip
    gradients = reference.denormalize_backward(dy, x, *arguments, eps=0.1)
    assert_gradients(lambda *a: reference.denormalize(*a, eps=0.1), gradients, dy, [x, *arguments])
    ours = fastnorm.denormalize_backward(dy, x, *arguments, eps=0.1)
    for got, want, argument in zip(ours, gradients, (x, *arguments), strict=True):
        assert got.shape == argument.shape
        np.testing.assert_allclose(got, want, rtol=1e-12)


# ---- edges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["weight", "bias", "both"])
def test_missing_parameters(missing, x, line):
    weight = None if missing in ("weight", "both") else line[0]
    bias = None if missing in ("bias", "both") else line[1]
    full = (np.ones(6) if weight is None else weight, np.zeros(6) if bias is None else bias)
    mean, var, _ = fastnorm.moments(x, (2, 3))
    options = {"axis": (2, 3), "channel_axis": 1}
    y = fastnorm.denormalize(x, mean, var, weight, bias, **options)
    np.testing.assert_allclose(y, fastnorm.denormalize(x, mean, var, *full, **options), rtol=1e-15)
    got = fastnorm.denormalize_backward(y, x, mean, var, weight, bias, **options)
    wanted = fastnorm.denormalize_backward(y, x, mean, var, *full, **options)
    for name, ours, theirs in zip(got._fields, got, wanted, strict=True):
        if missing in (name, "both") and name in ("weight", "bias"):
            assert ours is None
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-13)


def test_no_variance_and_no_eps(x):
    """The mean, and a gradient of 0 where it would be infinite."""
    mean, var = np.arange(6.0), np.zeros(6)
    options = {"axis": (0, 2, 3), "eps": 0}
    y = fastnorm.denormalize(x, mean, var, **options)
    assert (y == mean[:, None, None]).all()
    gradients = fastnorm.denormalize_backward(np.ones_like(x), x, mean, var, **options)
    assert not gradients.x.any()
    assert not gradients.var.any()
    assert (gradients.mean == 140).all()


def test_types_of_statistics_and_gradients(x, line, rng):
    dy = rng.standard_normal(x.shape).astype(np.float16)
    kinds = (np.float64, np.float32, ml_dtypes.bfloat16, np.float16)
    arrays = (*fastnorm.moments(x, (2, 3))[:2], *line)
    arguments = [values.astype(kind) for values, kind in zip(arrays, kinds, strict=True)]
    half = (x - 100).astype(np.float16)
    options = {"axis": (2, 3), "channel_axis": 1}
    assert fastnorm.denormalize(half, *arguments, **options).dtype == np.float16
    gradients = fastnorm.denormalize_backward(dy, half, *arguments, **options)
    assert [g.dtype for g in gradients] == [np.float16, *kinds]


@pytest.mark.parametrize("kind", DTYPES, ids=str)
def test_empty(kind):
    for shape in ((0, 4, 5), (2, 0, 5), (2, 4, 0)):
        x = np.empty(shape, kind)
        mean, var = np.zeros((shape[0], shape[2])), np.ones((shape[0], shape[2]))
        assert fastnorm.denormalize(x, mean, var, axis=1).shape == shape
        gradients = fastnorm.denormalize_backward(x, x, mean, var, axis=1)
        assert gradients.x.shape == shape
        assert not gradients.mean.any()
        assert not gradients.var.any()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"weight": np.array([1, 1, 0, 1, 1, 1.0])}, ValueError, r"weight has a 0\.0"),
        ({"weight": np.array([1, 1, -0.0, 1, 1, 1.0])}, ValueError, r"weight has a 0\.0"),
        ({"weight": np.ones(5)}, ValueError, r"weight has shape \(5,\), expected \(6,\)"),
        ({"weight": np.ones(6), "channel_axis": None}, ValueError, "weight .*not broadcast"),
        ({"mean": np.ones((4, 5))}, ValueError, r"mean has shape \(4, 5\), expected \(4, 6\)"),
        ({"var": np.ones(6)}, ValueError, r"var has shape \(6,\), expected \(4, 6\)"),
        ({"axis": None}, ValueError, r"mean has shape \(4, 6\), which does not broadcast"),
        ({"axis": (2, 2)}, ValueError, "axis=.* twice"),
        ({"axis": 4}, np.exceptions.AxisError, "axis=4"),
        ({"axis": "a"}, TypeError, "axis .*'a'"),
        ({"mean": None}, TypeError, "mean .*NoneType"),
        ({"mean": None, "axis": None}, TypeError, "mean .*NoneType"),
        ({"var": 1.0}, TypeError, "var .*float"),
        ({"var": np.ones((4, 6), int)}, TypeError, "var has dtype int64"),
    ],
)
def test_refuses_what_makes_no_sense(x, line, change, error, words):
    call = {"mean": np.zeros((4, 6)), "var": np.ones((4, 6)), "weight": line[0], "bias": line[1]}
    call |= {"axis": (2, 3), "channel_axis": 1}
    out = np.full_like(x, 7)
    fastnorm.denormalize(x, **call)
    with pytest.raises(error, match=words):
        fastnorm.denormalize(x, **(call | change), out=out)
    with pytest.raises(error, match=words):
        fastnorm.denormalize_backward(x, x, **(call | change), out=out)
    assert (out == 7).all()
