# SPDX-License-Identifier: BSD-3-Clause
"""The `fastnorm` command: every normalizer against NumPy and a memory copy, error and speed.

Control flows one way, each module knows only those above it::

    catalogue    the shapes, with the models they come from: append-only, shared with benches/
    numpy_twin   the same formulas in plain NumPy, as a user would write them: what speed is held to
    problem      the arrays of one case and the calls on them, the same for every implementation
    errors       the largest error against the float64 reference, and the documented bounds
    measure      the time of interleaved rounds: fastnorm, the twin, a memory copy
    results      one row per case, direction and thread count, and the summary of all rows
    machine      what the numbers were measured on
    report, plot the table, the figure
    userdata     cases from the user's own .npy and .npz files
    cli          arguments and exit status

Nothing here is imported by ``import fastnorm``; rich and matplotlib are optional.
"""
