# SPDX-License-Identifier: BSD-3-Clause
"""What the processes of a job tell one another: parts of a statistic, and that they have failed.

A process that raises before a collective leaves the others waiting in it for ever. So whoever fails
takes part all the same, and sends why; and everybody sends what has to be equal everywhere, so that
calls that do not belong together are an error on every rank and not a wrong result. All of it goes
through one method, mpi4py's ``allgather(obj)``, which whatever carries Python objects can offer.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnorm.moments import moments_of_groups

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fastnorm._core import Groups
    from fastnorm._types import Array, Communicator
    from fastnorm.moments import Moments


class SingleProcess:
    """A job of one process: what a program hands on as `comm` where it runs without MPI.

    Attributes
    ----------
    rank, size : int
        Number of this process and of all, as in mpi4py: 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnorm
    >>> comm = fastnorm.SingleProcess()
    >>> comm.allgather("part")
    ['part']
    >>> fastnorm.sync_batch_norm(np.array([[1.0], [3.0]]), comm=comm, eps=0)
    array([[-1.],
           [ 1.]])
    """

    rank = 0
    size = 1

    def allgather(self, value: Any) -> list[Any]:
        """Return what every rank has given, in rank order: here the one value.

        Parameters
        ----------
        value : object
            What this rank gives.

        Returns
        -------
        list
            The value.
        """
        return [value]

    def __repr__(self) -> str:
        return "SingleProcess()"


class Message(NamedTuple):
    """What a rank sends in the one collective of a call.

    Attributes
    ----------
    call : str
        Which call it is in.
    agreed : mapping of str to object
        What has to be equal on all ranks, under the words of an error message.
    failure : str or None
        Why it has no part.
    part : object
        Its part of the result.
    """

    call: str
    agreed: Mapping[str, Any]
    failure: str | None
    part: Any


def communicator(comm: Any) -> Communicator:
    """Return `comm`; what has no `allgather` is a TypeError."""
    if callable(getattr(comm, "allgather", None)):
        checked: Communicator = comm
        return checked
    raise TypeError(
        f"comm must have mpi4py's allgather(obj), as MPI.COMM_WORLD and fastnorm.SingleProcess() "
        f"have, got {type(comm).__name__}"
    )


@contextmanager
def failure_told(comm: Communicator, call: str) -> Iterator[None]:
    """Around all that may fail before an `exchange`: the error goes to the other ranks too."""
    try:
        yield
    except Exception as error:
        comm.allgather(Message(call, {}, f"{type(error).__name__}: {error}", None))
        raise


def moments_of_ranks(
    comm: Communicator,
    call: str,
    eps: float,
    groups: Groups,
    own: tuple[Array, Array],
    momentum: float | None = None,
) -> Moments:
    """Return the statistics of the values of all ranks, from mean and variance of each; collective.

    They have the same bits on every rank. `momentum` is what the ranks have to agree on, if any.
    """
    agreed = {**_agreed(groups, eps), "momentum": momentum}
    parts = exchange(comm, call, agreed, moments_of_groups(*own, groups))
    # Merged into those of no value: what the result says of its axes is then said of this x
    stats = moments_of_groups(*own, groups, counted=False).merge(*parts)
    _refuse_single_value(stats.count, groups)
    return stats


def means_of_ranks(
    comm: Communicator, call: str, eps: float, groups: Groups, sums: Array, count: int
) -> Array:
    """Return means over the values of all ranks, from the sums of each; collective.

    `sums` are of shape (2, groups), `count` the values per group of the statistics that they were
    taken with. The sums are added in rank order.
    """
    agreed = {**_agreed(groups, eps), "stats.count": count}
    parts = exchange(comm, call, agreed, (groups.size, sums))
    total = sum(size for size, _ in parts)
    if count != total:
        raise ValueError(
            f"stats.count is {count}, expected {total} = the values of a channel on all ranks: "
            f"they are of another x or mode"
        )
    _refuse_single_value(count, groups)
    with np.errstate(over="ignore", invalid="ignore"):  # NaN and Inf stay in their group
        means: Array = sum(part for _, part in parts) / max(count, 1)
    return means


def exchange(comm: Communicator, call: str, agreed: Mapping[str, Any], part: Any) -> list[Any]:
    """Return the parts of all ranks, in rank order; collective.

    Parameters
    ----------
    comm : Communicator
        The ranks.
    call : str
        The call that needs the parts.
    agreed : mapping of str to object
        What has to be equal on all ranks, by the words for it.
    part : object
        That of this rank. It is handed on, not copied, where the ranks share their memory.

    Raises
    ------
    RuntimeError
        If a rank has failed; with its rank and its error.
    ValueError
        If ranks are in another call, or do not agree; with what is where.
    """
    messages = comm.allgather(Message(call, agreed, None, part))
    for message in messages:
        if not isinstance(message, Message) or message[:3] != (call, agreed, None):
            _explain(messages, call, agreed)
    return [message.part for message in messages]


def _explain(messages: Sequence[Any], call: str, agreed: Mapping[str, Any]) -> None:
    """Raise what `exchange` raises where a message is not as it should be."""
    failures = [message.failure if isinstance(message, Message) else None for message in messages]
    if any(failures):
        reasons = "; ".join(f"{where}: {why}" for why, where in _ranks_of(failures) if why)
        raise RuntimeError(f"{call} failed on {reasons}")
    _refuse_difference("the ranks are in different calls", [_call_of(m) for m in messages])
    for words in agreed:
        _refuse_difference(
            f"{words} must be the same on all ranks of {call}", [m.agreed[words] for m in messages]
        )


def _agreed(groups: Groups, eps: float) -> dict[str, Any]:
    """What every call needs to be equal on all ranks, under the words of an error message."""
    return {"the number of channels of x": groups.shape[0], "eps": eps}


def _refuse_single_value(count: int, groups: Groups) -> None:
    """Raise where all ranks together hold one value per channel; if so, on all of them."""
    if count == 1 and groups.shape[0]:
        raise ValueError(
            "x has a single value per channel on all ranks together, at least two are needed"
        )


def _call_of(message: Any) -> str:
    """Return which call a message is of; anybody may use the communicator for something else."""
    return message.call if isinstance(message, Message) else f"allgather({type(message).__name__})"


def _refuse_difference(fault: str, values: Sequence[Any]) -> None:
    distinct = _ranks_of(values)
    if len(distinct) > 1:
        raise ValueError(
            f"{fault}: {', '.join(f'{value} on {where}' for value, where in distinct)}"
        )


def _ranks_of(values: Sequence[Any]) -> list[tuple[Any, str]]:
    """Return each distinct value with the ranks that have it: the first, and how many others."""
    ranks: dict[Any, list[int]] = {}
    for rank, value in enumerate(values):
        ranks.setdefault(value, []).append(rank)
    return [
        (value, f"rank {first}" + (f" (and {len(others)} more)" if others else ""))
        for value, (first, *others) in ranks.items()
    ]
