# SPDX-License-Identifier: BSD-3-Clause
"""What `import fastnorm` costs, and the size of the wheel."""

import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import unquote, urlparse

INTERPRETERS = 11
SECONDS_OVER_NUMPY = """
import time
import numpy
start = time.perf_counter()
import fastnorm
print(time.perf_counter() - start)
"""


class Import:
    """Fresh interpreters, in which NumPy is imported already."""

    version = "1"
    unit = "ms"

    def track_import(self):
        """Least of 11 fresh interpreters that have NumPy: what others do only adds to it."""
        seconds = [
            float(subprocess.check_output([sys.executable, "-c", SECONDS_OVER_NUMPY]))
            for _ in range(INTERPRETERS)
        ]
        return round(1e3 * min(seconds), 3)

    track_import.pretty_name = "import time over that of NumPy"


class Size:
    """Of the wheel that is installed."""

    version = "1"
    unit = "bytes"

    def setup(self):
        """Nothing here is timed, so that this may be a setup."""
        if not wheel().is_file():
            raise NotImplementedError("not installed from a wheel that is still there")

    def track_wheel(self):
        """The file that pip installed."""
        return wheel().stat().st_size

    track_wheel.pretty_name = "size of the wheel"


def wheel():
    """Return the file that pip says it installed (PEP 610)."""
    origin = json.loads(distribution("fastnorm").read_text("direct_url.json") or '{"url": ""}')
    return Path(unquote(urlparse(origin["url"]).path))
