# SPDX-License-Identifier: BSD-3-Clause
"""OpenVINO on its CPU plugin, from the same ONNX models: inference only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino

from benches.compare.peers import onnx_models
from benches.compare.peers.contract import Prepared, Unsupported
from fastnorm.compare.case import Direction
from fastnorm.compare.problem import Array, Call, Problem


class OpenVino:
    """A compiled model per case, an inference request per set of arrays."""

    def __init__(self) -> None:
        self._core = openvino.Core()

    def prepare(self, problems: Sequence[Problem], direction: Direction, threads: int) -> Prepared:
        """Return the calls of one compiled model on the inputs of all sets."""
        first = problems[0]
        serialized = onnx_models.model(first, direction)
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
            # It would compute float32 in bfloat16 on processors that multiply matrices in it.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            graph = self._core.read_model(serialized)
            compiled = self._core.compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            raise Unsupported(str(error).strip().splitlines()[-1]) from error
        calls = [_call(compiled.create_infer_request(), problem) for problem in problems]

        def read(result: Any) -> dict[str, Array]:
            values = result.data
            if first.x.dtype.name == "bfloat16":
                values = values.view(first.x.dtype)
            return {"y": np.array(values)}

        return Prepared(calls, read, rounded_parameters=first.x.itemsize == 2)


def _call(request: Any, problem: Problem) -> Call:
    """Input and output are bound once: what is timed is the inference alone."""
    if problem.x.dtype.name == "bfloat16":
        bits = problem.x.view(np.uint16)
        tensor = openvino.Tensor(bits, openvino.Shape(problem.x.shape), openvino.Type.bf16)
    else:
        tensor = openvino.Tensor(problem.x, shared_memory=True)
    request.set_input_tensor(tensor)
    output = request.get_output_tensor()
    native = request._infer_request if hasattr(request, "_infer_request") else request

    def call() -> Any:
        native.infer()
        return output

    call()
    return call
