# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch through its compiler: `torch.compile` with the inductor back end, one graph per case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch._functorch.config
import torch._inductor.config

from benches.compare.peers.contract import Prepared
from benches.compare.peers.pytorch import prepare
from fastnorm.compare.case import Direction
from fastnorm.compare.problem import Problem

# Here and now: a pool of compiler processes would be one more thing that uses the cores.
torch._inductor.config.compile_threads = 1
# The graph of a gradient is called again and again.
torch._functorch.config.donated_buffer = False


class Inductor:
    """Compiled for the shapes of the case; compiling is no part of a time."""

    def prepare(self, problems: Sequence[Problem], direction: Direction, threads: int) -> Prepared:
        """Return the calls of the compiled functions, after the first of each."""
        torch.set_num_threads(threads)
        # The generated code has the number of threads written in; what was compiled for another
        # one, and dynamo's count of recompilations, must not be met again.
        torch._inductor.config.cpp.threads = threads
        torch._dynamo.reset()
        return prepare(problems, direction, _compile, compiled=True)


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    # fullgraph: an error rather than a call that is eager without saying so.
    return torch.compile(function, dynamic=False, fullgraph=True)
