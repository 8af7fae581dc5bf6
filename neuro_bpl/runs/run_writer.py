"""The writer of a run: the one process that owns it. It may let others write parts of it (`part_writer.PartWriter`)."""

import contextlib
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
from filelock import FileLock, Timeout

from neuro_bpl.runs import part_writer
from neuro_bpl.runs.contents import Contents
from neuro_bpl.runs.part_writer import PartWriter
from neuro_bpl.runs.pieces import Piece
from neuro_bpl.runs.store import LOCK, check_path, is_empty, is_run, read

ABANDONED = 3600  # seconds
BORN = ("model", "versions", "commit", "created_at")


class RunWriter:
    """Writer of a run and sole owner of its store; `contents` is what the store held when it began.

    A new run is made in a hidden folder beside its place and moved there with its first commit, so that what is at
    `path` always holds a commit, and an old run is replaced only when there is something to put in its place.
    """

    def __init__(self, path: Path, attrs: Mapping[str, str], overwrite: bool = False) -> None:
        self.path = path
        self.token = uuid.uuid4().hex
        self._overwrite = overwrite
        self._region: PartWriter | None = None
        self._fresh: Path | None = None
        self._lock = FileLock(path / LOCK, timeout=0)
        self._attrs: dict[str, Any] = dict(attrs)
        self.contents = Contents(self._attrs)
        _clear_away(path)
        if is_run(path):
            self._take_lock()
        if is_run(path) and not overwrite:
            self._continue()

    def _continue(self) -> None:
        part_writer.own(self.path, self.token)
        self.contents = read(self.path)
        born = {key: self.contents.attrs[key] for key in BORN if key in self.contents.attrs}
        if self._attrs.get("versions", born["versions"]) != born["versions"]:
            warnings.warn(
                f"{self.path} was begun with other versions ({born['versions']}): it goes on, "
                f"but not bit for bit as a run without a stop would.",
                RuntimeWarning,
                stacklevel=5,
            )
        self._attrs |= born
        self._region = PartWriter(self.path, self.token, self.contents, self._attrs)

    def _take_lock(self) -> None:
        try:
            self._lock.acquire()
        except Timeout as error:
            raise FileExistsError(
                f"{self.path} is being written by another process.\n  Allowed: one writer a run.\n"
                f"  Why: two would overwrite each other's updates.\n  Type: wait for it, or --output with another name."
            ) from error

    def _open(self) -> PartWriter:
        if self._region is None:
            self._fresh = self._beside()
            self._fresh.mkdir()
            self._region = PartWriter(self._fresh, self.token, self.contents, self._attrs, self.path)
            part_writer.own(self._fresh, self.token)
        return self._region

    def _beside(self) -> Path:
        """Return the path of a new hidden folder beside the run."""
        return self.path.parent / f".{self.path.name}.{uuid.uuid4().hex}"

    def _publish(self) -> None:
        """Move a new run to its path, replacing what may be overwritten there."""
        if self._fresh is None or self._region is None:
            return
        self._lock.release()
        (self._fresh / LOCK).touch()
        old = self._beside()
        if self.path.exists() and (self._overwrite or is_empty(self.path)):
            self.path.replace(old)
        self._fresh.replace(self.path)
        self._fresh = None
        shutil.rmtree(old, ignore_errors=True)
        self._region.move(self.path)
        self._take_lock()

    def commit(
        self, name: str, piece: Piece, checkpoint: Mapping[str, np.ndarray], attrs: Mapping[str, Any], growth: int
    ) -> None:
        """Append a piece to a part and replace its checkpoint and attributes, all in one commit.

        `growth` is the number of steps to which a growing axis will come, for the size of chunks on disk.
        """
        with part_writer.told(self.path):
            opened = self._open()
        opened.commit(name, piece, checkpoint, attrs, growth)
        with part_writer.told(self.path):
            self._publish()

    def settle(self) -> None:
        """Write the root attributes if they differ from those on disk, before other processes write parts."""
        if self._region is not None:
            self._region.settle()

    @property
    def begun(self) -> bool:
        """Whether the store is at its path, so that other processes can write to it."""
        return self._region is not None and self._fresh is None

    def tip(self) -> dict[str, str]:
        """Return the digests of all that is committed now, by any process."""
        return {} if self._region is None else self._region.tip()

    def drop(self, name: str) -> None:
        """Remove a part if it exists, so that its points can be run again."""
        self.contents.parts.pop(name, None)
        if self._region is not None:
            self._region.drop(name)

    def close(self) -> None:
        """Delete data that no reader needs, release the store, and remove a new run without a commit."""
        if self._region is not None:
            with contextlib.suppress(icechunk.IcechunkError, OSError):
                self._region.tidy()
        self._lock.release()
        if self._fresh is not None:
            shutil.rmtree(self._fresh, ignore_errors=True)


def _clear_away(path: Path) -> None:
    """Remove hidden folders beside `path`, left an hour or more ago by processes killed before a commit."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if time.time() - left.stat().st_mtime > ABANDONED:
            shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def writing(path: Path, attrs: Mapping[str, str], resume: bool, overwrite: bool) -> Iterator[RunWriter]:
    """Open the run at `path`, new or stored, and yield its writer; close it at the end."""
    check_path(path, overwrite, resume)
    writer = RunWriter(path, attrs, overwrite)
    try:
        yield writer
    finally:
        writer.close()


def sizes(piece: Piece) -> int:
    """Return the bytes of a piece."""
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
