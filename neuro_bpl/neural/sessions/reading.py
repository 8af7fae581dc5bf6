"""Files of recordings: told by what is in them, and read as recorded sessions."""

import importlib
from pathlib import Path
from typing import Any

import xarray as xr

from neuro_bpl.neural import arguments
from neuro_bpl.neural.sessions import matlab
from neuro_bpl.refusals import one_of, refusal

# Module and function that reads a format; a module is imported when a file of its format is.
READERS = {
    "nwb": ("neuro_bpl.neural.sessions.nwb", "read_nwb"),
    "hanks": ("neuro_bpl.neural.datasets.hanks2015", "read_hanks"),
    "golub": ("neuro_bpl.neural.datasets.golub2018", "read_golub"),
}
# What a MATLAB file of a format has among its variables.
MATLAB_VARIABLES = {"rawdata": "hanks", "expParams": "golub"}
HDF5, ZIP, GZIP, MATLAB_7_3, PICKLE = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x1f\x8b", b"MATLAB 7.3", b"\x80"
KNOWN = "an NWB file, or a MATLAB file of Hanks et al. 2015 or Golub et al. 2018"


def read(path: Path | str, format: str | None = None, **options: Any) -> xr.DataTree:
    """Return a recorded session from a file.

    Parameters
    ----------
    path : path
        The file. What it is called does not matter, but that a session of Hanks et al. is named after the rat.
    format : "nwb", "hanks" or "golub", optional
        What the file is. None: told by its first bytes and the names of its variables.
    **options
        Passed on to the reader of that format.

    Returns
    -------
    DataTree
        A recorded session, as `from_arrays` makes it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is a folder or empty, damaged or cut short, or none of these formats; or the format is not known.

    Examples
    --------
    >>> read("nowhere/rat.nwb")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    FileNotFoundError: nowhere/rat.nwb is not there.
    """
    if format is not None:
        one_of("format", format, list(READERS), "these can be read")
    path = existing_file(path)
    module, function = READERS[format or format_of(path)]
    return getattr(importlib.import_module(module), function)(path, **options)


def existing_file(path: Path | str) -> Path:
    """Return the path of a file that is there and is not empty.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is a folder, or empty.
    """
    path = arguments.path("path", path)
    if path.is_dir():
        raise refusal("path", str(path), "a file", "it is a folder", "the path of one of its files")
    if not path.is_file():
        fix = "another path, or neuro_bpl.neural.fetch(name) for a public recording"
        raise FileNotFoundError(
            f"{path} is not there.\n  Allowed: the path of a file.\n  Why: a recording is read from it.\n  Type: {fix}."
        )
    if path.stat().st_size == 0:
        raise refusal("file", str(path), "a file with something in it", "it is empty", "fetch or copy it again")
    return path


def format_of(path: Path) -> str:
    """Return the format of a file, by its content; a key of `READERS`.

    Raises
    ------
    ValueError
        If it is none of them; it says what the file is, where that is known.
    """
    with path.open("rb") as file:
        head = file.read(matlab.HEADER)
    if head.startswith(matlab.SIGNATURE):
        return _matlab_format(path)
    if head.startswith(HDF5):
        return _hdf5_format(path)
    raise _unknown(path, *_guess(head))


def _matlab_format(path: Path) -> str:
    names = matlab.variables(path)
    found = [known for variable, known in MATLAB_VARIABLES.items() if variable in names]
    if not found:
        has = f"it is a MATLAB file with {', '.join(names) or 'nothing'}"
        raise _unknown(path, has, "from_arrays(...) with the arrays of scipy.io.loadmat")
    return found[0]


def _hdf5_format(path: Path) -> str:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            is_nwb = "nwb_version" in file.attrs
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise _unknown(path, f"it is a damaged HDF5 file ({error})", "fetch or copy it again") from error
    if not is_nwb:
        raise _unknown(path, "it is an HDF5 file without nwb_version", "from_arrays(...) with the arrays of h5py.File")
    return "nwb"


def _guess(head: bytes) -> tuple[str, str]:
    """Return what else a file may be, by its first bytes; and what to do then."""
    if head.startswith(MATLAB_7_3):
        return (
            "it is a MATLAB file of version 7.3",
            "save -v7 in MATLAB, or from_arrays(...) with the arrays of h5py.File",
        )
    if head.startswith(ZIP):
        return "it is a zip archive, such as NumPy's npz", "from_arrays(...) with the arrays of np.load(path)"
    if head.startswith(GZIP):
        return "it is compressed with gzip", "gunzip first"
    if head.startswith(PICKLE):
        return "it is a pickle, which could run any code", "a file that holds arrays alone"
    return f"it begins with {head[:16]!r}", "from_arrays(...) with arrays of your own"


def _unknown(path: Path, why: str, fix: str) -> ValueError:
    return refusal("file", str(path), KNOWN, why, fix)
