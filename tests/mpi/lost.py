# SPDX-License-Identifier: BSD-3-Clause
"""Rank 1 is lost before a collective that the others are in: ``lost.py raise`` or ``lost.py kill``.

Under ``mpiexec -n 3 python -m mpi4py`` the job ends, with another status than 0.
"""

from __future__ import annotations

import os
import signal
import sys

import numpy as np

import fastnorm


def main(how: str) -> None:
    """Lose rank 1 in the way that is named; the others wait for it."""
    from mpi4py import MPI

    if MPI.COMM_WORLD.rank == 1:
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyError("lost")
    fastnorm.sync_batch_norm(np.ones((3, 2)), comm=MPI.COMM_WORLD)


if __name__ == "__main__":
    main(sys.argv[1])
