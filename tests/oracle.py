# SPDX-License-Identifier: BSD-3-Clause
"""Checks of one case against `fastnorm.reference`, within the bounds of `tolerance`."""

from __future__ import annotations

import numpy as np

import fastnorm
from cases import Arguments, Case, backward, forward
from fastnorm import reference
from tolerance import (
    assert_within,
    forward_bound,
    gradient_bound,
    mean_bound,
    parameter_bound,
    stored,
    var_bound,
)

DEFAULT_EPS = {"rms_norm": 1e-6}


def frozen(arguments: Arguments) -> Arguments:
    """The same arguments with copies of the running statistics, which a call may update."""
    copies = {
        name: array.copy() if name.startswith("running") and array is not None else array
        for name, array in arguments.parameters.items()
    }
    return Arguments(arguments.x, arguments.dy, copies)


def root(case: Case, stats) -> np.ndarray:
    """1 / sqrt(power + eps), against x; 0 where the sum is 0."""
    power = stats.mean_square if case.op == "rms_norm" else stats.var
    total = case.spread(power) + case.config.get("eps", DEFAULT_EPS.get(case.op, 1e-5))
    return np.divide(1.0, np.sqrt(total), out=np.zeros_like(total), where=total > 0)


def normalized(case: Case, arguments: Arguments) -> np.ndarray:
    """The oracle's result without weight and bias."""
    plain = {
        name: array if name.startswith("running") else None
        for name, array in frozen(arguments).parameters.items()
    }
    return forward(reference, case, Arguments(arguments.x, arguments.dy, plain))[0]


def check_forward(case: Case, arguments: Arguments, **options):
    """Compare y and the statistics with the oracle; return what `fastnorm` gave."""
    ours, theirs = frozen(arguments), frozen(arguments)
    y, stats = forward(fastnorm, case, ours, **options)
    y64, stats64 = forward(reference, case, theirs)
    assert y.dtype == arguments.x.dtype

    weight, bias = (arguments.parameter(case, *p) for p in (("weight", 1.0), ("bias", 0.0)))
    bound = forward_bound(
        arguments.x, y64, normalized(case, arguments), weight, bias, root(case, stats64)
    )
    assert_within(y, y64, bound, f"{case}: y")
    check_stats(case, arguments.x, stats, stats64)
    for name in ours.parameters:
        if name.startswith("running"):
            check_running(case, name, arguments, ours.parameters[name], theirs.parameters[name])
    return y, stats


def check_stats(case: Case, x: np.ndarray, stats, stats64) -> None:
    """Statistics: float64, the oracle's shapes, within their bounds."""
    assert stats.count == stats64.count
    if case.op == "rms_norm":
        assert stats.mean_square.dtype == np.float64
        bound = var_bound(x, stats64.mean_square)
        assert_within(stats.mean_square, stats64.mean_square, bound, f"{case}: mean square")
        return
    assert stats.mean.dtype == stats.var.dtype == np.float64
    assert_within(stats.mean, stats64.mean, mean_bound(x, stats64.var), f"{case}: mean")
    assert_within(stats.var, stats64.var, var_bound(x, stats64.var), f"{case}: var")


def check_running(case: Case, name: str, arguments: Arguments, ours, theirs) -> None:
    """A running statistic after the call, against the oracle's of the same type."""
    expected = theirs.astype(np.float64)
    var = np.abs(arguments.parameters["running_var"].astype(np.float64))
    error = mean_bound if name == "running_mean" else var_bound
    bound = stored(expected, ours.dtype) + error(arguments.x, np.maximum(expected, var))
    assert_within(ours, expected, bound, f"{case}: {name}")


def check_backward(case: Case, arguments: Arguments, **options):
    """Compare every gradient with the oracle; return what `fastnorm` gave."""
    ours = backward(fastnorm, case, frozen(arguments), **options)
    theirs = backward(reference, case, frozen(arguments))
    assert ours._fields == theirs._fields
    x, dy = arguments.x, arguments.dy
    stats64 = forward(reference, case, frozen(arguments))[1]
    xhat, rstd = normalized(case, arguments), root(case, stats64)
    weight = arguments.parameter(case, "weight", 1.0)

    assert ours.x.dtype == x.dtype
    bound = gradient_bound(x, theirs.x, xhat, dy, weight, rstd)
    assert_within(ours.x, theirs.x, bound, f"{case}: gradient of x")
    size = np.abs(dy.astype(np.float64))
    for name, terms, root_of in (("weight", size * (1 + np.abs(xhat)), rstd), ("bias", size, 0.0)):
        if name not in theirs._fields:
            continue
        value, expected = getattr(ours, name), getattr(theirs, name)
        if arguments.parameters.get(name) is None:
            assert value is None
            continue
        kind = arguments.parameters[name].dtype
        assert value.dtype == kind
        total = case.sum_to_parameter(terms)
        bound = parameter_bound(x, expected, kind, total, root_of)
        assert_within(value, expected, bound, f"{case}: gradient of {name}")
    return ours
