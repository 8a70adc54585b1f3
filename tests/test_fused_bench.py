# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benches.compare.fused``: the sequences compute what the fused forms do."""

from __future__ import annotations

import numpy as np
import pytest

from benches.compare import fused
from fastnorm.compare.catalogue import find
from fastnorm.compare.measure import Budget
from fastnorm.reference.activation import activate, slope
from tolerance import unit

# Rounding, of which the cancelling sums in the slopes and the argument of an exponential have most.
BOUND = 64 * unit(np.float32)


@pytest.mark.parametrize("name", fused.ACTIVATIONS)
def test_formulas(name):
    z = np.linspace(-6, 6, 1001, dtype=np.float32)
    value, derivative = fused.ACTIVATIONS[name]
    y, dz = z.copy(), np.empty_like(z)
    value(y, y)
    derivative(z, np.full_like(z, 2), dz)
    np.testing.assert_allclose(y, activate(z.astype(np.float64), name), rtol=0, atol=6 * BOUND)
    np.testing.assert_allclose(dz, 2 * slope(z.astype(np.float64), name), rtol=0, atol=12 * BOUND)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("name", ["layer_norm-bert-base-token", "add_rms_norm-llama-7b-prompt"])
def test_every_form_is_timed(name, direction):
    lines = list(fused.measure(find(name), direction, 1, Budget(0.001, 2, 2, 1e-5)))
    residuals = 2 if direction == "forward" else 1  # in place, and apart
    assert len(lines) == (residuals if name.startswith("add") else len(fused.ACTIVATIONS))
    assert all(min(line.fused, line.alone, line.sequence) > 0 for line in lines)
    assert all(len(line.cells()) == 7 for line in lines)


@pytest.mark.parametrize("name", fused.CASES)
def test_forms_agree_with_their_sequences(name):
    """Forward, the array that the sequence fills holds what the fused form returns."""
    for form, calls in fused.forms(find(name), "forward"):
        result = calls["fused"]()
        y = result[0] if isinstance(result, tuple) else result
        calls["sequence"]()
        sequence = calls["alone"].keywords["out"]
        np.testing.assert_allclose(sequence, y, rtol=0, atol=1e-5, err_msg=form)
