"""An NWB file: opened to be read and closed again, and written whole or not at all."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import h5py

from neuro_bpl.refusals import refusal

Found = TypeVar("Found")
FETCH = "the path of another file, or fetch this one again"


def library() -> Any:
    """Return the package pynwb.

    Raises
    ------
    ImportError
        If it is not installed; it says what to type.
    """
    try:
        import pynwb
    except ImportError as error:
        raise ImportError(
            "pynwb is not installed.\n  Allowed: pynwb 4.2 or later.\n  Why: it knows the format of NWB files.\n"
            '  Type: pip install "neuro_bpl[nwb]".'
        ) from error
    return pynwb


def extract(path: Path, what: Callable[[Any], Found]) -> Found:
    """Return what a function takes from an open `pynwb.NWBFile`; the file is closed afterwards, whatever happens.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If it is a folder, not an NWB file, or damaged.
    """
    pynwb = library()
    _check_kind(path)
    try:
        with h5py.File(path, "r") as opened, pynwb.NWBHDF5IO(file=opened, mode="r", load_namespaces=True) as io:
            return what(io.read())
    except (ImportError, MemoryError):  # of this machine, and not of the file
        raise
    except Exception as error:  # of h5py, hdmf and pynwb, which raise of every kind where bytes are damaged
        why = f"{type(error).__name__}: {error}"
        raise refusal("NWB file", str(path), "a whole NWB file of version 2", why, FETCH) from error


def _check_kind(path: Path) -> None:
    if path.is_dir():
        raise refusal("NWB file", str(path), "one HDF5 file", "it is a folder", f'"{path / "session.nwb"}"')
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist.\n  Allowed: an NWB file.\n  Why: there is nothing to read.\n  Type: {FETCH}."
        )
    if not h5py.is_hdf5(path):
        raise refusal("NWB file", str(path), "an NWB file", "it is not HDF5, or its beginning is damaged", FETCH)


def store(nwb: Any, path: Path, overwrite: bool) -> Path:
    """Write a `pynwb.NWBFile`; it appears at the path when it is whole (`FileExistsError` where one is there)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        fresh = Path(folder) / path.name
        with library().NWBHDF5IO(fresh, "w") as io:
            io.write(nwb)
        if overwrite:
            check_free(path, overwrite)
            fresh.replace(path)
        else:
            _put(fresh, path)
    return path


def _put(fresh: Path, path: Path) -> None:
    """Give a file its place, which nobody else may have taken since."""
    try:
        path.hardlink_to(fresh)
    except OSError:
        check_free(path, overwrite=False)
        path.touch(exist_ok=False)  # a file system without links
        fresh.replace(path)


def check_free(path: Path, overwrite: bool) -> None:
    """Refuse a path that is a folder, or that may not be replaced (`FileExistsError`)."""
    if path.is_dir():
        raise FileExistsError(
            f"{path} is a folder.\n  Allowed: the path of a file.\n  Why: NWB is one file.\n"
            f'  Type: write_nwb(..., "{path / "session.nwb"}").'
        )
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists.\n  Allowed: a path that does not exist yet.\n  Why: nothing is written over silently.\n"
            f"  Type: overwrite=True to replace it, or another name."
        )
