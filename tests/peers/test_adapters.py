# SPDX-License-Identifier: BSD-3-Clause
"""Every adapter computes what it is compared for: small shapes against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest

from benches.compare import peers
from benches.compare.contest import Bench
from benches.compare.peers.contract import Unsupported
from benches.compare.peers.forms import OPS, form
from benches.compare.peers.ours import Ours
from fastnorm.compare.case import Case
from fastnorm.compare.catalogue import CATALOGUE
from fastnorm.compare.grid import GRID
from fastnorm.compare.problem import build

LAST = {"channel_axis": -1}
EVAL = {"training": False}
CASES = [
    Case("rows", "layer_norm", (6, 40), "", {"axis": -1}),
    Case("over channels", "layer_norm", (2, 12, 4, 5), "", {"axis": 1}),
    Case("three axes", "layer_norm", (2, 12, 4, 5), "", {"axis": (1, 2, 3)}),
    Case("heads", "rms_norm", (6, 4, 40), "", {"axis": -1}),
    Case("training", "batch_norm", (4, 8, 5, 5), ""),
    Case("training, last", "batch_norm", (4, 5, 5, 8), "", LAST),
    Case("evaluation", "batch_norm", (4, 8, 5, 5), "", EVAL),
    Case("evaluation, last", "batch_norm", (4, 5, 5, 8), "", LAST | EVAL),
    Case("features", "batch_norm", (12, 8), ""),
    Case("planes", "instance_norm", (3, 8, 5, 5), ""),
    Case("planes, last", "instance_norm", (3, 5, 5, 8), "", LAST),
    Case("groups", "group_norm", (3, 8, 5, 5), "", {"num_groups": 4}),
    Case("groups, last", "group_norm", (3, 5, 5, 8), "", {"num_groups": 4, **LAST}),
    Case("images", "standardize", (3, 8, 5, 5), "", {"axis": (2, 3)}, affine=(8, 1, 1)),
    Case("series", "standardize", (3, 8, 5), "", {"axis": 1}, affine=(5,)),
    Case("statistics", "moments", (3, 8, 5), "", {"axis": (0, 2)}),
]
CALLS = [
    pytest.param(case, direction, id=f"{case.op} {case.name} {direction}")
    for case in CASES
    for direction in case.directions
]
# Compiling takes a second each: one call of every way that the adapter knows.
COMPILED = {
    "layer_norm rows backward",
    "rms_norm heads backward",
    "batch_norm training, last forward",
    "standardize series backward",
    "moments statistics forward",
}
pytestmark = pytest.mark.filterwarnings("ignore")  # those of the other libraries are theirs


@pytest.fixture(scope="module")
def adapters():
    """Adapters by name, each library imported when it is first asked for."""
    return {}


@pytest.fixture
def adapter(request, adapters):
    name = request.param
    why = peers.missing(name)
    if why is not None:
        pytest.skip(why)
    if name not in adapters:
        adapters[name] = peers.load(name)
    return adapters[name]


def share(adapter, case, direction, dtype="float32", sets=1):
    """The error of every set of arrays as a share of its bound: the largest."""
    bench = Bench(case, dtype)
    prepared = adapter.prepare([build(case, np.dtype(dtype))] * sets, direction, 1)
    assert len(prepared.calls) == sets
    return bench.error(prepared, direction).share


@pytest.mark.parametrize("adapter", [n for n in peers.LIBRARIES if n != "inductor"], indirect=True)
@pytest.mark.parametrize(("case", "direction"), CALLS)
def test_result_is_that_of_the_reference(adapter, case, direction):
    """Or the library says why it has none; those that compute gradients have all."""
    try:
        largest = share(adapter, case, direction)
    except Unsupported:
        if type(adapter).__name__ not in ("OnnxRuntime", "OpenVino"):
            raise
    else:
        assert largest <= 1


@pytest.mark.parametrize("adapter", ["inductor"], indirect=True)
@pytest.mark.parametrize(
    ("case", "direction"),
    [call for call in CALLS if call.id in COMPILED],
)
def test_compiled_result_is_that_of_the_reference(adapter, case, direction):
    assert share(adapter, case, direction) <= 1


@pytest.mark.parametrize("out", [True, False])
@pytest.mark.parametrize(("case", "direction"), CALLS)
def test_our_own_result_goes_the_same_way(out, case, direction):
    assert share(Ours(out=out), case, direction) <= 1


@pytest.mark.parametrize("adapter", ["onnxruntime", "openvino"], indirect=True)
def test_what_a_library_cannot_do_has_a_reason(adapter):
    for case, direction, reason in (
        (CASES[0], "backward", "no gradients"),
        (CASES[4], "forward", "statistics of the batch"),
        (CASES[10], "forward", "N, C"),
    ):
        with pytest.raises(Unsupported, match=reason):
            share(adapter, case, direction)


@pytest.mark.parametrize("adapter", ["torch", "jax"], indirect=True)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("op", ["layer_norm", "rms_norm", "batch_norm", "group_norm"])
def test_sixteen_bits(adapter, op, dtype):
    """Forward alone: torch sums the parameters' gradients of layer norm in the type of x."""
    pytest.importorskip("ml_dtypes", reason="bfloat16 comes with the extra fastnorm[bf16]")
    case = next(case for case in CASES if case.op == op)
    assert share(adapter, case, "forward", dtype) <= 1


def test_numbers_as_onnx_runtime_takes_them():
    """float16 alone, and parameters in it."""
    why = peers.missing("onnxruntime")
    if why is not None:
        pytest.skip(why)
    adapter = peers.load("onnxruntime")
    assert share(adapter, CASES[0], "forward", "float16") <= 1
    pytest.importorskip("ml_dtypes", reason="bfloat16 comes with the extra fastnorm[bf16]")
    with pytest.raises(Unsupported, match="bfloat16"):
        share(adapter, CASES[0], "forward", "bfloat16")


@pytest.mark.parametrize("adapter", ["onnxruntime", "openvino", "torch", "jax"], indirect=True)
def test_every_set_of_arrays_has_a_call_of_its_own(adapter):
    case = CASES[0]
    problems = [build(case, np.dtype(np.float32), values) for values in np.float32(
        np.random.default_rng(1).standard_normal((3, *case.shape))
    )]  # fmt: skip
    prepared = adapter.prepare(problems, "forward", 1)
    results = [prepared.read(call())["y"].copy() for call in prepared.calls]
    for problem, result in zip(problems, results, strict=True):
        ours = Ours(out=False).prepare([problem], "forward", 1).calls[0]()
        assert np.allclose(result, ours, atol=1e-5)


@pytest.mark.parametrize(
    "case", [case for case in (*CATALOGUE, *GRID) if case.op in OPS], ids=lambda case: case.name
)
def test_form_names_axes_of_the_statistics(case):
    shape = form(case)
    assert all(0 <= axis < shape.ndim for axis in shape.axes)
    assert sorted(shape.order) == list(range(shape.ndim))
    assert [shape.order[axis] for axis in shape.inverse] == list(range(shape.ndim))
