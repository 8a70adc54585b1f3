# SPDX-License-Identifier: BSD-3-Clause
"""Spectral normalization: a weight over its largest singular value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from fastnorm import _core
from fastnorm._args import array, deliver, gradient, output
from fastnorm._groups import over_rows, over_whole
from fastnorm._numbers import epsilon, integer, positive
from fastnorm._spectrum import (
    Matrix,
    SingularTriplet,
    floored,
    given_triplet,
    iterated,
    subtract_rank_one,
    triplet,
    triplet_of_vector,
    vector_values,
)
from fastnorm._weights import Parametrization

if TYPE_CHECKING:
    from fastnorm._types import Array, ArrayInput

_GIVEN = _core.RAW | _core.GIVEN
_WARM_UP = 15  # steps when a layer is made, as in PyTorch


class SpectralNormGradients(NamedTuple):
    """Gradient of a scalar loss with respect to the differentiable argument of `spectral_norm`.

    Attributes
    ----------
    weight : ndarray
        Gradient with respect to the weight, of its shape and dtype.
    """

    weight: Array


@overload
def spectral_norm(
    weight: ArrayInput,
    u: Array | None,
    *,
    n_power_iterations: int = 1,
    training: bool = True,
    channel_axis: int = 0,
    eps: float = 1e-12,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def spectral_norm(
    weight: ArrayInput,
    u: Array | None,
    *,
    n_power_iterations: int = 1,
    training: bool = True,
    channel_axis: int = 0,
    eps: float = 1e-12,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, SingularTriplet]: ...
def spectral_norm(
    weight: ArrayInput,
    u: Array | None,
    *,
    n_power_iterations: int = 1,
    training: bool = True,
    channel_axis: int = 0,
    eps: float = 1e-12,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, SingularTriplet]:
    r"""Divide a weight by an estimate of its largest singular value.

    Parameters
    ----------
    weight : array of float16, bfloat16, float32 or float64
        The weight of a convolution or linear layer: (out, in, ...) or with the outputs elsewhere.
    u : array of shape (out,)
        The estimate of the left singular vector, of any of the four types and of any length but 0;
        where `training`, a NumPy array that is updated in place. Random numbers will do at first.
        A weight of one axis needs none: None.
    n_power_iterations : int, default 1
        Steps by which u is improved where `training`.
    training : bool, default True
        Whether to improve u. In evaluation it is taken as it is, for the weight as it is.
    channel_axis : int, default 0
        The axis of the outputs: of the rows of the matrix. It is 0 in PyTorch, -1 in Keras, and 1
        for the outputs of a transposed convolution.
    eps : float, default 1e-12
        The least value that the weight is divided by, in units of the weight. 0 is allowed.
    out : ndarray, optional
        Receives the result; of weight's shape and dtype. It may be `weight`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    w : ndarray
        Of weight's shape and dtype and, if new, memory order; or `out`.
    stats : SingularTriplet
        Only with `return_stats`: ``(sigma, u, v)`` in float64, as they were used.

    Raises
    ------
    TypeError
        If an array is of no supported type, a number is none, or `u` is no NumPy array where it is
        to be updated.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a shape does not fit, u is 0, not finite or, where it is to be updated, read-only, `out`
        is read-only, `n_power_iterations` is below 1, or `eps` is negative or not finite.

    Notes
    -----
    With the weight as a matrix W of its outputs and all the rest, a step in training is

    .. math:: v = \frac{W^T u}{\lVert W^T u \rVert}, \qquad u = \frac{W v}{\lVert W v \rVert} .

    Then, and in evaluation, with u of norm 1,

    .. math:: \sigma = \lVert W^T u \rVert = u^T W v, \qquad v = \frac{W^T u}{\sigma}, \qquad
              w = \frac{W}{\max(\sigma, \epsilon)} .

    This is what ``torch.nn.utils.parametrizations.spectral_norm`` computes, u before v, as long as
    the weight stays as it is. There v is stored beside u; here it follows from u and the weight, so
    that after a step of the optimizer it is that of the new weight: v in the first step of the next
    training call, and :math:`\sigma` in evaluation, are never behind. The paper and
    ``torch.nn.utils.spectral_norm`` end with u, not with v: the same limit by other estimates.
    Keras and Flax reshape to (rest, out), and Flax iterates in evaluation too.

    :math:`\sigma` is at most the largest singular value and approaches it with the steps taken: a
    weight that changes in evaluation keeps a w of norm above 1 until training goes on. A weight of
    zeros gives zeros, where PyTorch gives NaN. Where a step ends in zeros or in no finite number, u
    stays as it was; it is written last, so that a call that fails leaves it too. A weight of one
    axis is divided by its norm.

    The products with W are taken by NumPy on one thread: in the compute type within tiles of 16
    rows and 512 columns, in float64 over tiles. Their last bits are those of NumPy's BLAS.

    References
    ----------
    T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida, "Spectral Normalization for Generative Adversarial
    Networks", ICLR 2018, arXiv:1802.05957.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> weight, u = np.array([[3.0, 0.0], [0.0, 1.0]]), np.array([1.0, 1.0])
    >>> fastnorm.spectral_norm(weight, u, n_power_iterations=20)
    array([[1.        , 0.        ],
           [0.        , 0.33333333]])
    >>> u.round(9)
    array([1., 0.])
    """
    weight = array(weight, "weight")
    rows = over_rows(channel_axis, weight.shape)
    axis = integer(channel_axis, "channel_axis") % weight.ndim
    steps = positive(n_power_iterations, "n_power_iterations")
    eps = epsilon(eps)
    w = output(out, weight, of="weight")
    if weight.ndim == 1:
        found, better = triplet_of_vector(weight, eps), None
    else:
        vector = vector_values(u, rows, updated=training)
        matrix = Matrix(weight, axis)
        better = iterated(matrix, vector, steps, array(u, "u").dtype) if training else None
        found = triplet(matrix, vector if better is None else better, eps)
    divisor = _squared(found, eps)
    _core.forward(weight, w, over_whole(weight.shape), None, None, None, divisor, 0.0, _GIVEN)
    w = deliver(w, out)
    if u is not None and better is not None:
        u[...] = better
    return (w, found) if return_stats else w


def spectral_norm_backward(
    dy: ArrayInput,
    weight: ArrayInput,
    u: ArrayInput | None,
    *,
    n_power_iterations: int = 1,
    training: bool = True,
    channel_axis: int = 0,
    eps: float = 1e-12,
    stats: SingularTriplet | tuple[float, Any, Any] | None = None,
    out: Array | None = None,
) -> SpectralNormGradients:
    r"""Gradient of `spectral_norm`, for which u and v are constants.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to w, of weight's shape and dtype.
    weight, n_power_iterations, training, channel_axis, eps
        As given to `spectral_norm`. `n_power_iterations` and `training` do not matter: no step is
        taken.
    u : array of shape (out,)
        As `spectral_norm` left it: after its update, which is not repeated. It is not written to.
    stats : SingularTriplet, optional
        What ``return_stats=True`` gave, which does not change when u does; recomputed from `weight`
        and `u` if None, to the same bits.
    out : ndarray, optional
        Receives the gradient; of weight's shape and dtype. It may be `dy` or `weight`.

    Returns
    -------
    SpectralNormGradients
        The field `weight`, of its shape and dtype.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of weight's, a number is none, or `stats`
        is not what `spectral_norm` returns.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If a shape does not fit, u is 0 or not finite, `stats` belong to another input, `out` is
        read-only, `n_power_iterations` is below 1, or `eps` is negative or not finite.

    Notes
    -----
    With the sum :math:`\langle , \rangle` of products over all of the weight,

    .. math:: dW = \frac{dy - \langle dy, w \rangle\,u v^T}{\sigma} .

    It is exact for :math:`\sigma = \lVert W^T u \rVert` with a constant u, and at the largest
    singular value also if u follows the weight. Where :math:`\sigma` is below eps, the divisor is
    constant and :math:`dW = dy / \epsilon`, or 0 for ``eps=0``.

    References
    ----------
    T. Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018,
    arXiv:1802.05957, section 2.1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> weight, u = np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([1.0, 0.0])
    >>> dy = np.array([[1.0, 1.0], [0.0, 1.0]])
    >>> fastnorm.spectral_norm_backward(dy, weight, u).weight
    array([[-0.25,  0.5 ],
           [ 0.  ,  0.5 ]])
    """
    weight = array(weight, "weight")
    dy = gradient(dy, weight, "weight")
    rows = over_rows(channel_axis, weight.shape)
    axis = integer(channel_axis, "channel_axis") % weight.ndim
    positive(n_power_iterations, "n_power_iterations")
    eps = epsilon(eps)
    dweight = output(out, weight, dy, of="weight")
    matrix = Matrix(weight, axis)
    vector = None if weight.ndim == 1 else vector_values(u, rows, updated=False)
    if stats is not None:
        found = given_triplet(stats, matrix.shape)
    else:
        found = triplet_of_vector(weight, eps) if vector is None else triplet(matrix, vector, eps)
    whole, divisor, product = over_whole(weight.shape), _squared(found, eps), np.zeros(())
    _core.backward(dy, weight, None, whole, None, None, divisor, 0.0, _core.RAW, product, None)
    # Where the divisor is constant only dy / eps is left
    share = 0.0 if found.sigma < eps or not divisor else float(product) / found.sigma
    subtract_rank_one(dy, dweight, axis, divisor, share, found.u, found.v)
    return SpectralNormGradients(deliver(dweight, out))


def _squared(found: SingularTriplet, eps: float) -> Array:
    """Return the square of what the weight is divided by, which the core takes as a variance."""
    return np.asarray(floored(found.sigma, eps) ** 2)


class SpectralNorm(Parametrization):
    """Spectral normalization as a layer that holds a weight and its singular vectors.

    ``layer()`` is the weight over its largest singular value, ``layer.backward(dw)`` takes the
    gradient of the loss with respect to it back to `weight_orig`.

    Parameters
    ----------
    weight : array of float16, bfloat16, float32 or float64
        The weight of a convolution or linear layer. It is copied.
    n_power_iterations : int, default 1
        Steps of power iteration at each call in training. When the layer is made it takes 15.
    channel_axis : int, default 0
        The axis of the outputs.
    eps : float, default 1e-12
        The least value that the weight is divided by.
    seed : int or numpy.random.Generator, default 0
        Where the power iteration begins, by the normal numbers of ``numpy.random.default_rng``.

    Attributes
    ----------
    weight_orig : ndarray
        The weight as it is learned.
    weight_u, weight_v : ndarray or None
        The singular vectors of the last training call, of weight's dtype and of shapes (out,) and
        (rest,); None for a weight of one axis. `weight_v` follows from the others and is never
        read; it is there so that state dicts go to and come from ``torch.nn.utils.spectral_norm``.
    grads : dict of str to ndarray
        Gradient of `weight_orig` from the last `backward`.
    training : bool
        Whether a call takes steps of power iteration.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `n_power_iterations` is below 1, or `eps` is negative or not finite.

    See Also
    --------
    spectral_norm : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.SpectralNorm(np.array([[4.0, 0.0], [0.0, 1.0]]))
    >>> layer().round(9)
    array([[1.  , 0.  ],
           [0.  , 0.25]])
    """

    _learned = ()
    _stored = ("weight_orig", "weight_u", "weight_v")
    _shown = ("shape", "n_power_iterations", "channel_axis", "eps")
    _raw = "weight_orig"

    weight_orig: Array
    weight_u: Array | None
    weight_v: Array | None

    def __init__(
        self,
        weight: ArrayInput,
        n_power_iterations: int = 1,
        channel_axis: int = 0,
        eps: float = 1e-12,
        seed: int | np.random.Generator = 0,
    ) -> None:
        super().__init__(weight)
        self.n_power_iterations = positive(n_power_iterations, "n_power_iterations")
        self.channel_axis = integer(channel_axis, "channel_axis")
        self.eps = epsilon(eps)
        self.weight_u = self.weight_v = None
        rows = over_rows(self.channel_axis, self.shape)
        if len(self.shape) > 1:
            dtype = self.weight_orig.dtype
            self.weight_u = np.random.default_rng(seed).standard_normal(rows.shape).astype(dtype)
            self.weight_v = np.zeros(rows.size, dtype)
            self._find(_WARM_UP)

    def _find(self, steps: int) -> tuple[Array, SingularTriplet]:
        """Return the result and the vectors after some steps, in training."""
        w, stats = spectral_norm(
            self.weight_orig, self.weight_u, n_power_iterations=steps, training=self.training,
            channel_axis=self.channel_axis, eps=self.eps, return_stats=True,
        )  # fmt: skip
        if self.training and self.weight_v is not None:
            self.weight_v[...] = stats.v
        return w, stats

    def _forward(self, weight: Array) -> tuple[Array, tuple[Any, ...]]:
        w, stats = self._find(self.n_power_iterations)
        return w, (weight, stats)

    def _backward(self, dy: ArrayInput, weight: Array, stats: SingularTriplet) -> Any:
        return spectral_norm_backward(
            dy, weight, self.weight_u, channel_axis=self.channel_axis, eps=self.eps, stats=stats
        )
