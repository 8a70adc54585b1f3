# SPDX-License-Identifier: BSD-3-Clause
"""Places in memory in which a kernel that reads or writes too far is caught.

A place takes values; it returns a view that holds them, and all bytes around it and in it.
Those around it read as NaN.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from dataclasses import replace

import numpy as np

from layouts import c_order, dense, lay_out, memory_around

LINE = 64  # bytes of the cache, and of a streamed store
FILL = 0xFF  # NaN in every type
PROTECTS = sys.platform == "linux"


def among_nan(values: np.ndarray, pad: int = 19, shift: int = 0):
    """Between NaN, every row too; shift: bytes by which the values miss their alignment."""
    pads = (0,) * (values.ndim - 1) + (pad,)
    view = lay_out(values, replace(dense(c_order(values.ndim)), pads=pads, shift=shift), FILL)
    return view, memory_around(view)


def misaligned(values: np.ndarray):
    """Between NaN, at an odd address."""
    return among_nan(values, shift=1)


def in_lines(values: np.ndarray, start: int):
    """Every row `start` values behind the beginning of a line, a whole number of lines apart."""
    rows, n = values.shape
    item = values.itemsize
    row_bytes = (-(-(start + n) * item // LINE) + 1) * LINE
    raw = np.full(rows * row_bytes + LINE, FILL, dtype=np.uint8)
    lines = raw[-raw.ctypes.data % LINE :][: rows * row_bytes]
    view = lines.view(values.dtype).reshape(rows, row_bytes // item)[:, start : start + n]
    view[...] = values
    return view, raw


def dense_rows(values: np.ndarray, start: int):
    """Rows that follow each other, the first `start` bytes behind the beginning of a line."""
    raw = np.full(values.nbytes + 3 * LINE, FILL, np.uint8)
    at = -raw.ctypes.data % LINE + start
    view = raw[at : at + values.nbytes].view(values.dtype).reshape(values.shape)
    view[...] = values
    return view, raw


def next_to_protected(values: np.ndarray, last: bool):
    """On pages of their own, up to the end or from the start, between pages nobody may touch."""
    page = mmap.PAGESIZE
    inner = -(-values.nbytes // page) * page
    memory = np.frombuffer(mmap.mmap(-1, inner + 2 * page), dtype=np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    for start in (0, inner + page):
        address = ctypes.c_void_p(memory.ctypes.data + start)
        if libc.mprotect(address, ctypes.c_size_t(page), 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    raw = memory[page : page + inner]
    raw[:] = FILL
    part = raw[inner - values.nbytes :] if last else raw[: values.nbytes]
    view = part.view(values.dtype).reshape(values.shape)
    view[...] = values
    return view, raw


def before_protected(values: np.ndarray):
    """Nothing readable behind the last value."""
    return next_to_protected(values, last=True)


def after_protected(values: np.ndarray):
    """Nothing readable before the first value."""
    return next_to_protected(values, last=False)


def blank(like: np.ndarray) -> np.ndarray:
    """Values of the same type and shape, all bytes of which are FILL."""
    return np.frombuffer(bytes([FILL]) * like.nbytes, dtype=like.dtype).reshape(like.shape)


class Watched:
    """Values in a place; `taken` returns those that are there later, if all around is intact."""

    def __init__(self, values: np.ndarray, place):
        self.view, self.memory = place(values)

    def taken(self) -> np.ndarray:
        result = self.view.copy()
        self.view[...] = blank(result)
        assert (self.memory == FILL).all(), "bytes around an array were written"
        return result
