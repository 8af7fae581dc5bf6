"""A run as one NetCDF file, for other tools."""

import tempfile
from pathlib import Path

import xarray as xr

from neuro_bpl.runs import schema


def export_netcdf(run: xr.DataTree, path: Path | str, overwrite: bool = False) -> Path:
    """Write a whole run to one NetCDF file; `xarray.open_datatree` gives it back without loss.

    Raises
    ------
    FileExistsError
        If the file exists and `overwrite` is not set.
    ValueError
        If `run` is not a run.
    """
    path = Path(path)
    schema.validate(run)
    check_path(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        fresh = Path(folder) / path.name
        run.to_netcdf(fresh, engine="h5netcdf")
        fresh.replace(path)
    return path


def check_path(path: Path, overwrite: bool) -> None:
    """Refuse a path that is a folder, or an existing file unless `overwrite` is set (`FileExistsError`)."""
    if path.is_dir():
        raise FileExistsError(
            f"{path} is a folder.\n  Allowed: the path of a file.\n  Why: NetCDF is one file.\n"
            f'  Type: export_netcdf(run, "{path / "run.nc"}").'
        )
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists.\n  Allowed: a path that does not exist yet.\n  Why: nothing is written over silently.\n"
            f"  Type: overwrite=True to replace it, or another name."
        )
