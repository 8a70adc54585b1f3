# SPDX-License-Identifier: BSD-3-Clause
"""Whitening: the channels of a group decorrelated over the batch, or by running matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from fastnorm._args import channels, divisor, float_dtype
from fastnorm._layer import Layer
from fastnorm._numbers import epsilon, integer, positive, weight_of_batch
from fastnorm._whitening import Whitener, WhiteningStats
from fastnorm._whitening_matrices import method_argument

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastnorm._types import Array, ArrayInput


class WhiteningGradients(NamedTuple):
    """Gradient of a scalar loss with respect to the argument of `whiten`.

    Attributes
    ----------
    x : ndarray
        Gradient with respect to x, of x's shape and dtype.
    """

    x: Array


@overload
def whiten(
    x: ArrayInput,
    running_mean: Array | None = None,
    running_whitening: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    method: str = "zca",
    groups: int = 1,
    iterations: int = 5,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[False] = False,
) -> Array: ...
@overload
def whiten(
    x: ArrayInput,
    running_mean: Array | None = None,
    running_whitening: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    method: str = "zca",
    groups: int = 1,
    iterations: int = 5,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: Literal[True],
) -> tuple[Array, WhiteningStats]: ...
def whiten(
    x: ArrayInput,
    running_mean: Array | None = None,
    running_whitening: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    method: str = "zca",
    groups: int = 1,
    iterations: int = 5,
    eps: float = 1e-5,
    channel_axis: int = 1,
    out: Array | None = None,
    return_stats: bool = False,
) -> Array | tuple[Array, WhiteningStats]:
    r"""Centre the channels and make their covariance within each group the identity.

    Parameters
    ----------
    x : array of float16, bfloat16, float32 or float64
        Values of shape (N, C, ...), or with the channels elsewhere, and of any strides. A sample
        is what the channels hold at one position of all the other axes.
    running_mean : ndarray of shape (C,), optional
        Running mean, of any of the four types. In training it is updated in place.
    running_whitening : ndarray of shape (groups, C / groups, C / groups), optional
        Running whitening matrices, likewise. In evaluation both are needed, and take the place of
        the batch's.
    training : bool, default True
        Use the statistics of the batch, and update the running ones.
    momentum : float, default 0.1
        Weight of the batch in the running statistics, 0 to 1; PyTorch's sign.
    method : {"zca", "pca", "cholesky", "iterative"}, default "zca"
        Which of the matrices that whiten; see Notes.
    groups : int, default 1
        Number of groups of consecutive channels, each whitened by itself; it divides C.
    iterations : int, default 5
        Newton steps of the method iterative; the others have none.
    eps : float, default 1e-5
        Added to the diagonal of the covariance before anything else; in squared units of `x`.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last.
    out : ndarray, optional
        Receives the result; of x's shape and dtype. It may be `x`.
    return_stats : bool, default False
        Return the statistics too.

    Returns
    -------
    y : ndarray
        Of x's shape and dtype and, if new, memory order; or `out`.
    stats : WhiteningStats
        Only with `return_stats`: what the gradient needs, in float64.

    Raises
    ------
    TypeError
        If an array is of no supported type, a number is none, or `method` is no string.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        If `x` has fewer than 2 axes, or in training one sample; if running statistics are missing
        in evaluation or read-only in training; if a shape does not fit, `out` is read-only, or a
        number or `method` is out of range; for the method cholesky, if a covariance with `eps` is
        singular to the precision of float64.

    Notes
    -----
    With mean :math:`\mu` and biased covariance :math:`C` of the samples of a group,
    :math:`\Sigma = C + \epsilon I = U \Lambda U^T` and matrices :math:`W` with
    :math:`W \Sigma W^T = I`,

    .. math:: y = W (x - \mu) .

    - zca: :math:`W = U \Lambda^{-1/2} U^T`, the whitening closest to the input.
    - pca: :math:`W = \Lambda^{-1/2} U^T`, eigenvalues descending. An eigenvector's first entry of
      at least 0.6 times its largest magnitude is positive. This is for inputs, not a layer to train
      through: order, signs, and rotations among equal eigenvalues jump, averages of its running
      matrices mean little, and its gradient grows with 1 / (difference of two eigenvalues).
    - cholesky: :math:`W = L^{-1}` with :math:`\Sigma = L L^T`: a channel is decorrelated from
      those before it.
    - iterative (IterNorm): :math:`W = P_T / \sqrt{t}` with :math:`t = \mathrm{tr}\,\Sigma`,
      :math:`P_0 = I` and :math:`P_{k+1} = \frac{3}{2} P_k - \frac{1}{2} P_k^3 \Sigma / t`, which
      tends to that of zca. A few steps leave directions of small variance small; many let rounding
      errors grow, and end in NaN where eigenvalues are very different.

    The mean is exact, and subtracted first; all else is float64, and y is rounded once. Where there
    are fewer samples than channels, or a channel is constant, eps decides: directions without
    variance have a gain of :math:`1/\sqrt\epsilon`, and y is 0 along them. With ``eps=0`` that
    gain is 0 (of iterative if the whole group is constant); cholesky raises. Eigenvalues below the
    rounding error of the largest count as 0. A NaN or Inf makes its own group NaN.

    In training, with momentum :math:`\alpha`, the running mean becomes
    :math:`(1 - \alpha)\,\text{running mean} + \alpha\,\mu`, and so the matrices; some variants
    average covariances instead, or pool all groups into one matrix. They are written last.

    The bits do not depend on fastnorm's threads, nor with groups of up to 64 channels on those of
    NumPy's OpenBLAS, which their products are too small for; with larger groups they may.
    With ``groups=C`` this is `batch_norm` without parameters.

    References
    ----------
    L. Huang, D. Yang, B. Lang, J. Deng, "Decorrelated Batch Normalization", CVPR 2018,
    arXiv:1804.08450; L. Huang, Y. Zhou, F. Zhu, L. Liu, L. Shao, "Iterative Normalization: Beyond
    Standardization towards Efficient Whitening", CVPR 2019, arXiv:1904.03441; A. Kessy, A. Lewin,
    K. Strimmer, "Optimal Whitening and Decorrelation", The American Statistician 72 (2018),
    309-314, arXiv:1512.00809.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    >>> fastnorm.whiten(x, eps=0).round(3) + 0
    array([[ 1.414,  0.   ],
           [-1.414,  0.   ],
           [ 0.   ,  1.414],
           [ 0.   , -1.414]])
    """
    call = Whitener(x, training, momentum, method, groups, iterations, eps, channel_axis)
    y, stats = call.forward(None, None, running_mean, running_whitening, out)
    return (y, stats) if return_stats else y


def whiten_backward(
    dy: ArrayInput,
    x: ArrayInput,
    running_mean: Array | None = None,
    running_whitening: Array | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    method: str = "zca",
    groups: int = 1,
    iterations: int = 5,
    eps: float = 1e-5,
    channel_axis: int = 1,
    stats: WhiteningStats | tuple[Any, ...] | None = None,
    out: Array | None = None,
) -> WhiteningGradients:
    r"""Gradient of `whiten`; the running statistics are constants, and are not updated.

    Parameters
    ----------
    dy : array
        Gradient of the loss with respect to y, of x's shape and dtype.
    x, running_mean, running_whitening, training, momentum
        As given to `whiten`; `momentum` does not matter.
    method, groups, iterations, eps, channel_axis
        As given to `whiten`.
    stats : WhiteningStats, optional
        What ``return_stats=True`` gave for the same method; if None recomputed from `x`, in
        evaluation taken from the running statistics.
    out : ndarray, optional
        Receives the gradient with respect to x; of its shape and dtype. It may be `dy` or `x`.

    Returns
    -------
    WhiteningGradients
        One field, `x`, of x's shape and dtype.

    Raises
    ------
    TypeError
        If an array is of no supported type or `dy` not of x's, or `stats` is not what `whiten`
        returns for the method.
    numpy.exceptions.AxisError
        If `channel_axis` is out of range.
    ValueError
        As `whiten`; if both `stats` and the running statistics are missing in evaluation, or
        `stats` belong to another input or mode.

    Notes
    -----
    With the :math:`m` centred samples as columns :math:`\bar x`, :math:`dW = dy\,\bar x^T` and
    :math:`d\Sigma` the symmetric gradient through :math:`W`,

    .. math:: dx = W^T (dy - \overline{dy}) + \frac{2}{m}\,d\Sigma\,\bar x ,

    in evaluation :math:`dx = W^T dy`. With :math:`\mathrm{sym}(A) = (A + A^T) / 2`:

    - zca: :math:`d\Sigma = U \left( K \circ U^T\,\mathrm{sym}(dW)\,U \right) U^T` with
      :math:`K_{ij} = -1 / (q_i q_j (q_i + q_j))`, :math:`q = \sqrt\lambda`. This is finite and
      right for equal eigenvalues too, where differentiating eigenvectors is neither.
    - pca: :math:`d\Sigma = \mathrm{sym}\left( U \left( F \circ U^T dU + \mathrm{diag}(d\lambda)
      \right) U^T \right)` with :math:`F_{ij} = 1 / (\lambda_j - \lambda_i)`,
      :math:`dU = dW^T \Lambda^{-1/2}` and :math:`d\lambda_i = -\frac{1}{2} \lambda_i^{-3/2}
      (dW\,U)_{ii}`. :math:`F` is set to 0 where eigenvalues are equal and there is no gradient.
    - cholesky: :math:`d\Sigma = -\frac{1}{2} W^T (P + P^T) W`, :math:`P` the lower triangle of
      :math:`dW\,W^T` with half its diagonal.
    - iterative: back through the Newton steps one by one.

    References
    ----------
    As of `whiten`; divided differences: N. J. Higham, "Functions of Matrices", SIAM 2008, theorem
    3.11.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> x = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> dy = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    >>> fastnorm.whiten_backward(dy, x, eps=0).x
    array([[ 0.375, -0.125],
           [-0.375, -0.125],
           [-0.125,  0.125],
           [ 0.125,  0.125]])
    """
    call = Whitener(x, training, momentum, method, groups, iterations, eps, channel_axis)
    dx, _, _ = call.backward(dy, None, None, running_mean, running_whitening, stats, out)
    return WhiteningGradients(dx)


class Whitening(Layer):
    """Whitening as a layer with its parameters and running statistics.

    Parameters
    ----------
    num_features : int
        Number of channels C.
    method : {"zca", "pca", "cholesky", "iterative"}, default "zca"
        As in `whiten`. With zca it is Decorrelated Batch Normalization, with iterative IterNorm.
    groups : int, default 1
        Number of groups of consecutive channels.
    iterations : int, default 5
        Newton steps of the method iterative.
    eps : float, default 1e-5
        Added to the diagonal of the covariance.
    momentum : float, default 0.1
        Weight of the batch in the running statistics.
    affine : bool, default True
        Have a weight (initially 1) and a bias (initially 0) of shape (C,), applied to what is
        whitened.
    track_running_stats : bool, default True
        Keep running statistics, and use them in evaluation. Without them the statistics of the
        batch are used in evaluation too.
    channel_axis : int, default 1
        The axis of length C; -1 for channels-last.
    dtype : dtype, default float32
        Type of parameters and running statistics, one of the four. That of the input may differ.

    Attributes
    ----------
    weight, bias : ndarray or None
        The parameters.
    running_mean : ndarray of shape (C,) or None
        Initially 0; in IterNorm's own code it has the shape (groups, C / groups, 1).
    running_wm : ndarray of shape (groups, C / groups, C / groups) or None
        Running whitening matrices, under their name there; initially the identity.
    grads : dict of str to ndarray
        Gradients of the parameters from the last `backward`.
    training : bool
        Whether to use and track the statistics of the batch.

    Raises
    ------
    ValueError
        If a number or the method is out of range.
    TypeError
        If an argument is of the wrong type.

    See Also
    --------
    whiten : The function behind it, with formula and source.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> layer = fastnorm.Whitening(2, eps=0)
    >>> x = np.array([[3.0, 1.0], [-3.0, 1.0], [0.0, 3.0], [0.0, -1.0]], dtype=np.float32)
    >>> np.cov(layer(x).T, ddof=0).round(3) + 0
    array([[1., 0.],
           [0., 1.]])
    """

    _stored = ("weight", "bias", "running_mean", "running_wm")
    _shown = (
        *("num_features", "method", "groups", "iterations", "eps", "momentum"),
        *("affine", "track_running_stats", "channel_axis"),
    )

    def __init__(
        self,
        num_features: int,
        method: str = "zca",
        groups: int = 1,
        iterations: int = 5,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        channel_axis: int = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.num_features = positive(num_features, "num_features")
        self.method = method_argument(method)
        self.groups = divisor(groups, self.num_features, "groups")
        self.iterations = positive(iterations, "iterations")
        self.eps = epsilon(eps)
        self.momentum = weight_of_batch(momentum)
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.channel_axis = integer(channel_axis, "channel_axis")
        self._make_affine((self.num_features,), dtype, weight=affine, bias=affine)
        width, stored = self.num_features // self.groups, float_dtype(dtype)
        shapes = ((self.num_features,), (self.groups, width, width))
        buffers = [np.zeros(shape, stored) if track_running_stats else None for shape in shapes]
        self.running_mean, self.running_wm = buffers
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Forget all batches: what a batch with a NaN has spoiled cannot be averaged out."""
        if self.running_mean is not None and self.running_wm is not None:
            self.running_mean[...] = 0
            self.running_wm[...] = np.eye(self.running_wm.shape[-1])

    def _forward(self, x: ArrayInput) -> tuple[Array, tuple[Any, ...]]:
        x = channels(x, self.channel_axis, self.num_features, "num_features")
        by_batch = self.training or not self.track_running_stats
        options = (self.momentum, self.method, self.groups, self.iterations, self.eps)
        call = Whitener(x, by_batch, *options, self.channel_axis)
        y, stats = call.forward(self.weight, self.bias, self.running_mean, self.running_wm, None)
        return y, (call, stats)

    def _backward(self, dy: ArrayInput, call: Whitener, stats: Any) -> Any:
        return call.backward(dy, self.weight, self.bias, None, None, stats, None)
