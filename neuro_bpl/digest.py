"""A digest of everything in a run, kept up to date while the run grows."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuro_bpl.results import Piece, growing


class Digest:
    """SHA-256 of all that is stored, kept up to date as pieces are appended."""

    def __init__(self) -> None:
        self._hashes: dict[str, Any] = {}

    def add(self, part: str, piece: Piece, attrs: Mapping[str, Any]) -> None:
        """Take in a piece; what does not grow replaces what was there."""
        self._hashes[f"{part}@"] = hashlib.sha256(json.dumps(attrs, sort_keys=True).encode())
        for group, dataset in piece.items():
            dim = growing(dataset)
            if dim is None:
                self._forget(f"{part}/{group}/")
            for name, values in dataset.variables.items():
                self._add(f"{part}/{group}/{name}", values, dim)

    def _add(self, key: str, values: xr.Variable, dim: str | None) -> None:
        grows = dim in values.dims
        if not grows or key not in self._hashes:
            shape = [(str(axis), size) for axis, size in values.sizes.items() if axis != dim or not grows]
            kind = "text" if values.dtype.kind in "OTU" else values.dtype.str
            head = json.dumps([shape, kind, dict(values.attrs)], sort_keys=True, default=str)
            self._hashes[key] = hashlib.sha256(head.encode())
        turned = values.transpose(dim, ...) if grows else values
        self._hashes[key].update(_bytes(turned.values))

    def drop(self, part: str) -> None:
        """Forget a part."""
        self._forget(f"{part}/")
        self._forget(f"{part}@")

    def _forget(self, start: str) -> None:
        self._hashes = {key: kept for key, kept in self._hashes.items() if not key.startswith(start)}

    def value(self) -> str:
        """The digest."""
        lines = [f"{key} {found.hexdigest()}" for key, found in sorted(self._hashes.items())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _bytes(values: np.ndarray) -> bytes:
    if values.dtype.kind in "OTU":
        return json.dumps(values.tolist()).encode()
    return np.ascontiguousarray(values).tobytes()
