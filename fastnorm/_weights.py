# SPDX-License-Identifier: BSD-3-Clause
"""What the normalizers of weights share: gains of rows, and the layer that holds the weight.

A row is what leads to one output of a layer: for the kernel of a convolution all its values but
those along the axis of the outputs. Such a normalizer stands in front of a linear layer or a
convolution, which takes the normalized weight in place of the one that is learned.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnorm._args import COMPUTE_TYPE, array
from fastnorm._groups import over_rows, refuse_single_values
from fastnorm._layer import Layer
from fastnorm._numbers import real

if TYPE_CHECKING:
    from fastnorm._core import Groups
    from fastnorm._types import Array, ArrayInput, Shape


def finite(value: Any, name: str) -> float:
    """Return `value` as a finite float."""
    number = real(value, name)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return number


def standardized_rows(channel_axis: Any, shape: Shape) -> Groups:
    """Return the rows of a weight of `shape`, which must have a variance."""
    groups = over_rows(channel_axis, shape)
    refuse_single_values(groups, shape, "a weight")
    return groups


def gains(value: Any, name: str, groups: Groups) -> Array:
    """Return one gain per row: as many axes as the weight, as in PyTorch, or that of the rows."""
    values = array(value, name)
    if values.shape not in (groups.view, groups.shape):
        raise ValueError(
            f"{name} has shape {values.shape}, expected {groups.view} or {groups.shape} = "
            f"{groups.where}"
        )
    return values


def gain_factor(value: Any, name: str, scale: float, groups: Groups, weight: Array) -> Array:
    """Return `scale` times the gains as the core takes them; None stands for gains of 1."""
    with np.errstate(over="ignore"):  # beyond float32 it is inf, as an element of the result is
        if value is None:
            return np.full((1,) * weight.ndim, scale, COMPUTE_TYPE[weight.dtype])
        scaled = gains(value, name, groups).astype(np.float64) * scale
        return scaled.astype(COMPUTE_TYPE[weight.dtype]).reshape(groups.view)


class Parametrization(Layer):
    """Base class of the layers that hold the weight of another layer and give it normalized.

    ``layer()`` is the weight to use, ``layer.backward(dweight)`` takes the gradient of the loss
    with respect to it back to the weight that is held. That one is also in `grads`, with those of
    the other parameters.
    """

    _raw: ClassVar[str] = "weight"  # the name of the weight that is held

    def __init__(self, weight: ArrayInput) -> None:
        super().__init__()
        setattr(self, self._raw, np.array(array(weight, "weight")))

    @property
    def shape(self) -> Shape:
        """Shape of the weight."""
        held: Array = getattr(self, self._raw)
        return held.shape

    def __call__(self) -> Array:  # type: ignore[override]  # its input is what it holds
        """Return the normalized weight, and keep what `backward` needs.

        Returns
        -------
        ndarray
            A new array of the shape and dtype of the weight that is held, which must not change
            before `backward`.
        """
        return super().__call__(getattr(self, self._raw))

    def parameters(self) -> dict[str, Array]:
        """The arrays that are learned, under the names that `grads` gives their gradients.

        Returns
        -------
        dict of str to ndarray
            The layer's own arrays, that of the weight first. An optimizer changes them in place,
            after `backward`.
        """
        return {self._raw: getattr(self, self._raw), **super().parameters()}

    def backward(self, dy: ArrayInput) -> Array:  # type: ignore[override]  # it has one output
        """Gradient of the last call with respect to the weight that is held; all are in `grads`.

        Parameters
        ----------
        dy : array
            Gradient of the loss with respect to the normalized weight, of its shape and dtype.

        Returns
        -------
        ndarray
            Gradient with respect to the weight that is held, of its shape and dtype.

        Raises
        ------
        RuntimeError
            If the layer has not been called yet.
        TypeError, ValueError
            If `dy` has not the dtype or shape of the weight.
        """
        dweight = super().backward(dy)
        self.grads = {self._raw: dweight, **self.grads}
        return dweight
