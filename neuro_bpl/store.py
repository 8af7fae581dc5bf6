"""The store: runs in Zarr folders, written whole or not at all."""

import os
import shutil
import tempfile
from pathlib import Path

import xarray as xr

from neuro_bpl.parameters import refusal
from neuro_bpl.results import FORMAT, FORMAT_VERSION


def check_free(path: Path | str, overwrite: bool) -> None:
    """Refuse to write over something (`FileExistsError`), and folders that cannot be written (`OSError`)."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists.\n  Allowed: a path that does not exist yet.\n"
            f"  Why: nothing is written over silently.\n"
            f"  Type: --overwrite (overwrite=True) to replace it, or --output with another name."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def save(run: xr.DataTree, path: Path | str, overwrite: bool = False) -> Path:
    """Write a run to a Zarr folder: beside its place first, then moved there whole.

    Raises
    ------
    FileExistsError
        If the path exists and `overwrite` is not set.
    """
    path = Path(path)
    check_free(path, overwrite)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        fresh, old = Path(folder) / "new", Path(folder) / "old"
        run.to_zarr(fresh, mode="w", zarr_format=2, consolidated=False)
        if path.exists():
            os.replace(path, old)
        os.replace(fresh, path)
        if old.is_file():
            old.unlink()
        shutil.rmtree(old, ignore_errors=True)
    return path


def open_run(path: Path | str) -> xr.DataTree:
    """Open a run that `save` wrote.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ValueError
        If what is there is not a run, or one of another format version.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"there is no run at {path}.\n  Type: python models/sequential_digits.py --output {path} to make one."
        )
    try:
        tree = xr.open_datatree(path, engine="zarr", consolidated=False, chunks=None).load()
    except Exception as error:
        raise _foreign(path, f"Zarr cannot read it ({type(error).__name__})") from error
    if tree.attrs.get("format") != FORMAT or tree.attrs.get("format_version") != str(FORMAT_VERSION):
        found = (tree.attrs.get("format"), tree.attrs.get("format_version"))
        raise _foreign(path, f"it says {found}, not {(FORMAT, str(FORMAT_VERSION))}")
    lost = [group for group in ("parameters", "training", "evaluation", "weights") if group not in tree]
    if lost:
        raise _foreign(path, f"it lacks {', '.join(lost)}")
    return tree


def _foreign(path: Path, why: str) -> ValueError:
    return refusal(
        "run", str(path), "a Zarr folder written by neuro_bpl.save", why, "the path of a run, such as data/runs/x.zarr"
    )
