# SPDX-License-Identifier: BSD-3-Clause
"""Forward and gradients against PyTorch's autograd in float64, an independent derivation."""

from __future__ import annotations

import numpy as np
import pytest

from fastnorm import reference
from reference_cases import CASES, backward, draw, forward

torch = pytest.importorskip("torch", reason="the comparison with PyTorch needs PyTorch")
F = torch.nn.functional

EPS = 1e-3  # large enough for a misplaced eps to show


def feature_norm(case, x, weight, bias):
    """`standardize`, `layer_norm` and `rms_norm`: PyTorch wants the reduced axes last."""
    axis = case.config.get("axis", -1)
    axes = sorted(a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))
    last = tuple(range(x.ndim - len(axes), x.ndim))
    moved = x.movedim(axes, last)
    if case.op == "standardize":
        normalized = F.layer_norm(moved, moved.shape[last[0] :], eps=EPS).movedim(last, axes)
        return normalized * weight + bias
    if case.op == "rms_norm":
        return F.rms_norm(moved, weight.shape, weight, EPS).movedim(last, axes)
    return F.layer_norm(moved, weight.shape, weight, bias, EPS).movedim(last, axes)


def channel_norm(case, x, weight, bias):
    """`batch_norm`, `instance_norm` and `group_norm`: PyTorch wants the channels at axis 1."""
    x = x.movedim(case.channel, 1)
    if case.op == "batch_norm":
        y = F.batch_norm(x, None, None, weight, bias, training=True, eps=EPS)
    elif case.op == "instance_norm":
        y = F.instance_norm(x, weight=weight, bias=bias, eps=EPS)
    else:
        y = F.group_norm(x, case.config["num_groups"], weight, bias, EPS)
    return y.movedim(1, case.channel)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_and_gradients(case):
    dy, *arguments = draw(case)
    tensors = [torch.tensor(array, requires_grad=True) for array in arguments]
    x, weight, bias = tensors if len(tensors) == 3 else (*tensors, None)
    y = (feature_norm if case.channel is None else channel_norm)(case, x, weight, bias)
    y.backward(torch.tensor(dy))

    np.testing.assert_allclose(
        forward(case, *arguments, eps=EPS), y.detach().numpy(), rtol=1e-11, atol=1e-13
    )
    for gradient, tensor in zip(backward(case, dy, *arguments, eps=EPS), tensors, strict=True):
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_with_running_statistics(training):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(3.0, 2.0, size=(2, 4, 3, 5))
    weight, bias, running_mean = rng.normal(size=(3, 3))
    running_var = rng.uniform(0.5, 2.0, size=3)
    buffers = torch.tensor(running_mean), torch.tensor(running_var)
    tensors = [torch.tensor(array, requires_grad=True) for array in (x, weight, bias)]
    options = {"training": training, "momentum": 0.3, "eps": EPS}
    y = F.batch_norm(tensors[0], *buffers, *tensors[1:], **options)
    y.backward(torch.tensor(dy))

    arguments = (x, weight, bias, running_mean, running_var)
    gradients = reference.batch_norm_backward(dy, *arguments, **options)
    np.testing.assert_allclose(
        reference.batch_norm(*arguments, **options), y.detach().numpy(), rtol=1e-11, atol=1e-13
    )
    for gradient, tensor in zip(gradients, tensors, strict=True):
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(running_mean, buffers[0].numpy(), rtol=1e-13)
    np.testing.assert_allclose(running_var, buffers[1].numpy(), rtol=1e-13)
