# SPDX-License-Identifier: BSD-3-Clause
"""Running statistics: what training averages over its batches, for evaluation to use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnorm._args import float_dtype, new_statistic, parameter_values
from fastnorm._layer import Layer
from fastnorm._numbers import weight_of_batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import DTypeLike

    from fastnorm._core import Groups
    from fastnorm._types import Array


class RunningStatistics:
    """The running statistics given to one call: checked and copied before it, written after it.

    They are read before anything is written, so that an output may overlap them, and written last,
    so that a call that fails leaves them as they were.

    Parameters
    ----------
    mean, spread : array_like or None
        The arguments `running_mean` and `running_var`, or what takes the place of the latter.
    groups : Groups
        How x falls into statistics groups.
    updated : bool
        Whether they are those of training: the batch has its own, and these are moved.
    names : tuple of str
        Names of the two arguments.
    """

    def __init__(
        self,
        mean: Any,
        spread: Any,
        groups: Groups,
        *,
        updated: bool,
        names: tuple[str, str] = ("running_mean", "running_var"),
    ) -> None:
        self._targets = (mean, spread)
        self._groups = groups
        self._updated = updated
        self._names = names
        self._values = tuple(
            _read(value, name, groups, updated)
            for value, name in zip(self._targets, names, strict=True)
        )

    def given(self) -> tuple[Array, Array]:
        """Both as they were before the call, in float64; ValueError if one is missing."""
        mean, spread = self._values
        if mean is None or spread is None:
            missing = self._names[0 if mean is None else 1]
            raise ValueError(f"{missing} is None, and is needed where training is False")
        return mean, spread

    def for_core(self) -> tuple[Array, Array]:
        """Mean and variance as the core takes them: to be found, or in evaluation those given."""
        if self._updated:
            return new_statistic(self._groups), new_statistic(self._groups)
        return self.given()

    def fold_in(self, mean: Any, var: Array, momentum: float, count: Any = None) -> None:
        """Move them towards a batch, from its biased variance as the core left it.

        The variance becomes the unbiased one, as in PyTorch. count: how many values stand behind
        each entry, where that is not the size of x's groups; what needs more of them is left out.
        """
        size = self._groups.size
        if count is None and size < 2:
            return  # one value per group gets here only where there is no group
        number = np.asarray(size if count is None else count, dtype=np.float64)
        with np.errstate(all="ignore"):
            unbiased = var * (number / (number - 1))
        self.move(mean, unbiased, momentum, (number > 0, number > 1))

    def move(
        self, mean: Array, spread: Array, momentum: float, found: tuple[Any, Any] | None = None
    ) -> None:
        """Move those that were given towards a batch; where each sample has its own, their average.

        What is beyond the range of its type is infinite. An empty batch changes nothing, nor does
        evaluation. found: which entries of both there are; by default all, if x is not empty.
        """
        if not self._updated or not mean.size or (found is None and not self._groups.size):
            return
        parts = zip(self._targets, self._values, (mean, spread), found or (None, None), strict=True)
        with np.errstate(all="ignore"):
            for target, value, here, there in parts:
                if value is not None:
                    samples = tuple(range(here.ndim - 1))
                    if there is None:
                        batch, some = here.mean(samples) if samples else here, None
                    else:
                        some = np.broadcast_to(there, here.shape).sum(axis=samples)
                        batch = np.where(there, here, 0.0).sum(axis=samples) / some
                    moved = (1.0 - momentum) * value + momentum * batch
                    target[...] = moved if some is None else np.where(some == 0, value, moved)


class RunningLayer(Layer):
    """What the layers with running statistics share: the arrays, their count, a new start.

    Attributes
    ----------
    momentum : float or None
        Weight of the batch in the running statistics; None is 1/k for batch k, their average.
    num_batches_tracked : ndarray of int64, 0-d, or None
        Number of batches in the running statistics.
    """

    _starts: ClassVar[Mapping[str, float]] = {"running_mean": 0.0, "running_var": 1.0}

    num_batches_tracked: Array | None

    def _make_running(
        self, size: int, dtype: DTypeLike, momentum: float | None, *, tracked: bool = True
    ) -> None:
        """Make the running statistics, or None in their place."""
        self.momentum = None if momentum is None else weight_of_batch(momentum)
        stored = float_dtype(dtype)
        for name, start in self._starts.items():
            setattr(self, name, np.full(size, start, stored) if tracked else None)
        self.num_batches_tracked = np.zeros((), np.int64) if tracked else None

    def reset_running_stats(self) -> None:
        """Forget all batches: what a batch with a NaN has spoiled cannot be averaged out."""
        if self.num_batches_tracked is not None:
            self.num_batches_tracked[...] = 0
            for name, start in self._starts.items():
                getattr(self, name)[...] = start

    def _weight_of_batch(self) -> float:
        """Weight of the next batch."""
        if self.momentum is not None:
            return self.momentum
        batches = 0 if self.num_batches_tracked is None else int(self.num_batches_tracked)
        return 1.0 / (batches + 1)

    def _count_batch(self) -> None:
        if self.num_batches_tracked is not None:
            self.num_batches_tracked[...] += 1


class RunningVariance:
    """The running variance of a normalizer that keeps no running mean, as `RunningStatistics`.

    What is folded in is the biased variance: such normalizers come from code that keeps it.

    Parameters
    ----------
    var : array_like or None
        The argument `running_var`.
    groups : Groups
        How x falls into statistics groups.
    updated : bool
        Whether it is that of training, and `fold_in` changes it.
    """

    def __init__(self, var: Any, groups: Groups, *, updated: bool) -> None:
        self._target = var
        self._groups = groups
        self._updated = updated
        self._var = _read(var, "running_var", groups, updated)

    def for_evaluation(self) -> Array:
        """Return the variance as the core takes it."""
        if self._var is None:
            raise ValueError("running_var is None, and is needed where training is False")
        return self._var

    def fold_in(self, var: Array, momentum: float) -> None:
        """Move it towards the biased variance of a batch; an empty batch changes nothing."""
        if self._updated and self._groups.size and self._var is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                self._target[...] = (1.0 - momentum) * self._var + momentum * var.ravel()


class RunningWhitening:
    """The running mean and whitening matrices given to one call, treated in the same way.

    Parameters
    ----------
    mean, whitening : array_like or None
        The arguments `running_mean` and `running_whitening`.
    channels, matrices : Groups
        How parameters of each channel and of each channel group lie.
    updated : bool
        Whether they are those of training.
    """

    def __init__(
        self, mean: Any, whitening: Any, channels: Groups, matrices: Groups, *, updated: bool
    ) -> None:
        self._targets = (mean, whitening)
        self._count = channels.size
        self._values = (
            _read(mean, "running_mean", channels, updated),
            _read(whitening, "running_whitening", matrices, updated),
        )

    def given(self) -> tuple[Array, Array]:
        """Mean and matrices, for evaluation."""
        mean, whitening = self._values
        return _needed(mean, "running_mean"), _needed(whitening, "running_whitening")

    def fold_in(self, mean: Array, whitening: Array, momentum: float) -> None:
        """Move those that were given towards those of a batch, unless it is empty."""
        if not self._count:
            return
        for target, values, batch in zip(
            self._targets, self._values, (mean, whitening), strict=True
        ):
            if values is not None:
                with np.errstate(over="ignore", invalid="ignore"):
                    target[...] = (1.0 - momentum) * values + momentum * batch


def _needed(value: Array | None, name: str) -> Array:
    if value is None:
        raise ValueError(f"{name} is None, and is needed where training is False")
    return value


def _read(value: Any, name: str, groups: Groups, updated: bool) -> Array | None:
    """Return a float64 copy of one of them; those to be updated must be writable arrays."""
    if value is None:
        return None
    values = parameter_values(value, name, groups)
    if updated and not isinstance(value, np.ndarray):
        raise TypeError(
            f"{name} must be a NumPy array to be updated in place, got {type(value).__name__}"
        )
    if updated and not value.flags.writeable:
        raise ValueError(f"{name} is read-only, and is updated in place where training is True")
    return values.astype(np.float64)
