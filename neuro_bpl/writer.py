"""The writer of a run: one process, one commit after each chunk of updates, all or nothing."""

import contextlib
import datetime
import glob
import shutil
import time
import uuid
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
from neuro_bpl.contents import Contents
from neuro_bpl.digest import Digest
from neuro_bpl.results import Piece
from neuro_bpl.store import (
    BRANCH,
    LOCK,
    check_path,
    first_line,
    is_empty,
    is_run,
    quiet,
    read,
    storage,
    texts_as_objects,
)

ABANDONED = 3600  # seconds
BORN = ("model", "versions", "commit", "created_at")
CHUNK_BYTES = 2**20


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
        self._repository = icechunk.Repository.open(storage(self.path))
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
            self._fresh = self._beside()
            self._fresh.mkdir()
            self._repository = icechunk.Repository.create(storage(self._fresh))
        return self._repository

    def _beside(self) -> Path:
        """A hidden folder that is not there yet."""
        return self.path.parent / f".{self.path.name}.{uuid.uuid4().hex}"

    def _publish(self) -> None:
        """Move a new run to its place, in the stead of what was there."""
        if self._fresh is None:
            return
        self._lock.release()
        (self._fresh / LOCK).touch()
        old = self._beside()
        if self.path.exists() and (self._overwrite or is_empty(self.path)):
            self.path.replace(old)
        self._fresh.replace(self.path)
        self._fresh = None
        shutil.rmtree(old, ignore_errors=True)
        self._repository = icechunk.Repository.open(storage(self.path))
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
            with quiet():
                root = zarr.open_group(session.store, mode="a")
                root.attrs.put(dict(self._attrs))
                for group, dataset in stored.items():
                    _write(session.store, f"parts/{name}/{group}", dataset, growth)
                root[f"parts/{name}"].attrs.put(dict(attrs))
            session.commit(f"{name}: {attrs['status']}", metadata={"digest": self._digest.value()})
            self._publish()
        except (OSError, icechunk.IcechunkError) as error:
            raise OSError(
                f"{self.path} cannot be written ({first_line(error)}).\n"
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


def _write(store: Any, group: str, dataset: xr.Dataset, growth: int) -> None:
    dim = results.growing(dataset)
    dataset = texts_as_objects(dataset)
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
