# SPDX-License-Identifier: BSD-3-Clause
"""What the study runs: one list of trials, each with a name, a cost and a result of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from examples.beyond_batchnorm import along_a_run, at_start, identities, training
from examples.beyond_batchnorm.nets import Design
from examples.beyond_batchnorm.normalizers import KINDS
from examples.beyond_batchnorm.training import Recipe

BATCHES = (2, 4, 8, 16, 64)
BY_BATCH = ("batch", "batch-renorm", "group-8", "instance")


@dataclass(frozen=True)
class Trial:
    """One thing that is run.

    Attributes
    ----------
    part: which question it belongs to: "start", "curves", "batches", "run" or "identities".
    design, recipe: the network and its training, where the part trains; of a start, the normalizer.
    seed: of all that is random.
    """

    part: str
    seed: int
    design: Design = field(default_factory=lambda: Design("none"))
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def name(self) -> str:
        """Name of the trial, and of the file that keeps its result."""
        words = [self.part]
        if self.part != "identities":
            words.append(self.design.normalizer)
        if self.part in ("curves", "batches", "run"):
            words.append("residual" if self.design.residual else "plain")
            if self.design.corrected:
                words.append("corrected")
            words.append(f"b{self.recipe.batch}")
        return "-".join([*words, f"s{self.seed}"])

    @property
    def cost(self) -> float:
        """How long it takes, roughly, in steps of 64 images; the long ones are begun first."""
        if self.part in ("start", "identities"):
            return 20.0
        return self.recipe.epochs * (22 + 200 / self.recipe.batch)

    def run(self, *, by_reference: bool = False) -> dict[str, Any]:
        """Return what came out."""
        if self.part == "identities":
            return identities.measure(self.seed)
        if self.part == "start":
            return at_start.measure(self.design.normalizer, self.seed, by_reference=by_reference)
        measure = along_a_run.measure if self.part == "run" else training.train
        return measure(self.design, self.recipe, self.seed, by_reference=by_reference)

    def described(self) -> dict[str, Any]:
        """Return all that decides the result, as a file keeps it."""
        return {"name": self.name, **asdict(self)}


def plan(*, quick: bool) -> list[Trial]:
    """Return all trials, of the full study or of the short one, which shows the shape of it."""
    seeds = range(1 if quick else 3)
    curves = Recipe(epochs=2 if quick else 8)
    batches = (4, 64) if quick else BATCHES
    depth = 2 if quick else 4
    trials = [Trial("identities", seed) for seed in seeds]
    trials += [
        Trial("start", seed, Design(name))
        for seed in seeds for name in KINDS if name != "batch-noise"
    ]  # fmt: skip
    designs = [Design(name, residual, depth) for name in KINDS for residual in (False, True)]
    designs.append(Design("weight", residual=True, depth=depth, corrected=True))
    trials += [Trial("curves", seed, design, curves) for seed in seeds for design in designs]
    trials += [
        Trial(
            "batches", seed, Design(name, residual, depth), Recipe(batch, epochs=1 if quick else 3)
        )
        for seed in seeds
        for batch in batches
        for name in BY_BATCH
        for residual in (False, True)
    ]
    # The lengths are predicted for plain descent: momentum has a step that is not orthogonal.
    recipe = Recipe(rate=0.5, momentum=0.0, epochs=curves.epochs)
    trials += [
        Trial("run", seed, Design(name, depth=depth), recipe)
        for seed in seeds
        for name in ("weight", "batch")
    ]
    return trials
