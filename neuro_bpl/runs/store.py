"""The store: runs in Icechunk repositories (transactional Zarr), where they are and what they hold.

A commit is seen whole or not at all, so that a reader, or the next start, finds whole updates only. Each carries the
digests of all that is stored; a run that does not have them is refused. The layout is described in docs/schema.md.
"""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import xarray as xr

from neuro_bpl.refusals import refusal
from neuro_bpl.runs import fingerprints, schema
from neuro_bpl.runs.contents import Contents, StoredPart
from neuro_bpl.runs.pieces import FORMAT, FORMAT_VERSION

BRANCH = "main"
ROOT = ""  # stands for the root attributes among the names of parts
LOCK = "neuro_bpl.lock"  # tells our runs from other repositories, too


class DamagedRunError(ValueError):
    """Error of a store that cannot be read, or that does not hold what was committed."""


def as_path(output: Path | str) -> Path:
    """Return the path of a run; refuse a value that is no path (`ValueError`)."""
    if not isinstance(output, (str, os.PathLike)) or not str(output) or "\0" in str(output):
        raise refusal("output", output, "the path of a folder", "the run is stored there", 'output="data/runs/x"')
    return Path(output)


def check_path(path: Path | str, overwrite: bool = False, resume: bool = False) -> None:
    """Refuse a path that may not be replaced or resumed, or whose folder cannot be written.

    Raises
    ------
    FileExistsError
        If there is something at `path` and it may not be replaced or resumed, or it is not a run.
    OSError
        If the folder cannot be written.
    """
    path = as_path(path)
    try:
        path.exists()
    except OSError as error:  # A name that is too long, for one.
        raise refusal(
            "output", str(path), "a path that this system knows", str(error.strerror), "a shorter name"
        ) from error
    if overwrite and resume:
        raise refusal("overwrite, resume", (True, True), "one of them", "a run is replaced or continued", "--resume")
    if path.exists() and not (overwrite or resume):
        raise FileExistsError(
            f"{path} exists.\n  Allowed: a path that does not exist yet.\n"
            f"  Why: nothing is written over silently.\n"
            f"  Type: --resume (resume=True) to go on with the run there, --overwrite (overwrite=True) to replace it, "
            f"or --output with another name."
        )
    if path.exists() and not is_run(path) and not is_empty(path):
        raise FileExistsError(
            f"{path} is not a run of neuro_bpl.\n  Allowed: a run, an empty folder, or a path that does not exist.\n"
            f"  Why: only runs are replaced or resumed.\n  Type: --output with another name."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent) as file:
            file.write(b"neuro_bpl")
    except OSError as error:
        raise OSError(
            f"{path.parent} cannot be written ({error.strerror or error}).\n  Allowed: a folder you may write to.\n"
            f"  Why: the run is stored there while it trains.\n  Type: --output with a path in another folder."
        ) from error


def is_store(path: Path) -> bool:
    """Return whether a folder looks like an Icechunk repository."""
    return all((path / part).is_dir() for part in ("refs", "snapshots"))


def is_run(path: Path) -> bool:
    """Return whether a folder is a run written by `RunWriter`."""
    return is_store(path) and (path / LOCK).is_file()


def is_empty(path: Path) -> bool:
    """Return whether a path is an empty folder."""
    return path.is_dir() and not any(path.iterdir())


def storage(path: Path) -> icechunk.Storage:
    """Return the Icechunk storage of a folder."""
    icechunk.set_logs_filter("off")  # What matters of it is raised; it also warns of what the lock keeps out.
    return icechunk.local_filesystem_storage(str(path))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress Zarr's warnings about files that are not its own, such as the lock."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Object at .* is not recognized as a component of a Zarr hierarchy")
        yield


def texts_as_objects(dataset: xr.Dataset) -> xr.Dataset:
    """Convert texts to objects, which Zarr 3 stores at any length without a warning."""
    return _texts(dataset, "U", object)


def _texts_as_texts(dataset: xr.Dataset) -> xr.Dataset:
    return _texts(dataset, "OT", str)


def _texts(dataset: xr.Dataset, kinds: str, dtype: type) -> xr.Dataset:
    changed: dict = {
        name: (values.dims, np.array(values.values.tolist(), dtype=dtype), values.attrs)
        for name, values in dataset.variables.items()
        if values.dtype.kind in kinds
    }
    return dataset.assign({k: v for k, v in changed.items() if k not in dataset.coords}).assign_coords(
        {k: v for k, v in changed.items() if k in dataset.coords}
    )


def read(path: Path) -> Contents:
    """Read all that was committed to a store.

    Raises
    ------
    DamagedRunError
        If it is not a store of neuro_bpl, is damaged, or of another format version.
    """
    try:
        with quiet():
            return _read(path)
    except (DamagedRunError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # A panic inside Icechunk is no Exception.
        raise _damaged(path, f"it cannot be read ({first_line(error)})") from error


def _read(path: Path) -> Contents:
    repository = icechunk.Repository.open(storage(path))
    session = repository.readonly_session(BRANCH)
    root: Any = session.store
    tree = xr.open_datatree(root, engine="zarr", consolidated=False, chunks=None).load()
    attrs: dict[str, Any] = {str(key): value for key, value in tree.attrs.items()}
    found = (attrs.get("format"), attrs.get("format_version"))
    if found != (FORMAT, FORMAT_VERSION):
        raise _damaged(path, f"it says {found}, not {(FORMAT, FORMAT_VERSION)}")
    contents, digests = Contents(attrs), {ROOT: fingerprints.of({}, attrs)}
    stored: Mapping[str, xr.DataTree] = tree["parts"].children if "parts" in tree else {}
    for name, part in sorted(stored.items(), key=lambda item: int(item[0])):  # A listing of Zarr has no order.
        contents.parts[name], digests[name] = _part(part)
    if committed(repository, session.snapshot_id) != digests:
        raise _damaged(path, "its contents are not those that were committed")
    return contents


def _part(tree: xr.DataTree) -> tuple[StoredPart, str]:
    """Return a part as stored, and its digest."""
    pieces = {group: _texts_as_texts(node.to_dataset(inherit=False)) for group, node in tree.children.items()}
    words: dict[str, Any] = {str(key): value for key, value in tree.attrs.items()}
    found = fingerprints.of(pieces, words)
    saved = pieces.pop("checkpoint")
    arrays = {str(key): values.values for key, values in saved.data_vars.items()}
    return StoredPart(pieces, arrays, words), found


def committed(repository: icechunk.Repository, snapshot: str) -> dict[str, str]:
    """Return the digests of all parts, by name, and of the root attributes, as they were committed."""
    digests = repository.lookup_snapshot(snapshot).metadata.get("digests", {})
    return {str(name): str(found) for name, found in digests.items()}


def read_part(path: Path, name: str) -> StoredPart | None:
    """Read one part of a store; None where it does not exist.

    Raises
    ------
    DamagedRunError
        If it cannot be read, or is not what was committed.
    """
    try:
        with quiet():
            repository = icechunk.Repository.open(storage(path))
            session = repository.readonly_session(BRANCH)
            wanted = committed(repository, session.snapshot_id).get(name)
            if wanted is None:
                return None
            root: Any = session.store
            tree = xr.open_datatree(root, group=f"parts/{name}", engine="zarr", consolidated=False, chunks=None).load()
            part, found = _part(tree)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # A panic inside Icechunk is no Exception.
        raise _damaged(path, f"it cannot be read ({first_line(error)})") from error
    if found != wanted:
        raise _damaged(path, "its contents are not those that were committed")
    return part


def first_line(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0].strip()}" if text else type(error).__name__


def _damaged(path: Path, why: str) -> DamagedRunError:
    error = refusal(
        "run",
        str(path),
        "a folder written by neuro_bpl.train or neuro_bpl.sweep",
        why,
        "the path of a run, such as data/runs/x, or train again",
    )
    return DamagedRunError(str(error))


def open_run(path: Path | str) -> xr.DataTree:
    """Open all that was committed of a run, finished or not.

    Parameters
    ----------
    path : path
        Folder of the run.

    Returns
    -------
    xarray.DataTree
        The run, in memory; `statuses(run)` says whether each point is complete.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ValueError
        If what is there is not a run, is damaged, or of another format version.
    """
    path = as_path(path)
    if not path.exists():
        raise FileNotFoundError(
            f'there is no run at {path}.\n  Type: train(..., output="{path}") to make one, or the path of a run.'
        )
    if not is_store(path):
        raise _damaged(path, "it is not a store")
    tree = read(path).tree()
    schema.validate(tree)
    return tree
