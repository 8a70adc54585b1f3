# SPDX-License-Identifier: BSD-3-Clause
"""Whitening."""

from __future__ import annotations

import numpy as np

import fastnorm
from families import Family


def channel_groups(shape, options):
    """Consecutive channels are a group; in evaluation only the samples are independent."""
    axis = options.get("channel_axis", 1) % len(shape)
    width = shape[axis] // options.get("groups", 1)
    numbers = np.arange(shape[axis]) // width
    wide = numbers.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return np.broadcast_to(wide, shape)


def torch(
    x,
    running_mean,
    running_whitening,
    *,
    training=True,
    method="zca",
    groups=1,
    iterations=5,
    eps,
    channel_axis=1,
):
    """A composition of PyTorch's own decompositions."""
    import torch

    moved = x.movedim(channel_axis, 0)
    samples = moved.reshape(groups, moved.shape[0] // groups, -1)
    if training:
        centred = samples - samples.mean(-1, keepdim=True)
        identity = torch.eye(samples.shape[1], dtype=x.dtype)
        sigma = centred @ centred.mT / samples.shape[-1] + eps * identity
        whitening = matrices(torch, sigma, method, iterations)
    else:
        centred = samples - running_mean.reshape(*samples.shape[:2], 1)
        whitening = running_whitening
    return (whitening @ centred).reshape(moved.shape).movedim(0, channel_axis)


def matrices(torch, sigma, method, iterations):
    """W, differentiable where no two eigenvalues are equal."""
    if method == "cholesky":
        return torch.linalg.inv(torch.linalg.cholesky(sigma))
    if method == "iterative":
        trace = sigma.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
        power = torch.eye(sigma.shape[-1], dtype=sigma.dtype).expand(sigma.shape)
        for _ in range(iterations):
            power = 1.5 * power - 0.5 * torch.linalg.matrix_power(power, 3) @ sigma / trace
        return power / trace.sqrt()
    values, vectors = torch.linalg.eigh(sigma)
    values, vectors = values.flip(-1), vectors.flip(-1)
    size = vectors.detach().abs()
    leading = (size >= 0.6 * size.amax(1, keepdim=True)).int().argmax(1, keepdim=True)
    vectors = vectors * vectors.detach().gather(1, leading).sign()
    whitening = vectors.mT / values.sqrt()[:, :, None]
    return vectors @ whitening if method == "zca" else whitening


def layer(case, arguments):
    """Its running statistics in place of those it was made with."""
    options = dict(case.options)
    training = options.pop("training", True)
    channels = case.shape[options.get("channel_axis", 1)]
    made = fastnorm.Whitening(channels, affine=False, **options).train(training)
    named = {"running_wm": "running_whitening", "running_mean": "running_mean"}
    made.load_state_dict({name: arguments[theirs] for name, theirs in named.items()})
    return made, ()


FAMILY = Family(
    op="whiten",
    calls=(
        ((40, 3), {}),
        ((5, 4, 13), {"groups": 2, "method": "pca"}),
        ((4, 6, 3, 5), {"groups": 2}),
        ((4, 3, 5, 6), {"groups": 2, "channel_axis": -1, "method": "cholesky"}),
        ((4, 3, 2, 3, 4), {"channel_axis": 2, "method": "iterative", "iterations": 3}),
        ((30, 6), {"groups": 6, "method": "iterative"}),
        ((4, 6, 11), {"groups": 3, "training": False}),
    ),
    shared=((8, 16, 50, 60), {"groups": 4}),
    groups=channel_groups,
    torch=torch,
    layer=layer,
    learned=(),
)
