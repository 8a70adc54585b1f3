# SPDX-License-Identifier: BSD-3-Clause
"""A page of what asv recorded: ``python -m benches.report``; see benches/README.md.

The page is one file, needs no network and no script, and is written for readers who never used asv.
Control flows one way, each module knows only those above it::

    history      what asv's result files hold, as figures over commits
    changes      which of them got worse or better, and since when
    values       numbers as text
    drawing      the small and the large plots
    page         the document; page.html is its template
    __main__     arguments
    offline      ``python -m benches.report.offline``: asv's own site without a network

Names, units, parameters and explanations are those that the benchmarks give to asv; none is
repeated here.
"""
