# SPDX-License-Identifier: BSD-3-Clause
"""`add_layer_norm`: an addition and `layer_norm` in one pass."""

from __future__ import annotations

import fastnorm
from residuals import (
    check_gradient_places,
    check_layer,
    check_parts,
    check_places,
    check_refusals,
)


def test_bits_of_the_parts(dtype, rng):
    check_parts("add_layer_norm", dtype, rng)


def test_outputs_in_place_of_inputs(dtype, rng):
    check_places("add_layer_norm", dtype, rng)


def test_gradient_in_place_of_inputs(dtype, rng):
    check_gradient_places("add_layer_norm", dtype, rng)


def test_refusals(rng):
    check_refusals("add_layer_norm", rng)


def test_layer(rng):
    check_layer(fastnorm.AddLayerNorm(70), "add_layer_norm", rng)
