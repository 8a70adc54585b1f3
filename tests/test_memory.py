# SPDX-License-Identifier: BSD-3-Clause
"""No copy: a call on a 200 MB strided array takes the memory of its output and a few MB of scratch.

Measured as the growth of the resident set of a fresh process, which holds the input already.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import fastnorm

MEGABYTE = 2**20
ARRAY = 200 * MEGABYTE
SCRATCH = 8 * MEGABYTE  # "a few": the blocks of all threads, their stacks, and the small arrays


def view(layout: str, dtype: np.dtype) -> np.ndarray:
    """A matrix of 200 MB that is a strided view of a larger buffer, or of one in another order."""
    columns = 4096
    rows = ARRAY // columns // dtype.itemsize
    if layout == "sliced":
        whole = filled((rows, columns + 8), dtype)
        return whole[:, 4:-4]
    if layout == "transposed":
        return filled((columns, rows), dtype).T
    if layout == "every second":
        return filled((rows, 2 * columns), dtype)[:, ::2]
    if layout == "reversed":
        return filled((rows, columns), dtype)[::-1, ::-1]
    if layout == "unaligned":
        raw = np.empty(ARRAY + 1, np.uint8)
        matrix = raw[1:].view(dtype).reshape(rows, columns)
        matrix[...] = np.arange(columns).astype(dtype)
        return matrix
    raise ValueError(layout)


def filled(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """A matrix written through to memory without a temporary of its size."""
    matrix = np.empty(shape, dtype)
    matrix[...] = (np.arange(shape[1]) % 1000).astype(dtype)
    return matrix


def resident(field: str) -> int:
    """VmRSS, the resident set, or VmHWM, its peak, of this process in bytes."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def forget_the_peak() -> None:
    """Let VmHWM start again from VmRSS, where the system allows it; else it only grows."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def measured(call) -> int:
    """By how many bytes the resident set grew at most during ``call()``."""
    forget_the_peak()
    before = resident("VmRSS")
    call()
    return resident("VmHWM") - before


def growths(layout: str, dtype: str) -> dict[str, tuple[int, int]]:
    """Expected and measured growth of each call, in bytes; for a child process."""
    x = view(layout, np.dtype(dtype))
    out = np.ones(x.shape, x.dtype)

    def images(matrix):
        """The matrix as (N, C, H * W), or in the other order as (N, H * W, C), without a copy."""
        n, m = matrix.shape
        return matrix.reshape((n, 16, m // 16) if layout != "transposed" else (n // 16, 16, m))

    assert np.shares_memory(images(x), x)
    calls = {
        "moments": (0, lambda x, out: fastnorm.moments(x, axis=0)),
        "layer_norm": (ARRAY, lambda x, out: fastnorm.layer_norm(x)),
        "layer_norm, first axis, out": (0, lambda x, out: fastnorm.layer_norm(x, axis=0, out=out)),
        "batch_norm": (ARRAY, lambda x, out: fastnorm.batch_norm(images(x))),
        "layer_norm_backward": (ARRAY, lambda x, out: fastnorm.layer_norm_backward(x, x)),
        "batch_norm_backward, out": (
            0,
            lambda x, out: fastnorm.batch_norm_backward(images(x), images(x), out=images(out)),
        ),
    }
    for _, call in calls.values():
        call(x[:512], out[:512])  # brings in the code, the threads and their stacks
    return {
        name: (expected, measured(lambda call=call: call(x, out)))
        for name, (expected, call) in calls.items()
    }


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize(
    ("layout", "dtype"),
    [
        ("sliced", "float32"),
        ("transposed", "float32"),
        ("every second", "float32"),
        ("reversed", "float32"),
        ("unaligned", "float32"),
        ("sliced", "float16"),
        ("transposed", "float64"),
    ],
)
def test_no_copy(layout, dtype, run_python):
    code = (
        f"import json, test_memory; print(json.dumps(test_memory.growths({layout!r}, {dtype!r})))"
    )
    results = json.loads(run_python(code).stdout)
    excess = {
        name: f"{(grown - expected) / MEGABYTE:.1f} MB more than the output"
        for name, (expected, grown) in results.items()
        if grown > expected + SCRATCH
    }
    assert not excess
    # A measurement that missed a new output would miss a copy too.
    assert all(grown > expected - SCRATCH for expected, grown in results.values())
