"""Download of a file from the first address that gives it; only the content that is known is put into place."""

import hashlib
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch

from neuro_bpl.refusals import refusal

TIMEOUT = 30  # seconds without an answer
Check = Callable[[Path], None]
FAILURES = (OSError, EOFError, ValueError, zlib.error)  # of connections, of gzip, and of content that is not right


def download(path: Path, addresses: Sequence[str], check: Check, allowed: str, fix: str) -> str:
    """Download one file to `path` from the first address that gives it, and return that address.

    Parameters
    ----------
    path : path
        Where it belongs; its folder is made if need be.
    addresses : sequence of str
        URLs of the file, in the order of asking.
    check : callable
        Raises one of `FAILURES` for a file that has another content.
    allowed, fix : str
        What the content is, and what to type where no address gives it.

    Raises
    ------
    OSError
        If no address gives the file; it says what each one did.

    Warns
    -----
    RuntimeWarning
        If an address fails and another one is asked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for place, address in enumerate(addresses, 1):
        try:
            _download_from(address, path, check)
        except FAILURES as error:
            failures.append(f"{address}: {error}")
            if place < len(addresses):
                message = f"{path.name} did not come from {failures[-1]}. Asking {addresses[place]} instead."
                warnings.warn(message, RuntimeWarning, stacklevel=4)
        else:
            return address
    tried = "".join(f"\n    {failure}" for failure in failures)
    raise OSError(f"{path.name} could not be fetched.\n  Allowed: {allowed}.\n  Why:{tried}\n  Type: {fix}.")


def expect_content(path: Path, check: Check, allowed: str, fix: str) -> None:
    """Refuse an existing file whose content is not the expected one (`ValueError`); never overwrite it."""
    try:
        check(path)
    except FAILURES as error:
        raise refusal("file", str(path), allowed, f"{error}; nothing that is there is written over", fix) from error


def check_sha256(content: bytes, checksum: str) -> None:
    """Refuse content with another SHA-256 (`ValueError`)."""
    got = hashlib.sha256(content).hexdigest()
    if got != checksum:
        raise ValueError(f"its content has SHA-256 {got}")


def _download_from(address: str, path: Path, check: Check) -> None:
    # What is on its way lies in a folder of its own, on the same disk, where it is never taken for the file.
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=path.parent) as incoming:
        source = pooch.create(incoming, "", registry={path.name: None}, urls={path.name: address})
        downloader = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)
        source.fetch(path.name, processor=Placed(path, check), downloader=downloader)


@dataclass(frozen=True)
class Placed:
    """Processor for pooch that moves a downloaded file into place if its content is right."""

    path: Path
    check: Check

    def __call__(self, fetched: str, action: str, source: Any) -> str:
        """Check the downloaded file, move it into place, and return its final path."""
        self.check(Path(fetched))
        # A copy may be read by whom the user lets read new files; what pooch fetches, by the user alone.
        whole = shutil.copyfile(fetched, f"{fetched}.whole")
        return str(Path(whole).rename(self.path))


DATA_VARIABLE = "NEURO_BPL_DATA"
DEFAULT_DATA = Path("data/external")


def data_folder(data_dir: Path | str | None) -> Path:
    """Return the folder of data sets: `data_dir`, else the variable NEURO_BPL_DATA, else `data/external`."""
    return Path(data_dir or os.environ.get(DATA_VARIABLE) or DEFAULT_DATA)
