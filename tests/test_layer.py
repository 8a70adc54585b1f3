# SPDX-License-Identifier: BSD-3-Clause
"""The layer classes: they call their function, hold its parameters, and travel as state dicts."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import fastnorm
from cases import DTYPES, assert_same_bits
from fastnorm import reference


@dataclass(frozen=True)
class Kind:
    """A layer class, how it is made for 6 channels or features, and the call it stands for."""

    name: str
    arguments: tuple[Any, ...]
    function: str
    shape: tuple[int, ...] = (4, 6, 5)
    options: tuple[tuple[str, Any], ...] = ()
    before: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return self.name

    def make(self, **keywords):
        """The layer."""
        return getattr(fastnorm, self.name)(*self.arguments, **keywords)

    def forward(self, module, x, layer, **keywords):
        """``(y, stats)`` of the function, with the layer's parameters."""
        parameters = {name: getattr(layer, name) for name in parameter_names(layer)}
        function = getattr(module, self.function)
        return function(
            x, *self.before, **parameters, **dict(self.options), return_stats=True, **keywords
        )

    def backward(self, module, dy, x, layer, **keywords):
        """The gradients of the function, with the layer's parameters."""
        parameters = {name: getattr(layer, name) for name in parameter_names(layer)}
        function = getattr(module, f"{self.function}_backward")
        return function(dy, x, *self.before, **parameters, **dict(self.options), **keywords)


def parameter_names(layer) -> tuple[str, ...]:
    """Names of the parameters that the layer's function takes."""
    return ("weight",) if isinstance(layer, fastnorm.RMSNorm) else ("weight", "bias")


KINDS = (
    Kind("LayerNorm", ((6, 5),), "layer_norm", options=(("axis", (1, 2)),)),
    Kind("RMSNorm", (5,), "rms_norm"),
    Kind("BatchNorm", (6,), "batch_norm"),
    Kind("InstanceNorm", (6,), "instance_norm"),
    Kind("GroupNorm", (3, 6), "group_norm", before=(3,)),
)


@pytest.fixture(params=KINDS, ids=str)
def kind(request) -> Kind:
    """Each layer class."""
    return request.param


def randomize(layer, rng) -> None:
    """Give the parameters values that tell entries apart."""
    for name in parameter_names(layer):
        if (parameter := getattr(layer, name)) is not None:
            parameter[...] = rng.normal(1.0, 0.5, parameter.shape)


# --- forward and backward -------------------------------------------------------------------------


def test_is_its_function(kind, dtype, rng):
    layer = kind.make()
    randomize(layer, rng)
    x, dy = rng.normal(size=(2, *kind.shape)).astype(dtype)
    expected, stats = kind.forward(fastnorm, x, layer)
    gradients = kind.backward(fastnorm, dy, x, layer, stats=stats)
    np.testing.assert_array_equal(layer(x), expected)
    dx = layer.backward(dy)
    assert dx.dtype == dtype
    np.testing.assert_array_equal(dx, gradients.x)
    wanted = {n: g for n, g in gradients._asdict().items() if n != "x" and g is not None}
    assert_same_bits(layer.grads, wanted, "grads")


def test_agrees_with_the_reference(kind, rng):
    layer = kind.make(dtype=np.float64)
    randomize(layer, rng)
    x, dy = rng.normal(size=(2, *kind.shape))
    y, dx = layer(x), layer.backward(dy)
    np.testing.assert_allclose(y, kind.forward(reference, x, layer)[0], atol=1e-12)
    gradients = kind.backward(reference, dy, x, layer)
    np.testing.assert_allclose(dx, gradients.x, atol=1e-12)
    for name, value in layer.grads.items():
        np.testing.assert_allclose(value, getattr(gradients, name), atol=1e-12, err_msg=name)


def test_grads_are_replaced_by_each_backward(kind, rng):
    layer = kind.make()
    assert layer.grads == {}
    layer(rng.normal(size=kind.shape))
    layer.backward(np.zeros(kind.shape))
    first = layer.grads
    layer.backward(np.ones(kind.shape))
    assert layer.grads is not first
    assert list(layer.grads) == list(first)
    for name, value in first.items():
        assert (value == 0).all(), name


def test_parameters_are_the_arrays_that_grads_are_of(kind, rng):
    layer = kind.make()
    layer(rng.normal(size=kind.shape))
    layer.backward(np.ones(kind.shape))
    assert list(layer.parameters()) == list(layer.grads)
    for name, value in layer.parameters().items():
        assert value is getattr(layer, name)


def test_keeps_the_input_and_not_a_copy(kind, rng):
    """The gradient of 200 MB should not cost another 200 MB between the passes."""
    x = rng.normal(size=kind.shape)
    layer = kind.make()
    layer(x)
    assert any(saved is x for saved in layer._saved)


def test_backward_before_forward_is_an_error(kind):
    with pytest.raises(RuntimeError, match=rf"{kind.name}.*call the layer"):
        kind.make().backward(np.zeros(kind.shape, np.float32))


def test_an_input_that_does_not_fit_is_an_error(kind, rng):
    for x in (rng.normal(size=(4, 7, 7)), np.zeros(kind.shape, int)):
        layer = kind.make()
        with pytest.raises((ValueError, TypeError), match=r"^x "):
            layer(x)
        assert layer._saved is None


@pytest.mark.parametrize("affine", [True, False])
def test_with_and_without_parameters(kind, affine):
    word = "elementwise_affine" if kind.name in ("LayerNorm", "RMSNorm") else "affine"
    layer = kind.make(**{word: affine})
    for name in parameter_names(layer):
        parameter = getattr(layer, name)
        assert (parameter is not None) == affine
        if affine:
            assert parameter.dtype == np.float32
            assert (parameter == (1 if name == "weight" else 0)).all()
    assert (len(layer.state_dict()) > 0) == (affine or kind.name == "BatchNorm")


def test_layer_norm_without_bias(rng):
    layer = fastnorm.LayerNorm(5, bias=False)
    layer(rng.normal(size=(2, 5)))
    layer.backward(np.ones((2, 5)))
    assert list(layer.grads) == list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize("kind_of_parameter", [*DTYPES, "bfloat16"], ids=str)
def test_type_of_the_parameters(kind, kind_of_parameter, rng):
    layer = kind.make(dtype=kind_of_parameter)
    wanted = ml_dtypes.bfloat16 if kind_of_parameter == "bfloat16" else kind_of_parameter
    layer(rng.normal(size=kind.shape).astype(np.float32))
    layer.backward(np.ones(kind.shape, np.float32))
    arrays = {**layer.state_dict(), **layer.grads}
    arrays.pop("num_batches_tracked", None)
    assert {value.dtype for value in arrays.values()} <= {np.dtype(wanted)}


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: fastnorm.LayerNorm(0), ValueError, "normalized_shape must be at least 1, got 0"),
        (lambda: fastnorm.LayerNorm(()), ValueError, "normalized_shape"),
        (lambda: fastnorm.LayerNorm(5.0), TypeError, "normalized_shape must be an integer"),
        (lambda: fastnorm.RMSNorm(5, eps=-1.0), ValueError, "eps .* got -1.0"),
        (lambda: fastnorm.BatchNorm(3, momentum=2.0), ValueError, "momentum .* got 2.0"),
        (lambda: fastnorm.BatchNorm(True), TypeError, "num_features must be an integer"),
        (lambda: fastnorm.InstanceNorm(3, channel_axis="last"), TypeError, "channel_axis"),
        (lambda: fastnorm.GroupNorm(3, 64), ValueError, "num_groups=3 does not divide the 64"),
        (lambda: fastnorm.LayerNorm(5, dtype=np.int32), TypeError, "dtype is int32"),
    ],
)
def test_refuses_what_makes_no_sense(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_channels_last(rng):
    x = rng.normal(size=(4, 6, 5))
    for first, last in (
        (fastnorm.BatchNorm(6), fastnorm.BatchNorm(6, channel_axis=-1)),
        (fastnorm.InstanceNorm(6), fastnorm.InstanceNorm(6, channel_axis=-1)),
        (fastnorm.GroupNorm(2, 6), fastnorm.GroupNorm(2, 6, channel_axis=-1)),
    ):
        y = np.moveaxis(last(np.moveaxis(x, 1, -1)), -1, 1)
        np.testing.assert_allclose(first(x), y, atol=1e-13)


def test_train_and_eval(kind):
    layer = kind.make()
    assert layer.training
    assert layer.eval() is layer
    assert not layer.training
    assert layer.train() is layer
    assert layer.training
    assert not layer.train(False).training


# --- state dicts ----------------------------------------------------------------------------------


def trained(kind: Kind, rng):
    """A layer none of whose arrays is as it was made."""
    layer = kind.make(**({"affine": True} if kind.name == "InstanceNorm" else {}))
    randomize(layer, rng)
    layer(rng.normal(2.0, 3.0, kind.shape))
    return layer


def test_state_dict_round_trip(kind, rng):
    layer, other = trained(kind, rng), trained(kind, rng)
    state = layer.state_dict()
    other.load_state_dict(state)
    assert_same_bits(other.state_dict(), state, "the state")
    x = rng.normal(size=kind.shape)
    np.testing.assert_array_equal(other.eval()(x), layer.eval()(x))


def test_state_dict_is_a_copy(kind, rng):
    layer = trained(kind, rng)
    state = layer.state_dict()
    kept = copy.deepcopy(state)
    for name in state:
        getattr(layer, name)[...] = 7
    assert_same_bits(state, kept, "the copy")


def test_loading_writes_into_the_arrays_of_the_layer(kind, rng):
    """An optimizer that holds them goes on seeing them."""
    layer, state = trained(kind, rng), trained(kind, rng).state_dict()
    arrays = {name: getattr(layer, name) for name in state}
    layer.load_state_dict(state)
    for name, array in arrays.items():
        assert getattr(layer, name) is array
        assert array is not state[name]


def test_loading_keeps_the_type_of_the_layer(rng):
    layer = fastnorm.LayerNorm(4, dtype=np.float16)
    layer.load_state_dict({"weight": np.full(4, 0.5), "bias": np.ones(4, ml_dtypes.bfloat16)})
    assert layer.weight.dtype == layer.bias.dtype == np.float16
    assert (layer.weight == 0.5).all()


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda s: s.pop("running_var"), ValueError, r"lacks \['running_var'\]"),
        (lambda s: s.update(gain=s["weight"]), ValueError, r"unexpected \['gain'\]"),
        (
            lambda s: s.update(bias=np.ones(3)),
            ValueError,
            r"bias has shape \(3,\), expected \(6,\)",
        ),
        (lambda s: s.update(weight=np.ones(6, int)), TypeError, "weight has dtype int64"),
        (lambda s: s.update(num_batches_tracked=np.array(1.5)), TypeError, "num_batches_tracked"),
        (lambda s: s.update(weight=[1.0] * 6), TypeError, "weight must be an array"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, match, rng):
    layer = fastnorm.BatchNorm(6)
    before = layer.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    change(state)
    with pytest.raises(error, match=match):
        layer.load_state_dict(state)
    assert_same_bits(layer.state_dict(), before, "the state")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
def test_layers_can_be_copied(kind, duplicate, rng):
    layer = trained(kind, rng)
    twin = duplicate(layer)
    dy = rng.normal(size=kind.shape)
    np.testing.assert_array_equal(twin.backward(dy), layer.backward(dy))
    twin.weight[...] = 0
    assert (layer.weight != 0).all()


def test_repr_names_the_arguments():
    assert repr(fastnorm.GroupNorm(2, 4)) == (
        "GroupNorm(num_groups=2, num_channels=4, eps=1e-05, affine=True, channel_axis=1)"
    )
    layer = fastnorm.LayerNorm((3, 4), eps=0.5)
    assert repr(eval(repr(layer), vars(fastnorm))) == repr(layer)


# --- PyTorch --------------------------------------------------------------------------------------

MODULES = {
    "LayerNorm": lambda nn: nn.LayerNorm((6, 5)),
    "RMSNorm": lambda nn: nn.RMSNorm(5, eps=1e-6),
    "BatchNorm": lambda nn: nn.BatchNorm1d(6),
    "InstanceNorm": lambda nn: nn.InstanceNorm1d(6, affine=True),
    "GroupNorm": lambda nn: nn.GroupNorm(3, 6),
}


def test_state_dicts_go_to_pytorch_and_back(kind, rng):
    torch = pytest.importorskip("torch")
    module = MODULES[kind.name](torch.nn)
    layer = trained(kind, rng)
    state = layer.state_dict()
    assert list(state) == list(module.state_dict())
    module.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})

    other = trained(kind, rng)
    other.load_state_dict(module.state_dict())
    assert_same_bits(other.state_dict(), state, "the state from PyTorch")

    x = rng.normal(size=kind.shape).astype(np.float32)
    for mode in (True, False):
        expected = module.train(mode)(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(other.train(mode)(x), expected, atol=1e-5)
    for name, value in module.state_dict().items():
        np.testing.assert_allclose(other.state_dict()[name], value.numpy(), atol=1e-5)
