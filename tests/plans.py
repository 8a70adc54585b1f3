# SPDX-License-Identifier: BSD-3-Clause
"""Plans worked out by hand: what src/include/fn_plan.h and src/plan/plan.pyx promise.

Strides are in elements; the lengths in outer, red and run are those left after axes of length 1
went and neighbours were merged.
"""

from __future__ import annotations


def rows(outer, red, run, count, **rest):
    """An expected plan of the rows layout; what is not said is as in the plainest case."""
    return expected("rows", outer, red, run, count, **rest)


def cols(outer, red, run, count, **rest):
    """An expected plan of the cols layout."""
    return expected("cols", outer, red, run, count, **rest)


def expected(layout, outer, red, run, count, **rest):
    plain = {"split": 0, "fold": 1, "direct": True, "even": True}
    plain |= {"run_param": False, "red_param": False}
    assert rest.keys() <= plain.keys()
    parts = {"layout": layout, "outer": outer, "red": red, "run": run, "count": count}
    return parts | plain | rest


# name: shape, strides, reduced axes, axes of the parameters, whether it is the gradient's, plan
TABLE = {
    # --- K R*: layer norm, RMS norm ---------------------------------------------------------------
    "layer norm": (
        *((8, 128, 768), (98304, 768, 1), (2,), (2,)),
        rows((1024,), (), (768,), 768, run_param=True),
    ),
    "layer norm without parameters": (
        *((8, 128, 768), (98304, 768, 1), (2,), ()),
        rows((1024,), (), (768,), 768),
    ),
    "rms norm of tokens": (
        *((4, 4096), (4096, 1), (1,), (1,)),
        rows((4,), (), (4096,), 4096, run_param=True),
    ),
    "layer norm over two axes": (
        *((4, 10, 20), (200, 20, 1), (1, 2), (1, 2)),
        rows((4,), (), (200,), 200, run_param=True),
    ),
    "layer norm of few values": (
        *((64, 3), (3, 1), (1,), (1,)),
        rows((64,), (), (3,), 3, run_param=True),
    ),
    "a parameter run of 7 is read as vectors": (
        *((4, 10, 7), (70, 7, 1), (1, 2), (2,)),
        rows((4,), (), (10, 7), 70, run_param=True),
    ),
    "a parameter run of 8, twice the groups that share it, is a run of its own": (
        *((4, 10, 8), (80, 8, 1), (1, 2), (2,)),
        rows((4,), (), (10, 8), 80, split=1, run_param=True),
    ),
    "a parameter run of 15 of many groups is read as vectors": (
        *((400, 10, 15), (150, 15, 1), (1, 2), (2,)),
        rows((400,), (), (10, 15), 150, run_param=True),
    ),
    "a parameter run of 16 is a run of its own": (
        *((400, 10, 16), (160, 16, 1), (1, 2), (2,)),
        rows((400,), (), (10, 16), 160, split=1, run_param=True),
    ),
    "a parameter per reduced row": (
        *((4, 10, 40), (400, 40, 1), (1, 2), (1,)),
        rows((4,), (), (10, 40), 400, split=1),
    ),
    "parameters of the outermost of three": (
        *((2, 3, 5, 40), (600, 200, 40, 1), (1, 2, 3), (1,)),
        rows((2,), (), (3, 200), 600, split=1),
    ),
    "parameters of the middle of three": (
        *((2, 3, 5, 40), (600, 200, 40, 1), (1, 2, 3), (2,)),
        rows((2,), (), (3, 5, 40), 600, split=2),
    ),
    # --- instance norm, group norm (NCHW) ---------------------------------------------------------
    "instance norm": (
        *((2, 3, 32, 32), (3072, 1024, 32, 1), (2, 3), (1,)),
        rows((2, 3), (), (1024,), 1024),
    ),
    "instance norm without parameters": (
        *((2, 3, 32, 32), (3072, 1024, 32, 1), (2, 3), ()),
        rows((6,), (), (1024,), 1024),
    ),
    "instance norm of small maps": (
        *((32, 16, 4, 4), (256, 16, 4, 1), (2, 3), (1,)),
        rows((32, 16), (), (16,), 16),
    ),
    "group norm": (
        *((2, 4, 8, 16, 16), (8192, 2048, 256, 16, 1), (2, 3, 4), (1, 2)),
        rows((2, 4), (), (8, 256), 2048, split=1),
    ),
    "group norm without parameters": (
        *((2, 4, 8, 16, 16), (8192, 2048, 256, 16, 1), (2, 3, 4), ()),
        rows((8,), (), (2048,), 2048),
    ),
    "group norm of 7x7 maps": (
        *((2, 4, 8, 7, 7), (1568, 392, 49, 7, 1), (2, 3, 4), (1, 2)),
        rows((2, 4), (), (8, 49), 392, split=1),
    ),
    "group norm of 4x4 maps": (
        *((99, 4, 8, 4, 4), (512, 128, 16, 4, 1), (2, 3, 4), (1, 2)),
        rows((99, 4), (), (8, 16), 128, split=1),
    ),
    "group norm of 2x2 maps, few of which share a weight": (
        *((2, 4, 8, 2, 2), (128, 32, 4, 2, 1), (2, 3, 4), (1, 2)),
        rows((2, 4), (), (8, 4), 32, split=1),
    ),
    "group norm of 2x2 maps: vectors, those who share one follow each other": (
        *((99, 4, 8, 2, 2), (128, 32, 4, 2, 1), (2, 3, 4), (1, 2)),
        rows((4, 99), (), (8, 4), 32, run_param=True),
    ),
    "the gradient of group norm of 4x4 maps: vectors": (
        *((16, 4, 8, 4, 4), (512, 128, 16, 4, 1), (2, 3, 4), (1, 2), True),
        rows((4, 16), (), (8, 16), 128, run_param=True),
    ),
    "the gradient of group norm of 4x4 maps, few of which share a weight": (
        *((8, 4, 8, 4, 4), (512, 128, 16, 4, 1), (2, 3, 4), (1, 2), True),
        rows((8, 4), (), (8, 16), 128, split=1),
    ),
    "group norm of vectors": (
        *((99, 4, 8), (32, 8, 1), (2,), (1, 2)),
        rows((4, 99), (), (8,), 8, run_param=True),
    ),
    # --- R* K R*: batch norm (NCHW) ---------------------------------------------------------------
    "batch norm": (
        *((16, 64, 56, 56), (200704, 3136, 56, 1), (0, 2, 3), (1,)),
        rows((64,), (16,), (3136,), 50176),
    ),
    "batch norm of 7x7 maps, a fold's fewest rows": (
        *((25, 512, 7, 7), (25088, 49, 7, 1), (0, 2, 3), (1,)),
        cols((), (25,), (512, 49), 1225, fold=49, run_param=True),
    ),
    "batch norm of 7x7 maps, too few rows to fold": (
        *((24, 512, 7, 7), (25088, 49, 7, 1), (0, 2, 3), (1,)),
        rows((512,), (24,), (49,), 1176),
    ),
    "batch norm of 2x3 maps, too few rows to fold": (
        *((15, 512, 2, 3), (3072, 6, 3, 1), (0, 2, 3), (1,)),
        rows((512,), (15,), (6,), 90),
    ),
    "batch norm of the longest fold": (
        *((128, 64, 15, 17), (16320, 255, 17, 1), (0, 2, 3), (1,)),
        cols((), (128,), (64, 255), 32640, fold=255, run_param=True),
    ),
    "batch norm of maps too long to fold": (
        *((128, 64, 16, 16), (16384, 256, 16, 1), (0, 2, 3), (1,)),
        rows((64,), (128,), (256,), 32768),
    ),
    "batch norm (N, C, L)": (
        *((32, 10, 3), (30, 3, 1), (0, 2), (1,)),
        cols((), (32,), (10, 3), 96, fold=3, run_param=True),
    ),
    "batch norm of volumes": (
        *((4, 16, 8, 14, 14), (25088, 1568, 196, 14, 1), (0, 2, 3, 4), (1,)),
        rows((16,), (4,), (1568,), 6272),
    ),
    # --- R* K: batch norm (channels last) ---------------------------------------------------------
    "batch norm (N, C)": (
        *((128, 512), (512, 1), (0,), (1,)),
        cols((), (128,), (512,), 128, run_param=True),
    ),
    "batch norm (N, H, W, C)": (
        *((16, 56, 56, 64), (200704, 3584, 64, 1), (0, 1, 2), (3,)),
        cols((), (50176,), (64,), 50176, run_param=True),
    ),
    "batch norm (N, C, H, W), channels last in memory": (
        *((16, 64, 56, 56), (200704, 1, 3584, 64), (0, 2, 3), (1,)),
        cols((), (50176,), (64,), 50176, run_param=True),
    ),
    # --- K R* K: instance norm (channels last), axis=1 --------------------------------------------
    "instance norm (N, H, W, C)": (
        *((2, 32, 32, 64), (65536, 2048, 64, 1), (1, 2), (3,)),
        cols((2,), (1024,), (64,), 1024, run_param=True),
    ),
    "layer norm, axis=1": (
        *((8, 100, 32), (3200, 32, 1), (1,), (1,)),
        cols((8,), (100,), (32,), 100, red_param=True),
    ),
    "parameters of some columns' axes": (
        *((8, 100, 32, 2), (6400, 64, 2, 1), (1,), (3,)),
        cols((8,), (100,), (32, 2), 100, run_param=True),
    ),
    # --- K R* K R*: group norm (channels last) ----------------------------------------------------
    "group norm (N, H, W, G, C/G)": (
        *((2, 16, 16, 8, 4), (8192, 512, 32, 4, 1), (1, 2, 4), (3, 4)),
        cols((2,), (256,), (8, 4), 1024, fold=4, run_param=True),
    ),
    "group norm (N, H, W, G, C/G) without parameters": (
        *((2, 16, 16, 8, 4), (8192, 512, 32, 4, 1), (1, 2, 4), ()),
        cols((2,), (256,), (8, 4), 1024, fold=4),
    ),
    "group norm (N, H, W, G, C/G) of wide groups": (
        *((2, 16, 16, 2, 256), (131072, 8192, 512, 256, 1), (1, 2, 4), (3, 4)),
        rows((2, 2), (256,), (256,), 65536, run_param=True),
    ),
    "group norm (N, H, W, G, C/G) of one group": (
        *((2, 16, 16, 1, 32), (8192, 512, 32, 32, 1), (1, 2, 4), (3, 4)),
        rows((2,), (), (256, 32), 8192, split=1, run_param=True),
    ),
    "group norm (N, H, W, G, C/G) of single channels": (
        *((2, 16, 16, 32, 1), (8192, 512, 32, 1, 1), (1, 2, 4), (3, 4)),
        cols((2,), (256,), (32,), 256, run_param=True),
    ),
    # --- all axes, no axes ------------------------------------------------------------------------
    "axis=None": ((8, 100, 32), (3200, 32, 1), (0, 1, 2), (), rows((), (), (25600,), 25600)),
    "axis=()": ((8, 100, 32), (3200, 32, 1), (), (), cols((), (), (25600,), 1)),
    "no axes": ((), (), (), (), cols((), (), (), 1)),
    # --- axes of length 1 -------------------------------------------------------------------------
    "one value": ((1, 1), (5, 3), (0, 1), (1,), cols((), (), (), 1)),
    "axes of length 1 with odd strides": (
        *((1, 8, 1, 100, 1), (7, 100, 3, 1, 55), (0, 3, 4), (3,)),
        rows((8,), (), (100,), 100, run_param=True),
    ),
    "batch norm of one image": (
        *((1, 64, 7, 7), (3136, 49, 7, 1), (0, 2, 3), (1,)),
        rows((64,), (), (49,), 49),
    ),
    "batch norm of 1x1 maps": (
        *((16, 64, 1, 1), (64, 1, 1, 1), (0, 2, 3), (1,)),
        cols((), (16,), (64,), 16, run_param=True),
    ),
    "a reduced axis of length 1": ((6, 1), (1, 1), (1,), (), cols((), (), (6,), 1)),
    # --- axes of stride 0 keep their place --------------------------------------------------------
    "a broadcast batch": ((4, 8, 16), (0, 16, 1), (2,), (), rows((4, 8), (), (16,), 16)),
    "a broadcast reduced batch": ((9, 8, 16), (0, 16, 1), (0,), (), cols((), (9,), (128,), 9)),
    "broadcast values of the run": (
        *((8, 16), (1, 0), (1,), ()),
        rows((8,), (), (16,), 16, direct=False),
    ),
    "one value broadcast": (
        *((4, 8, 16), (0, 0, 0), (0, 1, 2), ()),
        rows((), (), (512,), 512, direct=False),
    ),
    "broadcast columns": ((8, 16), (0, 0), (0,), (), cols((), (8,), (16,), 8, direct=False)),
    # --- negative strides -------------------------------------------------------------------------
    "rows reversed": (
        *((4, 8, 100), (800, -100, 1), (2,), (2,)),
        rows((4, 8), (), (100,), 100, run_param=True),
    ),
    "all reversed": (
        *((4, 8, 100), (-800, -100, -1), (2,), (2,)),
        rows((32,), (), (100,), 100, run_param=True, direct=False),
    ),
    "columns reversed": ((9, 8, 5), (40, 5, -1), (0,), (), cols((), (9,), (8, 5), 9, direct=False)),
    # --- other memory orders ----------------------------------------------------------------------
    "transposed, the fast axis reduced": (
        *((100, 8), (1, 100), (0,), (0,)),
        rows((8,), (), (100,), 100, run_param=True),
    ),
    "transposed, the slow axis reduced": (
        *((100, 8), (1, 100), (1,), (1,)),
        cols((), (8,), (100,), 8, red_param=True),
    ),
    "Fortran order, axis=(0, 2)": (
        *((4, 3, 300), (1, 4, 12), (0, 2), ()),
        cols((), (300,), (3, 4), 1200, fold=4),
    ),
    # --- runs that do not coalesce ----------------------------------------------------------------
    "padded rows": ((8, 100), (128, 1), (1,), (), rows((8,), (), (100,), 100)),
    "padded rows, both axes reduced": (
        *((8, 100), (128, 1), (0, 1), ()),
        rows((), (), (8, 100), 800, direct=False),
    ),
    "padded rows of parameters": (
        *((4, 10, 40), (600, 50, 1), (1, 2), (2,)),
        rows((4,), (), (10, 40), 400, split=1, run_param=True),
    ),
    "every second value": ((8, 100), (200, 2), (1,), (), rows((8,), (), (100,), 100, direct=False)),
    "maps cut out of larger ones": (
        *((16, 64, 28, 28), (57600, 900, 30, 1), (0, 2, 3), (1,)),
        rows((64,), (16,), (28, 28), 12544, direct=False),
    ),
    "7x7 maps cut out of larger ones": (
        *((32, 512, 7, 7), (41472, 81, 9, 1), (0, 2, 3), (1,)),
        cols((), (32,), (512, 7, 7), 1568, fold=49, run_param=True, direct=False),
    ),
    "rows of a column that are not evenly spaced": (
        *((4, 6, 32), (1000, 64, 1), (0, 1), (2,)),
        cols((), (4, 6), (32,), 24, run_param=True, even=False),
    ),
    # --- mixed axes -------------------------------------------------------------------------------
    "R K R K": (
        *((4, 3, 5, 16), (240, 80, 16, 1), (0, 2), ()),
        cols((3,), (4, 5), (16,), 20, even=False),
    ),
    "K R K R K": (
        *((2, 3, 4, 5, 6), (360, 120, 30, 6, 1), (1, 3), ()),
        cols((2, 4), (3, 5), (6,), 15, even=False),
    ),
    "R K R K R, folded": (
        *((4, 3, 4, 5, 6), (360, 120, 30, 6, 1), (0, 2, 4), ()),
        cols((3,), (4, 4), (5, 6), 96, fold=6, even=False),
    ),
    "R K R K R, too few rows to fold": (
        *((3, 3, 5, 5, 6), (450, 150, 30, 6, 1), (0, 2, 4), ()),
        rows((3, 5), (3, 5), (6,), 90, even=False),
    ),
    "parameters of a reduced axis outside the run": (
        *((4, 3, 300), (900, 300, 1), (0, 2), (0,)),
        rows((3,), (4,), (300,), 1200, red_param=True),
    ),
}
