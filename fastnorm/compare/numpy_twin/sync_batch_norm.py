# SPDX-License-Identifier: BSD-3-Clause
"""Batch norm over the ranks of a job, in plain NumPy: as it is on one."""

from __future__ import annotations

from typing import Any

from fastnorm.compare.numpy_twin.shared import Array, Gradients, Stats
from fastnorm.compare.numpy_twin.standard import batch_norm, batch_norm_backward


def sync_batch_norm(x: Array, *parameters: Array, comm: Any, **options: Any) -> tuple[Array, Stats]:
    """`batch_norm`: what is compared is the work of one rank."""
    return batch_norm(x, *parameters, **options)


def sync_batch_norm_backward(
    dy: Array, x: Array, *parameters: Array, comm: Any, **options: Any
) -> Gradients:
    """`batch_norm_backward`."""
    return batch_norm_backward(dy, x, *parameters, **options)
