# SPDX-License-Identifier: BSD-3-Clause
"""What is true of both normalizations of x + residual."""

from __future__ import annotations

import numpy as np
import pytest

import fastnorm
from cases import same_bits
from tolerance import assert_within, stored


def drawn(rng, dtype, shape=(6, 70)):
    """dy, dh, x and the residual."""
    return [rng.standard_normal(shape).astype(dtype) for _ in range(4)]


def check_sum(total, dx, dh):
    """dx + dh of the bits of dx; if that is of 16 bits, it is the sum that was rounded, not dx."""
    wide = np.dtype(np.float64 if dx.dtype == np.float64 else np.float32)
    expected = dx.astype(wide) + dh.astype(wide)
    if dx.dtype == wide:
        assert same_bits(total, expected)
    else:
        assert_within(total, expected, stored(expected, dx.dtype) + stored(dx, dx.dtype), "dx")


def check_parts(op, dtype, rng):
    """The bits are those of an addition and a normalization; a gradient is a sum, rounded once."""
    dy, dh, x, residual = drawn(rng, dtype)
    weight = (1 + 0.1 * rng.standard_normal(70)).astype(dtype)
    norm = getattr(fastnorm, op.removeprefix("add_"))
    norm_backward = getattr(fastnorm, f"{op.removeprefix('add_')}_backward")
    for axis, shape in ((-1, (70,)), (0, (6,))):
        w = weight[: shape[0]]
        y, h, stats = getattr(fastnorm, op)(x, residual, w, axis=axis, return_stats=True)
        assert same_bits(h, x + residual)
        assert same_bits(y, norm(x + residual, w, axis=axis))
        apart = norm_backward(dy, x + residual, w, axis=axis)
        for given in (None, stats):
            gradients = getattr(fastnorm, f"{op}_backward")(
                dy, x, residual, w, axis=axis, stats=given, dresidual=dh
            )
            assert gradients.x is gradients.residual
            check_sum(gradients.x, apart.x, dh)
            assert same_bits(gradients.weight, apart.weight)
            of_sum = getattr(fastnorm, f"{op}_backward")(
                dy, h, None, w, axis=axis, stats=given, dresidual=dh
            )
            assert same_bits(of_sum.x, gradients.x)
            assert same_bits(of_sum.weight, gradients.weight)


def check_places(op, dtype, rng):
    """Both outputs may be inputs, in every combination that keeps them apart."""
    _, _, x, residual = drawn(rng, dtype)
    function = getattr(fastnorm, op)
    y, h = function(x, residual)
    for names in (("x", None), (None, "x"), ("x", "residual"), ("residual", "x")):
        terms = {"x": x.copy(), "residual": residual.copy()}
        out, residual_out = (terms.get(name) for name in names)
        results = function(**terms, out=out, residual_out=residual_out)
        assert same_bits(results[0], y)
        assert same_bits(results[1], h)
        assert out is None or results[0] is out
        assert residual_out is None or results[1] is residual_out
    strided = np.zeros((6, 140), dtype)[:, ::2]
    assert function(x[:, ::-1], residual, residual_out=strided)[1] is strided
    assert same_bits(strided.copy(), x[:, ::-1] + residual)


def check_gradient_places(op, dtype, rng):
    """The gradient may be written over any array that it is made of."""
    dy, dh, x, residual = drawn(rng, dtype)
    gradient = getattr(fastnorm, f"{op}_backward")
    for activation in (None, "silu"):
        for second in (residual, None):
            arrays = {"dy": dy, "x": x, "residual": second, "dresidual": dh}
            expected = gradient(**arrays, activation=activation).x
            for name, values in arrays.items():
                if values is not None:
                    out = values.copy()
                    results = gradient(**arrays | {name: out}, activation=activation, out=out)
                    assert results.x is out
                    assert same_bits(out, expected)


def check_refusals(op, rng):
    """Nothing is written before an argument is refused by name."""
    dy, dh, x, residual = drawn(rng, np.float32)
    function, gradient = getattr(fastnorm, op), getattr(fastnorm, f"{op}_backward")
    out = np.full_like(x, 7)
    for error, word, arguments in (
        (ValueError, r"residual has shape \(5, 70\)", {"residual": residual[:5]}),
        (TypeError, "residual has dtype float64", {"residual": residual.astype(float)}),
        (TypeError, "residual_out", {"residual_out": [1.0]}),
        (ValueError, "residual_out has shape", {"residual_out": out[:2]}),
        (ValueError, "share memory", {"residual_out": out}),
        (ValueError, "activation must be one of relu, .*'tanh'", {"activation": "tanh"}),
        (TypeError, "activation", {"activation": 1}),
    ):
        with pytest.raises(error, match=word):
            function(**{"x": x, "residual": residual, "out": out} | arguments)
    assert (out == 7).all()
    for error, wrong in ((ValueError, dh[:1]), (TypeError, dh.astype(float)), (TypeError, [1.0])):
        with pytest.raises(error, match="dresidual"):
            gradient(dy, x, residual, dresidual=wrong, out=out)
    assert (out == 7).all()


def check_layer(layer, op, rng):
    """The layer takes both terms, and the gradients of both results."""
    dy, dh, x, residual = drawn(rng, np.float32)
    y, h = layer(x, residual)
    assert same_bits(h, x + residual)
    expected = getattr(fastnorm, f"{op}_backward")(
        dy, x, residual, layer.weight, eps=layer.eps, dresidual=dh
    )
    assert same_bits(layer.backward(dy, dresidual=dh), expected.x)
    assert same_bits(layer.grads["weight"], expected.weight)
    assert y.shape == x.shape
