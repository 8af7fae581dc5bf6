"""A digest of everything in a part of a run, kept up to date while the part grows."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import PyTree

from neuro_bpl.runs.pieces import Piece, growing


class Digest:
    """Digest (SHA-256) of a part, updated as pieces are appended."""

    def __init__(self) -> None:
        self._attrs = b""
        self._hashes: dict[str, Any] = {}

    def add(self, piece: Piece, attrs: Mapping[str, Any]) -> None:
        """Add a piece; attributes, and groups that do not grow, replace the earlier ones."""
        self._attrs = json.dumps(attrs, sort_keys=True).encode()
        for group, dataset in piece.items():
            dim = growing(dataset)
            if dim is None:
                self._hashes = {key: kept for key, kept in self._hashes.items() if not key.startswith(f"{group}/")}
            for name, values in dataset.variables.items():
                self._add(f"{group}/{name}", values, dim)

    def _add(self, key: str, values: xr.Variable, dim: str | None) -> None:
        grows = dim in values.dims
        if not grows or key not in self._hashes:
            shape = [(str(axis), size) for axis, size in values.sizes.items() if axis != dim or not grows]
            kind = "text" if values.dtype.kind in "OTU" else values.dtype.str
            head = json.dumps([shape, kind, dict(values.attrs)], sort_keys=True, default=str)
            self._hashes[key] = hashlib.sha256(head.encode())
        turned = values.transpose(dim, ...) if grows else values
        self._hashes[key].update(_bytes(turned.values))

    def value(self) -> str:
        """Return the digest."""
        lines = [f"{key} {found.hexdigest()}" for key, found in sorted(self._hashes.items())]
        return hashlib.sha256("\n".join([hashlib.sha256(self._attrs).hexdigest(), *lines]).encode()).hexdigest()


def of(piece: Piece, attrs: Mapping[str, Any]) -> str:
    """Return the digest of a whole part, or, with an empty piece, of attributes."""
    digest = Digest()
    digest.add(piece, attrs)
    return digest.value()


def _bytes(values: np.ndarray) -> bytes:
    if values.dtype.kind in "OTU":
        return json.dumps(values.tolist()).encode()
    return np.ascontiguousarray(values).tobytes()


def fingerprint(tree: PyTree) -> str:
    """Return the SHA-256 of the arrays in a tree."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        values = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {values.dtype} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
