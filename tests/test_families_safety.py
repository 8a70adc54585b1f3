# SPDX-License-Identifier: BSD-3-Clause
"""Every family is safe to embed: bad values, bad arguments, memory, layers, state dicts."""

from __future__ import annotations

import inspect
import math
import tracemalloc

import numpy as np
import pytest

import fastnorm
from cases import assert_same_bits, same_bits
from family_calls import backward, every_call, every_family, forward

WITHOUT_LAYER = "the family has no layer, for a reason that tests/test_symmetry.py gives"
SCRATCH = 8 * 2**20  # blocks of all threads and the small arrays


@every_call
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_spoilt_value_stays_in_its_group(family, case, poison):
    dy, x, arguments = family.draw(case, np.float32)
    numbers = np.broadcast_to(family.groups(case.shape, case.options), case.shape)
    spoilt = x.copy()
    at = tuple(n // 2 for n in case.shape)
    spoilt[at] = poison
    outside = numbers != numbers[at]
    y, bad = (forward(fastnorm, family, case, values, arguments) for values in (x, spoilt))
    assert same_bits(bad[outside], y[outside])
    if np.isnan(poison):
        assert np.isnan(bad[at])
    good, bad = (backward(fastnorm, family, case, dy, v, arguments)[0] for v in (x, spoilt))
    assert same_bits(bad[outside], good[outside])


@every_family
def test_empty_arrays_give_empty_results(family):
    shape, options = family.calls[0]
    case = family.case((0, *shape[1:]), options)
    dy, x, arguments = family.draw(case, np.float32)
    y = forward(fastnorm, family, case, x, arguments)
    assert y.shape == x.shape
    gradients = backward(fastnorm, family, case, dy, x, arguments)
    assert gradients[0].shape == x.shape
    for name, gradient in zip(gradients._fields[1:], gradients[1:], strict=True):
        assert gradient is None or not gradient.any(), name


def refused(family, case, error, word, x, arguments, **options):
    """A call must raise, name the argument, and write nothing."""
    held = family.copied(arguments)
    out = options.get("out")
    before = None if not isinstance(out, np.ndarray) else out.tobytes()
    with pytest.raises(error, match=word):
        getattr(fastnorm, family.op)(x, **held, **(dict(case.options) | options))
    for name, value in held.items():
        if isinstance(value, np.ndarray):
            assert value.tobytes() == arguments[name].tobytes(), name
    assert before is None or before == out.tobytes()


@every_family
def test_bad_arguments(family):
    case = family.cases[0]
    dy, x, arguments = family.draw(case, np.float32)
    first = next(iter(inspect.signature(getattr(fastnorm, family.op)).parameters))
    refused(family, case, TypeError, first, x.tolist(), arguments)
    refused(family, case, TypeError, f"{first}.*int64", x.astype(np.int64), arguments)
    refused(family, case, TypeError, "out", x, arguments, out=x.tolist())
    refused(family, case, TypeError, "out.*float64", x, arguments, out=np.zeros(x.shape))
    wrong = np.zeros((*x.shape, 2), x.dtype)
    refused(family, case, ValueError, "out", x, arguments, out=wrong)
    fixed = np.zeros_like(x)
    fixed.flags.writeable = False
    refused(family, case, ValueError, "read-only", x, arguments, out=fixed)
    names = inspect.signature(getattr(fastnorm, family.op)).parameters
    if "eps" in names:
        for bad in (-1.0, math.nan, math.inf):
            refused(family, case, ValueError, "eps", x, arguments, eps=bad)
        refused(family, case, TypeError, "eps", x, arguments, eps="1")
    if "channel_axis" in names:
        refused(family, case, np.exceptions.AxisError, "channel_axis", x, arguments, channel_axis=9)
        refused(family, case, TypeError, "channel_axis", x, arguments, channel_axis=1.0)
    for argument in family.arguments:
        value = arguments.get(argument.name)
        if not isinstance(value, np.ndarray):
            continue
        longer = np.zeros(tuple(n + 1 for n in value.shape) or (7, 7), value.dtype)
        refused(family, case, ValueError, argument.name, x, {**arguments, argument.name: longer})
        letters = np.full(value.shape, "a")
        refused(family, case, TypeError, argument.name, x, {**arguments, argument.name: letters})
    for bad, error in ((dy[:-1], ValueError), (dy.astype(np.float64), TypeError)):
        with pytest.raises(error, match="dy"):
            backward(fastnorm, family, case, bad, x, arguments)


@every_family
def test_no_copy_of_the_input(family):
    """NumPy tells tracemalloc of every array it allocates."""
    shape, options = family.shared
    factor = -(-(2**23) // math.prod(shape))  # 32 MB of float32
    case = family.case((shape[0] * factor, *shape[1:]), options)
    dy, x, arguments = family.draw(case, np.float32)
    for function in (
        lambda: getattr(fastnorm, family.op)(x, **family.copied(arguments), **case.options),
        lambda: backward(fastnorm, family, case, dy, x, arguments),
    ):
        tracemalloc.start()
        results = function()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        results = results if isinstance(results, tuple) else (results,)
        arrays = {id(result): result.nbytes for result in results if result is not None}
        beside = peak - sum(arrays.values())
        assert beside <= SCRATCH, f"{beside / 2**20:.1f} MB beside the output"


@every_call
def test_layer_is_its_function(family, case):
    if family.layer is None:
        pytest.skip(WITHOUT_LAYER)
    dy, x, arguments = family.draw(case, np.float32)
    layer, inputs = family.made(case, x, arguments)
    y = layer(*inputs)
    assert same_bits(y[0] if family.several else y, forward(fastnorm, family, case, x, arguments))
    gradients = backward(fastnorm, family, case, dy, x, arguments)
    assert same_bits(layer.backward(dy), gradients[0])
    for name, field in family.learned:
        assert same_bits(layer.grads[name], getattr(gradients, field)), name
    # A further input, such as a style, has a gradient and is no parameter.
    own = {name: getattr(layer, name) for name in layer.grads if hasattr(layer, name)}
    assert list(layer.parameters()) == list(own)
    assert all(value is own[name] for name, value in layer.parameters().items())
    assert repr(layer).startswith(type(layer).__name__)


@every_family
def test_state_dict_survives_a_file(family, tmp_path):
    if family.layer is None:
        pytest.skip(WITHOUT_LAYER)
    numpy_files = pytest.importorskip("safetensors.numpy", reason="needs safetensors")
    case = family.cases[0]
    _, x, arguments = family.draw(case, np.float32)
    layer, inputs = family.made(case, x, arguments)
    layer(*inputs)
    state = layer.state_dict()
    numpy_files.save_file(state, tmp_path / "state.safetensors")
    loaded = numpy_files.load_file(tmp_path / "state.safetensors")
    other, _ = family.made(case, x, arguments)
    for value in other.state_dict().values():
        value[...] = 0
    other.load_state_dict(loaded)
    assert_same_bits(other.state_dict(), state, "after a file")
