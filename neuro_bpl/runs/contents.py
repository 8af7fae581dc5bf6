"""What a run holds, in memory or on disk: parts, and what happened to each of their points."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import xarray as xr

from neuro_bpl.runs import attributes, pieces, sweep_axes
from neuro_bpl.runs.pieces import Label, Piece

RUNNING, COMPLETE, DIVERGED, FAILED = "running", "complete", "diverged", "failed"


@dataclass
class StoredPart:
    """Part of a run as stored: its pieces, its checkpoint ({} when complete) and its attributes."""

    pieces: Piece
    checkpoint: dict[str, np.ndarray]
    attrs: dict[str, Any]

    @property
    def labels(self) -> list[Label]:
        """Coordinates of each point."""
        return json.loads(self.attrs["labels"])

    @property
    def statuses(self) -> list[str]:
        """Status of each point; a point whose networks have all diverged is "diverged"."""
        if "training" not in self.pieces:
            return [self.attrs["status"]] * len(self.labels)
        lost = (self.pieces["training"]["diverged_at"] >= 0).all("seed").values
        return [DIVERGED if gone else self.attrs["status"] for gone in lost]

    @property
    def descriptions(self) -> list[dict[str, Any]]:
        """The experiment of each point."""
        return json.loads(self.attrs["experiments"])


@dataclass
class Contents:
    """Contents of a store: root attributes and parts."""

    attrs: dict[str, Any]
    parts: dict[str, StoredPart] = field(default_factory=dict)

    @property
    def grid(self) -> dict[str, list]:
        """Named dims of the sweep and their values; {} for a single run."""
        return attributes.grid(self.attrs)

    def tree(self) -> xr.DataTree:
        """Combine the parts into a run, with the record of each point in its attributes."""
        parts = {name: part for name, part in self.parts.items() if part.pieces}
        tree = sweep_axes.combine([(part.pieces, part.labels) for part in parts.values()], self.grid)
        records = [
            attributes.point(label, status, description, part.attrs.get("error", ""))
            for part in self.parts.values()
            for label, description, status in zip(part.labels, part.descriptions, part.statuses, strict=True)
        ]
        tree.attrs = {**self.attrs, **attributes.of_points(records)}
        return tree


class Memory:
    """Run that is not stored on disk: commits stay in memory."""

    path: Path | None = None

    def __init__(self, attrs: Mapping[str, str]) -> None:
        self._attrs = dict(attrs)
        self._pieces: dict[str, list[Piece]] = {}
        self._said: dict[str, dict[str, Any]] = {}

    @property
    def contents(self) -> Contents:
        """All that was committed."""
        parts = {name: StoredPart(pieces.join(self._pieces[name]), {}, said) for name, said in self._said.items()}
        return Contents(self._attrs, parts)

    def commit(
        self, name: str, piece: Piece, checkpoint: Mapping[str, np.ndarray], attrs: Mapping[str, Any], growth: int
    ) -> None:
        """Append a piece to a part."""
        self._pieces.setdefault(name, []).append(piece)
        self._said[name] = dict(attrs)

    def drop(self, name: str) -> None:
        """Remove a part if it exists, so that its points can be run again."""
        self._pieces.pop(name, None)
        self._said.pop(name, None)

    def close(self) -> None:
        """Do nothing: a run in memory has no files to close."""


def finished(values: xr.DataArray, run: xr.DataTree) -> xr.DataArray:
    """Return the values of points that are complete or diverged, and NaN at all other points.

    A stopped network has not made all updates: its values would be mistaken for those of a complete point.
    """
    said = statuses(run)
    at_end = [point["at"] for point in said if point["status"] in (COMPLETE, DIVERGED)]
    dims = [dim for dim in attributes.grid(run.attrs) if dim in values.dims]
    ended = xr.zeros_like(values.isel({dim: 0 for dim in values.dims if dim not in dims}, drop=True), bool)
    for label in at_end:
        ended.loc[{dim: label[dim] for dim in dims}] = True
    return values.where(ended).assign_attrs(values.attrs)


def statuses(run: xr.DataTree) -> Sequence[dict[str, Any]]:
    """Return the record of each point: coordinates "at", "status", "error" and experiment "run".

    A status is "running", "complete", "diverged" or "failed".
    """
    return attributes.points(run.attrs)


@runtime_checkable
class Sink(Protocol):
    """Destination of a run: disk (`run_writer.RunWriter`, `part_writer.PartWriter`) or memory (`Memory`)."""

    @property
    def path(self) -> Path | None:
        """The folder on disk; None in memory."""

    @property
    def contents(self) -> Contents:
        """What was committed: on disk before this process began, in memory so far."""

    def commit(
        self, name: str, piece: Piece, checkpoint: Mapping[str, np.ndarray], attrs: Mapping[str, Any], growth: int
    ) -> None:
        """Append a piece to a part, and replace its checkpoint and attributes."""

    def drop(self, name: str) -> None:
        """Remove a part if it exists, so that its points can be run again."""


def said(labels: Sequence[pieces.Label], descriptions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the attributes of a part that identify its points: coordinates and experiments."""
    return {"labels": json.dumps([dict(label) for label in labels]), "experiments": json.dumps(descriptions)}
