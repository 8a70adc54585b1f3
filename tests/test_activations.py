# SPDX-License-Identifier: BSD-3-Clause
"""`activation=`: a normalization and what follows it, in one pass."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest

import fastnorm
from cases import DTYPES, assert_same_bits, digest, same_bits
from fastnorm import _core, reference
from gradcheck import assert_gradients
from layouts import c_order, channels_last, dense, lay_out, views_of_same_order
from tolerance import assert_within, centring, largest, relative, stored, unit

ACTIVATIONS = tuple(_core.ACTIVATIONS)
CALLS = (
    ("layer_norm", (6, 40), {}),
    ("layer_norm", (3, 30, 17), {"axis": 1}),
    ("rms_norm", (6, 133), {}),
    ("rms_norm", (20, 3, 5), {"axis": (0, 2)}),
    ("batch_norm", (5, 6, 7, 7), {}),
    ("batch_norm", (20, 6, 7, 7), {}),
    ("batch_norm", (5, 4, 7, 33), {"channel_axis": -1}),
    ("batch_norm", (5, 6, 4), {"training": False}),
    ("instance_norm", (3, 5, 9, 9), {}),
    ("instance_norm", (3, 9, 9, 5), {"channel_axis": -1}),
    ("group_norm", (3, 6, 9, 9), {"num_groups": 2}),
    ("group_norm", (3, 9, 9, 6), {"num_groups": 2, "channel_axis": -1}),
)
every_call = pytest.mark.parametrize(
    ("op", "shape", "options"), CALLS, ids=lambda v: str(v).replace(" ", "")
)
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


def drawn(op, shape, options, rng, dtype=np.float64, mean=0.0):
    """dy, x and the parameters."""
    x = (rng.standard_normal(shape) + mean).astype(dtype)
    dy = rng.standard_normal(shape).astype(dtype)
    axis = options.get("channel_axis", 1) if op not in ("layer_norm", "rms_norm") else None
    axis = options.get("axis", -1) if axis is None else axis
    axes = sorted(a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,)))
    size = tuple(shape[a] for a in axes)
    kind = np.float64 if dtype == np.float64 else np.float32
    parameters = {"weight": (1 + 0.3 * rng.standard_normal(size)).astype(kind)}
    if op != "rms_norm":
        parameters["bias"] = rng.standard_normal(size).astype(kind)
    if options.get("training") is False:
        parameters["running_mean"] = rng.standard_normal(size).astype(kind)
        parameters["running_var"] = rng.uniform(0.5, 2.0, size).astype(kind)
    return dy, x, parameters


@every_call
@every_activation
def test_reference_gradients_match_finite_differences(op, shape, options, activation, rng):
    shape = tuple(min(n, 5) if op != "group_norm" or i != 1 else n for i, n in enumerate(shape))
    if "num_groups" in options:
        shape = (*shape[:1], *(6 if n > 5 or a == options.get("channel_axis", 1) % len(shape)
                               else 2 for a, n in enumerate(shape[1:], 1)))  # fmt: skip
    dy, x, parameters = drawn(op, shape, options, rng)
    words = {**options, "activation": activation, "eps": 0.1}
    if activation == "relu":  # whose slope jumps where z does
        z = getattr(reference, op)(x, **parameters, **options, eps=0.1)
        dy = np.where(np.abs(z) < 1e-3, 0.0, dy)
    learned = [name for name in ("weight", "bias") if name in parameters]
    rest = {name: value for name, value in parameters.items() if name not in learned}
    gradients = getattr(reference, f"{op}_backward")(dy, x, **parameters, **words)
    function = getattr(reference, op)
    assert_gradients(
        lambda x, *a: function(x, **dict(zip(learned, a, strict=True)), **rest, **words),
        [gradients.x, *(getattr(gradients, name) for name in learned)],
        dy,
        [x, *(parameters[name] for name in learned)],
    )


@every_activation
def test_reference_matches_pytorch(activation):
    torch = pytest.importorskip("torch", reason="the comparison with PyTorch needs PyTorch")
    z = np.concatenate([np.linspace(-30, 30, 2001), [-1e4, 1e4, -0.0, -np.inf, np.inf]])
    tensor = torch.tensor(z, requires_grad=True)
    functional = torch.nn.functional
    name, words = ("gelu", {"approximate": "tanh"}) if "tanh" in activation else (activation, {})
    y = getattr(functional, name)(tensor, **words)
    y.sum().backward()
    finite = np.isfinite(z)
    ours = reference.activation.activate(z, activation), reference.activation.slope(z, activation)
    for got, want in zip(ours, (y.detach().numpy(), tensor.grad.numpy()), strict=True):
        # 1 + tanh, as PyTorch has it, is exact to a rounding of 1 alone
        np.testing.assert_allclose(got[finite], want[finite], rtol=1e-12, atol=1e-14)
    assert (ours[0][-2:] == (0, np.inf)).all()
    assert (ours[1][-2:] == (0, 1)).all()


def check(op, options, dy, x, parameters, activation):
    """Everything against the reference, and the gradient against the gradients in a row."""
    share = relative(x) + (0.0 if op == "rms_norm" else centring(x, 1.0))
    words = {**options, "activation": activation}
    y = getattr(fastnorm, op)(x, **parameters, **words)
    y64 = getattr(reference, op)(x, **parameters, **words)
    assert_within(y, y64, stored(y64, x.dtype) + 8 * share * largest(y64), "y")
    share += unit(x.dtype)  # the gradient before the activation is stored in x's type
    gradients = getattr(fastnorm, f"{op}_backward")(dy, x, **parameters, **words)
    wanted = getattr(reference, f"{op}_backward")(dy, x, **parameters, **words)
    for name, got, want in zip(gradients._fields, gradients, wanted, strict=True):
        bound = stored(want, got.dtype) + 32 * share * largest(want)
        assert_within(got, want, bound, f"gradient of {name}")


@every_call
@every_activation
def test_matches_the_reference(op, shape, options, activation, dtype, rng):
    check(op, options, *drawn(op, shape, options, rng, dtype), activation)


@every_call
@pytest.mark.parametrize("mean", [1e2, 1e4, 1e6])
def test_error_does_not_grow_with_the_mean(op, shape, options, mean, rng):
    if op == "rms_norm" or options.get("training") is False:
        pytest.skip("x is not centred by its own mean: the result grows with that")
    check(op, options, *drawn(op, shape, options, rng, np.float32, mean), "silu")


@every_call
@every_activation
def test_bits_of_views_outputs_and_threads(op, shape, options, activation, rng):
    dy, x, parameters = drawn(op, shape, options, rng, np.float32)
    words = {**parameters, **options, "activation": activation}
    function, gradient = getattr(fastnorm, op), getattr(fastnorm, f"{op}_backward")
    for order in {c_order(len(shape)), channels_last(len(shape))}:
        straight = [lay_out(array, dense(order)) for array in (dy, x)]
        y, dx = function(straight[1], **words), gradient(*straight, **words).x
        for layout in views_of_same_order(order).values():
            views = [lay_out(array, layout) for array in (dy, x)]
            assert same_bits(np.array(function(views[1], **words)), np.array(y))
            assert same_bits(np.array(gradient(*views, **words).x), np.array(dx))
            mixed = gradient(straight[0], views[1], **words)
            assert same_bits(np.array(mixed.x), np.array(dx))
    y, dx = function(x, **words), gradient(dy, x, **words).x
    for which in (0, 1):
        inputs = [dy.copy(), x.copy()]
        out = gradient(*inputs, **words, out=inputs[which]).x
        assert out is inputs[which]
        assert same_bits(out, dx)
    there = x.copy()
    assert same_bits(function(there, **words, out=there), y)


@every_activation
@pytest.mark.parametrize(
    ("op", "shape", "options"),
    [
        ("layer_norm", (700, 768), {}),
        ("layer_norm", (1, 700001), {}),
        ("batch_norm", (8, 3, 200, 200), {}),
        ("batch_norm", (30, 40, 40, 24), {"channel_axis": -1}),
        ("group_norm", (4, 64, 50, 50), {"num_groups": 8}),
    ],
    ids=str,
)
def test_threads(op, shape, options, activation, rng):
    dy, x, parameters = drawn(op, shape, options, rng, np.float32, 3.0)
    words = {**parameters, **options, "activation": activation}

    def everything():
        gradients = getattr(fastnorm, f"{op}_backward")(dy, x, **words)._asdict()
        return {"y": getattr(fastnorm, op)(x, **words)} | gradients

    with fastnorm.num_threads(1):
        alone = everything()
    for threads in (2, 3, 8):
        with fastnorm.num_threads(threads):
            assert_same_bits(everything(), alone, f"{threads} threads")


@every_activation
def test_a_usual_call_has_the_bits_of_any_other(activation, dtype, rng):
    """Small calls take a short way, which a weight of another type is not allowed."""
    dy, x, parameters = drawn("layer_norm", (4, 50), {}, rng, dtype)
    other = {name: value.astype(np.float64) for name, value in parameters.items()}
    words = {"activation": activation}
    usual = fastnorm.layer_norm(x, **parameters, **words)
    assert same_bits(usual, fastnorm.layer_norm(x, **other, **words))
    assert same_bits(
        fastnorm.layer_norm_backward(dy, x, **parameters, **words).x,
        fastnorm.layer_norm_backward(dy, x, **other, **words).x,
    )


@every_activation
def test_a_spoilt_value_stays_in_its_group(activation, rng):
    x = rng.standard_normal((5, 70)).astype(np.float32)
    y = fastnorm.layer_norm(x, activation=activation)
    x[2, 3] = np.nan
    bad = fastnorm.layer_norm(x, activation=activation)
    assert np.isnan(bad[2]).all()
    others = np.arange(5) != 2
    assert same_bits(bad[others], y[others])


@every_activation
def test_layers(activation, rng):
    x, dy = (rng.standard_normal((4, 6, 20)).astype(np.float32) for _ in range(2))
    for layer, call in (
        (fastnorm.LayerNorm(20, activation=activation), fastnorm.layer_norm),
        (fastnorm.RMSNorm(20, activation=activation), fastnorm.rms_norm),
        (fastnorm.BatchNorm(6, activation=activation), fastnorm.batch_norm),
        (fastnorm.InstanceNorm(6, activation=activation), fastnorm.instance_norm),
        (
            fastnorm.GroupNorm(3, 6, activation=activation),
            lambda x, **words: fastnorm.group_norm(x, 3, **words),
        ),
    ):
        y = call(x, activation=activation)
        assert same_bits(layer(x), y)
        backward = getattr(fastnorm, f"{_name(layer)}_backward")
        keys = (3,) if isinstance(layer, fastnorm.GroupNorm) else ()
        expected = backward(dy, x, *keys, activation=activation).x
        np.testing.assert_allclose(layer.backward(dy), expected, rtol=0, atol=1e-5)


def _name(layer) -> str:
    return {
        fastnorm.LayerNorm: "layer_norm",
        fastnorm.RMSNorm: "rms_norm",
        fastnorm.BatchNorm: "batch_norm",
        fastnorm.InstanceNorm: "instance_norm",
        fastnorm.GroupNorm: "group_norm",
    }[type(layer)]


@pytest.mark.parametrize(
    ("activation", "error"), [("tanh", ValueError), ("", ValueError), (1, TypeError)]
)
def test_refusals(activation, error):
    x, out = np.ones((4, 5), np.float32), np.full((4, 5), 7, np.float32)
    for function in (fastnorm.layer_norm, fastnorm.rms_norm, fastnorm.batch_norm):
        with pytest.raises(error, match="activation must be"):
            function(x, activation=activation, out=out)
    with pytest.raises(error, match="activation must be"):
        fastnorm.LayerNorm(5, activation=activation)
    assert (out == 7).all()


# Printed by a child process on one tier each; the test compares what they print.
PRINT_DIGESTS = """
import json
from test_activations import tier_digests
print(json.dumps(tier_digests()))
"""


def tier_digests() -> dict[str, str]:
    """Digests of every call in every type."""
    digests = {}
    for op, shape, options in CALLS:
        for kind in (*DTYPES, np.dtype(ml_dtypes.bfloat16)):
            for activation in ACTIVATIONS:
                rng = np.random.default_rng(0)
                dy, x, parameters = drawn(op, shape, options, rng, kind)
                words = {**parameters, **options, "activation": activation}
                results = getattr(fastnorm, f"{op}_backward")(dy, x, **words)._asdict()
                results = {"y": getattr(fastnorm, op)(x, **words)} | results
                digests[f"{op} {shape} {kind} {activation}"] = digest(results)
    return digests


def test_isa_tiers(run_python):
    expected = tier_digests()
    for tier in fastnorm.show_config("dicts")["isa_available"]:
        for threshold in ("0", str(2**62)):
            child = run_python(
                PRINT_DIGESTS, FASTNORM_ISA=tier, FASTNORM_STREAM_THRESHOLD=threshold
            )
            actual = json.loads(child.stdout)
            assert not {name for name in expected if actual[name] != expected[name]}, tier
