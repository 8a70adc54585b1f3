# SPDX-License-Identifier: BSD-3-Clause
"""Lp normalization: each group divided by its p-norm, or by eps where that is larger."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from fastnorm import _core
from fastnorm._args import COMPUTE_TYPE, array, deliver, given_mean_square, gradient, output
from fastnorm._groups import over_axes
from fastnorm._layer import Layer
from fastnorm._norms import norms, pull_back
from fastnorm._numbers import epsilon, real

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastnorm._core import Groups
    from fastnorm._types import Array, ArrayInput, Axis


class LpNorms(NamedTuple):
    """Lp norm and number of values of each group.

    Attributes
    ----------
    norm : ndarray of float64
        The norm, one entry per group, in units of the data; not yet raised to eps.
    count : int
        Number of values in each group.
    """

    norm: NDArray[np.float64]
    count: int  # type: ignore[assignment]  # the field hides tuple.count, as intended


class LpNormalizeGradients(NamedTuple):
    """Gradient of a scalar loss with respect to the argument of `lp_normalize`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape and dtype.
    """

    x: Array


@overload
def lp_normalize(
    x: ArrayInput,
    *,
    p: float = 2.0,
    axis: Axis = -1,
    eps: float = 1e-12,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def lp_normalize(
    x: ArrayInput,
    *,
    p: float = 2.0,
    axis: Axis = -1,
    eps: float = 1e-12,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, LpNorms]: ...
def lp_normalize(
    x: ArrayInput,
    *,
    p: float = 2.0,
    axis: Axis = -1,
    eps: float = 1e-12,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, LpNorms]:
    r"""Divide each group by its p-norm, or by eps where that is larger.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of any shape and strides.
    p : float, default 2.0
        Exponent of the norm, above 0; ``math.inf`` for the largest absolute value.
    axis : int or tuple of int or None, default -1
        Axes over which a group extends; None for all of them. The default is that of ONNX; that of
        PyTorch is ``dim=1``.
    eps : float, default 1e-12
        The least divisor, in units of `x`. 0 is allowed.
    out : ndarray, optional
        Receives the result; of x's shape and dtype. It may be `x`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        Of x's shape and dtype and, if new, memory order; or `out`.
    stats : LpNorms
        Only with `return_stats`: the norms in float64, in the shape of the axes that are not
        reduced.

    Raises
    ------
    TypeError
        If an array is of no supported type, or a number is none.
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If `p` is not above 0, an axis is repeated, a shape does not fit, `out` is read-only, or
        `eps` is negative or not finite.

    Notes
    -----
    .. math:: y = \frac{x}{\max(\|x\|_p, \epsilon)}, \qquad
              \|x\|_p = \left( \sum_i |x_i|^p \right)^{1/p} .

    That eps is a floor is PyTorch's convention; Flax and TensorFlow add it to the squared norm, or
    take it for the floor of that. A group of zeros gives zeros, also with ``eps=0``, where the
    reciprocal of the divisor is defined as 0.

    Exponents 1, 2 and infinity need no power function. For others NumPy's is called, of which other
    machines may have another one: the result is then the same for any number of threads and view of
    x, but its last bits are those of the machine.

    Three relatives need no function of their own. ScaleNorm is this one times a scalar ``g``:
    ``g * lp_normalize(x)``. PixelNorm, and the unit RMS along the channels of an image in general,
    is ``rms_norm(x, axis=1, eps=1e-8)``. L2 normalization with eps added to the squared norm of m
    values is ``rms_norm(x, eps=eps / m) / sqrt(m)``.

    References
    ----------
    PyTorch's ``torch.nn.functional.normalize``; ONNX, operator LpNormalization. T. Q. Nguyen,
    J. Salazar, "Transformers without Tears", 2019, arXiv:1910.05895 (ScaleNorm). T. Karras et al.,
    "Progressive Growing of GANs", ICLR 2018, arXiv:1710.10196, section 4.2 (PixelNorm).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[3.0, -4.0], [0.0, 0.0]], dtype=np.float32)
    >>> fastnorm.lp_normalize(x)
    array([[ 0.6, -0.8],
           [ 0. ,  0. ]], dtype=float32)
    """
    x = array(x, "x")
    groups = over_axes(axis, x.shape)
    p, eps = _exponent(p), epsilon(eps)
    y = output(out, x)
    if p == 2.0:
        norm = _divide_by_root(x, y, groups, eps)
    else:
        norm = norms(x, p, groups)
        square = np.asarray(np.square(np.maximum(norm, eps)))
        _core.forward(x, y, groups, None, None, None, square, 0.0, _core.RAW | _core.GIVEN)
    y = deliver(y, out)
    return (y, LpNorms(norm, groups.size)) if return_stats else y


def lp_normalize_backward(
    dy: ArrayInput,
    x: ArrayInput,
    *,
    p: float = 2.0,
    axis: Axis = -1,
    eps: float = 1e-12,
    stats: LpNorms | tuple[Any, int] | None = None,
    out: Array | None = None,
) -> LpNormalizeGradients:
    r"""Gradient of `lp_normalize`.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, p, axis, eps
        As given to `lp_normalize`.
    stats : LpNorms, optional
        What ``return_stats=True`` gave; recomputed from `x` if None.
    out : ndarray, optional
        Receives the gradient with respect to x; of its shape and dtype. It may be `dy` or `x`.

    Returns
    -------
    LpNormalizeGradients
        Field `x`, of x's shape and dtype. The sum behind it runs in float64.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of x's, a number is none, or `stats` is not
        what `lp_normalize` returns.
    numpy.exceptions.AxisError
        If an axis is out of range.
    ValueError
        If `p` is not above 0, an axis is repeated, a shape does not fit, `stats` belong to another
        input, `out` is read-only, or `eps` is negative or not finite.

    Notes
    -----
    With :math:`n = \|x\|_p` where that is not below eps,

    .. math:: dx_i = \frac{1}{n} \left( dy_i - z_i \sum_j dy_j\,y_j \right), \qquad
              z_i = \operatorname{sign}(x_i) \left( \frac{|x_i|}{n} \right)^{p-1} ,

    and :math:`dx = dy / \epsilon` elsewhere. For p = inf z is the sign of the largest values over
    their number, 0 elsewhere; at :math:`x_i = 0` it is 0 for every p. Both are PyTorch's choice.

    References
    ----------
    PyTorch's ``torch.nn.functional.normalize``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x, dy = np.array([[3.0, -4.0]]), np.array([[5.0, 0.0]])
    >>> fastnorm.lp_normalize_backward(dy, x).x
    array([[0.64, 0.48]])
    """
    x = array(x, "x")
    dy = gradient(dy, x)
    groups = over_axes(axis, x.shape)
    p, eps = _exponent(p), epsilon(eps)
    dx = output(out, x, dy)
    norm = norms(x, p, groups) if stats is None else given_mean_square(stats, groups, out, "norm")
    if p == 2.0:
        _pull_back_root(dy, x, dx, groups, norm, eps)
    else:
        pull_back(dy, x, dx, groups, norm, eps, p)
    return LpNormalizeGradients(deliver(dx, out))


def _exponent(value: Any) -> float:
    number = real(value, "p")
    if not number > 0.0:
        raise ValueError(f"p must be above 0, got {value!r}")
    return number


# ---- p = 2: the root of the mean square, over that of the count ----------------------------------


def _divide_by_root(x: Array, y: Array, groups: Groups, eps: float) -> Array:
    """Write y, and return the norms."""
    if x.size == 0:
        return np.zeros(groups.free)
    weight = _root_of_count(x.ndim, groups.size, x.dtype)
    square = np.empty(groups.free)
    # At first as if no norm were below eps, while x is near; x in place has to wait for the norms.
    first = None if np.may_share_memory(x, y) else y
    _core.forward(x, first, groups, weight, None, None, square, 0.0, _core.RAW)
    norm = np.asarray(np.sqrt(square * groups.size))  # of 0-d arrays it is none
    below = norm < eps
    if first is None or np.count_nonzero(below):  # faster than any() of few
        square[below] = eps * eps / groups.size
        _core.forward(x, y, groups, weight, None, None, square, 0.0, _core.RAW | _core.GIVEN)
    return norm


def _pull_back_root(
    dy: Array, x: Array, dx: Array, groups: Groups, norm: Array, eps: float
) -> None:
    if x.size == 0:
        return
    weight = _root_of_count(x.ndim, groups.size, x.dtype)
    square = np.asarray(np.square(np.maximum(norm, eps)) / groups.size)
    below = norm < eps
    means = None
    if np.count_nonzero(below):
        total = np.zeros(groups.kept)
        _core.backward(dy, x, None, groups, None, None, square, 0.0, _core.RAW, total, None)
        means = np.zeros((2, *groups.free))
        means[1] = total.reshape(groups.free) / groups.size**1.5
        means[1][below] = 0.0
    _core.backward(dy, x, dx, groups, weight, None, square, 0.0, _core.RAW, None, None, means)


@lru_cache(maxsize=512)
def _root_of_count(ndim: int, count: int, dtype: np.dtype[Any]) -> Array:
    """1 / sqrt(count), as a parameter of the core: y = x / rms * (1 / sqrt(count))."""
    return np.full((1,) * ndim, 1.0 / math.sqrt(count), COMPUTE_TYPE[dtype])


class LpNormalize(Layer):
    """Lp normalization as a layer; it has no parameters.

    Parameters
    ----------
    p : float, default 2.0
        Exponent of the norm, above 0; ``math.inf`` for the largest absolute value.
    axis : int or tuple of int or None, default -1
        Axes over which a group extends; None for all of them.
    eps : float, default 1e-12
        The least divisor.

    Attributes
    ----------
    weight, bias : None
        There are none.
    grads : dict
        Empty.
    training : bool
        Has no effect here.

    Raises
    ------
    ValueError
        If `p` is not above 0, or `eps` is negative or not finite.
    TypeError
        If a number is none.

    See Also
    --------
    lp_normalize : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.LpNormalize(p=1)
    >>> layer(np.array([[1.0, -3.0]], dtype=np.float32))
    array([[ 0.25, -0.75]], dtype=float32)
    """

    _stored = ()
    _shown = ("p", "axis", "eps")

    def __init__(self, p: float = 2.0, axis: Axis = -1, eps: float = 1e-12) -> None:
        super().__init__()
        self.p = _exponent(p)
        self.axis = axis
        self.eps = epsilon(eps)

    def _forward(self, x: ArrayInput) -> tuple[Array, tuple[Any, ...]]:
        x = array(x, "x")
        y, stats = lp_normalize(x, p=self.p, axis=self.axis, eps=self.eps, return_stats=True)
        return y, (x, stats)

    def _backward(self, dy: ArrayInput, x: Array, stats: LpNorms) -> Any:
        return lp_normalize_backward(dy, x, p=self.p, axis=self.axis, eps=self.eps, stats=stats)
