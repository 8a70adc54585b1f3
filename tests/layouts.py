# SPDX-License-Identifier: BSD-3-Clause
"""The same values in differently strided memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Layout:
    """Where an array's values lie in a larger buffer.

    order: the axes from the slowest to the fastest in memory.
    steps: per axis, the stride in neighbouring slots; negative walks backwards, 0 repeats one slot.
    pads: per axis, unused slots before and after.
    shift: bytes by which the buffer misses the alignment of its element.
    """

    order: tuple[int, ...]
    steps: tuple[int, ...]
    pads: tuple[int, ...]
    shift: int = 0
    writeable: bool = True


def dense(order: tuple[int, ...]) -> Layout:
    """No gaps, in the given memory order."""
    return Layout(order, steps=(1,) * len(order), pads=(0,) * len(order))


def c_order(ndim: int) -> tuple[int, ...]:
    """Last axis fastest."""
    return tuple(range(ndim))


def channels_last(ndim: int) -> tuple[int, ...]:
    """Memory order of an (N, C, ...) array whose channels are the fastest axis."""
    return (0, *range(2, ndim), 1) if ndim > 1 else (0,)


def views_of_same_order(order: tuple[int, ...]) -> dict[str, Layout]:
    """Views that promise the same bits as the dense array of the same memory order."""
    base = dense(order)
    ndim = len(order)
    fastest, slowest = order[-1], order[0]

    def only(axis, value, otherwise):
        return tuple(value if i == axis else otherwise for i in range(ndim))

    return {
        "padded": replace(base, pads=only(fastest, 3, 0)),
        "sliced": replace(base, pads=(2,) * ndim),
        "every second": replace(base, steps=only(fastest, 2, 1)),
        "every third row": replace(base, steps=only(slowest, 3, 1)),
        "offset": replace(base, pads=only(slowest, 1, 0)),
        "unaligned": replace(base, shift=1),
        "unaligned and padded": replace(base, shift=1, pads=only(fastest, 1, 0)),
        "read-only": replace(base, writeable=False),
        "rows reversed": replace(base, steps=only(slowest, -1, 1)),
        "reversed": replace(base, steps=(-1,) * ndim),
    }


def lay_out(values: np.ndarray, layout: Layout, fill: int = 0xFF) -> np.ndarray:
    """A view that holds `values`; the bytes around it are `fill`, which read as NaN by default.

    Along an axis of step 0 only the first of `values` is kept, and the view is read-only.
    """
    itemsize, ndim = values.dtype.itemsize, values.ndim
    steps = layout.steps
    repeated = [axis for axis in range(ndim) if steps[axis] == 0 and values.shape[axis] > 0]
    kept = values[tuple(slice(0, 1) if axis in repeated else slice(None) for axis in range(ndim))]

    slots = [
        kept.shape[axis] * max(abs(steps[axis]), 1) + 2 * layout.pads[axis] for axis in range(ndim)
    ]
    in_memory = [slots[axis] for axis in layout.order]
    size = int(np.prod(in_memory, dtype=np.intp)) * itemsize
    raw = np.full(layout.shift + size, fill, dtype=np.uint8)
    buffer = raw[layout.shift :].view(values.dtype).reshape(in_memory)
    buffer = buffer.transpose(np.argsort(layout.order))

    window = []
    for n, slot_count, step, pad in zip(kept.shape, slots, steps, layout.pads, strict=True):
        inside = range(pad, slot_count - pad, max(abs(step), 1))[:n]
        window.append(slice(inside.start, inside.stop, inside.step))
    view = buffer[tuple(window)]
    view = view[tuple(slice(None, None, -1 if step < 0 else 1) for step in steps)]
    view[...] = kept
    if repeated:
        view = np.broadcast_to(view, values.shape)
    else:
        view.flags.writeable = layout.writeable
    return view


def memory_around(view: np.ndarray) -> np.ndarray:
    """All bytes of the buffer that `lay_out` made for `view`."""
    root = view
    while root.base is not None:
        root = root.base
    return root
