# SPDX-License-Identifier: BSD-3-Clause
"""``python -m fastnorm`` is the `fastnorm` command."""

import sys

from fastnorm.compare.cli import main

if __name__ == "__main__":
    sys.exit(main())
