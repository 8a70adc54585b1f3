# SPDX-License-Identifier: BSD-3-Clause
"""What the two EvoNorms share: parameters that cannot be left out, gradients, statistics of two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnorm._args import deliver, given_moments, parameter, parameter_gradient
from fastnorm.moments import Moments, moments, moments_for_gradient, moments_of_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnorm._core import Groups
    from fastnorm._running import RunningVariance
    from fastnorm._types import Array


class EvoNormGradients(NamedTuple):
    """Gradients of a scalar loss with respect to the arguments of `evonorm_b0` or `evonorm_s0`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape and dtype.
    weight, bias, v : ndarray
        Gradients with respect to the parameters, of their shapes and dtypes.
    """

    x: Array
    weight: Array
    bias: Array
    v: Array


class EvoNormMoments(NamedTuple):
    """The statistics of `evonorm_b0`.

    Attributes
    ----------
    instance : Moments
        Of each channel of each sample, of shape (N, C).
    batch : Moments
        Of each channel, of shape (C,); in evaluation zeros and a copy of the running variance, with
        count 0.
    """

    instance: Moments
    batch: Moments


def read_parameters(
    weight: Any, bias: Any, v: Any, groups: Groups, x: Array, out: Array | None
) -> list[Array]:
    """Return weight, bias and v as the core takes them; None is refused."""
    found = []
    for value, name in ((weight, "weight"), (bias, "bias"), (v, "v")):
        taken = parameter(value, name, groups, x, out)
        if taken is None:
            raise TypeError(f"{name} must be an array of shape {groups.shape}, got None")
        found.append(taken)
    return found


def gradients_of(
    dx: Array, out: Array | None, totals: Sequence[Array], parameters: Sequence[Any]
) -> EvoNormGradients:
    """Return the gradients as the caller gets them, of the sums for weight, bias and v."""
    named = zip(totals, parameters, ("weight", "bias", "v"), strict=True)
    return EvoNormGradients(
        deliver(dx, out),
        *(parameter_gradient(*each) for each in named),  # type: ignore[arg-type]
    )


def statistics(
    x: Array, planes: Groups, batch: Groups, running: RunningVariance, training: bool
) -> EvoNormMoments:
    """Measure the planes, and the batch by way of them; in evaluation the latter are given."""
    mean, var = moments_for_gradient(x, None, planes, None)
    instance = moments_of_groups(mean, var, planes)
    if not training:
        given = running.for_evaluation()
        return EvoNormMoments(instance, Moments(np.zeros_like(given), given, 0))
    # The variance of a batch is the mean of those of its planes and the variance of their means.
    between, within = moments(mean, 0), moments(var, 0)
    with np.errstate(invalid="ignore", over="ignore"):
        return EvoNormMoments(
            instance, Moments(between.mean, between.var + within.mean, batch.size)
        )


def given_statistics(
    stats: Any, planes: Groups, batch: Groups, training: bool, out: Array | None
) -> EvoNormMoments:
    """Return the statistics that a forward call gave."""
    try:
        instance, channel = stats
    except (TypeError, ValueError):
        raise TypeError(
            f"stats must be what return_stats=True gave, (instance, batch), got {stats!r}"
        ) from None
    count = batch.size if training else 0
    mean, var = given_moments(instance, planes, planes.size, out)
    batch_mean, batch_var = given_moments(channel, batch, count, out)
    return EvoNormMoments(
        Moments(mean.reshape(planes.free), var.reshape(planes.free), planes.size),
        Moments(batch_mean.reshape(batch.free), batch_var.reshape(batch.free), count),
    )
