# SPDX-License-Identifier: BSD-3-Clause
"""`instance_norm` against the reference, forward and backward, and its edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnorm
from cases import DTYPES, Case, draw, same_bits
from layouts import lay_out
from oracle import check_backward, check_forward
from sizes import MAP_SIZES
from strategies import cases, layouts


@given(data=st.data(), seed=st.integers(0, 2**32))
def test_any_shape_strides_and_types(data, seed):
    case = data.draw(cases(ops=("instance_norm",)))
    kind, parameter_kind = (data.draw(st.sampled_from(DTYPES)) for _ in range(2))
    arguments = draw(case, np.random.default_rng(seed), kind, parameter_dtype=parameter_kind)
    arguments.x = lay_out(arguments.x, data.draw(layouts(len(case.shape))))
    arguments.dy = lay_out(arguments.dy, data.draw(layouts(len(case.shape))))
    _, stats = check_forward(case, arguments)
    assert stats.mean.shape == (case.shape[0], case.shape[case.channel])
    check_backward(case, arguments)
    check_backward(case, arguments, stats=stats)


@pytest.mark.parametrize("shape", [shape for shape in MAP_SIZES if shape[2:] != (1, 1)], ids=str)
def test_maps(shape, dtype, rng):
    n, c, h, w = shape
    for case in (
        Case("instance_norm", shape),
        Case("instance_norm", (n, h, w, c), {"channel_axis": -1}),
        Case("instance_norm", (n, c, h * w)),
        Case("instance_norm", (n, h, c, w), {"channel_axis": 2}),
        Case("instance_norm", (n, 1, h, w, c), {"channel_axis": -1}),
    ):
        arguments = draw(case, rng, dtype, mean=3.0)
        check_forward(case, arguments)
        check_backward(case, arguments)


@pytest.mark.parametrize("missing", [("weight",), ("bias",), ("weight", "bias")])
def test_missing_parameters(missing, dtype, rng):
    case = Case("instance_norm", (4, 6, 5, 3))
    arguments = draw(case, rng, dtype)
    for name in missing:
        arguments.parameters[name] = None
    check_forward(case, arguments)
    check_backward(case, arguments)


def test_samples_do_not_touch_each_other(rng):
    """A sample gives the same bits alone as in a batch."""
    x = rng.standard_normal((4, 6, 5, 3), dtype=np.float32)
    batch = fastnorm.instance_norm(x)
    for sample in range(4):
        alone = fastnorm.instance_norm(x[sample : sample + 1])
        assert same_bits(alone, batch[sample : sample + 1])


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3), (2, 5, 0)])
def test_empty(shape, dtype):
    x = np.empty(shape, dtype)
    weight = np.ones(shape[1], dtype)
    assert fastnorm.instance_norm(x, weight, weight).shape == shape
    gradients = fastnorm.instance_norm_backward(x, x, weight, weight)
    assert gradients.x.shape == shape
    assert (gradients.weight == 0).all()
    assert (gradients.bias == 0).all()


# ---- running statistics --------------------------------------------------------------------------


@pytest.fixture
def tracked(rng):
    """x, and running statistics that are not those of a new layer."""
    x = rng.normal(2.0, 3.0, (3, 4, 6, 7)).astype(np.float32)
    running = rng.standard_normal(4), rng.uniform(0.5, 2.0, 4)
    return x, *(values.astype(np.float32) for values in running)


@pytest.mark.parametrize("channel_axis", [1, -1])
@pytest.mark.parametrize("momentum", [0.1, 0, 1])
def test_running_statistics_move_as_in_pytorch(tracked, momentum, channel_axis):
    torch = pytest.importorskip("torch")
    x, *running = tracked
    theirs = [torch.tensor(values) for values in running]
    torch.nn.functional.instance_norm(torch.tensor(x), *theirs, momentum=momentum)
    options = {"momentum": momentum, "channel_axis": channel_axis}
    y = fastnorm.instance_norm(np.moveaxis(x, 1, channel_axis), None, None, *running, **options)
    assert same_bits(np.moveaxis(y, channel_axis, 1), fastnorm.instance_norm(x))
    for ours, wanted in zip(running, theirs, strict=True):
        np.testing.assert_allclose(ours, wanted.numpy(), rtol=1e-5)


def test_one_running_statistic_alone(tracked):
    x, mean, var = tracked
    both = mean.copy(), var.copy()
    fastnorm.instance_norm(x, None, None, *both)
    fastnorm.instance_norm(x, running_mean=mean)
    fastnorm.instance_norm(x, running_var=var)
    assert same_bits(mean, both[0])
    assert same_bits(var, both[1])


def test_evaluation_is_that_of_batch_norm(tracked, rng):
    x, *running = tracked
    dy = rng.standard_normal(x.shape).astype(np.float32)
    weight, bias = rng.standard_normal((2, 4)).astype(np.float32)
    arguments = (weight, bias, *running)
    y, stats = fastnorm.instance_norm(x, *arguments, training=False, return_stats=True)
    assert same_bits(y, fastnorm.batch_norm(x, *arguments, training=False))
    assert stats.count == 0
    for keywords in ({}, {"stats": stats}):
        ours = fastnorm.instance_norm_backward(dy, x, *arguments, training=False, **keywords)
        theirs = fastnorm.batch_norm_backward(dy, x, *arguments, training=False)
        assert all(same_bits(a, b) for a, b in zip(ours, theirs, strict=True))
    assert all(same_bits(a, b) for a, b in zip(running, tracked[1:], strict=True))
    one = x[:, :, :1, :1]  # which has no statistics of its own
    assert fastnorm.instance_norm(one, *arguments, training=False).shape == one.shape


def test_evaluation_without_running_statistics_is_training(tracked, rng):
    x = tracked[0]
    dy = rng.standard_normal(x.shape).astype(np.float32)
    assert same_bits(fastnorm.instance_norm(x, training=False), fastnorm.instance_norm(x))
    evaluated = fastnorm.instance_norm_backward(dy, x, training=False)
    assert same_bits(evaluated.x, fastnorm.instance_norm_backward(dy, x).x)


@pytest.mark.parametrize("shape", [(0, 4, 5), (2, 4, 0)])
def test_an_empty_batch_leaves_the_running_statistics(tracked, shape):
    _, *running = tracked
    before = [values.copy() for values in running]
    fastnorm.instance_norm(np.empty(shape, np.float32), None, None, *running)
    assert all(same_bits(a, b) for a, b in zip(running, before, strict=True))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"training": False, "running_var": None}, ValueError, "running_var is None"),
        ({"training": False, "running_mean": None}, ValueError, "running_mean is None"),
        ({"running_mean": np.ones(5)}, ValueError, r"running_mean has shape \(5,\)"),
        ({"running_var": np.ones(4, int)}, TypeError, "running_var has dtype int64"),
        ({"running_mean": memoryview(np.ones(4))}, TypeError, "running_mean .*memoryview"),
        ({"running_var": np.broadcast_to(1.0, 4)}, ValueError, "running_var is read-only"),
        ({"momentum": None}, ValueError, "momentum .*None"),
        ({"momentum": 1.5}, ValueError, "momentum .*1.5"),
        ({"momentum": 2.0, "training": False}, ValueError, "momentum .*2.0"),
        ({"channel_axis": 0, "training": False}, ValueError, "channel_axis=0"),
        ({"x": np.ones((3, 4), np.float32), "training": False}, ValueError, "at least 3 axes"),
        ({"x": np.ones((3, 4, 1), np.float32)}, ValueError, "single value"),
    ],
)
def test_refuses_and_leaves_the_running_statistics(tracked, change, error, words):
    x, mean, var = tracked
    before = mean.copy(), var.copy()
    call = {"x": x, "running_mean": mean, "running_var": var} | change
    with pytest.raises(error, match=words):
        fastnorm.instance_norm(**call)
    assert same_bits(mean, before[0])
    assert same_bits(var, before[1])


def test_the_gradient_checks_the_running_statistics_too(tracked):
    x = tracked[0]
    with pytest.raises(ValueError, match="running_mean has shape"):
        fastnorm.instance_norm_backward(x, x, None, None, np.ones(5))
    with pytest.raises(ValueError, match="running_var is None"):
        fastnorm.instance_norm_backward(x, x, None, None, np.ones(4), training=False)


# ---- the layer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("affine", [True, False])
def test_layer_with_running_statistics_is_that_of_pytorch(tracked, affine, rng):
    torch = pytest.importorskip("torch")
    module = torch.nn.InstanceNorm2d(4, affine=affine, track_running_stats=True)
    layer = fastnorm.InstanceNorm(4, affine=affine, track_running_stats=True)
    assert list(layer.state_dict()) == list(module.state_dict())
    layer.load_state_dict(module.state_dict())
    for mode in (True, True, False):
        x, dy = rng.normal(1.0, 2.0, (2, 3, 4, 6, 7)).astype(np.float32)
        tensor = torch.tensor(x, requires_grad=True)
        expected = module.train(mode)(tensor)
        np.testing.assert_allclose(layer.train(mode)(x), expected.detach().numpy(), atol=2e-6)
        expected.backward(torch.tensor(dy))
        np.testing.assert_allclose(layer.backward(dy), tensor.grad.numpy(), atol=2e-6)
    for name in ("running_mean", "running_var"):
        np.testing.assert_allclose(getattr(layer, name), getattr(module, name).numpy(), rtol=1e-5)


def test_the_layer_counts_its_batches(tracked):
    """PyTorch has the number and leaves it 0; here it makes the average that momentum=None is."""
    x = tracked[0].astype(np.float64)
    layer = fastnorm.InstanceNorm(4, momentum=None, track_running_stats=True, dtype=np.float64)
    layer(x)
    layer(3 * x)
    layer(x[:0])
    layer.eval()(x)
    assert layer.num_batches_tracked == 2
    mean = fastnorm.moments(x, (2, 3)).mean.mean(axis=0)
    np.testing.assert_allclose(layer.running_mean, 2 * mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, 5 * x.var((2, 3), ddof=1).mean(0), rtol=1e-12)
    layer.reset_running_stats()
    assert layer.num_batches_tracked == 0
    assert (layer.running_mean == 0).all()
    assert (layer.running_var == 1).all()


def test_the_layer_remembers_how_it_was_called(tracked, rng):
    """A change of mode between the passes changes nothing."""
    x = tracked[0]
    dy = rng.standard_normal(x.shape).astype(np.float32)
    layer = fastnorm.InstanceNorm(4, track_running_stats=True)
    layer(x)
    dx = layer.backward(dy)
    layer(x)
    assert same_bits(layer.eval().backward(dy), dx)
    layer(x)
    dx = layer.backward(dy)
    layer(x)
    assert same_bits(layer.train().backward(dy), dx)


def test_a_layer_without_running_statistics_has_none():
    layer = fastnorm.InstanceNorm(4)
    assert layer.running_mean is layer.running_var is layer.num_batches_tracked is None
    assert layer.state_dict() == {}
    layer.reset_running_stats()
