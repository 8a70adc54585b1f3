# SPDX-License-Identifier: BSD-3-Clause
"""Batch renormalization as a layer, with its parameters, limits and running statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnorm._args import channels
from fastnorm._numbers import epsilon, integer, positive
from fastnorm._running import RunningLayer
from fastnorm.batch_renorm import (
    RenormMoments,
    batch_renorm,
    batch_renorm_backward,
    correction_limits,
)

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._types import Array, ArrayInput


class BatchRenorm(RunningLayer):
    """Batch renormalization as a layer with its parameters and running statistics.

    The limits are attributes that may change between calls: 1 and 0 at first, which is batch norm
    while the running statistics are still young, and then wider. In the paper r_max went from 1 to
    3 and d_max from 0 to 5 in the course of training, from some thousand batches on::

        layer.r_max = 1 + 2 * min(max(step - 5000, 0) / 35000, 1)
        layer.d_max = 5 * min(max(step - 5000, 0) / 20000, 1)

    Parameters
    ----------
    num_features : int
        Number of channels C.
    eps : float, default 1e-5
        Added to the variance of the batch, inside the root.
    momentum : float or None, default 0.01
        Weight of the batch in the running statistics; None is 1/k for batch k, their average.
    r_max, d_max : float, default 3.0 and 5.0
        Limits of the correction; at least 1 and 0.
    affine : bool, default True
        Have a weight (initially 1) and a bias (initially 0) of shape (C,).
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last.
    dtype : dtype, default float32
        Type of parameters and running statistics, one of the four. That of the input may differ.

    Attributes
    ----------
    weight, bias : ndarray or None
        The parameters.
    running_mean, running_std : ndarray
        The running statistics, initially 0 and 1.
    num_batches_tracked : ndarray of int64, 0-d
        Number of batches in the running statistics. Empty ones do not count.
    r_max, d_max : float
        The limits of the next call.
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
    batch_renorm : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.BatchRenorm(1, momentum=0.5, eps=0)
    >>> layer(np.array([[1.0], [5.0]], dtype=np.float32))
    array([[1.],
           [5.]], dtype=float32)
    >>> layer.running_mean, layer.running_std
    (array([1.5], dtype=float32), array([1.5], dtype=float32))
    """

    _stored = ("weight", "bias", "running_mean", "running_std", "num_batches_tracked")
    _shown = ("num_features", "eps", "momentum", "r_max", "d_max", "affine", "channel_axis")
    _starts: ClassVar = {"running_mean": 0.0, "running_std": 1.0}

    running_mean: Array
    running_std: Array

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.01,
        r_max: float = 3.0,
        d_max: float = 5.0,
        affine: bool = True,
        channel_axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.num_features = positive(num_features, "num_features")
        self.eps = epsilon(eps)
        self.r_max, self.d_max = correction_limits(r_max, d_max)
        self.affine = affine
        self.channel_axis = integer(channel_axis, "channel_axis")
        self._make_affine((self.num_features,), dtype, weight=affine, bias=affine)
        self._make_running(self.num_features, dtype, momentum)

    def _forward(self, x: ArrayInput) -> tuple[Array, tuple[Any, ...]]:
        x = channels(x, self.channel_axis, self.num_features, "num_features")
        options: dict[str, Any] = {"r_max": self.r_max, "d_max": self.d_max, "eps": self.eps}
        options |= {"momentum": self._weight_of_batch(), "channel_axis": self.channel_axis}
        options |= {"training": self.training, "return_stats": True}
        arrays = (self.weight, self.bias, self.running_mean, self.running_std)
        y, stats = batch_renorm(x, *arrays, **options)
        if self.training and x.size:
            self._count_batch()
        return y, (x, stats, self.training)

    def _backward(self, dy: ArrayInput, x: Array, stats: RenormMoments, training: bool) -> Any:
        options: dict[str, Any] = {"eps": self.eps, "channel_axis": self.channel_axis}
        options |= {"training": training, "stats": stats}
        return batch_renorm_backward(dy, x, self.weight, self.bias, **options)
