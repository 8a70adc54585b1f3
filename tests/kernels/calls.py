# SPDX-License-Identifier: BSD-3-Clause
"""Calls of single kernels: every variant of every primitive, with arguments drawn for it.

A call is a method of `Probe` and its keyword arguments. A variant is a list of words: what a
centre (for moments: a shift) belongs to, which optional arguments there are, which switches are on.
"""

from __future__ import annotations

from itertools import product

import ml_dtypes
import numpy as np

from curves import COEFS, draw_coefs, on_grid
from fastnorm._core import dispatch
from fastnorm._core.probe import Probe
from sizes import BAND, COL_BLOCK, COLS_AT_ONCE, IN_FLIGHT, LANES, ROW_BLOCK, around

TIERS = dispatch.available()
BASELINE = TIERS[-1]  # best first
KINDS = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}

# Every remainder of a vector, and each side of every block.
SHORT = (*range(1, LANES + 2), *around(2 * LANES), *around(IN_FLIGHT), *around(2 * IN_FLIGHT))
SIZES = (
    *(*SHORT, *around(ROW_BLOCK // 2), *around(ROW_BLOCK)),
    *(2 * ROW_BLOCK + 1, 2 * ROW_BLOCK + IN_FLIGHT + LANES + 1),
)
# (rows, columns) of what is written ...
TILES = (
    *((2, n) for n in SIZES),
    *((rows, 3) for rows in (1, *around(BAND), *around(COL_BLOCK))),
    *((rows, IN_FLIGHT + LANES + 1) for rows in (*around(BAND), 2 * COL_BLOCK + 3)),
    (COL_BLOCK + 3, 3 * LANES),
)
# ... of what is summed down the columns ...
BLOCKS = (
    *((3, n) for n in (*SHORT, *around(COLS_AT_ONCE))),
    *((1, n) for n in around(LANES)),
    *((rows, 3) for rows in (*around(BAND), *around(COL_BLOCK))),
    *((rows, IN_FLIGHT + LANES + 1) for rows in (*around(2 * COL_BLOCK), 3 * COL_BLOCK + 5)),
    (COL_BLOCK + BAND + 1, 2 * COLS_AT_ONCE + IN_FLIGHT + LANES + 1),
)
# ... and along rows: around as many as are folded into doubles at once.
ROWS = (
    *((3, n) for n in SIZES),
    *((rows, n) for n in (1, 3, 49, IN_FLIGHT) for rows in (1, *around(LANES))),
    *((2 * LANES + 1, n) for n in (3, LANES + 1, 121)),
)

# Means of x, whose standard deviation is 2; beside the second, one float32 is too coarse a mean.
MEANS = (3.0, 1000.0)


def choices(*options: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Every choice of one of each of the options, as words; an option may be none or several."""
    return tuple(tuple(" ".join(some).split()) for some in product(*options))


# Names of the activation functions.
ACTIVATIONS = ("relu", "silu", "gelu", "gelu_tanh")

# method: its variants. "columns", "rows", "one": the centre has a value per column, per row, or one
# for all rows; of rows that are summed, "one" makes a single sum. "each": parameters per row.
# "sums": those of dy * xh and of dy are taken on the way. "dy": the slope times it is asked for.
# "on": something is added to dx. "along", "down": which way a window slides. "raw": no shift.
VARIANTS = {
    "shift_rows": ((),),
    "moments_rows": choices(("rows", "one"), ("", "wide"), ("", "raw")),
    "sampled_rows": ((),),
    "moments_sum": choices(("rows",), ("", "raw")),
    "moments_cols": choices(("columns",), ("", "wide"), ("", "raw")),
    "affine": (
        *choices(("columns", "rows", "one"), ("", "w", "b", "w b"), ("", "stream")),
        *choices(("columns",), ("each",), ("", "stream")),
    ),
    "grad_sums_rows": (*choices(("rows", "one"), ("", "w")), ("columns",)),
    "grad_sums_cols": (*choices(("columns",), ("", "w", "each")), ("rows",)),
    "grad_combine": (
        *choices(("columns", "rows", "one"), ("", "w", "each"), ("", "stream")),
        *choices(("rows", "one"), ("", "w"), ("sums",), ("", "stream")),
        *choices(("columns", "rows"), ("", "w", "each"), ("on",), ("", "stream")),
        *choices(("rows",), ("w",), ("sums",), ("on",), ("", "stream")),
    ),
    "grad_own": (
        *choices(("rows",), ("", "w", "w sums"), ("", "on"), ("", "stream")),
        *choices(("rows",), ("", "each"), ("raw",), ("", "stream")),
        *choices(("rows",), ("w sums totals",), ("", "stream")),
    ),
    "activated": choices(
        ("columns", "rows", "one"), ("", "w b"), ("", "dy"), ("", "stream"), ACTIVATIONS
    ),
    "normalize_rows": (),  # not on every tier: see test_normalize.py
    "sum": ((),),
    "curve": choices(("columns", "rows", "one"), (*COEFS,), ("", "stream")),
    "curve_gradient": choices(("columns", "rows", "one"), (*COEFS,), ("", "stream")),
    "window": choices(("along", "down"), ("", "dy")),
    "statistics": choices(("",), ("", "raw")),
    "centres": choices(("rows", "one"), ("", "raw"), ("", "w b")),
    "slopes": choices(("rows", "one"), ("", "w")),
    "settle": ((),),
    "narrow": ((),),
}
ALL = tuple((method, words) for method in VARIANTS for words in VARIANTS[method])

# A window, and what the sums in it may be.
WINDOW = {"before": 2, "after": 1, "scale": 0.3, "beta": 0.75, "k": 1.0, "high": 2.0**57}

# Arguments that are data; other arrays are coefficients.
DATA = {"x", "dy", "on", "other"}
# Arguments that a method writes into.
WRITTEN = {"dw", "db", "dweight", "dbias", "part", "total", "sums", "found"}
# Methods with an output of x's type and shape.
ELEMENTWISE = {
    *("affine", "activated", "curve", "curve_gradient", "grad_combine", "sum", "window"),
    *("grad_own", "moments_sum"),
}


def kinds(isa: str, method: str) -> list[str]:
    """The types for which a tier has a method: rows make their own sums where that pays."""
    return [kind for kind in KINDS if method != "grad_own" or Probe(isa, kind).own]


def real(kind: str) -> type:
    """The compute type."""
    return np.float64 if kind == "f64" else np.float32


def draw(method: str, words, kind: str, rows: int, n: int, rng, mean: float = 3.0) -> dict:
    """Arguments of one call on `rows` rows of n values about `mean` (dy: about 0)."""

    def some(centre, width, size=(rows, n), dtype=KINDS[kind]):
        return (centre + width * rng.standard_normal(size)).astype(dtype)

    def coefficients(centre, width, size):
        return some(centre, width, size, real(kind))

    if method == "narrow":
        return {"v": rng.standard_normal(n) * 10.0 ** rng.integers(-8, 9, n)}
    if method == "settle":
        return {"part": coefficients(0, 1, n), "total": some(0, 1, n, np.float64)}
    if method in ("statistics", "centres", "slopes"):
        return draw_groups(method, words, n, real(kind), rng)
    arguments = {"x": some(mean, 2)}
    if method in ("shift_rows", "sampled_rows"):
        return arguments
    if method == "sum":
        return arguments | {"other": some(0, 1)}
    if method == "window":
        arguments |= {"dy": some(0, 1)} if "dy" in words else {}
        return arguments | WINDOW | {"along": "along" in words}
    size = {"columns": n, "rows": rows, "one": 1}[words[0]]
    if method.startswith("moments"):
        wide = "wide" in words
        shift = some(mean, 0.1, size, np.float64 if wide else real(kind))
        # Along rows it is a double that holds a number of the compute type.
        shift = shift if method == "moments_cols" else shift.astype(np.float64)
        arguments |= {"shift": shift, "raw": "raw" in words}
        if method == "moments_sum":
            return arguments | {"other": some(0, 1), "sums": np.zeros((2, rows))}
        return arguments | {"wide": wide}

    if method.startswith("curve"):
        which, columns = words[1], words[0] == "columns"
        coefs = draw_coefs(which, COEFS[which] * (size,), real(kind), rng)
        arguments = {"x": on_grid(some(0.5, 2)), "which": which, "by_row": not columns}
        arguments |= dict(zip("abcde", coefs, strict=False))
        if method == "curve_gradient":
            sums = some(0, 1, (len(coefs), n if columns else rows), real(kind))
            arguments |= {"dy": some(0.2, 2), "sums": sums if columns else sums.astype(np.float64)}
        return arguments | ({"stream": True} if "stream" in words else {})

    arguments |= {
        "hi": coefficients(mean, 0.1, size),
        "r": coefficients(0.5, 0.05, size),
        "m": coefficients(0, 0.5, size),
        "by_row": words[0] != "columns",
    }
    if method == "activated":
        arguments["activation"] = words[-1]
    if "dy" in words or method.startswith("grad"):
        arguments["dy"] = some(0.2, 2)
    if method == "grad_combine":
        slope = {"a": coefficients(0.5, 0.05, size), "b": coefficients(0.2, 0.1, size)}
        arguments |= slope | {"c": coefficients(-0.1, 0.1, size)}
    if method == "grad_own":
        doubles = {"rstd": rng.random(rows), "low": rng.standard_normal(rows)}
        arguments |= doubles | {
            "found": np.zeros(2 * rows),
            "count": n + 1.0,
            "raw": "raw" in words,
        }
    if "on" in words:
        arguments["on"] = some(0, 1)
    if "each" in words:
        arguments["param_by_row"] = True
    size = rows if "each" in words else n
    if {"w", "each"} & set(words):
        arguments["w"] = coefficients(1, 0.5, size)
    if "b" in words or ("each" in words and method == "affine"):
        arguments["b"] = coefficients(0, 1, size)
    if "sums" in words:
        arguments |= {"dw": coefficients(0, 1, n), "db": coefficients(0, 1, n)}
    if "totals" in words:
        arguments |= {name: some(0, 1, n, np.float64) for name in ("dweight", "dbias")}
    return arguments | ({"stream": True} if "stream" in words else {})


def draw_groups(method: str, words, n: int, dtype, rng) -> dict:
    """Arguments of what happens between two sweeps: doubles of n groups, parameters of `dtype`."""
    size = 1 if "one" in words else n
    if method == "statistics":
        sums = {"shift": rng.standard_normal(n), "s1": rng.standard_normal(n)}
        return {"count": 7.0, "raw": "raw" in words, "s2": 9 + rng.random(n)} | sums
    parameters = {name: rng.standard_normal(n).astype(dtype) for name in "wb" if name in words}
    if method == "slopes":
        doubles = {"rstd": rng.random(n), "low": rng.standard_normal(n)}
        return parameters | doubles | {name: rng.standard_normal(size) for name in ("c0", "c1")}
    mean = {} if "raw" in words else {"mean": 3 + rng.standard_normal(size)}
    return parameters | mean | {"var": rng.random(size), "eps": 1e-5}


def per_row(words, arguments: dict, name: str) -> bool:
    """Whether a coefficient has a value per row (or one for all rows), not one per column."""
    if name in WRITTEN:
        return False
    parameter = name == "w" or (name == "b" and "a" not in arguments)
    return "each" in words if parameter else "columns" not in words


class _Writing(np.ndarray):
    """An x whose output is an array of the caller's.

    The probe asks `np.empty_like(x)` for its output, and NumPy asks x.
    """

    def __array_function__(self, function, types, args, kwargs):
        assert function is np.empty_like
        return self.output


def fresh(arguments: dict) -> dict:
    """The arguments, with copies of those that are written into."""
    return {k: v.copy() if k in WRITTEN else v for k, v in arguments.items()}


def run(isa: str, kind: str, method: str, arguments: dict, out: np.ndarray | None = None):
    """What the method of that tier returns, then the arguments it wrote into: one or a tuple.

    out: where an elementwise method puts its result.
    """
    written = [value for name, value in arguments.items() if name in WRITTEN]
    if out is not None:
        x = arguments["x"].view(_Writing)
        x.output = out
        arguments = arguments | {"x": x}
    result = getattr(Probe(isa, kind), method)(**arguments)
    results = (*([] if result is None else [result]), *written)
    return results if len(results) > 1 else results[0]


def call(isa: str, kind: str, method: str, arguments: dict):
    """`run`, leaving the arguments alone."""
    return run(isa, kind, method, fresh(arguments))


def compute(isa: str, kind: str, method: str, arguments: dict):
    """What a tier computes, the same bits as the baseline."""
    result = call(isa, kind, method, arguments)
    expected = call(BASELINE, kind, method, arguments)
    assert bits(result) == bits(expected), f"{method}: {isa} and {BASELINE} differ"
    return result


def bits(result) -> bytes:
    """The bytes of an array or a tuple of them."""
    if isinstance(result, tuple):
        return b"".join(map(bits, result))
    return np.asarray(result).tobytes()
