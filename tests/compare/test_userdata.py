# SPDX-License-Identifier: BSD-3-Clause
"""The user's own arrays: what is read, what is converted, what is refused and in which words."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from fastnorm.compare.catalogue import OPS
from fastnorm.compare.userdata import OPTIONS, InputError, load_problems

F32 = np.dtype(np.float32)
BF16 = np.dtype(ml_dtypes.bfloat16)


@pytest.fixture
def saved(tmp_path):
    """Save an array, or a dict of arrays, and return the path."""

    def save(data):
        if isinstance(data, dict):
            path = tmp_path / "data.npz"
            np.savez(path, **data)
        else:
            path = tmp_path / "data.npy"
            np.save(path, data)
        return path

    return save


def test_every_operation_has_its_options():
    assert set(OPTIONS) == set(OPS)


def test_array_is_taken_as_it_is(saved, rng):
    x = rng.standard_normal((4, 6))
    (problem,) = load_problems(saved(x), "layer_norm", {}, None)
    assert np.array_equal(problem.x, x)
    assert problem.x.dtype == np.float64
    assert problem.case.name == "data.npy"
    assert problem.case.options == {"axis": -1}


def test_every_array_of_an_npz(saved, rng):
    arrays = {name: rng.standard_normal((3, 8), dtype=np.float32) for name in ("a", "b")}
    problems = load_problems(saved(arrays), "rms_norm", {"axis": 0}, None)
    assert [problem.case.name for problem in problems] == ["data.npz[a]", "data.npz[b]"]
    assert all(problem.case.options == {"axis": 0} for problem in problems)


def test_memory_order_is_kept(saved, rng):
    x = np.asfortranarray(rng.standard_normal((4, 6), dtype=np.float32))
    (problem,) = load_problems(saved(x), "layer_norm", {}, None)
    assert problem.x.flags.f_contiguous
    assert problem.dy.flags.f_contiguous
    assert problem.buffer().flags.f_contiguous


def test_big_endian_becomes_native(saved, rng):
    x = rng.standard_normal((4, 6)).astype(">f4")
    (problem,) = load_problems(saved(x), "layer_norm", {}, None)
    assert problem.x.dtype == F32
    assert problem.x.dtype.isnative
    assert np.array_equal(problem.x, x)


def test_conversion_on_request(saved):
    (problem,) = load_problems(saved(np.arange(24).reshape(4, 6)), "layer_norm", {}, F32)
    assert problem.x.dtype == F32


def test_bfloat16_is_recognized_on_request(saved, rng):
    x = rng.standard_normal((4, 6)).astype(BF16)
    path = saved(x)
    (problem,) = load_problems(path, "layer_norm", {}, BF16)
    assert np.array_equal(problem.x, x)
    with pytest.raises(InputError, match="--dtype bfloat16"):
        load_problems(path, "layer_norm", {}, None)


@pytest.mark.parametrize(
    ("op", "options", "words"),
    [
        ("layer_norm", {"axis": 2}, "axis"),
        ("layer_norm", {"axis": (0, 0)}, "axis"),
        ("layer_norm", {"channel_axis": 1}, "layer_norm takes no --channel-axis"),
        ("batch_norm", {"axis": 1}, "batch_norm takes no --axis"),
        ("group_norm", {}, "group_norm needs --num-groups"),
        ("group_norm", {"num_groups": 4}, "num_groups"),
        ("standardize", {}, "standardize needs --axis"),
        ("instance_norm", {}, "data.npy"),
        ("batch_norm", {"channel_axis": 5}, "channel_axis"),
    ],
)
def test_options_that_do_not_fit(op, options, words, saved):
    with pytest.raises(InputError, match=words):
        load_problems(saved(np.ones((4, 6), np.float32)), op, options, None)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.arange(6).reshape(2, 3), "is int64: convert it with --dtype"),
        (np.ones((2, 3), complex), "is complex128"),
        (np.ones((2, 0), np.float32), "nothing to measure"),
        (np.array(["a", "b"]), "convert it"),
        ({}, "holds no arrays"),
    ],
)
def test_data_that_cannot_be_measured(data, words, saved):
    with pytest.raises(InputError, match=words):
        load_problems(saved(data), "layer_norm", {}, None)


def test_complex_is_not_made_real(saved):
    with pytest.raises(InputError, match="not real numbers"):
        load_problems(saved(np.ones((2, 3), complex)), "layer_norm", {}, F32)


@pytest.mark.parametrize(
    "content", [b"", b"no array", b"\x93NUMPY\x01\x00v\x00{'descr'", b"PK\x03\x04 cut off"]
)
def test_unreadable_file(content, tmp_path):
    path = tmp_path / "broken.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.npy") as caught:
        load_problems(path, "layer_norm", {}, None)
    assert "\n" not in str(caught.value)


def test_objects_are_not_unpickled(tmp_path):
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"objects\.npy"):
        load_problems(path, "layer_norm", {}, F32)
