# SPDX-License-Identifier: BSD-3-Clause
"""What one line of the catalogue says: an operation, a shape, and where they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Direction = Literal["forward", "backward"]


@dataclass(frozen=True)
class Case:
    """One call to measure: an operation, a shape and the arguments that select the statistics.

    Attributes
    ----------
    name : str
        Unique and stable; what benchmark histories and JSON files call this case.
    op : str
        Name of the function in `fastnorm`, `fastnorm.reference` and `numpy_twin`.
    shape : tuple of int
        Shape of x.
    model : str
        Where the shape comes from.
    options : mapping
        Keyword arguments of the function beside the arrays: axis, num_groups, channel_axis,
        training.
    affine : tuple of int, optional
        For `standardize`, whose parameters may have any shape that broadcasts: theirs. None: no
        parameters. The other operations derive it from `shape` and `options`.
    quick : bool
        Part of ``fastnorm compare --quick``.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    affine: tuple[int, ...] | None = None
    quick: bool = False

    @property
    def directions(self) -> tuple[Direction, ...]:
        """What can be measured; statistics alone have no gradient of their own."""
        return ("forward",) if self.op == "moments" else ("forward", "backward")

    @property
    def size(self) -> int:
        """Number of values in x."""
        return math.prod(self.shape)

    @property
    def label(self) -> str:
        """The shape and what distinguishes the call, for a table: ``2x320x64x64 G=32``."""
        words = ["x".join(map(str, self.shape))]
        axis = self.options.get("axis", -1)
        if axis is None or isinstance(axis, Sequence):
            words.append("all axes" if axis is None else f"axes={','.join(map(str, axis))}")
        elif axis != -1:
            words.append(f"axis={axis}")
        if "num_groups" in self.options:
            words.append(f"G={self.options['num_groups']}")
        channel_axis = self.options.get("channel_axis", 1)
        if channel_axis == -1:
            words.append("last")
        elif channel_axis != 1:
            words.append(f"C at {channel_axis}")
        if not self.options.get("training", True):
            words.append("eval")
        return " ".join(words)
