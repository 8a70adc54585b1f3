# SPDX-License-Identifier: BSD-3-Clause
"""`sync_batch_norm`: ranks that hold a batch in parts, between threads and under a real mpiexec."""

from __future__ import annotations

import copy
import pickle

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import fastnorm
from cases import same_bits
from fastnorm import reference
from mpi import failures, joined
from mpiexec import needs_mpi, run, run_threads, shared_memory, sweep

ALONE = fastnorm.SingleProcess()


# ---- between threads -----------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_parts_give_what_the_joined_batch_gives(ranks):
    run_threads(ranks, joined.check)


@pytest.mark.parametrize("ranks", [2, 3])
def test_what_fails_on_one_rank_fails_on_all(ranks):
    run_threads(ranks, failures.check)


@hypothesis.given(
    shards=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    mean=st.sampled_from([0.0, 1e4, -1e8]),
    seed=st.integers(0, 99),
)
def test_any_cut_of_a_batch(shards, mean, seed):
    """The reference of each rank, that of the joined batch, and fastnorm agree."""
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, sum(shards), 3, 2))
    x += mean
    weight = rng.normal(1.0, 0.5, 3)
    whole, stats = reference.batch_norm(x, weight, return_stats=True)
    gradient = reference.batch_norm_backward(dy, x, weight)

    def on(comm, rank, size):
        mine = slice(sum(shards[:rank]), sum(shards[: rank + 1]))
        for module in (fastnorm, reference):
            y, found = module.sync_batch_norm(x[mine], weight, comm=comm, return_stats=True)
            given = {"comm": comm, "stats": found}
            dx = module.sync_batch_norm_backward(dy[mine], x[mine], weight, **given).x
            # A mean that is rounded to an ulp is wrong by so much, and means differ by about 1
            exact = 1e-12 + 16 * np.spacing(abs(mean))
            np.testing.assert_allclose(found.mean, stats.mean, rtol=0, atol=exact)
            np.testing.assert_allclose(found.var, stats.var, rtol=0, atol=exact)
            np.testing.assert_allclose(y, whole[mine], rtol=0, atol=1e3 * exact)
            np.testing.assert_allclose(dx, gradient.x[mine], rtol=0, atol=1e3 * exact)
        return found

    run_threads(len(shards), on)


def test_images_of_any_size(rng):
    """Only the channels have to be the same: ranks may hold crops of their own."""
    parts = [rng.normal(size=shape) for shape in ((2, 3, 4, 5), (1, 3, 7), (5, 3), (0, 3, 9, 9))]
    columns = np.concatenate([np.moveaxis(part, 1, 0).reshape(3, -1) for part in parts], axis=1)
    want = fastnorm.moments(columns, axis=1)

    def on(comm, rank, size):
        y, stats = fastnorm.sync_batch_norm(parts[rank], comm=comm, return_stats=True)
        np.testing.assert_allclose(stats.mean, want.mean, rtol=0, atol=1e-12)
        np.testing.assert_allclose(stats.var, want.var, rtol=0, atol=1e-12)
        assert stats.count == want.count == 40 + 7 + 5
        return y.shape

    assert run_threads(4, on) == [part.shape for part in parts]


def test_a_rank_without_samples_may_bring_any_type(rng):
    """``np.empty((0, C))`` is float64, whatever the others have."""
    x = rng.normal(size=(8, 3)).astype(np.float32)

    def on(comm, rank, size):
        y = fastnorm.sync_batch_norm(np.empty((0, 3)) if rank else x, comm=comm)
        return y.dtype, len(y)

    assert run_threads(2, on) == [(np.float32, 8), (np.float64, 0)]


def test_a_nan_stays_in_its_channel_on_all_ranks(rng):
    x = rng.normal(size=(2, 6, 3))
    spoilt = x.copy()
    spoilt[1, 0, 2] = np.nan

    def on(values):
        def on_rank(comm, rank, size):
            y = fastnorm.sync_batch_norm(values[rank], comm=comm)
            return y, fastnorm.sync_batch_norm_backward(x[rank], values[rank], comm=comm).x

        return run_threads(2, on_rank)

    for good, bad in zip(on(x), on(spoilt), strict=True):
        for a, b in zip(good, bad, strict=True):
            assert same_bits(a[:, :2], b[:, :2])
            assert np.isnan(b[:, 2]).all()


def test_weights_that_differ_between_ranks(rng):
    """Every rank weighs its own part of the sums: the gradient is that of its own function."""
    x, dy = rng.normal(size=(2, 2, 6, 3))
    weights = rng.normal(1.0, 0.5, (2, 3))
    joined_x = np.concatenate(x)
    want = reference.batch_norm_backward(np.concatenate(dy * weights[:, None]), joined_x).x

    def on(comm, rank, size):
        weight = weights[rank] if rank else weights[rank].astype(np.float64)
        return fastnorm.sync_batch_norm_backward(dy[rank], x[rank], weight, comm=comm).x

    np.testing.assert_allclose(np.concatenate(run_threads(2, on)), want, rtol=0, atol=1e-12)


def test_statistics_can_be_updated_on_every_rank(rng):
    """They say which axes of this rank's x they are over, whatever the others' are."""
    parts = [rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3))]

    def on(comm, rank, size):
        _, stats = fastnorm.sync_batch_norm(parts[rank], comm=comm, return_stats=True)
        return stats.update(parts[rank]).count

    assert run_threads(2, on) == [12 + 8, 12 + 4]


# ---- one process ---------------------------------------------------------------------------------


def test_alone_it_is_batch_norm_to_the_bit(rng, dtype):
    x = rng.normal(3.0, 2.0, (4, 3, 5, 6)).astype(dtype)
    ours, theirs = ((np.zeros(3), np.ones(3)) for _ in range(2))
    y = fastnorm.sync_batch_norm(x, None, None, *ours, comm=ALONE)
    assert same_bits(y, fastnorm.batch_norm(x, None, None, *theirs))
    assert same_bits(np.stack(ours), np.stack(theirs))


class Nobody:
    """A communicator that must not be used."""

    def allgather(self, value):
        raise AssertionError("evaluation communicates")


@pytest.mark.parametrize("tracked", [True, False])
def test_evaluation_communicates_with_nobody(rng, tracked):
    x, dy = rng.normal(size=(2, 6, 3)).astype(np.float32)
    running = rng.normal(size=3), rng.uniform(1, 2, 3)
    if tracked:
        words = {"training": False, "return_stats": True}
        y, stats = fastnorm.sync_batch_norm(x, None, None, *running, comm=Nobody(), **words)
        want, _ = fastnorm.batch_norm(x, None, None, *running, **words)
        assert same_bits(y, want)
        for given in (stats, None):
            words = {"training": False, "stats": given}
            dx = fastnorm.sync_batch_norm_backward(
                dy, x, None, None, *running, comm=Nobody(), **words
            )
            assert same_bits(
                dx.x, fastnorm.batch_norm_backward(dy, x, None, None, *running, **words).x
            )
    layer = fastnorm.SyncBatchNorm(3, track_running_stats=tracked, comm=Nobody()).eval()
    alone = fastnorm.BatchNorm(3, track_running_stats=tracked).eval()
    assert same_bits(layer(x), alone(x))
    assert same_bits(layer.backward(dy), alone.backward(dy))


@pytest.mark.parametrize("training", [True, False])
def test_what_cannot_gather_is_no_communicator(training):
    x = np.ones((2, 3))
    for bad in (None, 3, "world"):
        for call in (
            fastnorm.sync_batch_norm,
            lambda *a, **w: fastnorm.sync_batch_norm_backward(x, *a, **w),
        ):
            with pytest.raises(TypeError, match=r"comm must have mpi4py's allgather.*got"):
                call(x, comm=bad, training=training)
        with pytest.raises(TypeError, match="comm"):
            fastnorm.SyncBatchNorm(3, comm=bad)


def test_single_process():
    assert repr(ALONE) == "SingleProcess()"
    assert (ALONE.rank, ALONE.size) == (0, 1)
    value = object()
    assert ALONE.allgather(value) == [value]


def test_a_layer_can_be_copied_and_stored(rng):
    x = rng.normal(size=(6, 3))
    layer = fastnorm.SyncBatchNorm(3, comm=ALONE)
    layer(x)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert same_bits(other(x), layer(x))


def test_state_of_batch_norm_serves_both(rng):
    """A network is trained on many ranks and used on one."""
    layer = fastnorm.SyncBatchNorm(3, comm=ALONE)
    layer(rng.normal(size=(6, 3)))
    alone = fastnorm.BatchNorm(3)
    alone.load_state_dict(layer.state_dict())
    x = rng.normal(size=(6, 3)).astype(np.float32)
    assert same_bits(alone.eval()(x), layer.eval()(x))


# ---- under mpiexec -------------------------------------------------------------------------------


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("script", ["joined", "failures"])
def test_between_processes(script, ranks):
    status, printed = run(ranks, f"tests/mpi/{script}.py")
    assert status == 0, printed
    assert f"{ranks} ranks" in printed


@needs_mpi
@pytest.mark.parametrize("how", ["raise", "kill"])
def test_a_job_ends_when_a_rank_is_lost(how):
    """By an exception, which `python -m mpi4py` turns into the end of all, or by a signal."""
    before = shared_memory()
    status, printed = run(3, "tests/mpi/lost.py", how, timeout=60.0)
    sweep(before)
    assert status != 0
    assert "lost" in printed or how == "kill"


@needs_mpi
def test_the_example(capsys):
    status, printed = run(4, "examples/sync_batch_norm.py")
    assert status == 0, printed
    assert printed.splitlines()[0].startswith("4 ranks")
