# SPDX-License-Identifier: BSD-3-Clause
"""Runs trials, as many at once as there are cores, each on one thread, and keeps every result.

A result is a file of its own, written in one piece: what was interrupted goes on where it was.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

import threadpoolctl
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import fastnorm

if TYPE_CHECKING:
    from pathlib import Path

    from examples.beyond_batchnorm.trials import Trial


def _one_thread() -> None:
    """Leave the other cores to the other trials."""
    threadpoolctl.threadpool_limits(1)  # of the BLAS, which is loaded with NumPy
    fastnorm.set_num_threads(1)


def _rounded(value: Any) -> Any:
    """Return a result with five digits to each number: no figure or claim hangs on the sixth."""
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _kept(trial: Trial, file: Path) -> dict[str, Any] | None:
    """Return the result in a file, if it is that of this very trial."""
    if not file.exists():
        return None
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found if found["trial"] == trial.described() else None


def _run(trial: Trial, kept: Path, by_reference: bool) -> None:
    result = _rounded(trial.run(by_reference=by_reference))
    text = json.dumps({"trial": trial.described(), "result": result})
    unfinished = kept.with_suffix(".part")
    unfinished.write_text(text, "utf-8")
    unfinished.replace(kept)


def run(trials: list[Trial], folder: Path, *, by_reference: bool = False) -> list[dict[str, Any]]:
    """Run what is not in `folder` yet, and return all results in the order of the trials."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {trial: folder / f"{trial.name}.json" for trial in trials}
    missing = [trial for trial in trials if _kept(trial, files[trial]) is None]
    missing.sort(key=lambda trial: -trial.cost)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )  # fmt: skip
    if not missing:
        return [json.loads(files[trial].read_text("utf-8")) for trial in trials]
    workers = min(len(os.sched_getaffinity(0)), max(len(missing), 1))
    spawn = multiprocessing.get_context("spawn")
    with (
        Progress(*columns) as progress,
        ProcessPoolExecutor(workers, spawn, initializer=_one_thread) as pool,
    ):
        task = progress.add_task("trials", total=len(trials), completed=len(trials) - len(missing))
        running = [pool.submit(_run, trial, files[trial], by_reference) for trial in missing]
        try:
            for done in as_completed(running):
                done.result()
                progress.advance(task)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [json.loads(files[trial].read_text("utf-8")) for trial in trials]
