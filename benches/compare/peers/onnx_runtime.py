# SPDX-License-Identifier: BSD-3-Clause
"""ONNX Runtime on its CPU provider: inference only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import onnxruntime

from benches.compare.peers import onnx_models
from benches.compare.peers.contract import Prepared, Unsupported
from fastnorm.compare.case import Direction
from fastnorm.compare.problem import Array, Problem

_ERRORS_ONLY = 3


class OnnxRuntime:
    """A session per case; values stay in the runtime's own containers, which copies nothing."""

    def prepare(self, problems: Sequence[Problem], direction: Direction, threads: int) -> Prepared:
        """Return the calls of one session on the inputs of all sets."""
        first = problems[0]
        if first.x.dtype.name == "bfloat16":
            raise Unsupported("no bfloat16 kernels on CPUs")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        # Spinning workers would take the core of whoever is measured next.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(
                onnx_models.model(first, direction), options, providers=["CPUExecutionProvider"]
            )
        except Unsupported:
            raise
        except Exception as error:  # the runtime's exceptions share no base class
            raise Unsupported(str(error).splitlines()[0]) from error

        calls = [
            partial(
                session.run_with_ort_values,
                ["y"],
                {"x": onnxruntime.OrtValue.ortvalue_from_numpy(problem.x)},
            )
            for problem in problems
        ]
        return Prepared(calls, _read, rounded_parameters=first.x.itemsize == 2)


def _read(result: Any) -> dict[str, Array]:
    return {"y": result[0].numpy()}
