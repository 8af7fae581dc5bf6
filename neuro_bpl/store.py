"""The store: runs in Icechunk repositories (transactional Zarr), committed chunk by chunk.

A commit is seen whole or not at all, so that a reader, or the next start, finds whole updates only. Each carries a
digest of all that is stored; a run that does not have it is refused. The layout is described in docs/schema.md.
"""

import contextlib
import datetime
import glob
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr
from filelock import FileLock, Timeout

from neuro_bpl import results, schema
from neuro_bpl.contents import Contents, StoredPart
from neuro_bpl.digest import Digest
from neuro_bpl.parameters import refusal
from neuro_bpl.results import FORMAT, FORMAT_VERSION, Piece

BRANCH = "main"
LOCK = "neuro_bpl.lock"  # tells our runs from other repositories, too
ABANDONED = 3600  # seconds
BORN = ("model", "versions", "commit", "created_at")
CHUNK_BYTES = 2**20


class DamagedRunError(ValueError):
    """A store that cannot be read as it was written."""


def as_path(output: Path | str) -> Path:
    """The path of a run (`ValueError` where it is none)."""
    if not isinstance(output, (str, os.PathLike)) or not str(output) or "\0" in str(output):
        raise refusal("output", output, "the path of a folder", "the run is stored there", 'output="data/runs/x"')
    return Path(output)


def check_path(path: Path | str, overwrite: bool = False, resume: bool = False) -> None:
    """Refuse to write over something, and folders that cannot be written.

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
    if path.exists() and not is_run(path) and not _is_empty(path):
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
    """Whether a folder looks like an Icechunk repository."""
    return all((path / part).is_dir() for part in ("refs", "snapshots"))


def is_run(path: Path) -> bool:
    """Whether a folder is one that `Writer` made."""
    return is_store(path) and (path / LOCK).is_file()


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


class Writer:
    """The one process that writes to a store; `contents` is what was there when it began.

    A new run is made in a hidden folder beside its place and moved there with its first commit, so that what is at
    `path` always holds a commit, and an old run is replaced only when there is something to put in its place.
    """

    def __init__(self, path: Path, attrs: Mapping[str, str], overwrite: bool = False) -> None:
        self.path = path
        self._overwrite = overwrite
        self._repository: icechunk.Repository | None = None
        self._fresh: Path | None = None
        self._digest = Digest()
        self._lock = FileLock(path / LOCK, timeout=0)
        self._attrs: dict[str, Any] = dict(attrs)
        self.contents = Contents(self._attrs)
        _clear_away(path)
        if is_run(path):
            self._take_lock()
        if is_run(path) and not overwrite:
            self._continue()

    def _continue(self) -> None:
        self.contents = read(self.path)
        self._repository = icechunk.Repository.open(_storage(self.path))
        born = {key: self.contents.attrs[key] for key in BORN if key in self.contents.attrs}
        if self._attrs.get("versions", born["versions"]) != born["versions"]:
            warnings.warn(
                f"{self.path} was begun with other versions ({born['versions']}): it goes on, "
                f"but not bit for bit as a run without a stop would.",
                RuntimeWarning,
                stacklevel=5,
            )
        self._attrs |= born
        for name, part in self.contents.parts.items():
            self._digest.add(name, {**part.pieces, "checkpoint": _as_dataset(part.checkpoint)}, part.attrs)

    def _take_lock(self) -> None:
        try:
            self._lock.acquire()
        except Timeout as error:
            raise FileExistsError(
                f"{self.path} is being written by another process.\n  Allowed: one writer a run.\n"
                f"  Why: two would overwrite each other's updates.\n  Type: wait for it, or --output with another name."
            ) from error

    def _open(self) -> icechunk.Repository:
        if self._repository is None:
            self._fresh = Path(tempfile.mkdtemp(dir=self.path.parent, prefix=f".{self.path.name}."))
            self._repository = icechunk.Repository.create(_storage(self._fresh))
        return self._repository

    def _publish(self) -> None:
        """Move a new run to its place, in the stead of what was there."""
        if self._fresh is None:
            return
        self._lock.release()
        if self._overwrite or _is_empty(self.path):
            shutil.rmtree(self.path, ignore_errors=True)
        (self._fresh / LOCK).touch()
        self._fresh.chmod(self.path.parent.stat().st_mode)  # mkdtemp makes folders that only their owner may read
        self._fresh.replace(self.path)
        self._fresh = None
        self._repository = icechunk.Repository.open(_storage(self.path))
        self._take_lock()

    def commit(
        self, name: str, piece: Piece, checkpoint: Mapping[str, np.ndarray], attrs: Mapping[str, Any], growth: int
    ) -> None:
        """Append a piece to a part, replace its checkpoint and attributes: all, or nothing.

        `growth` is the number of steps to which a growing axis will come, for the size of chunks on disk.
        """
        schema.check_piece(piece)
        stored = {**piece, "checkpoint": _as_dataset(checkpoint)}
        self._digest.add("", {}, self._attrs)
        self._digest.add(name, stored, dict(attrs))
        try:
            session = self._open().writable_session(BRANCH)
            with _quiet():
                root = zarr.open_group(session.store, mode="a")
                root.attrs.put(dict(self._attrs))
                for group, dataset in stored.items():
                    _write(session.store, f"parts/{name}/{group}", dataset, growth)
                root[f"parts/{name}"].attrs.put(dict(attrs))
            session.commit(f"{name}: {attrs['status']}", metadata={"digest": self._digest.value()})
            self._publish()
        except (OSError, icechunk.IcechunkError) as error:
            raise OSError(
                f"{self.path} cannot be written ({_first_line(error)}).\n"
                f"  What was committed before is safe; the last chunk of updates is lost.\n"
                f"  Type: free some space (or mend the folder), then run the same command with --resume."
            ) from error

    def drop(self, name: str) -> None:
        """Remove a part, if there is one, to run its points again."""
        self.contents.parts.pop(name, None)
        if self._repository is None:
            return
        session = self._repository.writable_session(BRANCH)
        group = zarr.open_group(session.store, mode="a")
        if f"parts/{name}" in group:
            del group[f"parts/{name}"]
            self._digest.drop(name)
            session.commit(f"{name}: dropped", metadata={"digest": self._digest.value()})

    def close(self) -> None:
        """Let go of the store, without what no reader needs any more."""
        if self._repository is not None:
            now = datetime.datetime.now(datetime.UTC)
            with contextlib.suppress(icechunk.IcechunkError):
                self._repository.expire_snapshots(older_than=now)
                self._repository.garbage_collect(now)
        self._lock.release()
        if self._fresh is not None:
            shutil.rmtree(self._fresh, ignore_errors=True)


def _clear_away(path: Path) -> None:
    """Remove what a process that was killed before its first commit has left beside `path`."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if time.time() - left.stat().st_mtime > ABANDONED:
            shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def writing(path: Path, attrs: Mapping[str, str], resume: bool, overwrite: bool) -> Iterator[Writer]:
    """A writer of the run at `path`: a new one, or the one that is there."""
    check_path(path, overwrite, resume)
    writer = Writer(path, attrs, overwrite)
    try:
        yield writer
    finally:
        writer.close()


def _storage(path: Path) -> icechunk.Storage:
    icechunk.set_logs_filter("off")  # What matters of it is raised; it also warns of what the lock keeps out.
    return icechunk.local_filesystem_storage(str(path))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Object at .* is not recognized as a component of a Zarr hierarchy")
        yield


def _write(store: Any, group: str, dataset: xr.Dataset, growth: int) -> None:
    dim = results.growing(dataset)
    dataset = _texts_as_objects(dataset)
    # Chunks of nothing but zeros or NaN are written too: bit for bit what was computed, and missed when they are lost.
    options: dict[str, Any] = {"group": group, "consolidated": False, "write_empty_chunks": True}
    exists = False
    if dim is not None:
        with contextlib.suppress(KeyError, FileNotFoundError):
            exists = dim in zarr.open_group(store, path=group, mode="r")
    if exists:
        dataset.to_zarr(store, append_dim=dim, safe_chunks=False, **options)
        return
    encoding = {
        name: {"chunks": _chunks(values, dim, growth)} for name, values in dataset.variables.items() if values.ndim
    }
    dataset.to_zarr(store, mode="w", encoding=encoding, **options)


def _chunks(values: xr.Variable, dim: str | None, growth: int) -> tuple[int, ...]:
    """Whole along all axes but the growing one, which is cut into pieces of about a mebibyte."""
    if dim not in values.dims:
        return tuple(max(size, 1) for size in values.shape)
    one = max(values.nbytes // max(values.sizes[dim], 1), 1)
    length = int(np.clip(CHUNK_BYTES // one, 1, growth))
    return tuple(length if axis == dim else max(size, 1) for axis, size in values.sizes.items())


def _as_dataset(arrays: Mapping[str, np.ndarray]) -> xr.Dataset:
    """A checkpoint: flat arrays, one for each number format."""
    return xr.Dataset({name: (f"{name}_axis", values) for name, values in arrays.items()})


def _texts_as_objects(dataset: xr.Dataset) -> xr.Dataset:
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
    """All that was committed to a store.

    Raises
    ------
    DamagedRunError
        If it is not a store of neuro_bpl, is damaged, or of another format version.
    """
    try:
        with _quiet():
            return _read(path)
    except (DamagedRunError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # A panic inside Icechunk is no Exception.
        raise _damaged(path, f"it cannot be read ({_first_line(error)})") from error


def _read(path: Path) -> Contents:
    repository = icechunk.Repository.open(_storage(path))
    session = repository.readonly_session(BRANCH)
    commit = next(iter(repository.ancestry(snapshot_id=session.snapshot_id)))
    root: Any = session.store
    tree = xr.open_datatree(root, engine="zarr", consolidated=False, chunks=None).load()
    attrs: dict[str, Any] = {str(key): value for key, value in tree.attrs.items()}
    found = (attrs.get("format"), attrs.get("format_version"))
    if found != (FORMAT, FORMAT_VERSION):
        raise _damaged(path, f"it says {found}, not {(FORMAT, FORMAT_VERSION)}")
    contents, digest = Contents(attrs), Digest()
    digest.add("", {}, attrs)
    stored: Mapping[str, xr.DataTree] = tree["parts"].children if "parts" in tree else {}
    for name, part in sorted(stored.items(), key=lambda item: int(item[0])):  # A listing of Zarr has no order.
        pieces = {group: _texts_as_texts(node.to_dataset(inherit=False)) for group, node in part.children.items()}
        words: dict[str, Any] = {str(key): value for key, value in part.attrs.items()}
        digest.add(name, pieces, words)
        saved = pieces.pop("checkpoint")
        arrays = {str(key): values.values for key, values in saved.data_vars.items()}
        contents.parts[name] = StoredPart(pieces, arrays, words)
    if commit.metadata.get("digest") != digest.value():
        raise _damaged(path, "its contents are not those that were committed")
    return contents


def _first_line(error: BaseException) -> str:
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
    """Open what was committed of a run, finished or not.

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
            f"there is no run at {path}.\n  Type: python models/sequential_digits.py --output {path} to make one."
        )
    if not is_store(path):
        raise _damaged(path, "it is not a store")
    tree = read(path).tree()
    schema.validate(tree)
    return tree


def sizes(piece: Piece) -> int:
    """Bytes of a piece."""
    return sum(dataset.nbytes for dataset in piece.values())


def check_space(path: Path, needed: int) -> None:
    """Refuse a run that would not fit on the disk (`OSError`)."""
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise OSError(
            f"{path} would need about {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free.\n"
            f"  Why: a run that fills the disk is lost in the middle.\n"
            f"  Type: free some space, fewer evaluations or snapshots, fewer names in record, or another --output."
        )
