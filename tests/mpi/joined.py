# SPDX-License-Identifier: BSD-3-Clause
"""Ranks that hold a batch in parts get what one gets that holds all of it.

``mpiexec -n 3 python tests/mpi/joined.py`` checks it between processes, and exits with status 0;
test_sync_batch_norm.py calls `check` between threads too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, product

import numpy as np

import fastnorm

# How many samples each rank holds, of up to four ranks.
SHARDS = {
    "equal": (4, 4, 4, 4),
    "unequal": (5, 1, 2, 7),
    "empty": (3, 0, 4, 0),
    "first empty": (0, 6, 0, 1),
    "one value each": (1, 1, 1, 1),
    "all empty": (0, 0, 0, 0),
}

# Lanes are added up in the compute type, so that another cut rounds differently.
EXACT = {np.float64: 1e-12, np.float32: 5e-7, np.float16: 5e-7}


@dataclass(frozen=True)
class Call:
    """A batch, where it is cut, and how it is normalized."""

    shards: tuple[int, ...]
    spatial: tuple[int, ...]
    options: dict
    dtype: type
    mean: float

    def drawn(self):
        """x, dy and the parameters of the joined batch: the same on every rank."""
        rng = np.random.default_rng(sum(self.shards))
        shape = (sum(self.shards), 5, *self.spatial)
        x, dy = rng.normal(self.mean, 2.0, shape), rng.standard_normal(shape)
        if self.options["channel_axis"] == -1:
            x, dy = np.moveaxis(x, 1, -1), np.moveaxis(dy, 1, -1)
        affine = [rng.normal(1.0, 0.5, 5).astype(self.dtype) for _ in range(2)]
        return x.astype(self.dtype), dy.astype(self.dtype), affine


def calls(size):
    """The calls for so many ranks: every way of cutting in every layout and type."""
    spatial = ((6, 4), 1), ((3, 4), -1), ((), 1)
    for shards, (shape, axis), dtype in product(SHARDS.values(), spatial, EXACT):
        cut = tuple(islice(shards, size))
        if not (sum(cut) == 1 and shape == ()):  # one value per channel is refused
            yield Call(cut, shape, {"channel_axis": axis, "eps": 1e-3}, dtype, 30.0)


def check(comm, rank: int, size: int) -> None:
    """Every call, and a layer over several batches; collective."""
    for call in calls(size):
        check_function(call, comm, rank)
    check_layer(comm, rank, size)


def check_function(call: Call, comm, rank: int) -> None:
    """Forward and backward of one call, of which this rank holds its part."""
    x, dy, affine = call.drawn()
    start = sum(call.shards[:rank])
    mine = slice(start, start + call.shards[rank])
    buffers, joined_buffers = ((np.full(5, 0.5), np.full(5, 2.0)) for _ in range(2))
    words = {**call.options, "return_stats": True}
    y, stats = fastnorm.sync_batch_norm(x[mine], *affine, *buffers, comm=comm, **words)
    want_y, want = fastnorm.batch_norm(x, *affine, *joined_buffers, **words)
    assert stats.count == want.count
    for name, ours, theirs in (
        ("mean", stats.mean, want.mean),
        ("var", stats.var, want.var),
        ("running_mean", buffers[0], joined_buffers[0]),
        ("running_var", buffers[1], joined_buffers[1]),
    ):
        near(ours, theirs, EXACT[call.dtype], f"{name} of {call}")
        same_everywhere(comm, ours, f"{name} of {call}")
    rounding = 16 * float(np.finfo(call.dtype).eps)
    near(y, want_y[mine], rounding, f"y of {call}", scale=want_y)

    wanted = fastnorm.batch_norm_backward(dy, x, *affine, **call.options)
    words = {**call.options, "comm": comm}
    for given in (stats, None):
        found = fastnorm.sync_batch_norm_backward(dy[mine], x[mine], *affine, stats=given, **words)
        near(found.x, wanted.x[mine], rounding, f"dx of {call}", scale=wanted.x)
        for name in ("weight", "bias"):
            parts = comm.allgather(getattr(found, name).astype(np.float64))
            near(sum(parts), getattr(wanted, name), 4 * rounding, f"d{name} of {call}")
    bare = fastnorm.sync_batch_norm_backward(dy[mine], x[mine], **words)
    plain = fastnorm.batch_norm_backward(dy, x, **call.options).x
    near(bare.x, plain[mine], rounding, f"dx without parameters of {call}", scale=plain)
    assert bare.weight is None


def check_layer(comm, rank: int, size: int) -> None:
    """Steps of training on shards that change from batch to batch, then evaluation."""
    rng = np.random.default_rng(0)
    for momentum in (0.1, None):
        layer = fastnorm.SyncBatchNorm(3, momentum=momentum, dtype=np.float64, comm=comm)
        alone = fastnorm.BatchNorm(3, momentum=momentum, dtype=np.float64)
        for shards in SHARDS.values():
            bounds = np.cumsum((0, *shards[:size]))
            x, dy = rng.normal(2.0, 3.0, (2, bounds[-1], 3, 7))
            mine = slice(bounds[rank], bounds[rank + 1])
            near(layer(x[mine]), alone(x)[mine], 1e-12, "y of the layer")
            near(layer.backward(dy[mine]), alone.backward(dy)[mine], 1e-12, "dx of the layer")
            total = sum(comm.allgather(layer.grads["weight"]))
            near(total, alone.grads["weight"], 1e-12, "dweight of the layer")
        for name, value in layer.state_dict().items():
            near(value, alone.state_dict()[name], 1e-12, name)
            same_everywhere(comm, value, name)
        x = rng.normal(size=(4, 3, 7))
        if rank == 0:  # evaluation needs nobody else
            near(layer.eval()(x), alone.eval()(x), 1e-12, "evaluation")


def near(got, want, share: float, what: str, scale=None) -> None:
    """Equal to a share of the largest value, or of 1; NaN equals NaN."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    largest = np.max(np.abs(want if scale is None else scale), initial=1.0)
    atol = share * (1.0 if np.isnan(largest) else float(largest))
    np.testing.assert_allclose(got, want, rtol=0, atol=atol, err_msg=what)


def same_everywhere(comm, value, what: str) -> None:
    """Every rank has the same bits."""
    assert len(set(comm.allgather(np.asarray(value).tobytes()))) == 1, what


def main() -> None:
    """Check between the processes that mpiexec started."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    check(comm, comm.rank, comm.size)
    if comm.rank == 0:
        print(f"{comm.size} ranks")


if __name__ == "__main__":
    main()
