# SPDX-License-Identifier: BSD-3-Clause
"""What a claim is, and the words and numbers that judges share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from examples.beyond_batchnorm.results import Results

HELD, NOT_HELD, PARTLY = "held", "did not hold here", "held in part"
TOO_SMALL = "cannot be tested at this scale"

LUBANA = "Lubana et al. 2021"
SANTURKAR = "Santurkar et al. 2018"
SALIMANS = "Salimans, Kingma 2016"
WU_HE = "Wu, He 2018"
IOFFE = "Ioffe, Szegedy 2015"
RENORM = "Ioffe 2017"
BA = "Ba et al. 2016"
ARORA = "Arora et al. 2018"
HUANG = "Huang et al. 2018"
BROCK = "Brock et al. 2021"
ULYANOV = "Ulyanov et al. 2016"


class Verdict(NamedTuple):
    """Whether a claim held, and what was measured."""

    held: str
    measured: str


@dataclass(frozen=True)
class Claim:
    """What is said, who said it, the figure that shows it, and how it is judged."""

    text: str
    source: str
    figure: str
    judge: Callable[[Results], Verdict]


def held_if(conditions: bool | Sequence[bool], measured: str) -> Verdict:
    """Return "held" if all conditions did, "held in part" if some did."""
    met = [bool(condition) for condition in np.atleast_1d(conditions)]
    return Verdict(HELD if all(met) else PARTLY if any(met) else NOT_HELD, measured)


def number(value: float) -> str:
    """Return a number as it is read: three digits, no exponent where it can do without."""
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.1e}"
    return f"{value:.3g}"


def orders(values: Sequence[float]) -> str:
    """Return numbers in a row."""
    return ", ".join(number(value) for value in values)


def span(values: Sequence[float]) -> str:
    """Return the smallest and the largest of the numbers."""
    return f"{number(min(values))} to {number(max(values))}"


def falls(values: Sequence[float]) -> bool:
    """Return whether every number is smaller than the one before."""
    return bool((np.diff(values) < 0).all())


def rises(values: Sequence[float]) -> bool:
    """Return whether every number is larger than the one before."""
    return bool((np.diff(values) > 0).all())
