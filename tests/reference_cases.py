# SPDX-License-Identifier: BSD-3-Clause
"""Small float64 calls of every normalizer of `fastnorm.reference`, for the tests of the oracle."""

from __future__ import annotations

import numpy as np

from cases import Case
from fastnorm import reference

CASES = [
    Case("standardize", (3, 4), {"axis": 1}),
    Case("standardize", (2, 3, 4), {"axis": (0, 2)}, affine=(3, 1)),
    Case("standardize", (2, 3, 4), {"axis": (-1, 0, 1)}, affine=()),
    Case("standardize", (2, 3, 2, 4), {"axis": (2, -1)}, affine=(2, 3, 1, 1)),
    Case("layer_norm", (3, 7)),
    Case("layer_norm", (2, 3, 4), {"axis": (-1, 1)}),
    Case("layer_norm", (4, 3, 2), {"axis": 0}),
    Case("rms_norm", (3, 7)),
    Case("rms_norm", (2, 3, 4), {"axis": (2, 0)}),
    Case("batch_norm", (7, 3)),
    Case("batch_norm", (2, 3, 2, 2)),
    Case("batch_norm", (2, 2, 2, 3), {"channel_axis": -1}),
    Case("batch_norm", (2, 3, 1, 2, 2)),
    Case("instance_norm", (2, 3, 5)),
    Case("instance_norm", (2, 2, 3, 2), {"channel_axis": -1}),
    Case("instance_norm", (2, 3, 2, 2), {"channel_axis": 2}),
    Case("group_norm", (3, 6), {"num_groups": 2}),
    Case("group_norm", (2, 4, 2, 2), {"num_groups": 2}),
    Case("group_norm", (2, 3, 6), {"num_groups": 3, "channel_axis": -1}),
    Case("group_norm", (2, 4, 3), {"num_groups": 1}),
]
CENTRED_CASES = [case for case in CASES if case.op != "rms_norm"]


def names(case):
    """Return the names of the parameters, in the order of the arguments."""
    return ("weight",) if case.op == "rms_norm" else ("weight", "bias")


def draw(case, seed=0):
    """Return dy, x and the parameters: normal, x of mean 1 and standard deviation 2."""
    rng = np.random.default_rng(seed)
    dy, x = rng.normal(size=case.shape), rng.normal(1.0, 2.0, size=case.shape)
    return dy, x, *(rng.normal(1.0, 1.0, size=case.parameter_shape) for _ in names(case))


def forward(case, x, *parameters, **options):
    """Call the reference; `parameters` are all of them or none, `options` win over the case."""
    given = dict(zip(names(case), parameters, strict=bool(parameters)))
    return getattr(reference, case.op)(x, **given, **(case.config | options))


def backward(case, dy, x, *parameters, **options):
    """Call the gradient of the reference in the same way."""
    given = dict(zip(names(case), parameters, strict=bool(parameters)))
    return getattr(reference, f"{case.op}_backward")(dy, x, **given, **(case.config | options))


def group_sums(case, values):
    """Sum `values`, an array of x's shape, over each statistics group."""
    return np.bincount(case.group_numbers().ravel(), values.ravel())
