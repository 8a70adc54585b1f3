# SPDX-License-Identifier: BSD-3-Clause
"""The tier is chosen here, once, at import; drivers get its table and never learn its name."""

import os

from fastnorm._core.dispatch cimport fn_kernels, fn_table

cdef extern from "fn_machine.h" nogil:
    const fn_table *fn_tables[]
    const char *fn_primitives[]
    int fn_supports(const char *isa)
    size_t fn_l2_bytes()
    size_t fn_llc_bytes()
    void fn_copy_past_cache(void *to, const void *source, size_t bytes)

cdef const fn_table *chosen = NULL
cdef size_t l2 = fn_l2_bytes()
cdef size_t stream_threshold = 0       # of a call on one thread
cdef size_t stream_threshold_team = 0  # on more
cdef size_t memory_threshold = 0       # arrays that no last level has, however far away

cdef enum:
    LOCAL = 1 << 26  # bytes of a last level that is larger only where dozens of cores share it


def _primitives():
    names = []
    cdef int i = 0
    while fn_primitives[i] != NULL:
        names.append(fn_primitives[i].decode())
        i += 1
    return tuple(names)


PRIMITIVES = _primitives()


def built():
    """Names of the ISA tiers compiled into this build, best first."""
    names = []
    cdef int i = 0
    while fn_tables[i] != NULL:
        names.append(fn_tables[i].isa.decode())
        i += 1
    return tuple(names)


def available():
    """Names of the built tiers that this machine runs, best first."""
    return tuple(name for name in built() if fn_supports(name.encode()))


def _choose(wanted):
    """Point the table at `wanted`, or at the best tier when it is empty."""
    global chosen
    names = available()
    if wanted and wanted not in built():
        raise ImportError(
            f"FASTNORM_ISA={wanted!r} is not an ISA tier of this build; "
            f"use one of {', '.join(built())}"
        )
    if wanted and wanted not in names:
        raise ImportError(
            f"FASTNORM_ISA={wanted!r} is not supported by this CPU; it runs {', '.join(names)}"
        )
    chosen = fn_tables[built().index(wanted or names[0])]


def isa():
    """Name of the tier in use."""
    return chosen.isa.decode()


def caches():
    """Bytes of L2, of the last level, and of a call's arrays from which on stores are streamed."""
    return {
        "l2": l2,
        "llc": fn_llc_bytes(),
        "stream_threshold": stream_threshold,
        "stream_threshold_team": stream_threshold_team,
    }


def copy_past_cache(unsigned char[::1] to not None, const unsigned char[::1] source not None):
    """Copy bytes with streaming stores where the machine has them: the limit benchmarks quote."""
    if to.shape[0] != source.shape[0]:
        raise ValueError(f"source has {source.shape[0]} bytes, expected those of to: {to.shape[0]}")
    if to.shape[0]:
        with nogil:
            fn_copy_past_cache(&to[0], &source[0], <size_t>to.shape[0])


def _read_environment():
    global stream_threshold, stream_threshold_team, memory_threshold
    cdef size_t llc
    _choose(os.environ.get("FASTNORM_ISA", ""))
    text = os.environ.get("FASTNORM_STREAM_THRESHOLD", "")
    if not text:
        # What a next reader would find neither in its own L2 nor in a last level of a few cores.
        # That of a whole socket is far away, and all tenants share it: outputs were better not kept
        # there (DECISIONS.md). Several cores get more out of a last level, not out of memory.
        llc = fn_llc_bytes()
        memory_threshold = max(4 * l2, 7 * llc / 16)
        if llc > LOCAL:
            llc = 0
        stream_threshold = max(4 * l2, 7 * llc / 16)
        stream_threshold_team = max(4 * l2, 11 * llc / 16)
    elif text.isdecimal():
        stream_threshold = stream_threshold_team = memory_threshold = int(text)
    else:
        raise ImportError(
            f"FASTNORM_STREAM_THRESHOLD={text!r} is not a number of bytes (digits only)"
        )


cdef const fn_kernels *kernels(int dtype) noexcept nogil:
    return chosen.type[dtype]


cdef const fn_kernels *kernels_of(str name, int dtype) except NULL:
    """The kernels of any tier that runs here, for tests."""
    if name not in available():
        raise ValueError(f"isa={name!r} does not run here, use one of {', '.join(available())}")
    return fn_tables[built().index(name)].type[dtype]


cdef size_t l2_bytes() noexcept nogil:
    return l2


cdef bint streams(size_t bytes, int threads) noexcept nogil:
    """Whether a call on arrays of so many bytes together had better store past the cache."""
    return bytes >= (stream_threshold_team if threads > 1 else stream_threshold)


cdef bint from_memory(size_t bytes) noexcept nogil:
    """Whether arrays of so many bytes together come from memory, and no last level has them."""
    return bytes >= memory_threshold


_read_environment()
