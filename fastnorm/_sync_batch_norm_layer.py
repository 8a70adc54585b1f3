# SPDX-License-Identifier: BSD-3-Clause
"""Batch normalization over the ranks of a job as a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnorm._args import channels
from fastnorm._batch_norm_layer import BatchNorm
from fastnorm._ranks import communicator, failure_told
from fastnorm.sync_batch_norm import (
    BACKWARD,
    FORWARD,
    sync_batch_norm,
    sync_batch_norm_backward,
)

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._types import Array, ArrayInput, Communicator
    from fastnorm.moments import Moments


class SyncBatchNorm(BatchNorm):
    """Batch normalization over the ranks of a job, as a layer.

    All ranks make it with the same arguments, and call it and its `backward` together. The
    gradients that `backward` leaves in `grads` are this rank's part, to be added over the ranks.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, channel_axis, dtype
        As in `BatchNorm`.
    comm : object with ``allgather``
        The ranks, as in `sync_batch_norm`.

    Attributes
    ----------
    comm : object with ``allgather``
        The ranks.
    weight, bias, running_mean, running_var, num_batches_tracked, grads, training
        As in `BatchNorm`. The running statistics and their number of batches are those of the
        batches of all ranks, and equal on all of them.

    Raises
    ------
    TypeError, ValueError
        As in `BatchNorm`; and if `comm` has no ``allgather``.

    See Also
    --------
    sync_batch_norm : The function behind it, with formula and source.
    BatchNorm : What it is in evaluation, where ranks do not communicate. That holds without
        running statistics too, where each rank then uses its own batch, as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.SyncBatchNorm(1, momentum=None, eps=0, comm=fastnorm.SingleProcess())
    >>> layer(np.array([[1.0], [3.0]], dtype=np.float32))
    array([[-1.],
           [ 1.]], dtype=float32)
    >>> layer.running_mean, layer.running_var
    (array([2.], dtype=float32), array([2.], dtype=float32))
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        channel_axis: int = 1,
        dtype: DTypeLike = np.float32,
        *,
        comm: Communicator,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, channel_axis, dtype
        )
        self.comm = communicator(comm)

    def backward(self, dy: ArrayInput, **others: ArrayInput | None) -> Array:
        """As in `Layer`, by a collective: of the sum of the losses of all ranks."""
        if self._saved is None and self.training:
            with failure_told(self.comm, BACKWARD):
                return super().backward(dy, **others)  # raises: there was no forward pass
        return super().backward(dy, **others)

    def _forward(self, x: ArrayInput, **part: Any) -> tuple[Array, tuple[Any, ...]]:
        if not self.training:
            return super()._forward(x, **part)
        momentum = self._weight_of_batch()
        with failure_told(self.comm, FORWARD):
            x = channels(x, self.channel_axis, self.num_features, "num_features")
        options: dict[str, Any] = {"momentum": momentum, "eps": self.eps, "return_stats": True}
        options |= {"channel_axis": self.channel_axis, "comm": self.comm}
        running = (self.running_mean, self.running_var)
        y, stats = sync_batch_norm(x, self.weight, self.bias, *running, **(options | part))
        if stats.count:
            self._count_batch()
        return y, (x, stats, True, part, True)

    def _backward(
        self,
        dy: ArrayInput,
        x: Array,
        stats: Moments,
        by_batch: bool,
        part: dict[str, Any],
        together: bool = False,
    ) -> Any:
        if not together:
            return super()._backward(dy, x, stats, by_batch, part)
        options: dict[str, Any] = {"eps": self.eps, "channel_axis": self.channel_axis}
        options |= {"comm": self.comm, "stats": stats}
        return sync_batch_norm_backward(dy, x, self.weight, self.bias, **options)
