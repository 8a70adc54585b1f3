# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benches.gate [BASE]``: did this checkout get worse than a commit before it?

Both are measured by the benchmark code of the checkout; what is compared, and how far it may move:

============  =========================================  ==========================================
figure        what                                       allowed
============  =========================================  ==========================================
core, path    instructions of one call on one thread     2 % more
ulp           largest error against the float64 result   none, at four decimals
time          head / base, interleaved, one thread       the noise band of base / base in that run
============  =========================================  ==========================================

A figure that the base has and the checkout has not fails too: a gate that measures less than there
is to measure tells nothing.

    trees.py     the two packages: the base is compiled only where its sources differ
    figures.py   what is measured, by a process of each tree (worker.py)
    verdict.py   which differences fail
    __main__.py  the command and its report
"""
