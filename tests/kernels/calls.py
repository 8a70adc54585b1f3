# SPDX-License-Identifier: BSD-3-Clause
"""Calls of single kernels: every variant of every primitive, with arguments drawn for it.

A call is a method of `Probe` and its keyword arguments. A variant is the set of optional arguments
that are vectors rather than scalars, and of switches that are on.
"""

from __future__ import annotations

from itertools import combinations

import ml_dtypes
import numpy as np

from fastnorm._core import dispatch
from fastnorm._core.probe import Probe
from sizes import COL_BLOCK, IN_FLIGHT, LANES, ROW_BLOCK, around

TIERS = dispatch.available()
BASELINE = TIERS[-1]  # best first
KINDS = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}

# Every remainder of a vector, and each side of every block.
SHORT = (*range(1, LANES + 2), *around(2 * LANES), *around(IN_FLIGHT), *around(2 * IN_FLIGHT))
SIZES = (*SHORT, *around(ROW_BLOCK), 2 * ROW_BLOCK + 1, 2 * ROW_BLOCK + IN_FLIGHT + LANES + 1)
# (rows, columns) of what is written ...
TILES = (
    *((2, n) for n in SIZES),
    *((rows, 3) for rows in (1, *around(COL_BLOCK))),
    (2 * COL_BLOCK + 3, IN_FLIGHT + LANES + 1),
)
# ... and of what is summed down the columns.
BLOCKS = (
    *((3, n) for n in SHORT),
    *((1, n) for n in around(LANES)),
    *((rows, 3) for rows in around(COL_BLOCK)),
    *((rows, IN_FLIGHT + LANES + 1) for rows in (*around(2 * COL_BLOCK), 3 * COL_BLOCK + 5)),
)

# Means of x, whose standard deviation is 2; beside the second, one float32 is too coarse a mean.
MEANS = (3.0, 1000.0)


def subsets(*words: str) -> tuple[tuple[str, ...], ...]:
    """Every selection of `words`."""
    return tuple(some for n in range(len(words) + 1) for some in combinations(words, n))


# method: its variants. "centre" and "centre by row" are the vectors hi, lo and r (and c0, c1).
VARIANTS = {
    "shift_rows": ((),),
    "moments_rows": subsets("wide"),
    "moments_cols": subsets("wide"),
    "affine": subsets("centre", "w", "b", "stream"),
    "grad_sums_rows": subsets("centre", "w"),
    "grad_sums_cols": (("centre",), ("centre", "w"), ("centre", "w by row"), ("centre by row",)),
    "grad_combine": subsets("centre", "w", "stream"),
    "split": ((),),
}
ALL = tuple((method, words) for method in VARIANTS for words in VARIANTS[method])

# Methods over a single run, and arguments that are data; other arrays are coefficients.
RUNS = {"moments_rows", "grad_sums_rows"}
DATA = {"x", "dy", "samples"}
# Methods with an output of x's type and shape.
ELEMENTWISE = {"affine", "grad_combine"}


def real(kind: str) -> type:
    """The compute type."""
    return np.float64 if kind == "f64" else np.float32


def draw(method: str, words, kind: str, rows: int, n: int, rng, mean: float = 3.0) -> dict:
    """Arguments of one call on `rows` runs of n values about `mean` (dy: about 0)."""
    dtype, scalar = KINDS[kind], real(kind)
    shape = (n,) if method in RUNS else (rows, n)

    def coefficients(centre, width, size):
        return (centre + width * rng.standard_normal(size)).astype(scalar)

    def data(centre, size=shape):
        return (centre + 2 * rng.standard_normal(size)).astype(dtype)

    if method == "shift_rows":
        return {"samples": data(mean, (4, n))}
    if method == "split":
        return {"v": rng.standard_normal(n) * 10.0 ** rng.integers(-8, 9, n)}
    if method.startswith("moments"):
        wide = "wide" in words
        shift = mean + 0.1 if method in RUNS else mean + 0.1 * rng.standard_normal(n)
        if method not in RUNS and not wide:
            shift = shift.astype(scalar)
        return {"x": data(mean), "shift": shift, "wide": wide}

    arguments = {"x": data(mean)}
    if method != "affine":
        arguments["dy"] = data(0.2)
    size = rows if "centre by row" in words else n
    if "centre" in words or "centre by row" in words:
        means = mean + 0.1 * rng.standard_normal(size)
        hi = means.astype(scalar)
        arguments |= {"hi": hi, "lo": (means - hi).astype(scalar)}
        arguments["r"] = coefficients(0.5, 0.05, size)
        if method == "grad_combine":
            arguments |= {"c0": coefficients(0.1, 0.1, n), "c1": coefficients(0.2, 0.1, n)}
    else:
        arguments |= {"mean": mean + 0.1, "rstd": 0.47}
        if method == "grad_combine":
            arguments |= {"c00": 0.13, "c10": -0.21}
    if "w" in words or "w by row" in words:
        arguments["w"] = coefficients(1, 0.5, rows if "w by row" in words else n)
    elif method in ELEMENTWISE:
        arguments["w0"] = 1.3
    if "b" in words:
        arguments["b"] = coefficients(0, 1, n)
    elif method == "affine":
        arguments["b0"] = -0.7
    switches = {"stream": "stream", "w by row": "w_by_row", "centre by row": "by_row"}
    return arguments | {switches[word]: True for word in words if word in switches}


class _Writing(np.ndarray):
    """An x whose output is an array of the caller's.

    The probe asks `np.empty_like(x)` for its output, and NumPy asks x.
    """

    def __array_function__(self, function, types, args, kwargs):
        assert function is np.empty_like
        return self.output


def call(isa: str, kind: str, method: str, arguments: dict, out: np.ndarray | None = None):
    """What the method of that tier returns; of an elementwise one, written into `out`."""
    if out is not None:
        x = arguments["x"].view(_Writing)
        x.output = out
        arguments = arguments | {"x": x}
    return getattr(Probe(isa, kind), method)(**arguments)


def compute(isa: str, kind: str, method: str, arguments: dict):
    """What a tier computes, the same bits as the baseline."""
    result = call(isa, kind, method, arguments)
    expected = call(BASELINE, kind, method, arguments)
    assert bits(result) == bits(expected), f"{method}: {isa} and {BASELINE} differ"
    return result


def bits(result) -> bytes:
    """The bytes of a float, an array or a tuple of them."""
    if isinstance(result, tuple):
        return b"".join(map(bits, result))
    return np.asarray(result).tobytes()
