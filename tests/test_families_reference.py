# SPDX-License-Identifier: BSD-3-Clause
"""The oracle of every family: its gradients, by finite differences and by PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from family_calls import backward, every_call, forward, with_eps
from fastnorm import reference
from gradcheck import assert_gradients
from tolerance import largest

torch_missing = "the comparison with PyTorch needs PyTorch"


@every_call
def test_reference_gradients_match_finite_differences(family, case):
    dy, x, arguments = family.draw(case)
    eps = with_eps(family)
    given = {name: arguments[name] for name in family.differentiable if name in arguments}
    rest = {name: value for name, value in arguments.items() if name not in given}
    gradients = backward(reference, family, case, dy, x, arguments, **eps)
    assert gradients._fields[1:] == tuple(family.differentiable)
    assert_gradients(
        lambda x, *a: forward(
            reference, family, case, x, dict(zip(given, a, strict=True)) | rest, **eps
        ),
        [gradients[0], *(getattr(gradients, name) for name in given)],
        dy,
        [x, *given.values()],
    )


@every_call
def test_reference_matches_pytorch(family, case):
    if family.torch is None:
        pytest.skip(family.no_torch)
    torch = pytest.importorskip("torch", reason=torch_missing)
    dy, x, arguments = family.draw(case)
    eps = with_eps(family)
    tensors = {"x": torch.tensor(x, requires_grad=True)}
    for name, value in family.copied(arguments).items():
        wanted = name in family.differentiable
        is_array = isinstance(value, np.ndarray)
        tensors[name] = torch.tensor(value, requires_grad=wanted) if is_array else value
    inputs = dict(tensors)
    y = family.torch(inputs.pop("x"), **inputs, **(dict(case.options) | eps))
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(
        forward(reference, family, case, x, arguments, **eps), y.detach().numpy(),
        rtol=1e-10, atol=1e-12,
    )  # fmt: skip
    gradients = backward(reference, family, case, dy, x, arguments, **eps)
    for name, gradient in zip(("x", *family.differentiable), gradients, strict=True):
        if gradient is None:
            continue
        expected = tensors[name].grad.numpy()
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-11 * largest(expected))
