# SPDX-License-Identifier: BSD-3-Clause
"""`fastnorm` beside other libraries: ``python -m benches.compare``; see benches/README.md.

Control flows one way, each module knows only those above it::

    peers/       one adapter per library: problems in, calls out
    regimes      where the data of a case lie, and how many sets of arrays that takes
    results      what was measured, its summary, the JSON file
    contest      the contenders of one case in one process, in interleaved rounds
    children     the same in a process of its own, for a library that needs one
    session      which library is measured where, line by line
    report, plot the tables, the figure
    __main__     arguments
    load         processes that keep the cores busy
    latency      ``python -m benches.compare.latency``: single calls, idle and on busy cores
    test_bench_ops  the same adapters in pytest-benchmark
"""
