# SPDX-License-Identifier: BSD-3-Clause
"""Running statistics: what training averages over its batches, for evaluation to use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnorm._args import new_statistic, parameter_values

if TYPE_CHECKING:
    from fastnorm._core import Groups
    from fastnorm._types import Array


class RunningStatistics:
    """The running statistics given to one call: checked and copied before it, written after it.

    They are read before anything is written, so that an output may overlap them, and written last,
    so that a call that fails leaves them as they were.

    Parameters
    ----------
    mean, var : array_like or None
        The arguments `running_mean` and `running_var`.
    groups : Groups
        How x falls into statistics groups.
    updated : bool
        Whether they are those of training: the batch has its own, and `fold_in` changes these.
    """

    def __init__(self, mean: Any, var: Any, groups: Groups, *, updated: bool) -> None:
        self._targets = (mean, var)
        self._groups = groups
        self._updated = updated
        self._mean = _read(mean, "running_mean", groups, updated)
        self._var = _read(var, "running_var", groups, updated)

    def for_core(self) -> tuple[Array, Array]:
        """Mean and variance as the core takes them: to be found, or in evaluation those given."""
        if self._updated:
            return new_statistic(self._groups), new_statistic(self._groups)
        if self._mean is None or self._var is None:
            missing = "running_mean" if self._mean is None else "running_var"
            raise ValueError(f"{missing} is None, and is needed where training is False")
        return self._mean, self._var

    def fold_in(self, mean: Array, var: Array, momentum: float, count: int | None = None) -> None:
        """Move those that were given towards a batch, from its statistics as the core left them.

        The variance becomes the unbiased one. Beyond the range of its type it is infinite. An empty
        batch changes nothing, nor does evaluation. `count` values stand behind the statistics of a
        channel, by default those that x holds.
        """
        count = self._groups.size if count is None else count
        if not self._updated or count < 2 or (self._mean is None and self._var is None):
            return  # one value per channel gets here only where there is no channel
        target_mean, target_var = self._targets
        with np.errstate(over="ignore", invalid="ignore"):
            if self._mean is not None:
                target_mean[...] = (1.0 - momentum) * self._mean + momentum * mean.ravel()
            if self._var is not None:
                unbiased = var.ravel() * (count / (count - 1))
                target_var[...] = (1.0 - momentum) * self._var + momentum * unbiased


def next_batch(tracked: Array | None, momentum: float | None) -> tuple[int, float]:
    """Return the number of a layer's next batch, and its weight: 1/k where `momentum` is None."""
    number = 1 if tracked is None else int(tracked) + 1
    return number, 1.0 / number if momentum is None else momentum


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
