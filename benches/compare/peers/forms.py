# SPDX-License-Identifier: BSD-3-Clause
"""What a case means to a library that has other arguments than `fastnorm`."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.lib.array_utils import normalize_axis_tuple

from fastnorm.compare.case import Case

# The defaults of fastnorm's functions, which the calls of a problem leave alone.
# What other libraries have too.
OPS = (
    *("moments", "standardize", "layer_norm", "rms_norm"),
    *("batch_norm", "instance_norm", "group_norm"),
)
_EPS = {"rms_norm": 1e-6}
MOMENTUM = 0.1


@dataclass(frozen=True)
class Form:
    """A case in the terms that libraries share.

    Attributes
    ----------
    op : str
        The operation a user of a framework would call: that of the case, but instance_norm where
        `standardize` takes each plane by itself.
    axes : tuple of int
        Axes of x that the statistics are over.
    channels_last : bool
        Whether the channels, where the operation has them, are the last axis.
    training : bool
        Batch norm: by the statistics of the batch.
    groups : int
        Group norm: their number.
    eps : float
        Added to the variance.
    """

    op: str
    axes: tuple[int, ...]
    channels_last: bool
    training: bool
    groups: int
    eps: float
    ndim: int

    @property
    def trailing(self) -> bool:
        """Whether the axes are the last ones."""
        return self.axes == tuple(range(self.ndim - len(self.axes), self.ndim))

    @property
    def order(self) -> tuple[int, ...]:
        """The permutation of x's axes that puts the reduced ones last."""
        return (*(axis for axis in range(self.ndim) if axis not in self.axes), *self.axes)

    @property
    def inverse(self) -> tuple[int, ...]:
        """The permutation that takes `order` back."""
        return tuple(self.order.index(axis) for axis in range(self.ndim))


def form(case: Case) -> Form:
    """Return the form of `case`."""
    ndim = len(case.shape)
    op = case.op
    channels_last = case.options.get("channel_axis", 1) == -1 and ndim > 2
    if op in ("moments", "standardize", "layer_norm", "rms_norm"):
        axis = case.options["axis"]
        axes = tuple(range(ndim)) if axis is None else normalize_axis_tuple(axis, ndim)
        axes = tuple(sorted(axes))
        planes = tuple(range(2, ndim))
        if op == "standardize" and axes == planes and _one_per_channel(case):
            op = "instance_norm"
    else:
        channel = ndim - 1 if channels_last else 1
        samples = () if op == "batch_norm" else (0,)
        axes = tuple(axis for axis in range(ndim) if axis != channel and axis not in samples)
    return Form(
        op=op,
        axes=axes,
        channels_last=channels_last,
        training=case.options.get("training", True),
        groups=case.options.get("num_groups", 0),
        eps=_EPS.get(op, 1e-5),
        ndim=ndim,
    )


def _one_per_channel(case: Case) -> bool:
    """Whether the parameters of `standardize` are those of instance norm, with axes of length 1."""
    ones = (1,) * (len(case.shape) - 2)
    return case.affine is not None and case.affine == (case.shape[1], *ones)
