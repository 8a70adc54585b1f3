# SPDX-License-Identifier: BSD-3-Clause
"""Every family has all its parts, under the names that a reader would guess.

A family is a module of `fastnorm` without a leading underscore; a new one is held to these rules by
being there.
"""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import fastnorm
from fastnorm import reference
from fastnorm.compare import catalogue
from fastnorm.compare.arguments import ARGUMENTS

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = sorted(
    path.stem
    for path in (ROOT / "fastnorm").glob("*.py")
    if not path.stem.startswith("_") and path.stem != "config"
)
# Statistics have no gradient of their own, and hold no parameters; the general form has no layer
# because the shapes of its parameters follow from each input, denormalization because all that it
# takes belongs to the layer that it undoes.
WITHOUT_BACKWARD = {"moments"}
WITHOUT_LAYER = {"moments", "standardize", "denormalize"}
# Arguments of a function that its gradient does not take.
FORWARD_ONLY = {"return_stats", "residual_out"}
# ... and the other way round: gradients with respect to results beside y.
BACKWARD_ONLY = {"stats", "dresidual"}


def layers_of(family: str) -> list[type]:
    """Return the public classes of a family's own module that run forward and backward.

    A layer that would make the module too long is in ``_<family>_layer.py``.
    """
    beside = f"fastnorm._{family}_layer"
    own = beside if importlib.util.find_spec(beside) else f"fastnorm.{family}"
    module = importlib.import_module(own)
    return [
        value
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and hasattr(value, "backward")
    ]


def parameters(function) -> list[tuple]:
    """Return the name, kind and default of each argument; annotations may differ."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def functions(family: str) -> list[str]:
    """Return the names of a family's functions."""
    return [family] if family in WITHOUT_BACKWARD else [family, f"{family}_backward"]


BOTH = [name for family in FAMILIES for name in functions(family)]


def test_the_families_of_today_are_found():
    """The rules below are parametrized from the tree: an empty list would pass them all."""
    assert set(FAMILIES) >= {
        "batch_norm",
        "group_norm",
        "instance_norm",
        "layer_norm",
        "moments",
        "rms_norm",
        "standardize",
    }


@pytest.mark.parametrize("name", BOTH)
def test_function_is_public_and_documented(name):
    function = getattr(fastnorm, name)
    assert name in fastnorm.__all__
    sections = re.findall(r"^(\w+)\n-+$", inspect.getdoc(function), re.MULTILINE)
    assert {"Parameters", "Returns", "Raises"} <= set(sections)


@pytest.mark.parametrize("name", BOTH)
def test_reference_has_the_same_signature(name):
    """What calls one calls the other with the same words."""
    assert name in reference.__all__
    assert parameters(getattr(reference, name)) == parameters(getattr(fastnorm, name))


@pytest.mark.parametrize("family", FAMILIES)
def test_reference_lives_in_the_module_of_the_same_name(family):
    for name in functions(family):
        assert getattr(reference, name).__module__ == f"fastnorm.reference.{family}"


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - WITHOUT_BACKWARD))
def test_backward_takes_dy_and_then_what_forward_takes(family):
    forward = parameters(getattr(fastnorm, family))
    backward = parameters(getattr(fastnorm, f"{family}_backward"))
    assert backward[0][0] == "dy"
    shared = [p for p in forward if p[0] not in FORWARD_ONLY]
    assert [p for p in backward[1:] if p[0] not in BACKWARD_ONLY] == shared
    keeps = any(p[0] == "return_stats" for p in forward)
    assert keeps == (("stats", inspect.Parameter.KEYWORD_ONLY, None) in backward)


@pytest.mark.parametrize("family", FAMILIES)
def test_layer_class(family):
    layers = layers_of(family)
    assert bool(layers) == (family not in WITHOUT_LAYER)
    for layer in layers:
        assert layer.__name__ in fastnorm.__all__
        assert inspect.getdoc(layer)
        for method in ("__call__", "backward", "train", "eval", "state_dict", "load_state_dict"):
            assert callable(getattr(layer, method))


@pytest.mark.parametrize("family", FAMILIES)
def test_family_is_compared_forward_and_backward(family):
    """The catalogue feeds `fastnorm compare`, the benchmarks and the tests alike."""
    cases = [case for case in catalogue.CATALOGUE if case.op == family]
    assert cases
    assert any(case.quick for case in cases)
    directions = {direction for case in cases for direction in case.directions}
    assert len(directions) == len(functions(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_family_is_tested(family):
    """By a module of its own, and by those that take every operation from a list."""
    listed = importlib.import_module("cases").OPS, importlib.import_module("families").FAMILIES
    assert family in WITHOUT_BACKWARD or any(family in ops for ops in listed)
    assert (ROOT / "tests" / f"test_{family}.py").exists()


def test_no_case_for_an_operation_that_is_gone():
    assert set(catalogue.OPS) == set(FAMILIES)
    assert set(ARGUMENTS) <= set(FAMILIES)


def test_public_names_are_sorted_and_exist():
    assert sorted(set(fastnorm.__all__)) == sorted(fastnorm.__all__)
    for name in fastnorm.__all__:
        assert hasattr(fastnorm, name)


def test_dispatch_names_the_list_of_kernels():
    """kernels.inc is the one list; what Python sees of it must not fall behind."""
    listed = (ROOT / "src" / "kernels" / "kernels.inc").read_text("utf-8")
    dispatch = importlib.import_module("fastnorm._core.dispatch")
    assert list(dispatch.PRIMITIVES) == re.findall(r"^FN_PRIMITIVE\((\w+)\)", listed, re.MULTILINE)


def compiled_modules() -> dict[str, ModuleType]:
    """Return the extension modules of `fastnorm._core` that show something to Python."""
    core = importlib.import_module("fastnorm._core")
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    files = [path for folder in core.__path__ for path in Path(folder).iterdir()]
    names = sorted({path.name.split(".")[0] for path in files if path.name.endswith(suffixes)})
    modules = {name: importlib.import_module(f"fastnorm._core.{name}") for name in names}
    return {
        name: module
        for name, module in modules.items()
        if any(not public.startswith("_") for public in vars(module))
    }


def test_every_compiled_module_that_python_uses_has_a_stub():
    modules = compiled_modules()
    assert modules
    for name in modules:
        assert (ROOT / "fastnorm" / "_core" / f"{name}.pyi").exists(), name


def test_stubs_name_what_the_compiled_modules_have():
    """A function renamed in Cython alone would leave type checkers believing in the old one."""
    for name, module in compiled_modules().items():
        stub = ast.parse((ROOT / "fastnorm" / "_core" / f"{name}.pyi").read_text("utf-8"))
        for node in stub.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert hasattr(module, node.name), f"{name}.{node.name}"
            elif isinstance(node, ast.AnnAssign):
                assert hasattr(module, node.target.id), f"{name}.{node.target.id}"
