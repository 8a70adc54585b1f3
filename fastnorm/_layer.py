# SPDX-License-Identifier: BSD-3-Clause
"""What all layers share: parameters, buffers, state dicts, modes, and the memory between passes.

A layer is its function with the arguments kept. `_forward` calls the function and says what the
gradient will need; `_backward` calls the gradient function with it. The arrays bear the names they
have in PyTorch, so that a state dict goes from one library to the other as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fastnorm import _core
from fastnorm._args import float_dtype, state_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import DTypeLike

    from fastnorm._core import Recent
    from fastnorm._types import Array, ArrayInput, Shape
    from fastnorm.moments import Moments


class Layer:
    """Base class of the layers.

    Attributes
    ----------
    weight, bias : ndarray or None
        The parameters; None for a layer without.
    training : bool
        Whether the layer is in training mode; True at first.
    grads : dict of str to ndarray
        Gradients of the parameters from the last `backward`, by name. Each `backward` replaces the
        dict, so accumulating over batches is the caller's addition.
    """

    _learned: ClassVar[tuple[str, ...]] = ("weight", "bias")  # parameters, as gradients follow dx
    _stored: ClassVar[tuple[str, ...]] = ("weight", "bias")  # arrays of the state dict, in order
    _shown: ClassVar[tuple[str, ...]] = ()  # attributes in the repr

    weight: Array | None
    bias: Array | None
    eps: float

    # What a layer is made of: x (and further inputs) -> y and the arguments of `_backward` after
    # dy; dy and these -> the gradients, that of x first, as the gradient function gives them.
    _forward: Callable[..., tuple[Array, tuple[Any, ...]]]
    _backward: Callable[..., Any]

    def __init__(self) -> None:
        self.weight = None
        self.bias = None
        self.training = True
        self.grads: dict[str, Array] = {}
        self._saved: tuple[Any, ...] | None = None

    def __call__(self, x: ArrayInput, *others: ArrayInput, **options: Any) -> Array:
        """Normalize `x`, and keep what `backward` needs: `x` itself, not a copy, and statistics.

        Parameters
        ----------
        x : array of float16, bfloat16, float32 or float64
            The input. It must not change before `backward`.
        *others : array
            The further inputs of a layer that has some, as its own documentation says.
        **options
            What a call of the function may have besides: mask, lengths and zero_masked of layer,
            RMS, batch, instance and group norm. They hold for `backward` too.

        Returns
        -------
        ndarray
            Of x's shape and dtype.

        Raises
        ------
        TypeError
            If `x` is of no supported type.
        ValueError
            If the shape of `x` does not fit the layer.
        """
        y, self._saved = self._forward(x, *others, **options)
        return y

    def backward(self, dy: ArrayInput, **others: ArrayInput | None) -> Array:
        """Gradient of the last call with respect to its input; those of the parameters in `grads`.

        Parameters
        ----------
        dy : array
            Gradient of the loss with respect to the output, of its shape and dtype.
        **others : array
            Gradients with respect to the further outputs of a layer that has some, by name.

        Returns
        -------
        ndarray
            Gradient with respect to the input, of its shape and dtype.

        Raises
        ------
        RuntimeError
            If the layer has not been called yet.
        TypeError, ValueError
            If `dy` has not the dtype or shape of the output.
        """
        if self._saved is None:
            name = type(self).__name__
            raise RuntimeError(f"{name}.backward before any forward pass: call the layer first")
        dx: Array
        dx, *rest = self._backward(dy, *self._saved, **others)
        named = zip(self._learned, rest, strict=False)
        self.grads = {name: value for name, value in named if value is not None}
        return dx

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, or with ``mode=False`` to evaluation.

        Parameters
        ----------
        mode : bool, default True
            True for training.

        Returns
        -------
        Layer
            The layer itself.
        """
        self.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Switch to evaluation mode.

        Returns
        -------
        Layer
            The layer itself.
        """
        return self.train(False)

    def parameters(self) -> dict[str, Array]:
        """The arrays that are learned, under the names that `grads` gives their gradients.

        Returns
        -------
        dict of str to ndarray
            The layer's own arrays, not copies: an optimizer changes them in place. What the layer
            does not have is left out, and so are its running statistics.

        Examples
        --------
        >>> import numpy as np
        >>> import fastnorm
        >>> layer = fastnorm.RMSNorm(2)
        >>> y = layer(np.array([[3.0, 4.0]], dtype=np.float32))
        >>> dx = layer.backward(np.ones_like(y))
        >>> for name, value in layer.parameters().items():
        ...     value -= 0.1 * layer.grads[name]
        >>> layer.weight.round(3)
        array([0.915, 0.887], dtype=float32)
        """
        named = {name: getattr(self, name, None) for name in self._learned}
        return {name: value for name, value in named.items() if value is not None}

    def state_dict(self) -> dict[str, Array]:
        """Copies of the layer's arrays, under PyTorch's names.

        Returns
        -------
        dict of str to ndarray
            Parameters and buffers; what the layer does not have is left out. Unlike those of
            PyTorch they are copies, which training does not change.
        """
        return {name: np.array(value) for name, value in self._arrays().items()}

    def load_state_dict(self, state: Mapping[str, ArrayInput]) -> None:
        """Copy arrays into those of the layer, which keep their types.

        Parameters
        ----------
        state : mapping of str to array
            One array for each of the layer's own; that of a PyTorch module will do.

        Raises
        ------
        ValueError
            If a name is missing or unexpected, or a shape differs. Nothing is loaded then.
        TypeError
            If a value is no array of a supported type.
        """
        own = self._arrays()
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        if missing or unexpected:
            raise ValueError(
                f"the state of {type(self).__name__} lacks {missing} and has an unexpected "
                f"{unexpected}"
            )
        values = {name: state_entry(state[name], name, own[name]) for name in own}
        for name, target in own.items():
            target[...] = values[name]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._shown)
        return f"{type(self).__name__}({shown})"

    def _arrays(self) -> dict[str, Array]:
        arrays = {name: getattr(self, name) for name in self._stored}
        return {name: value for name, value in arrays.items() if value is not None}

    def _make_affine(self, shape: Shape, dtype: DTypeLike, *, weight: bool, bias: bool) -> None:
        """Make the parameters that leave the normalized values as they are."""
        dtype = float_dtype(dtype)
        if weight:
            self.weight = np.ones(shape, dtype)
        if bias:
            self.bias = np.zeros(shape, dtype)

    def _gradients(
        self,
        dy: Any,
        x: Array,
        stats: Moments,
        flags: int,
        recent: Recent,
        first: Any,
        second: Any = None,
    ) -> Any:
        """Return the gradients of a usual call, None for any other."""
        mean, var, count = stats.mean, stats.var, stats.count
        weight, bias, eps = self.weight, self.bias, self.eps
        return _core.gradient(
            dy, x, weight, bias, mean, var, count, eps, None, flags, recent, first, second
        )
