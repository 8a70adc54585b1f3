# SPDX-License-Identifier: BSD-3-Clause
"""Sizes at which a vectorized or blocked loop takes another path; every test module uses these."""

LANES = 16  # values of float32 in one logical vector, on every ISA tier
IN_FLIGHT = 64  # values a rows reduction takes per step: four vectors
ROW_BLOCK = 1024  # values summed before a merge along a row (src/include/fn_common.h)
COL_BLOCK = 32  # rows summed before a merge down a column
CURVE_BLOCK = 512  # the same along a row of a pointwise function's gradient
BAND = 8  # rows gone through together
COLS_AT_ONCE = 1024  # columns gone through together
BATCH = 128  # rows gone through together, each a group (src/drivers/fn_rows.h)
SHORT = 1024  # bytes of a row from which on so many are


def around(n: int) -> tuple[int, int, int]:
    """One less, exactly, one more."""
    return n - 1, n, n + 1


# Lengths of a contiguous reduced run.
ROW_SIZES = (
    *(2, 3, *around(LANES // 2), *around(LANES), *around(IN_FLIGHT)),
    *(*around(ROW_BLOCK), 2 * ROW_BLOCK + IN_FLIGHT + LANES + 1),
)

# (rows reduced, contiguous columns kept).
COLUMN_SIZES = (
    *((rows, 3) for rows in (2, *around(BAND), *around(COL_BLOCK), *around(ROW_BLOCK))),
    *((5, columns) for columns in (1, 2, *around(LANES), *around(IN_FLIGHT), *around(ROW_BLOCK))),
    (2 * COL_BLOCK + 3, IN_FLIGHT + LANES + 1),
    (COL_BLOCK + BAND + 1, COLS_AT_ONCE + LANES + 1),
)

# (N, C, H, W): maps of 49 values (ResNet's last stage), of one, of a full block, and odd ones; of
# 121 and 256 values.
MAP_SIZES = (
    (2, 3, 1, 2),
    (4, 1, 3, 5),
    (3, LANES, 1, 1),
    (2, IN_FLIGHT + 2, 7, 7),
    (33, 4, 1, 3),
    (26, 5, 7, 7),
    (20, 9, 7, 7),
    (9, 3, 11, 11),
    (5, 2, 16, 16),
    (2, 4, 32, 32),
    (3, 6, 28, 28),
    (1, 2, 37, 61),
)

# Group norm of small maps, or of vectors, by how its weights are met (src/plan/plan.pyx, and
# fn_rows.h, fn_lay.h in src/drivers).
SMALL_MAPS = {  # shape, groups
    "parts: two runs a group": ((5, 64, 4, 4), 32),
    "parts: as many as a call takes": ((2, 48, 5, 5), 3),
    "parts: one too many": ((2, 51, 5, 5), 3),
    "parts: forward, vectors: backward": ((33, 24, 4, 4), 6),
    "parts: groups too large to stay near": ((2, 64, 9, 31), 4),
    "parts: maps of 2x2 that few share": ((2, 40, 2, 2), 5),
    "vectors: maps of 2x2": ((9, 40, 2, 2), 5),
    "vectors: one block of rows for each": ((32, 60, 3, 3), 12),
    "vectors: more rows than a block": ((67, 24, 2, 3), 3),
    "vectors: long ones, more rows than a block": ((40, 72, 3, 5), 2),
    "vectors: more of them than chunks": ((40, 350, 3, 5), 70),
    "vectors that lie as they are": ((40, 64), 8),
    "vectors of one sample": ((1, 1024), 4),
    "vectors: tiles of short rows": ((2100, 512), 64),
}
