# SPDX-License-Identifier: BSD-3-Clause
"""What is special about `adaptive_instance_norm`: the second input."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fastnorm
from cases import DTYPES, assert_same_bits, same_bits
from fastnorm import reference
from gradcheck import assert_gradients


@pytest.fixture
def content(rng):
    """Two images of three channels."""
    return rng.normal(2.0, 3.0, (2, 3, 6, 5)).astype(np.float32)


@pytest.fixture
def style(rng):
    """Two images of another size."""
    return rng.normal(-4.0, 0.5, (2, 3, 4, 7)).astype(np.float32)


def test_the_result_has_the_statistics_of_the_style(content, style):
    y = fastnorm.adaptive_instance_norm(content, style, eps=0)
    found, wanted = (fastnorm.moments(a, (2, 3)) for a in (y, style))
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-6)
    np.testing.assert_allclose(found.var, wanted.var, rtol=1e-5)


@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_its_own_style_gives_the_content_back(content, eps):
    """eps is in both roots, with one convention for both variances."""
    y = fastnorm.adaptive_instance_norm(content, content, eps=eps)
    np.testing.assert_allclose(y, content, rtol=1e-6, atol=1e-6)


def test_statistics_of_both_are_returned(content, style):
    _, stats = fastnorm.adaptive_instance_norm(content, style, return_stats=True)
    for part, x in zip(stats, (content, style), strict=True):
        wanted = fastnorm.moments(x, (2, 3))
        assert same_bits(part.mean, wanted.mean)
        assert same_bits(part.var, wanted.var)
        assert part.count == wanted.count


@pytest.mark.parametrize("channel_axis", [1, -1])
def test_one_style_for_all_samples(channel_axis, rng):
    content, style = rng.normal(size=(4, 3, 6, 3)), rng.normal(2.0, 3.0, size=(1, 3, 4, 3))
    dy = rng.standard_normal(content.shape)
    options = {"channel_axis": channel_axis, "eps": 0.1}
    repeated = np.repeat(style, 4, axis=0)
    y = fastnorm.adaptive_instance_norm(content, style, **options)
    assert same_bits(y, fastnorm.adaptive_instance_norm(content, repeated, **options))
    one = fastnorm.adaptive_instance_norm_backward(dy, content, style, **options)
    each = fastnorm.adaptive_instance_norm_backward(dy, content, repeated, **options)
    assert same_bits(one.content, each.content)
    np.testing.assert_allclose(one.style, each.style.sum(axis=0, keepdims=True), atol=1e-13)
    exact = reference.adaptive_instance_norm_backward(dy, content, style, **options)
    np.testing.assert_allclose(one.style, exact.style, rtol=1e-11, atol=1e-13)
    assert_gradients(
        lambda *a: reference.adaptive_instance_norm(*a, **options), exact, dy, [content, style]
    )


@pytest.mark.parametrize("style_type", DTYPES, ids=str)
def test_a_style_of_another_type(style_type, dtype, content, style, rng):
    content, style = content.astype(dtype), style.astype(style_type)
    dy = rng.standard_normal(content.shape).astype(dtype)
    y = fastnorm.adaptive_instance_norm(content, style)
    gradients = fastnorm.adaptive_instance_norm_backward(dy, content, style)
    assert (y.dtype, gradients.content.dtype, gradients.style.dtype) == (dtype, dtype, style_type)
    for got, want in zip(
        (y, *gradients),
        (
            reference.adaptive_instance_norm(content, style),
            *reference.adaptive_instance_norm_backward(dy, content, style),
        ),
        strict=True,
    ):
        # The sums over an input that is not float64 run in float32
        unit = 1e-14 if dtype == style_type == np.float64 else 1e-6
        unit += float(ml_dtypes.finfo(got.dtype).eps)
        np.testing.assert_allclose(got.astype(float), want, rtol=unit, atol=unit)


def test_the_output_may_lie_in_the_style(content, rng):
    """The style is read after the gradient of the content is there."""
    style, dy = rng.standard_normal((2, *content.shape)).astype(np.float32)
    y = fastnorm.adaptive_instance_norm(content, style)
    gradients = fastnorm.adaptive_instance_norm_backward(dy, content, style)._asdict()
    for start in (0, 3):
        memory = np.zeros(style.size + 3, np.float32)
        inside = memory[: style.size].reshape(style.shape)
        out = memory[start : start + style.size].reshape(style.shape)
        inside[...] = style
        assert same_bits(fastnorm.adaptive_instance_norm(content, inside, out=out), y)
        inside[...] = style
        found = fastnorm.adaptive_instance_norm_backward(dy, content, inside, out=out)
        assert found.content is out
        assert_same_bits(found._asdict(), gradients, "out in the style")


def test_a_constant_style(content):
    """Its deviation is sqrt(eps), with a gradient; with eps=0 it is 0, and its reciprocal too."""
    style = np.full((2, 3, 4, 7), 5.0, np.float32)
    y = fastnorm.adaptive_instance_norm(content, style, eps=0.25)
    np.testing.assert_allclose(
        y, 0.5 * fastnorm.instance_norm(content, eps=0.25) + 5, rtol=1e-6, atol=1e-6
    )
    for eps in (0.25, 0):
        gradients = fastnorm.adaptive_instance_norm_backward(
            np.ones_like(content), content, style, eps=eps
        )
        np.testing.assert_allclose(gradients.style, 30 / 28, rtol=1e-6)
    assert (fastnorm.adaptive_instance_norm(content, style, eps=0) == 5).all()


def test_a_spoilt_style_spoils_its_channel_alone(content, style, rng):
    dy = rng.standard_normal(content.shape).astype(np.float32)
    y = fastnorm.adaptive_instance_norm(content, style)
    gradients = fastnorm.adaptive_instance_norm_backward(dy, content, style)
    style[1, 2, 0, 0] = np.nan
    spoilt = np.zeros((2, 3), bool)
    spoilt[1, 2] = True
    bad = fastnorm.adaptive_instance_norm(content, style)
    assert np.isnan(bad[spoilt]).all()
    assert same_bits(bad[~spoilt], y[~spoilt])
    for got, want in zip(
        fastnorm.adaptive_instance_norm_backward(dy, content, style), gradients, strict=True
    ):
        assert np.isnan(got[spoilt]).all()
        assert same_bits(got[~spoilt], want[~spoilt])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"style": np.ones((2, 3, 5))},
            ValueError,
            r"style has shape \(2, 3, 5\), expected 4 axes",
        ),
        ({"style": np.ones((2, 4, 6, 5))}, ValueError, r"style .*\(2, 4, 6, 5\).*channels"),
        ({"style": np.ones((3, 3, 6, 5))}, ValueError, r"style .*\(3, 3, 6, 5\).*one sample"),
        ({"style": np.ones((2, 3, 1, 1))}, ValueError, r"style of shape .*single value"),
        ({"style": np.ones((2, 3, 0, 4))}, ValueError, "style .*no values"),
        ({"style": np.ones((2, 3, 6, 5), int)}, TypeError, "style has dtype int64"),
        ({"style": None}, TypeError, "style .* NoneType"),
        ({"content": np.ones((2, 3, 1, 1))}, ValueError, "content of shape .*single value"),
        ({"content": np.ones((2, 3))}, ValueError, "content has shape"),
        ({"channel_axis": 0}, ValueError, "channel_axis=0 is axis 0 of content"),
    ],
)
def test_refuses_what_makes_no_sense(content, style, change, error, words):
    named = {"content": content, "style": style} | change
    dy = np.ones_like(named["content"])
    out = np.full_like(dy, 7)
    with pytest.raises(error, match=words):
        fastnorm.adaptive_instance_norm(**named, out=out)
    with pytest.raises(error, match=words):
        fastnorm.adaptive_instance_norm_backward(dy, **named, out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("stats", [1.0, (), (None,)])
def test_refuses_statistics_that_are_none(content, style, stats):
    with pytest.raises(TypeError, match=r"stats .*\(content, style\)"):
        fastnorm.adaptive_instance_norm_backward(content, content, style, stats=stats)


def test_refuses_statistics_of_other_inputs(content, style):
    _, stats = fastnorm.adaptive_instance_norm(content, style, return_stats=True)
    with pytest.raises(ValueError, match=r"stats.count is 28, expected 30"):
        fastnorm.adaptive_instance_norm_backward(content, content, style, stats=stats[::-1])


def test_the_layer_keeps_the_gradient_of_the_style(content, style):
    layer = fastnorm.AdaptiveInstanceNorm()
    y = layer(content, style)
    dx = layer.backward(np.ones_like(y))
    wanted = fastnorm.adaptive_instance_norm_backward(np.ones_like(y), content, style)
    assert same_bits(dx, wanted.content)
    assert list(layer.grads) == ["style"]
    assert same_bits(layer.grads["style"], wanted.style)
    assert layer.state_dict() == {}
