# SPDX-License-Identifier: BSD-3-Clause
"""A case as an ONNX model with one input, for the libraries that read such models.

Parameters are constants of the model, as in an exported network. ONNX describes inference.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from benches.compare.peers.contract import Unsupported
from benches.compare.peers.forms import Form, form
from fastnorm.compare.case import Direction
from fastnorm.compare.problem import Array, Problem

_OPSET = 23
_IR_VERSION = 10
_TYPES = {
    "float64": onnx.TensorProto.DOUBLE,
    "float32": onnx.TensorProto.FLOAT,
    "float16": onnx.TensorProto.FLOAT16,
    "bfloat16": onnx.TensorProto.BFLOAT16,
}


def model(problem: Problem, direction: Direction) -> bytes:
    """Return the serialized model of a forward call.

    Raises
    ------
    Unsupported
        If there is no operator for it.
    """
    shape = form(problem.case)
    if direction == "backward":
        raise Unsupported("inference only: no gradients")
    if shape.op in ("moments", "standardize"):
        raise Unsupported(f"no operator for {shape.op}: it would be a graph of elementwise ones")
    if shape.op == "batch_norm" and shape.training:
        raise Unsupported("inference only: no batch norm by the statistics of the batch")
    if shape.channels_last:
        raise Unsupported(f"the operator for {shape.op} takes N, C, ... only")

    names = ["weight", "bias", "running_mean", "running_var"]
    constants = [name for name in names if name in problem.parameters]
    node = _node(shape, problem, constants)
    nodes = [node]
    if not shape.trailing and shape.op in ("layer_norm", "rms_norm"):
        # What exporters write for a layer norm over channels.
        node.input[0], node.output[0] = "rows", "normalized"
        before = helper.make_node("Transpose", ["x"], ["rows"], perm=shape.order)
        after = helper.make_node("Transpose", ["normalized"], ["y"], perm=shape.inverse)
        nodes = [before, node, after]

    kind = _TYPES[problem.x.dtype.name]
    graph = helper.make_graph(
        nodes,
        problem.case.name,
        [helper.make_tensor_value_info("x", kind, problem.x.shape)],
        [helper.make_tensor_value_info("y", kind, problem.x.shape)],
        [
            numpy_helper.from_array(_constant(shape, problem.parameters[name], problem.x), name)
            for name in constants
        ],
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
    return bytes(made.SerializeToString())


def _node(shape: Form, problem: Problem, constants: list[str]) -> Any:
    names: dict[str, tuple[str, dict[str, Any]]] = {
        "layer_norm": ("LayerNormalization", {"axis": -len(shape.axes)}),
        "rms_norm": ("RMSNormalization", {"axis": -len(shape.axes)}),
        "batch_norm": ("BatchNormalization", {}),
        "instance_norm": ("InstanceNormalization", {}),
        "group_norm": ("GroupNormalization", {"num_groups": shape.groups}),
    }
    operator, attributes = names[shape.op]
    return helper.make_node(operator, ["x", *constants], ["y"], epsilon=shape.eps, **attributes)


def _constant(shape: Form, values: Array, x: Array) -> Array:
    """A parameter in the type of x, which most operators ask for."""
    if shape.op == "instance_norm":
        values = values.reshape(-1)
    return np.ascontiguousarray(values.astype(x.dtype))
