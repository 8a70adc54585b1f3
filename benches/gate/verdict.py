# SPDX-License-Identifier: BSD-3-Clause
"""Which differences between two sets of figures fail."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

Kind = Literal["core", "path", "ulp", "time"]

# Instructions may grow by this factor: counts of equal code differ by less than a thousandth.
MOST_INSTRUCTIONS = 1.02


class Figure(NamedTuple):
    """One figure of one call."""

    case: str
    direction: str
    dtype: str
    kind: Kind

    def __str__(self) -> str:
        return " ".join(self)


# A number, or the reason why there is none.
Figures = Mapping[Figure, float | str]


@dataclass(frozen=True)
class Finding:
    """A figure that is no longer what it was.

    Attributes
    ----------
    figure : Figure
        Which.
    base, head : float or str
        The two values; text says why there is none.
    factor : float or None
        How much larger it is; None where a value is missing, or the base's is 0.
    limit : float or None
        The factor that would still pass.
    accepted : bool
        A commit message accepts it.
    """

    figure: Figure
    base: float | str
    head: float | str
    factor: float | None = None
    limit: float | None = None
    accepted: bool = False


def judge(
    base: Figures,
    head: Figures,
    known: Collection[str],
    band: float = 1.0,
    accepted: Collection[str] = (),
) -> list[Finding]:
    """Return what got worse and what is missing, worst first.

    Parameters
    ----------
    base, head : mapping of Figure to float or str
        What was asked of the base, and of the checkout.
    known : collection of str
        Cases of the base's own catalogue: what it cannot measure of the others is new.
    band : float
        Factor up to which the ratio of two times is noise.
    accepted : collection of str
        Patterns of figures that may get worse, as `fnmatch` understands them.
    """
    limits = {"core": MOST_INSTRUCTIONS, "path": MOST_INSTRUCTIONS, "ulp": 1.0, "time": band}
    findings = []
    for figure in sorted({*base, *head}):
        before = base.get(figure, "not measured")
        after = head.get(figure, "not measured")
        expected = any(fnmatchcase(str(figure), pattern) for pattern in accepted)
        if isinstance(before, str) and isinstance(after, float | int):
            if figure.case in known:
                findings.append(Finding(figure, before, after))
        elif isinstance(before, str) or isinstance(after, str):
            findings.append(Finding(figure, before, after))
        elif after > before * limits[figure.kind]:
            factor = after / before if before else None
            limit = limits[figure.kind]
            findings.append(Finding(figure, before, after, factor, limit, expected))
    # Without a factor: missing, or out of nothing.
    return sorted(findings, key=lambda found: -(found.factor or float("inf")))
