# SPDX-License-Identifier: BSD-3-Clause
"""The other libraries: one adapter per library, all with the same three things to say.

An adapter module is imported only when its library is there and asked for; `LIBRARIES` names them.
Adapters share what a case means (`forms`) and, where they read the same file format, the graph
(`onnx_models`); none knows how a time is taken.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from benches.compare.peers.contract import Peer


@dataclass(frozen=True)
class Library:
    """Where an adapter is, and what it needs.

    Attributes
    ----------
    module, adapter : str
        Module below `benches.compare.peers` and the class in it.
    needs : tuple of str
        Packages that must be importable; the first is the library itself.
    own_process : bool
        Its number of threads cannot be set once it runs: it is measured in a process of its own
        for each number of threads.
    """

    module: str
    adapter: str
    needs: tuple[str, ...]
    own_process: bool = False


# In the order they take in tables, and in a round. torch and inductor come last: their OpenMP
# workers spin for some time after a call.
LIBRARIES: dict[str, Library] = {
    "onnxruntime": Library("onnx_runtime", "OnnxRuntime", ("onnxruntime", "onnx")),
    "openvino": Library("openvino", "OpenVino", ("openvino", "onnx")),
    "jax": Library("jax", "Jax", ("jax",), own_process=True),
    "torch": Library("pytorch", "Eager", ("torch",)),
    "inductor": Library("inductor", "Inductor", ("torch",)),
}


def missing(name: str) -> str | None:
    """Return why the library `name` cannot be measured here; None if it can."""
    for package in LIBRARIES[name].needs:
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed (pip install 'fastnorm[peers]')"
    return None


def installed(names: Sequence[str] = tuple(LIBRARIES)) -> list[str]:
    """Return those of `names` that can be measured here."""
    return [name for name in names if missing(name) is None]


def version(name: str) -> str:
    """Return the installed version of a library, without importing it."""
    return importlib.metadata.version(LIBRARIES[name].needs[0])


def load(name: str) -> Peer:
    """Import a library and return its adapter."""
    library = LIBRARIES[name]
    module = importlib.import_module(f"benches.compare.peers.{library.module}")
    return cast(Peer, getattr(module, library.adapter)())
