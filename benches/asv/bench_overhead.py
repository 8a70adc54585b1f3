# SPDX-License-Identifier: BSD-3-Clause
"""What a call costs beside the arithmetic: a row of 64 values, arguments as a user writes them."""

from functools import lru_cache

import numpy as np

import fastnorm

CALLS = {
    "moments": lambda a: fastnorm.moments(a.x, 1),
    "standardize": lambda a: fastnorm.standardize(a.x, a.weight, a.bias, axis=1),
    "layer_norm": lambda a: fastnorm.layer_norm(a.x, a.weight, a.bias),
    "layer_norm out": lambda a: fastnorm.layer_norm(a.x, a.weight, a.bias, out=a.out),
    "layer_norm return_stats": lambda a: fastnorm.layer_norm(
        a.x, a.weight, a.bias, return_stats=True
    ),
    "layer_norm_backward": lambda a: fastnorm.layer_norm_backward(
        a.x, a.x, a.weight, a.bias, stats=a.stats
    ),
    "rms_norm": lambda a: fastnorm.rms_norm(a.x, a.weight),
    "batch_norm eval": lambda a: fastnorm.batch_norm(
        a.x, a.weight, a.bias, a.mean, a.var, training=False
    ),
    "batch_norm training": lambda a: fastnorm.batch_norm(a.planes, a.one, a.one),
    "instance_norm": lambda a: fastnorm.instance_norm(a.planes, a.one, a.one),
    "group_norm": lambda a: fastnorm.group_norm(a.x, 4, a.weight, a.bias),
    "LayerNorm": lambda a: a.layer(a.x),
    "num_threads": lambda a: enter_num_threads(),
    "get_num_threads": lambda a: fastnorm.get_num_threads(),
}


def enter_num_threads():
    """A block of its own number of threads."""
    with fastnorm.num_threads(1):
        pass


class Arguments:
    """The arrays of every call."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((1, 64), dtype=np.float32)
        self.out = np.empty_like(self.x)
        self.weight, self.bias, self.mean = rng.standard_normal((3, 64), dtype=np.float32)
        self.var = np.ones(64, np.float32)
        self.planes = self.x.reshape(1, 1, 8, 8)
        self.one = np.ones(1, np.float32)
        self.stats = fastnorm.layer_norm(self.x, return_stats=True)[1]
        self.layer = fastnorm.LayerNorm(64)


arguments = lru_cache(maxsize=1)(Arguments)


class Overhead:
    """One small call."""

    version = "1"
    params = (list(CALLS),)
    param_names = ("call",)
    # What the commit does not have yet; a call begins with its name.
    skip_params = tuple((call,) for call in CALLS if not hasattr(fastnorm, call.split()[0]))

    def time_call(self, call):
        """Checks, allocation and the way to the core and back, arguments as a user writes them."""
        CALLS[call](arguments())

    time_call.pretty_name = "overhead: time of a call on 64 values"
