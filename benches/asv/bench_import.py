# SPDX-License-Identifier: BSD-3-Clause
"""Import time, and the size of what is imported."""

from pathlib import Path

import fastnorm


class Import:
    """A fresh interpreter each: `import fastnorm` may cost 10 ms over `import numpy`."""

    params = (["numpy", "fastnorm"],)
    param_names = ("module",)

    def timeraw_import(self, module):
        return f"import {module}"


class Size:
    """Compiled modules of the installation."""

    unit = "bytes"

    def track_compiled_size(self):
        return sum(path.stat().st_size for path in Path(fastnorm.__file__).parent.rglob("*.so"))
