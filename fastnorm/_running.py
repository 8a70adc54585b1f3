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

    def fold_in(self, mean: Array, var: Array, momentum: float) -> None:
        """Move those that were given towards a batch, from its statistics as the core left them.

        The variance becomes the unbiased one. Beyond the range of its type it is infinite. An empty
        batch changes nothing, nor does evaluation.
        """
        count = self._groups.size
        if not self._updated or count < 2 or (self._mean is None and self._var is None):
            return  # one value per channel gets here only where there is no channel
        target_mean, target_var = self._targets
        with np.errstate(over="ignore", invalid="ignore"):
            if self._mean is not None:
                target_mean[...] = (1.0 - momentum) * self._mean + momentum * mean.ravel()
            if self._var is not None:
                unbiased = var.ravel() * (count / (count - 1))
                target_var[...] = (1.0 - momentum) * self._var + momentum * unbiased


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
