# SPDX-License-Identifier: BSD-3-Clause
"""Other processes that keep the cores busy, and are gone for certain afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Looks a hundred times a second whether its parent is still there: nothing outlives a parent that
# was killed and could not clean up.
_BURN = """\
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
parent = int(sys.argv[1])
while os.getppid() == parent:
    for _ in range(200_000):
        pass
"""
_START_S = 0.5


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many processes computing while the context lasts.

    They ignore Ctrl-C: the context ends them, in whatever way it is left itself.
    """
    burners: list[subprocess.Popen[bytes]] = []
    command = [sys.executable, "-S", "-c", _BURN, str(os.getpid())]
    try:
        burners += (subprocess.Popen(command) for _ in range(processes))
        if processes:
            time.sleep(_START_S)
        yield
    finally:
        for burner in burners:
            burner.kill()
        for burner in burners:
            burner.wait()
