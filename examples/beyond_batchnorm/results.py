# SPDX-License-Identifier: BSD-3-Clause
"""The results of all trials, found by what was asked: one entry for each seed."""

from __future__ import annotations

from typing import Any

import numpy as np

Result = dict[str, Any]


class Results:
    """What `runner.run` returned, or a file of it."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._entries = entries

    def _of(self, part: str, **wanted: Any) -> list[Result]:
        found = [
            entry["result"]
            for entry in self._entries
            if entry["trial"]["part"] == part
            and all(entry["trial"]["design"][name] == value for name, value in wanted.items())
        ]
        if not found:
            raise KeyError(f"no trial of {part!r} with {wanted}")
        return found

    def start(self, normalizer: str) -> list[Result]:
        """Return what a deep network does at the start."""
        return self._of("start", normalizer=normalizer)

    def by_depth(self, normalizer: str, what: str) -> np.ndarray:
        """Return the geometric mean over the seeds of what was measured at the start, by depth."""
        values = np.array([result[what] for result in self.start(normalizer)])
        return np.exp(np.log(np.maximum(values, 1e-300)).mean(0))

    def curves(self, normalizer: str, *, residual: bool, corrected: bool = False) -> list[Result]:
        """Return the trainings with batches of 64."""
        wanted = {"normalizer": normalizer, "residual": residual, "corrected": corrected}
        return self._of("curves", **wanted)

    def batches(self, normalizer: str, *, residual: bool) -> dict[int, list[Result]]:
        """Return the trainings with batches of other sizes, by size."""
        found: dict[int, list[Result]] = {}
        for entry in self._entries:
            trial = entry["trial"]
            chosen = (trial["part"], trial["design"]["normalizer"], trial["design"]["residual"])
            if chosen == ("batches", normalizer, residual):
                found.setdefault(trial["recipe"]["batch"], []).append(entry["result"])
        return dict(sorted(found.items()))

    def run(self, normalizer: str) -> list[Result]:
        """Return the trainings whose weights were followed."""
        return self._of("run", normalizer=normalizer)

    def identities(self) -> list[Result]:
        """Return what holds exactly, or not at all."""
        return self._of("identities")

    def seconds(self) -> dict[str, float]:
        """Return what all trainings together took, by what it was spent on."""
        total: dict[str, float] = {}
        for entry in self._entries:
            for what, value in entry["result"].get("seconds", {}).items():
                total[what] = total.get(what, 0.0) + value
        return total


def mean_loss(results: list[Result]) -> float:
    """Return the mean loss over a training, and over the seeds: small where learning is fast."""
    return float(np.mean([np.mean(result["loss"]) for result in results]))


def final_accuracy(results: list[Result]) -> float:
    """Return the share of test images recognized at the end, mean of the seeds."""
    return float(np.mean([result["accuracy"][-1] for result in results]))


def diverged(results: list[Result]) -> int:
    """Return how many of the seeds ended in a loss that is no number."""
    return sum(result["diverged"] for result in results)


def mismatch(results: list[Result]) -> float:
    """Return by how much the loss differs between running statistics and those of the batch.

    A training that diverged has neither; NaN if all did.
    """
    pairs = [
        abs(result["evaluation"]["loss"] - result["by_batch"]["loss"])
        for result in results
        if not result["diverged"]
    ]
    return float(np.mean(pairs)) if pairs else float("nan")
