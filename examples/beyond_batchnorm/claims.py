# SPDX-License-Identifier: BSD-3-Clause
"""The claims of the literature as inequalities, each with its source and what we measured.

A judge reads the results and returns a verdict with the numbers behind it. Its inequality is what
the claim says, in orders and signs; no bound was moved until a claim held.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from examples.beyond_batchnorm.claims_of_identities import IDENTITIES
from examples.beyond_batchnorm.claims_of_starts import STARTS
from examples.beyond_batchnorm.claims_of_training import TRAINING

if TYPE_CHECKING:
    from examples.beyond_batchnorm.results import Results
    from examples.beyond_batchnorm.verdicts import Claim, Verdict

CLAIMS = (*STARTS, *TRAINING, *IDENTITIES)


def judged(results: Results) -> list[tuple[Claim, Verdict]]:
    """Return every claim with its verdict."""
    return [(claim, claim.judge(results)) for claim in CLAIMS]


def table(results: Results) -> str:
    """Return the claims and verdicts as a table in Markdown, and how many there are of each."""
    lines = ["| | claim | source | figure | measured | verdict |", "|---|---|---|---|---|---|"]
    found = judged(results)
    for number, (claim, verdict) in enumerate(found, 1):
        figure = f"[{claim.figure}](study/{claim.figure}.svg)" if claim.figure else ""
        words = (claim.text, claim.source, figure, verdict.measured, f"**{verdict.held}**")
        cells = " | ".join(word.replace("|", "\\|") for word in words)
        lines.append(f"| {number} | {cells} |")
    counts = Counter(verdict.held for _, verdict in found)
    summary = ", ".join(f"{count} {held}" for held, count in counts.most_common())
    return "\n".join(lines) + f"\n\nOf {len(found)} claims: {summary}.\n"
