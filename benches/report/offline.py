# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benches.report.offline``: asv's own site without a network.

What `asv publish` writes asks four content networks for jQuery, Flot, Bootstrap and others, and is
blank where they cannot be reached. This puts those files beside the site and lets index.html name
the copies. A file that lies in the folder of ``--scripts`` is taken from there, as it is: kept from
an earlier run, or put there by hand. The others are fetched, and kept; asv's page carries a
checksum of each, and what does not have it is refused. Run it after every `asv publish`, which
writes the site anew.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

FOLDER = "offline"
# An address, asv's checksum of what is there, and further attributes.
_REFERENCE = re.compile(
    r'(?P<attribute>src|href)="(?P<address>https://[^"]+)"\s+integrity="(?P<method>sha\d+)-'
    r'(?P<sum>[^"]+)"(?P<rest>[^>]*)>'
)
# Those that a copy on the same server must not have.
_FOREIGN = re.compile(r'\s+(?:crossorigin|referrerpolicy)="[^"]*"')
_TIMEOUT_S = 30


class Refused(Exception):
    """A file is missing, or is not the one that asv's page names; the message says which."""


def fetch(address: str) -> bytes:
    """Return what is at an address."""
    with urlopen(address, timeout=_TIMEOUT_S) as answer:
        return bytes(answer.read())


def localize(site: Path, scripts: Path, fetch: Callable[[str], bytes] = fetch) -> int:
    """Let a published site use copies, and return how many files that are.

    Parameters
    ----------
    site : Path
        What `asv publish` wrote.
    scripts : Path
        Folder in which the files are kept, and looked for first.
    fetch : callable
        From an address to what is there.

    Raises
    ------
    Refused
        If a file has another checksum, or cannot be fetched. index.html is unchanged then.
    """
    index = site / "index.html"
    page = index.read_text(encoding="utf-8")
    scripts.mkdir(parents=True, exist_ok=True)
    copies = site / FOLDER
    copies.mkdir(exist_ok=True)

    def replace(reference: re.Match[str]) -> str:
        address = reference["address"]
        name = address.rsplit("/", 1)[-1]
        kept = scripts / name
        if not kept.is_file():
            kept.write_bytes(_verified(address, reference["method"], reference["sum"], fetch))
        shutil.copyfile(kept, copies / name)
        rest = _FOREIGN.sub("", reference["rest"])
        return f'{reference["attribute"]}="{FOLDER}/{name}"{rest}>'

    page, count = _REFERENCE.subn(replace, page)
    index.write_text(page, encoding="utf-8")
    return count


def _verified(address: str, method: str, wanted: str, fetch: Callable[[str], bytes]) -> bytes:
    """Fetch a file; it must have the checksum."""
    try:
        content = fetch(address)
    except (URLError, TimeoutError) as error:
        raise Refused(f"{address}: {error}") from error
    if base64.b64encode(hashlib.new(method, content).digest()).decode() != wanted:
        raise Refused(f"{address} is not the file that asv names")
    return content


def main(argv: Sequence[str] | None = None) -> int:
    """Localize a site and return the exit status: 0 done, 2 not possible."""
    parser = argparse.ArgumentParser(prog="python -m benches.report.offline", description=__doc__)
    parser.add_argument(
        "site", type=Path, nargs="?", default=Path(".asv/html"), help="default: %(default)s"
    )
    parser.add_argument("--scripts", type=Path, default=Path(".asv/scripts"), help="%(default)s")
    options = parser.parse_args(argv)
    if not (options.site / "index.html").is_file():
        parser.error(f"no site in {options.site}: run `asv publish` first")
    try:
        count = localize(options.site, options.scripts)
    except Refused as reason:
        parser.error(str(reason))
    print(f"{count} files beside {options.site}/index.html; `asv preview` now needs no network")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
