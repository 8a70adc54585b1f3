# SPDX-License-Identifier: BSD-3-Clause
"""Instance normalization as a layer, with its parameters and running statistics, if any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnorm import _core
from fastnorm._activation import activation_flags
from fastnorm._args import channels
from fastnorm._groups import INSTANCES, LAYER_INSTANCES
from fastnorm._numbers import epsilon, integer, positive
from fastnorm._running import RunningLayer
from fastnorm.instance_norm import instance_norm, instance_norm_backward
from fastnorm.moments import Moments, moments_of_groups

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._types import Array, ArrayInput


class InstanceNorm(RunningLayer):
    """Instance normalization as a layer with its parameters and running statistics, if any.

    Evaluation with running statistics uses these; otherwise it is the same as training.

    Parameters
    ----------
    num_features : int
        Number of channels C.
    eps : float, default 1e-5
        Added to the variance, inside the root.
    momentum : float or None, default 0.1
        Weight of the batch in the running statistics; None is 1/k for batch k, their average.
        (With PyTorch's None they never move.)
    affine : bool, default False
        Have a weight (initially 1) and a bias (initially 0) of shape (C,).
    track_running_stats : bool, default False
        Keep running statistics, and use them in evaluation.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last. Axis 0 is that of the samples.
    dtype : dtype, default float32
        Type of parameters and running statistics, one of the four. That of the input may differ.
    activation : {"relu", "silu", "gelu", "gelu_tanh"}, optional
        Applied to the result, in the same pass.

    Attributes
    ----------
    weight, bias, running_mean, running_var : ndarray or None
        The parameters, and the running statistics, initially 0 and 1.
    num_batches_tracked : ndarray of int64, 0-d, or None
        Number of batches in the running statistics, empty ones left out. PyTorch has the array, but
        never counts in it.
    grads : dict of str to ndarray
        Gradients of the parameters from the last `backward`.
    training : bool
        Whether to use the statistics of each sample even where there are running ones, and track
        them. Has no effect without.

    Raises
    ------
    ValueError
        If a number is out of range.
    TypeError
        If an argument is of the wrong type.

    See Also
    --------
    instance_norm : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.InstanceNorm(1, eps=0)
    >>> layer(np.array([[[1.0, 3.0]]], dtype=np.float32))
    array([[[-1.,  1.]]], dtype=float32)
    """

    _stored = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    _shown = ("num_features", "eps", "momentum", "affine", "track_running_stats", "channel_axis")

    running_mean: Array | None
    running_var: Array | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
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
        weight, bias, mean, var = self.weight, self.bias, self.running_mean, self.running_var
        by_instance = self.training or not self.track_running_stats
        if not (self.track_running_stats or part):
            flags = _core.STATS | self._activation
            usual = _core.normalize(
                x, weight, bias, self.eps, None, flags, LAYER_INSTANCES, axis, expected
            )
            if usual is not None:
                y, found_mean, found_var, groups = usual
                return y, (x, moments_of_groups(found_mean, found_var, groups), by_instance, part)
        x = channels(x, axis, expected, "num_features")
        options: dict[str, Any] = {"momentum": self._weight_of_batch(), "eps": self.eps}
        options |= {"channel_axis": axis, "training": by_instance, "return_stats": True}
        options |= {"activation": self.activation} | part
        y, stats = instance_norm(x, weight, bias, mean, var, **options)
        if by_instance and x.size:
            self._count_batch()
        return y, (x, stats, by_instance, part)

    def _backward(
        self, dy: ArrayInput, x: Array, stats: Moments, by_instance: bool, part: dict[str, Any]
    ) -> Any:
        running = (None, None) if by_instance else (self.running_mean, self.running_var)
        if by_instance and not part:
            flags = self._activation
            usual = self._gradients(dy, x, stats, flags, INSTANCES, self.channel_axis)
            if usual is not None:
                return usual
        options: dict[str, Any] = {"eps": self.eps, "channel_axis": self.channel_axis}
        options |= {"training": by_instance, "stats": stats, "activation": self.activation}
        options |= part
        return instance_norm_backward(dy, x, self.weight, self.bias, *running, **options)
