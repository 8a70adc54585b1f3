# SPDX-License-Identifier: BSD-3-Clause
"""The same bits on every ISA tier, stored past the cache or not: digests of many calls."""

from __future__ import annotations

import json
import math
from itertools import product

import numpy as np

import fastnorm
from cases import DTYPES, Arguments, Case, catalogue, digest, draw, everything
from sizes import SMALL_MAPS

# Printed by a child process on one tier each; the test compares what they print.
PRINT_DIGESTS = """
import json
from test_tiers import tier_digests
print(json.dumps(tier_digests()))
"""


def tier_digests() -> dict[str, str]:
    """Digests of a fixed set of calls: the catalogue, odd shapes, special values, every type."""
    digests = {}
    shapes = {**catalogue(limit=2**14), **{str(case): case for case in odd_cases()}}
    for name, case in shapes.items():
        for kind in DTYPES:
            rng = np.random.default_rng(math.prod(case.shape))
            arguments = draw(case, rng, kind, mean=3.0)
            digests[f"{name} {kind}"] = digest(everything(case, arguments))
            wide = draw(case, rng, kind, parameter_dtype=np.float32)
            digests[f"{name} {kind}, float32 parameters"] = digest(everything(case, wide))
    # Groups of several pieces beside each other: by group, or in the order of memory.
    for shape, training in product(((20, 6, 4000), (70, 6, 1000)), (True, False)):
        case = Case("batch_norm", shape, {"channel_axis": 1, "training": training})
        arguments = draw(case, np.random.default_rng(1), np.float32, mean=3.0)
        digests[f"pieces side by side, {case}"] = digest(everything(case, arguments))
    for kind in DTYPES:
        digests |= own_sums(kind)
        for name, x in special_values(kind).items():
            case = Case("layer_norm", x.shape, {"axis": -1})
            arguments = Arguments(x, np.ones_like(x), {"weight": None, "bias": None})
            digests[f"{name} {kind}"] = digest(everything(case, arguments))
            pair = zip(("y", "sum"), fastnorm.add_layer_norm(x, x[::-1]), strict=True)
            digests[f"{name} {kind}, as a sum"] = digest(dict(pair))
            over = x.copy()
            pair = zip(
                ("y", "sum"), fastnorm.add_layer_norm(over, x[::-1], residual_out=over), strict=True
            )
            digests[f"{name} {kind}, as a sum in place"] = digest(dict(pair))
    return digests


def own_sums(kind) -> dict[str, str]:
    """Gradients of rows that may make their own sums: in cache long ones, past it any of whole
    vectors; with all that a gradient may have besides. Rows of many blocks, whose parameters have
    sums, may lie along two axes, of whole blocks or not."""
    rng = np.random.default_rng(2)
    digests = {}
    for samples, rows, n in product((1, 3), (300, 64, 40), (96, 384)):
        weight, bias = rng.standard_normal((2, n)).astype(kind)
        x, dy = rng.standard_normal((2, samples, rows + 1, n)).astype(kind)[:, :, :rows]
        gradients = fastnorm.layer_norm_backward(dy, x, weight, bias)
        digests[f"{samples} x {rows} x {n} {kind}"] = digest(gradients._asdict())
    for n in (96, 520, 1024):
        x, dy, more = rng.standard_normal((3, 37, n)).astype(kind)
        weight, bias = rng.standard_normal((2, n)).astype(kind)
        calls = {
            "alone": fastnorm.layer_norm_backward(dy, x),
            "raw": fastnorm.rms_norm_backward(dy, x, weight),
            "relu": fastnorm.layer_norm_backward(dy, x, weight, bias, activation="relu"),
            "relu alone": fastnorm.layer_norm_backward(dy, x, activation="relu"),
            "residual": fastnorm.add_layer_norm_backward(dy, x, more, weight, bias, dresidual=more),
        }
        # A sample alone: each channel is one such row.
        x, dy = x[np.newaxis], dy[np.newaxis]
        weight, bias, mean = rng.standard_normal((3, 37)).astype(kind)
        for training in (True, False):
            calls[f"channels, {training}"] = fastnorm.batch_norm_backward(
                dy, x, weight, bias, mean, np.square(bias), training=training
            )
        for name, gradients in calls.items():
            some = {key: value for key, value in gradients._asdict().items() if value is not None}
            digests[f"{name} {n} {kind}"] = digest(some)
    return digests


def odd_cases():
    """Shapes one off a vector, a block, a tile, in both layouts."""
    for n in (1, 7, 15, 17, 63, 65, 1023, 1025, 2065):
        yield Case("layer_norm", (3, n), {"axis": -1})
        yield Case("layer_norm", (n, 3), {"axis": 0})
        yield Case("rms_norm", (5, n), {"axis": 0})
        yield Case("batch_norm", (3, n, 5), {"channel_axis": 1})
        yield Case("batch_norm", (3, 5, n), {"channel_axis": -1})
        yield Case("instance_norm", (2, n, 3), {"channel_axis": 1})
    for n in (17, 83):  # runs that lie beside those of the next channel
        yield Case("batch_norm", (5, 9, n), {"channel_axis": 1})
    for shape, groups in SMALL_MAPS.values():
        if math.prod(shape) < 2**14:
            yield Case("group_norm", shape, {"num_groups": groups})


def special_values(kind) -> dict[str, np.ndarray]:
    """Rows with NaN, Inf, subnormals, the largest values, constants: short ones, and such as are
    written in turn when all is stored past the cache."""
    return {
        f"{name}, {n}": rows for n in (77, 333) for name, rows in special_rows(kind, 9, n).items()
    }


def special_rows(kind, count: int, n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((count, n)).astype(kind)
    largest = np.float64(np.finfo(np.float16).max if kind == np.float16 else 1e38)
    tiny = rows * np.asarray(6e-8 if kind == np.float16 else 1e-39, kind)
    huge = (np.sign(rows.astype(float)) * largest).astype(kind)
    spoilt = rows.copy()
    spoilt[1, 3], spoilt[3, 70], spoilt[5, 0] = np.nan, np.inf, -np.inf
    return {"tiny": tiny, "huge": huge, "NaN and Inf": spoilt, "constant": np.full_like(rows, 0.1)}


# Stores past the cache never, and always.
STREAMING = {"FASTNORM_STREAM_THRESHOLD": str(2**62)}, {"FASTNORM_STREAM_THRESHOLD": "0"}


def test_isa_tiers_and_ways_to_store(run_python):
    expected = tier_digests()
    assert len(expected) > 100
    for tier in fastnorm.show_config("dicts")["isa_available"]:
        for streaming in STREAMING:
            child = run_python(PRINT_DIGESTS, FASTNORM_ISA=tier, **streaming)
            actual = json.loads(child.stdout)
            different = {name for name in expected if actual[name] != expected[name]}
            assert not different, f"{tier}, {streaming}"
