# SPDX-License-Identifier: BSD-3-Clause
"""Use an installed fastnorm, forward and backward, on one thread and on all.

``python smoke.py [--without-openmp]``, outside the checkout. Needs NumPy alone. With the option,
the build must say that it has no OpenMP, and run on one thread.
"""

from __future__ import annotations

import sys

import numpy as np

import fastnorm
from fastnorm import reference


def main(without_openmp: bool) -> None:
    """Compare one result and its gradients with the reference."""
    fastnorm.show_config()
    config = fastnorm.show_config(mode="dicts")
    assert bool(config["openmp"]) != without_openmp, config
    if without_openmp:
        fastnorm.set_num_threads(8)
        assert fastnorm.get_num_threads() == 1

    rng = np.random.default_rng(0)
    x = rng.normal(1e4, 1.0, (64, 32, 40, 40)).astype(np.float32)  # large enough for threads
    dy = rng.standard_normal(x.shape).astype(np.float32)
    weight, bias = rng.standard_normal((2, 32)).astype(np.float32)

    arguments = (x, 8, weight, bias)
    y = fastnorm.group_norm(*arguments)
    exact = reference.group_norm(*arguments)
    assert np.abs(y - exact).max() <= 4e-6 * np.abs(exact).max()
    gradients = fastnorm.group_norm_backward(dy, *arguments)
    for ours, theirs in zip(gradients, reference.group_norm_backward(dy, *arguments), strict=True):
        assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()
    with fastnorm.num_threads(1):
        assert np.array_equal(fastnorm.group_norm(*arguments), y)
    print("forward and backward agree with the reference")


if __name__ == "__main__":
    main("--without-openmp" in sys.argv[1:])
