# SPDX-License-Identifier: BSD-3-Clause
"""Whitening of an array: from its statistics to the result and to the gradients.

Everything that depends on x is a pass over blocks of samples (`_sample_blocks`); everything else
happens between small matrices (`_whitening_matrices`). An affine map after the whitening is part of
the matrices, so that the layer takes no further pass and rounds once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnorm import _core
from fastnorm._args import (
    array,
    check_count,
    deliver,
    divisor,
    gradient,
    new_statistic,
    output,
    parameter_gradient,
    parameter_values,
)
from fastnorm._core import Groups
from fastnorm._groups import over_batch, refuse_single_values
from fastnorm._numbers import epsilon, positive, weight_of_batch
from fastnorm._running import RunningWhitening
from fastnorm._sample_blocks import SampleBlocks
from fastnorm._whitening_matrices import EIGEN, covariance_gradient, factorize, method_argument

if TYPE_CHECKING:
    from fastnorm._types import Array, Shape


class WhiteningStats(NamedTuple):
    """What `whiten` found out about x: all in float64, with d channels in each group.

    Attributes
    ----------
    mean : ndarray of shape (C,)
        Mean of every channel.
    whitening : ndarray of shape (groups, d, d)
        The matrices; their rows are the channels of y.
    covariance : ndarray of shape (groups, d, d) or None
        Biased covariance of each group, without eps; None in evaluation.
    eigenvalues : ndarray of shape (groups, d) or None
        Those of the covariance, descending, plus eps; for the methods zca and pca in training.
    eigenvectors : ndarray of shape (groups, d, d) or None
        Their vectors, as columns.
    count : int
        Number of samples; 0 in evaluation.
    """

    mean: Array
    whitening: Array
    covariance: Array | None
    eigenvalues: Array | None
    eigenvectors: Array | None
    count: int  # type: ignore[assignment]  # the field hides tuple.count, as intended


class Whitener:
    """The options of one call, checked, and how its x falls into channels and samples.

    Parameters
    ----------
    x : array_like
        The argument of that name.
    training, momentum, method, groups, iterations, eps, channel_axis
        As given to `whiten`.
    """

    def __init__(
        self,
        x: Any,
        training: bool,
        momentum: Any,
        method: Any,
        groups: Any,
        iterations: Any,
        eps: Any,
        channel_axis: Any,
    ) -> None:
        self.x = array(x, "x")
        self._channels = over_batch(channel_axis, self.x.shape)
        channel = channel_axis % self.x.ndim
        self._blocks = SampleBlocks(
            self.x, channel, divisor(groups, self.x.shape[channel], "groups")
        )
        self._training = training
        self._momentum = weight_of_batch(momentum)
        self._method = method_argument(method)
        self._iterations = positive(iterations, "iterations")
        self._eps = epsilon(eps)
        if training:
            refuse_single_values(self._channels, self.x.shape)

    def forward(
        self, weight: Any, bias: Any, running_mean: Any, running_whitening: Any, out: Array | None
    ) -> tuple[Array, WhiteningStats]:
        """Return the result and the statistics it was made with; update the running ones."""
        y = output(out, self.x)
        factor, summand = self._parameter(weight, "weight"), self._parameter(bias, "bias")
        running = self._running(running_mean, running_whitening, updated=self._training)
        with np.errstate(all="ignore"):  # NaN and Inf in their group are results, not surprises
            stats = self._of_batch() if self._training else _constant(*running.given())
            matrix = self._scaled(stats.whitening, factor)
            self._blocks.transform([(self.x, stats.mean, matrix)], summand, y)
            y = deliver(y, out)
        if self._training:
            running.fold_in(stats.mean, stats.whitening, self._momentum)
        return y, stats

    def backward(
        self,
        dy: Any,
        weight: Any,
        bias: Any,
        running_mean: Any,
        running_whitening: Any,
        given: Any,
        out: Array | None,
    ) -> tuple[Array, Array | None, Array | None]:
        """Return the gradients with respect to x, weight and bias."""
        dy = gradient(dy, self.x)
        dx = output(out, self.x, dy)
        factor, summand = self._parameter(weight, "weight"), self._parameter(bias, "bias")
        running = self._running(running_mean, running_whitening, updated=False)
        stats = None if given is None else self._given_stats(given)
        with np.errstate(all="ignore"):
            if stats is None:
                stats = self._of_batch() if self._training else _constant(*running.given())
            dy_mean = self._mean(dy)
            dweight = None if factor is None else np.zeros(factor.shape)
            dbias = None if summand is None else np.zeros(summand.shape)
            if self.x.size:
                self._gradients(dy, dy_mean, dx, stats, factor, dweight)
                if dbias is not None:
                    dbias += dy_mean * self._channels.size
            dx = deliver(dx, out)
        return (
            dx,
            parameter_gradient(dweight, weight, "weight"),
            parameter_gradient(dbias, bias, "bias"),
        )

    def _gradients(
        self,
        dy: Array,
        dy_mean: Array,
        dx: Array,
        stats: WhiteningStats,
        factor: Array | None,
        dweight: Array | None,
    ) -> None:
        """Fill dx and dweight.

        With S the sum of dy (x - mean)^T, the gradient of the whitening is S times the weight, and
        dx is made of dy and x by two matrices of each group.
        """
        x, blocks = self.x, self._blocks
        back = self._scaled(stats.whitening, factor).swapaxes(-2, -1)
        if self._training or dweight is not None:
            moments = blocks.products(x, stats.mean, dy)
            if dweight is not None:
                dweight += (moments * stats.whitening).sum(axis=-1).reshape(-1)
        if not self._training:
            blocks.transform([(dy, None, back)], None, dx)
            return
        assert stats.covariance is not None
        dcovariance = covariance_gradient(
            self._scaled(moments, factor),
            stats.whitening,
            stats.covariance,
            stats.eigenvalues,
            stats.eigenvectors,
            self._eps,
            self._method,
            self._iterations,
        )
        through = dcovariance * (2.0 / self._channels.size)
        blocks.transform([(dy, dy_mean, back), (x, stats.mean, through)], None, dx)

    def _of_batch(self) -> WhiteningStats:
        """Statistics of x; of an empty one NaN."""
        count = self._channels.size
        mean = self._mean(self.x)
        if not self.x.size:
            spoilt = np.full(self._shape, np.nan)
            values, vectors = (spoilt[..., 0], spoilt) if self._method in EIGEN else (None, None)
            return WhiteningStats(mean, spoilt, spoilt, values, vectors, count)
        covariance = self._blocks.products(self.x, mean) / count
        whitening, values, vectors = factorize(
            covariance, self._eps, self._method, self._iterations
        )
        return WhiteningStats(mean, whitening, covariance, values, vectors, count)

    def _given_stats(self, stats: Any) -> WhiteningStats:
        """Return the argument `stats` as the passes take it."""
        try:
            mean, whitening, *factors, count = stats
            covariance, values, vectors = factors
        except (TypeError, ValueError):
            raise TypeError(
                "stats must be what return_stats=True gave, (mean, whitening, covariance, "
                f"eigenvalues, eigenvectors, count), got {stats!r}"
            ) from None
        check_count(count, self._channels.size if self._training else 0)
        shape = self._shape
        mean = _given(mean, "stats.mean", self._channels.shape)
        whitening = _given(whitening, "stats.whitening", shape)
        if not self._training:
            return _constant(mean, whitening)
        covariance = _given(covariance, "stats.covariance", shape)
        if self._method in EIGEN:
            values = _given(values, "stats.eigenvalues", shape[:2])
            vectors = _given(vectors, "stats.eigenvectors", shape)
        return WhiteningStats(mean, whitening, covariance, values, vectors, count)

    @property
    def _shape(self) -> Shape:
        """Shape of the matrices of all groups."""
        return (self._blocks.groups, self._blocks.width, self._blocks.width)

    def _mean(self, values: Array) -> Array:
        """Exact mean of every channel."""
        mean, var = new_statistic(self._channels), new_statistic(self._channels)
        _core.forward(values, None, self._channels, None, None, mean, var, 0.0, 0)
        return mean

    def _parameter(self, value: Any, name: str) -> Array | None:
        if value is None:
            return None
        return parameter_values(value, name, self._channels).astype(np.float64)

    def _scaled(self, matrices: Array, factor: Array | None) -> Array:
        """Multiply the rows of matrices, one for each output channel, by the weight."""
        return matrices if factor is None else matrices * factor.reshape(*self._shape[:2], 1)

    def _running(self, mean: Any, whitening: Any, *, updated: bool) -> RunningWhitening:
        matrices = Groups(self._shape, (), (0, 1, 2), "(groups, channels, channels) of a group")
        return RunningWhitening(mean, whitening, self._channels, matrices, updated=updated)


def _constant(mean: Array, whitening: Array) -> WhiteningStats:
    """Statistics of evaluation, which no batch stands behind."""
    return WhiteningStats(mean, whitening, None, None, None, 0)


def _given(value: Any, name: str, shape: Shape) -> Array:
    """Return a copy in float64 of a statistic that must have `shape`."""
    values = array(value, name)
    if values.shape != shape:
        raise ValueError(f"{name} has shape {values.shape}, expected {shape}")
    return values.astype(np.float64, order="C")
