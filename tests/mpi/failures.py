# SPDX-License-Identifier: BSD-3-Clause
"""What goes wrong on rank 1 is an error on every rank, and the next call is sound again.

``mpiexec -n 3 python tests/mpi/failures.py`` checks it between processes, and exits with status 0;
test_sync_batch_norm.py calls `check` between threads too.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import fastnorm

forward = fastnorm.sync_batch_norm
backward = fastnorm.sync_batch_norm_backward
X = np.arange(30.0).reshape(6, 5) ** 2


def refused(error: type, words: str, call, *arrays) -> None:
    """`call` raises, and leaves the arrays as they are."""
    before = [array.tobytes() for array in arrays]
    with pytest.raises(error, match=words):
        call()
    assert before == [array.tobytes() for array in arrays], words


def check(comm, rank: int, size: int) -> None:
    """Every fault in turn; collective, for at least two ranks."""
    for fault in (bad_arguments, differences, other_calls, layers, too_few_values):
        fault(comm, rank == 1)
        y = forward(X, comm=comm)  # all are in step again
        np.testing.assert_allclose(y, fastnorm.batch_norm(X), rtol=0, atol=1e-12)


def bad_arguments(comm, faulty: bool) -> None:
    """Rank 1 raises what it would raise alone; the others say that it did, and why."""
    fixed = np.zeros(5)
    fixed.flags.writeable = False
    for error, words, arguments in (
        (ValueError, "eps must be .* got -1", {"eps": -1.0}),
        (ValueError, "momentum must be .* got 2", {"momentum": 2.0}),
        (TypeError, "x has dtype int64", {"x": X.astype(np.int64)}),
        (ValueError, "weight has shape", {"weight": np.ones(4)}),
        (ValueError, "running_mean is read-only", {"running_mean": fixed}),
        (ValueError, "out has shape", {"out": np.zeros((2, 5))}),
        (np.exceptions.AxisError, "channel_axis=7 is out of range", {"channel_axis": 7}),
        (ValueError, "at least 2 axes", {"x": np.zeros(5)}),
    ):
        out, mean, var = np.zeros_like(X), np.zeros(5), np.ones(5)
        usual = {"x": X, "out": out, "running_mean": mean, "running_var": var}
        call = partial(forward, **(usual | arguments if faulty else usual), comm=comm)
        if faulty:
            refused(error, words, call, out, mean, var)
        else:
            told = f"sync_batch_norm failed on rank 1: {error.__name__}: .*{words}"
            refused(RuntimeError, told, call, out, mean, var)
    for error, words, arguments in (
        (ValueError, "dy has shape", {"dy": X[:4]}),
        (TypeError, "stats must be", {"stats": 3}),
        (ValueError, "stats.mean has shape", {"stats": fastnorm.moments(X)}),
    ):
        stats = fastnorm.moments(np.concatenate([X] * len(comm.allgather(0))), axis=0)
        usual = {"dy": X, "x": X, "stats": stats}
        call = partial(backward, **(usual | arguments if faulty else usual), comm=comm)
        told = f"sync_batch_norm_backward failed on rank 1: {error.__name__}: .*{words}"
        refused(error if faulty else RuntimeError, words if faulty else told, call)


def differences(comm, faulty: bool) -> None:
    """Each rank is right alone, but not with the others: all say who has what."""
    size = len(comm.allgather(0))
    others = f" \\(and {size - 2} more\\)" if size > 2 else ""
    both = f"{{}} on rank 0{others}, {{}} on rank 1"
    for words, arguments in (
        (f"the number of channels of x must .*: {both.format(5, 4)}", {"x": X[:, :4]}),
        (f"eps must be the same .*: {both.format('1e-05', '0.001')}", {"eps": 1e-3}),
        (f"momentum must be the same .*: {both.format(0.1, 0.2)}", {"momentum": 0.2}),
    ):
        call = partial(forward, **({"x": X} | arguments if faulty else {"x": X}), comm=comm)
        refused(ValueError, words, call)
    stats = fastnorm.moments(np.concatenate([X] * size), axis=0)
    own = fastnorm.moments(X, axis=0)
    call = partial(backward, X, X, comm=comm)
    refused(ValueError, "stats.count must", partial(call, stats=own if faulty else stats))
    refused(ValueError, "stats.count is 6, expected", partial(call, stats=own))
    refused(
        ValueError,
        "different calls: .*without stats",
        partial(call, stats=None if faulty else stats),
    )


def other_calls(comm, faulty: bool) -> None:
    """Rank 1 is somewhere else in the program."""
    words = "different calls: sync_batch_norm on rank 0.*, {} on rank 1"
    call = partial(backward, X, X, comm=comm) if faulty else partial(forward, X, comm=comm)
    refused(ValueError, words.format("sync_batch_norm_backward without stats"), call)
    if faulty:
        comm.allgather([1])
    else:
        refused(ValueError, words.format(r"allgather\(list\)"), partial(forward, X, comm=comm))


def layers(comm, faulty: bool) -> None:
    """What a layer checks by itself is told, too."""
    layer = fastnorm.SyncBatchNorm(5, comm=comm)
    told = "failed on rank 1: "
    if faulty:
        refused(
            ValueError, "num_features=5", partial(layer, X[:, :4]), *layer.state_dict().values()
        )
    else:
        refused(RuntimeError, f"{told}ValueError: .*num_features=5", partial(layer, X))
    assert layer.num_batches_tracked == 0
    layer(X)
    if faulty:
        fresh = fastnorm.SyncBatchNorm(5, comm=comm)
        refused(RuntimeError, "before any forward pass", partial(fresh.backward, X))
    else:
        refused(RuntimeError, f"{told}RuntimeError: .*before any", partial(layer.backward, X))


def too_few_values(comm, faulty: bool) -> None:
    """All ranks together have one value per channel."""
    mine = X[: int(faulty)]
    refused(ValueError, "single value per channel", partial(forward, mine, comm=comm))
    refused(ValueError, "single value per channel", partial(backward, mine, mine, comm=comm))


def main() -> None:
    """Check between the processes that mpiexec started."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    check(comm, comm.rank, comm.size)
    if comm.rank == 0:
        print(f"{comm.size} ranks")


if __name__ == "__main__":
    main()
