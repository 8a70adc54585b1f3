# SPDX-License-Identifier: BSD-3-Clause
"""Batch normalization as a layer, with its parameters and running statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnorm import _core
from fastnorm._activation import activation_flags
from fastnorm._args import channels
from fastnorm._groups import BATCH, LAYER_BATCH
from fastnorm._numbers import epsilon, integer, positive
from fastnorm._running import RunningLayer
from fastnorm.batch_norm import batch_norm, batch_norm_backward
from fastnorm.moments import Moments, moments_of_groups

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._types import Array, ArrayInput


class BatchNorm(RunningLayer):
    """Batch normalization as a layer with its parameters and running statistics.

    Parameters
    ----------
    num_features : int
        Number of channels C.
    eps : float, default 1e-5
        Added to the variance, inside the root.
    momentum : float or None, default 0.1
        Weight of the batch in the running statistics; None is 1/k for batch k, their average.
    affine : bool, default True
        Have a weight (initially 1) and a bias (initially 0) of shape (C,).
    track_running_stats : bool, default True
        Keep running statistics, and use them in evaluation. Without them the statistics of the
        batch are used in evaluation too.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last.
    dtype : dtype, default float32
        Type of parameters and running statistics, one of the four. That of the input may differ.
    activation : {"relu", "silu", "gelu", "gelu_tanh"}, optional
        Applied to the result, in the same pass.

    Attributes
    ----------
    weight, bias, running_mean, running_var : ndarray or None
        The parameters, and the running statistics, initially 0 and 1.
    num_batches_tracked : ndarray of int64, 0-d, or None
        Number of batches in the running statistics. Empty ones, unlike in PyTorch, do not count.
    grads : dict of str to ndarray
        Gradients of the parameters from the last `backward`.
    training : bool
        Whether to use and track the statistics of the batch.

    Raises
    ------
    ValueError
        If a number is out of range.
    TypeError
        If an argument is of the wrong type.

    See Also
    --------
    batch_norm : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.BatchNorm(1, momentum=None, eps=0)
    >>> layer(np.array([[1.0], [3.0]], dtype=np.float32))
    array([[-1.],
           [ 1.]], dtype=float32)
    >>> layer.running_mean, layer.running_var
    (array([2.], dtype=float32), array([2.], dtype=float32))
    """

    _stored = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    running_mean: Array | None
    running_var: Array | None

    _shown = ("num_features", "eps", "momentum", "affine", "track_running_stats", "channel_axis")

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        channel_axis: int = 1,
        dtype: DTypeLike = np.float32,
        activation: str | None = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        self._activation = activation_flags(activation)
        self.num_features = positive(num_features, "num_features")
        self.eps = epsilon(eps)
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.channel_axis = integer(channel_axis, "channel_axis")
        self._make_affine((self.num_features,), dtype, weight=affine, bias=affine)
        self._make_running(self.num_features, dtype, momentum, tracked=track_running_stats)

    def _forward(self, x: ArrayInput, **part: Any) -> tuple[Array, tuple[Any, ...]]:
        axis, expected = self.channel_axis, self.num_features
        by_batch = self.training or not self.track_running_stats
        flags = _core.STATS | (_core.MANY if by_batch else _core.GIVEN) | self._activation
        weight, bias, mean, var = self.weight, self.bias, self.running_mean, self.running_var
        momentum = self._weight_of_batch()
        usual = None
        if not part:
            keys = LAYER_BATCH, axis, expected
            usual = _core.normalize_batch(
                x, weight, bias, mean, var, momentum, self.eps, None, flags, *keys
            )
        if usual is not None:
            y, batch_mean, batch_var, groups = usual
            stats = moments_of_groups(batch_mean, batch_var, groups, by_batch)
        else:
            x = channels(x, axis, expected, "num_features")
            options: dict[str, Any] = {"momentum": momentum, "eps": self.eps, "channel_axis": axis}
            options |= {"activation": self.activation, "training": by_batch, "return_stats": True}
            y, stats = batch_norm(x, weight, bias, mean, var, **options, **part)
        if by_batch and np.any(stats.count):
            self._count_batch()
        return y, (x, stats, by_batch, part)

    def _backward(
        self, dy: ArrayInput, x: Array, stats: Moments, by_batch: bool, part: dict[str, Any]
    ) -> Any:
        flags = (_core.MANY if by_batch else _core.FIXED) | self._activation
        usual = None
        if not part:
            usual = self._gradients(dy, x, stats, flags, BATCH, self.channel_axis)
        if usual is not None:
            return usual
        options: dict[str, Any] = {"eps": self.eps, "channel_axis": self.channel_axis}
        options |= {"activation": self.activation, "training": by_batch}
        return batch_norm_backward(dy, x, self.weight, self.bias, stats=stats, **options, **part)
