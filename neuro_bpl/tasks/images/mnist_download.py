"""Download of MNIST's files from public mirrors; what does not have the known content is never put in place."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from neuro_bpl.data_files import check_sha256, download, expect_content
from neuro_bpl.refusals import refusal
from neuro_bpl.tasks.images.idx_files import content
from neuro_bpl.tasks.images.mnist import find

MIRROR_VARIABLE = "NEURO_BPL_MNIST_URL"
MIRRORS = ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/")
# Of the contents: mirrors compress the same bytes differently.
CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def fetch_mnist(
    folder: Path | str, mirrors: Sequence[str] | None = None, checksums: Mapping[str, str] = CHECKSUMS
) -> None:
    """Download the files of MNIST that a folder lacks, and store them gzip-compressed.

    A file appears in the folder once its content is known to be right; one that is there already is checked, and
    neither fetched again nor written over. Where a mirror fails, the next one is asked.

    Parameters
    ----------
    folder : path
        Where the files belong; it is made if need be.
    mirrors : sequence of str, optional
        URLs of folders with the files, in the order of asking. By default the one named by the variable
        NEURO_BPL_MNIST_URL, else two public ones.
    checksums : mapping of str to str
        SHA-256 of the uncompressed content of each file, by its name without `.gz`.

    Raises
    ------
    ValueError
        If a file that is there has another content.
    OSError
        If no mirror gives a file; it says what each one did, and where to put files by hand.

    Warns
    -----
    RuntimeWarning
        If a mirror fails and another one is asked.
    """
    folder, asked = Path(folder), _mirrors(mirrors)
    missing = [name for name in checksums if not _is_there(folder, name, checksums[name])]
    for name in missing:
        good = _fetch(folder, name, checksums[name], asked)
        asked = [good, *(mirror for mirror in asked if mirror != good)]  # one that failed is not waited for again


def _mirrors(given: Sequence[str] | None) -> list[str]:
    if given is None:
        own = os.environ.get(MIRROR_VARIABLE)
        return [own] if own else list(MIRRORS)
    if isinstance(given, str) or not given:
        raise refusal(
            "mirrors", given, "a list of URLs", "they are asked one after another", f'mirrors=["{MIRRORS[0]}"]'
        )
    return list(given)


def _is_there(folder: Path, name: str, checksum: str) -> bool:
    """Return whether a folder has a file; refuse one with another content (`ValueError`)."""
    path = find(folder, name)
    if path is None:
        return False
    fix = f"mv {path} {path}.old, or go without --download to read other digits than MNIST's"
    expect_content(path, lambda file: _check(file, checksum), f"content with SHA-256 {checksum}", fix)
    return True


def _fetch(folder: Path, name: str, checksum: str, mirrors: Sequence[str]) -> str:
    """Download one file into a folder, and return the mirror that gave it."""
    by_address = {f"{mirror.removesuffix('/')}/{name}.gz": mirror for mirror in mirrors}
    fix = (
        f"the same again once this machine is connected, or put the four files of {mirrors[0]} "
        f"into {folder} by hand, or name a mirror of your own with {MIRROR_VARIABLE}"
    )
    allowed = f"a gzip file whose content has SHA-256 {checksum}"
    path = folder / f"{name}.gz"
    return by_address[download(path, list(by_address), lambda file: _check(file, checksum), allowed, fix)]


def _check(path: Path, checksum: str) -> None:
    """Refuse a file with another content than expected (`ValueError`), or that is no gzip file (errors of gzip)."""
    check_sha256(content(path), checksum)
