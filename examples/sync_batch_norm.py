# SPDX-License-Identifier: BSD-3-Clause
"""One step of training on a batch that the ranks of a job share.

``mpiexec -n 4 python -m mpi4py examples/sync_batch_norm.py`` runs it on four processes of this
machine, ``python examples/sync_batch_norm.py`` on one. Every rank normalizes its own images by the
statistics of all of them, and rank 0 compares with what one process gets that has the whole batch.
"""

from __future__ import annotations

import numpy as np

import fastnorm

CHANNELS = 16


def images(rank: int) -> tuple[np.ndarray, np.ndarray]:
    """This rank's images, a few more on each, and the gradient of its loss that comes back."""
    rng = np.random.default_rng(rank)
    shape = (2 + rank, CHANNELS, 28, 28)
    x, dy = rng.normal(100.0 * rank, 1.0, shape), rng.standard_normal(shape)
    return x.astype(np.float32), dy.astype(np.float32)


def main() -> None:
    """Forward, backward, and the gradients of the parameters summed over the ranks."""
    try:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    except ImportError:
        comm = fastnorm.SingleProcess()

    x, dy = images(comm.rank)
    layer = fastnorm.SyncBatchNorm(CHANNELS, comm=comm)
    y = layer(x)
    dx = layer.backward(dy)
    # Each rank has its part of the gradients of the parameters. A program adds those of all of its
    # layers at once; mpi4py has comm.Allreduce(MPI.IN_PLACE, array) for large ones.
    parts = comm.allgather(layer.grads)
    grads = {name: sum(part[name] for part in parts) for name in layer.grads}

    everything = comm.allgather((y, dx))
    if comm.rank == 0:
        whole = fastnorm.BatchNorm(CHANNELS)
        batch, gradient = (
            np.concatenate(a) for a in zip(*map(images, range(comm.size)), strict=True)
        )
        expected = {"y": whole(batch), "dx": whole.backward(gradient), **whole.grads}
        expected |= {"running_mean": whole.running_mean, "running_var": whole.running_var}
        found = dict(
            zip(("y", "dx"), map(np.concatenate, zip(*everything, strict=True)), strict=True)
        )
        found |= {**grads, "running_mean": layer.running_mean, "running_var": layer.running_var}
        print(f"{comm.size} ranks, {len(batch)} images; largest difference from one process:")
        for name, value in expected.items():
            difference = np.abs(found[name] - value).max() / np.abs(value).max()
            print(f"  {name:12} {difference:.0e}")
            assert difference < 1e-5


if __name__ == "__main__":
    main()
