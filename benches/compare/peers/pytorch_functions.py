# SPDX-License-Identifier: BSD-3-Clause
"""A case as functions on tensors, the same for eager and compiled PyTorch.

A gradient counts from given statistics, as autograd would call it: through the backward operators
of ATen. Where ATen has none for CPUs, `backward` is None and autograd finds the way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benches.compare.peers.forms import MOMENTUM, Form, form
from fastnorm.compare.case import Case
from fastnorm.compare.problem import Array, Problem

aten = torch.ops.aten
Tensor = torch.Tensor
_ALL = [True, True, True]


@dataclass(frozen=True)
class Functions:
    """A case's functions.

    Attributes
    ----------
    forward : callable
        ``(x, weight, bias, running_mean, running_var) -> y``.
    saved : callable, optional
        The same arguments -> the statistics and whatever else the forward function would have kept.
    backward : callable, optional
        ``(dy, x, weight, bias, running_mean, running_var, *saved) -> (dx, dweight, dbias)``.
    eager : bool
        Whether `backward` exists outside the compiler.
    """

    forward: Callable[..., Any]
    saved: Callable[..., Any] | None = None
    backward: Callable[..., Any] | None = None
    eager: bool = True


def functions(case: Case) -> Functions:
    """Return the functions of `case`."""
    return _BUILDERS[form(case).op](form(case), case.shape)


def arguments(problem: Problem, parameters: dict[str, Array] | None = None) -> list[Tensor | None]:
    """Return x, weight, bias, running_mean, running_var as tensors over the same memory."""
    shape = form(problem.case)
    values = problem.parameters if parameters is None else parameters
    flat = {name: tensor(v) for name, v in values.items()}
    if shape.op == "instance_norm":
        flat = {name: value.reshape(-1) for name, value in flat.items()}
    # In training, batch norm writes the running statistics.
    for name in ("running_mean", "running_var"):
        if name in flat:
            flat[name] = flat[name].clone()
    names = ("weight", "bias", "running_mean", "running_var")
    return [image(problem, problem.x), *(flat.get(name) for name in names)]


def tensor(values: Array) -> Tensor:
    """Return a tensor over the memory of `values`."""
    if values.dtype.name == "bfloat16":  # which torch does not take from NumPy
        return torch.from_numpy(values.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(values)


def image(problem: Problem, values: Array) -> Tensor:
    """Return x or dy; channels-last data as N, C, H, W in torch's channels-last memory format."""
    result = tensor(values)
    return torch.movedim(result, -1, 1) if form(problem.case).channels_last else result


def array(problem: Problem, values: Tensor) -> Array:
    """Return a result as an array with the axes of the problem."""
    values = values.detach()
    if form(problem.case).channels_last and values.ndim == problem.x.ndim:
        values = torch.movedim(values, 1, -1)
    if values.dtype == torch.bfloat16:
        bits = values.contiguous().view(torch.uint16).numpy()
        return bits.view(np.dtype("bfloat16"))
    return values.numpy()


def _layer_norm(shape: Form, sizes: tuple[int, ...]) -> Functions:
    normalized = [sizes[axis] for axis in shape.axes]
    eps = shape.eps

    def forward(x: Tensor, w: Tensor, b: Tensor, *_: Any) -> Tensor:
        y = F.layer_norm(_rows(shape, x), normalized, w, b, eps)
        return _unrows(shape, y)

    def saved(x: Tensor, w: Tensor, b: Tensor, *_: Any) -> Any:
        return torch.native_layer_norm(_rows(shape, x), normalized, w, b, eps)[1:]

    def backward(dy: Tensor, x: Tensor, w: Tensor, b: Tensor, _m: Any, _v: Any, *kept: Any) -> Any:
        dx, dw, db = aten.native_layer_norm_backward(
            _rows(shape, dy), _rows(shape, x), normalized, *kept, w, b, _ALL
        )
        return _unrows(shape, dx), dw, db

    return Functions(forward, saved, backward)


def _rms_norm(shape: Form, sizes: tuple[int, ...]) -> Functions:
    normalized = [sizes[axis] for axis in shape.axes]
    eps = shape.eps

    def forward(x: Tensor, w: Tensor, *_: Any) -> Tensor:
        return _unrows(shape, F.rms_norm(_rows(shape, x), normalized, w, eps))

    def saved(x: Tensor, w: Tensor, *_: Any) -> Any:
        return aten._fused_rms_norm(_rows(shape, x), normalized, w, eps)[1:]

    def backward(dy: Tensor, x: Tensor, w: Tensor, _b: Any, _m: Any, _v: Any, *kept: Any) -> Any:
        dx, dw = aten._fused_rms_norm_backward(
            _rows(shape, dy), _rows(shape, x), normalized, *kept, w, [True, True]
        )
        return _unrows(shape, dx), dw, None

    return Functions(forward, saved, backward, eager=False)


def _batch_norm(shape: Form, sizes: tuple[int, ...]) -> Functions:
    training, eps = shape.training, shape.eps

    def forward(x: Tensor, w: Tensor, b: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return F.batch_norm(x, mean, var, w, b, training, MOMENTUM, eps)

    def saved(x: Tensor, w: Tensor, b: Tensor, mean: Tensor, var: Tensor) -> Any:
        kept = mean.clone(), var.clone()
        return torch.native_batch_norm(x, w, b, *kept, training, MOMENTUM, eps)[1:]

    def backward(dy: Tensor, x: Tensor, w: Tensor, b: Tensor, mean: Tensor, var: Tensor,
                 *kept: Any) -> Any:  # fmt: skip
        return aten.native_batch_norm_backward(dy, x, w, mean, var, *kept, training, eps, _ALL)

    return Functions(forward, saved, backward)


def _instance_norm(shape: Form, sizes: tuple[int, ...]) -> Functions:
    """As torch itself: batch norm of one sample with N * C channels."""
    eps = shape.eps

    def forward(x: Tensor, w: Tensor, b: Tensor, *_: Any) -> Tensor:
        return F.instance_norm(x, weight=w, bias=b, use_input_stats=True, eps=eps)

    def saved(x: Tensor, w: Tensor, b: Tensor, *_: Any) -> Any:
        planes = x.contiguous().view(1, x.shape[0] * x.shape[1], *x.shape[2:])
        ws, bs = w.repeat(x.shape[0]), b.repeat(x.shape[0])
        stats = torch.native_batch_norm(planes, ws, bs, None, None, True, 0.0, eps)[1:]
        return (planes, ws, *stats)

    def backward(dy: Tensor, x: Tensor, w: Tensor, b: Tensor, _m: Any, _v: Any,
                 planes: Tensor, ws: Tensor, *kept: Any) -> Any:  # fmt: skip
        upstream = dy.contiguous().view(planes.shape)
        dx, dw, db = aten.native_batch_norm_backward(
            upstream, planes, ws, None, None, *kept, True, eps, _ALL
        )
        samples = (x.shape[0], x.shape[1])
        return dx.view(x.shape), dw.view(samples).sum(0), db.view(samples).sum(0)

    return Functions(forward, saved, backward)


def _group_norm(shape: Form, sizes: tuple[int, ...]) -> Functions:
    eps, groups = shape.eps, shape.groups
    channels = sizes[-1 if shape.channels_last else 1]
    geometry = (sizes[0], channels, math.prod(sizes) // sizes[0] // channels, groups)

    def forward(x: Tensor, w: Tensor, b: Tensor, *_: Any) -> Tensor:
        return F.group_norm(x, groups, w, b, eps)

    def saved(x: Tensor, w: Tensor, b: Tensor, *_: Any) -> Any:
        return torch.native_group_norm(x, w, b, *geometry, eps)[1:]

    def backward(dy: Tensor, x: Tensor, w: Tensor, b: Tensor, _m: Any, _v: Any, *kept: Any) -> Any:
        return aten.native_group_norm_backward(dy, x, *kept, w, *geometry, _ALL)

    return Functions(forward, saved, backward)


def _moments(shape: Form, sizes: tuple[int, ...]) -> Functions:
    def forward(x: Tensor, *_: Any) -> Any:
        wide = x.float() if x.itemsize == 2 else x
        return torch.var_mean(wide, shape.axes, correction=0)

    return Functions(forward)


def _standardize(shape: Form, sizes: tuple[int, ...]) -> Functions:
    """Written out: no operator takes these axes."""

    def forward(x: Tensor, w: Tensor, b: Tensor, *_: Any) -> Tensor:
        wide = x.to(w.dtype)
        var, mean = torch.var_mean(wide, shape.axes, correction=0, keepdim=True)
        return ((wide - mean) * torch.rsqrt(var + shape.eps) * w + b).to(x.dtype)

    return Functions(forward)


def _rows(shape: Form, x: Tensor) -> Tensor:
    return x if shape.trailing else x.permute(shape.order)


def _unrows(shape: Form, y: Tensor) -> Tensor:
    return y if shape.trailing else y.permute(shape.inverse).contiguous()


_BUILDERS = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "moments": _moments,
    "standardize": _standardize,
}
