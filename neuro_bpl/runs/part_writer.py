"""The region of a store that one process writes: some of its parts, beside other processes that write theirs.

The ref of a branch in a folder cannot be moved atomically, so that of two commits at the same time one may be lost:
commits queue up at a lock that is held no longer than one of them takes. On top of that, a commit is refused where the
run has a new owner, or where the part is not what its writer read or wrote last: a process that was believed dead
cannot add to what another one has gone on with.
"""

import contextlib
import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr
from filelock import FileLock

from neuro_bpl.runs import fingerprints, pieces, schema
from neuro_bpl.runs.contents import Contents, StoredPart
from neuro_bpl.runs.fingerprints import Digest
from neuro_bpl.runs.pieces import Piece
from neuro_bpl.runs.store import BRANCH, ROOT, committed, first_line, quiet, read_part, storage, texts_as_objects

COMMITS = "neuro_bpl.commits"  # the lock of commits
OWNER = "neuro_bpl.owner"  # holds the token of the process that writes the run, as long as it does
PATIENCE = 600  # seconds to wait for others to commit
CHUNK_BYTES = 2**20


class UnwritableError(OSError):
    """Error of a commit that could not be written."""


class OvertakenError(RuntimeError):
    """Error of a commit to a part that another process has continued: the store is ahead of this process."""


class AbandonedError(OSError):
    """Error of a commit to a run that has another owner, or none."""


class PartWriter:
    """Writer of some parts of a store; `contents` is what they held when it began.

    Parameters
    ----------
    path : Path
        The store, as this process sees it.
    token : str
        Token of the run's owner.
    contents : Contents
        The parts that are there.
    attrs : mapping, optional
        Root attributes, to be written along; the owner alone does.
    place : Path, optional
        Where the store will be, if it is new: there is none yet.
    """

    def __init__(
        self,
        path: Path,
        token: str,
        contents: Contents,
        attrs: Mapping[str, Any] | None = None,
        place: Path | None = None,
    ) -> None:
        self.path = path
        self.shown = place or path
        self.contents = contents
        self._token = token
        self._attrs = attrs
        self._repository = (icechunk.Repository.create if place else icechunk.Repository.open)(storage(path))
        self._digests = {name: _taken_in(part) for name, part in contents.parts.items()}
        self._known = {name: found.value() for name, found in self._digests.items()}

    @classmethod
    def join(cls, path: Path, token: str, name: str) -> "PartWriter":
        """Open one part, new or begun, of a run that another process owns, and return its writer."""
        if not owned(path, token):
            raise _abandoned(path)
        part = read_part(path, name)
        return cls(path, token, Contents({}, {} if part is None else {name: part}))

    def commit(
        self, name: str, piece: Piece, checkpoint: Mapping[str, np.ndarray], attrs: Mapping[str, Any], growth: int
    ) -> None:
        """Append a piece to a part and replace its checkpoint and attributes, all in one commit.

        `growth` is the number of steps to which a growing axis will come, for the size of chunks on disk.
        """
        schema.check_piece(piece)
        stored = {**piece, "checkpoint": _as_dataset(checkpoint)}
        found = self._digests.setdefault(name, Digest())
        found.add(stored, dict(attrs))
        with (
            told(self.shown),
            self._change(f"{name}: {attrs['status']}", {name: self._known.get(name)}, {name: found.value()}) as root,
        ):
            for group, dataset in stored.items():
                _write(root.store, f"parts/{name}/{group}", dataset, growth)
            root[f"parts/{name}"].attrs.put(dict(attrs))
        self._known[name] = found.value()

    def settle(self) -> None:
        """Write the root attributes if they differ from those on disk."""
        assert self._attrs is not None
        if self.tip().get(ROOT) != fingerprints.of({}, self._attrs):
            with self._change("attributes", {}, {}):
                pass

    def drop(self, name: str) -> None:
        """Remove a part if it exists, whichever process has written it."""
        self.contents.parts.pop(name, None)
        self._digests.pop(name, None)
        self._known.pop(name, None)
        if name in self.tip():
            with self._change(f"{name}: dropped", {}, {name: None}) as root:
                del root[f"parts/{name}"]

    def move(self, path: Path) -> None:
        """Continue at another path, to which the store has been moved."""
        self.path = path
        self._repository = icechunk.Repository.open(storage(path))

    def tidy(self) -> None:
        """Release the ownership of the run, and delete old snapshots and data that no reader needs.

        Commits of other processes wait meanwhile.
        """
        with commits(self.path):
            if owned(self.path, self._token):
                (self.path / OWNER).unlink()
            now = datetime.datetime.now(datetime.UTC)
            self._repository.expire_snapshots(older_than=now)
            self._repository.garbage_collect(now)

    def tip(self) -> dict[str, str]:
        """Return the digests of all that is committed now, by any process."""
        return committed(self._repository, self._repository.lookup_branch(BRANCH))

    @contextlib.contextmanager
    def _change(
        self, message: str, expected: Mapping[str, str | None], becomes: Mapping[str, str | None]
    ) -> Iterator[zarr.Group]:
        """Yield the root group for changes, and commit them with the new digests `becomes`.

        A part whose digest is not as in `expected` is refused (`OvertakenError`).
        """
        with commits(self.path), quiet():
            if not owned(self.path, self._token):
                raise _abandoned(self.path)
            session = self._repository.writable_session(BRANCH)
            digests: dict[str, str | None] = {**committed(self._repository, session.snapshot_id)}
            if any(digests.get(name) != wanted for name, wanted in expected.items()):
                raise OvertakenError(f"{message}: another process has gone on with this part of {self.path}")
            root: Any = zarr.open_group(session.store, mode="a")
            digests |= becomes
            if self._attrs is not None:
                root.attrs.put(dict(self._attrs))
                digests[ROOT] = fingerprints.of({}, self._attrs)
            yield root
            kept = {name: found for name, found in digests.items() if found is not None}
            session.commit(message, metadata={"digests": kept})


@contextlib.contextmanager
def commits(path: Path) -> Iterator[None]:
    """Hold the lock of commits to a store."""
    with FileLock(path / COMMITS, timeout=PATIENCE):
        yield


def owned(path: Path, token: str) -> bool:
    """Return whether the process with this token owns the run."""
    try:
        return (path / OWNER).read_text(encoding="utf-8") == token
    except FileNotFoundError:
        return False


def own(path: Path, token: str) -> None:
    """Make this process the owner of a run; commits with an earlier token are refused from now on."""
    with commits(path):
        (path / OWNER).write_text(token, encoding="utf-8")


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn errors of a commit into an `UnwritableError` that says what to do."""
    try:
        yield
    except AbandonedError:
        raise
    except (OSError, icechunk.IcechunkError) as error:
        raise UnwritableError(
            f"{path} cannot be written ({first_line(error)}).\n"
            f"  What was committed before is safe; the last chunk of updates is lost.\n"
            f"  Type: free some space (or mend the folder), then run the same command with --resume."
        ) from error


def _abandoned(path: Path) -> AbandonedError:
    return AbandonedError(
        f"{path} does not belong to the sweep that this part is of.\n  Allowed: one sweep at a time.\n"
        f"  Why: the process that began the sweep has ended, or this machine sees another folder under this path.\n"
        f"  Type: the same command with --resume, and a folder that all workers share."
    )


def _taken_in(part: StoredPart) -> Digest:
    found = Digest()
    found.add({**part.pieces, "checkpoint": _as_dataset(part.checkpoint)}, part.attrs)
    return found


def _write(store: Any, group: str, dataset: xr.Dataset, growth: int) -> None:
    dim = pieces.growing(dataset)
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
    """Return chunk sizes: whole axes, but the growing one cut into about a mebibyte."""
    if dim not in values.dims:
        return tuple(max(size, 1) for size in values.shape)
    one = max(values.nbytes // max(values.sizes[dim], 1), 1)
    length = int(np.clip(CHUNK_BYTES // one, 1, growth))
    return tuple(length if axis == dim else max(size, 1) for axis, size in values.sizes.items())


def _as_dataset(arrays: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Return a checkpoint as a dataset of flat arrays, one for each number format."""
    return xr.Dataset({name: (f"{name}_axis", values) for name, values in arrays.items()})
