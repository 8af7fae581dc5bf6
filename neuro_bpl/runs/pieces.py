"""Pieces of a run: labelled datasets that grow along updates and snapshots."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import PyTree

FORMAT = "neuro_bpl run"
FORMAT_VERSION = "3"
GROWING = ("update", "snapshot")
Piece = dict[str, xr.Dataset]
Label = Mapping[str, float | int | str]


def coordinate(name: str, values: Any, long_name: str, unit: str = "1") -> xr.DataArray:
    """Return a coordinate with its long name and unit."""
    return xr.DataArray(np.asarray(values), dims=name, attrs={"long_name": long_name, "units": unit}, name=name)


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """Return the arrays of a tree by their path, such as "cortex.w_rec"."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def join(pieces: Sequence[Piece]) -> Piece:
    """Join pieces in the order of their commits; what does not grow is taken from the last."""
    groups: dict[str, list[xr.Dataset]] = {}
    for piece in pieces:
        for group, dataset in piece.items():
            groups.setdefault(group, []).append(dataset)
    return {group: _joined(datasets) for group, datasets in groups.items()}


def _joined(datasets: list[xr.Dataset]) -> xr.Dataset:
    dim = growing(datasets[-1])
    if dim is None or len(datasets) == 1:
        return datasets[-1]
    last = datasets[-1]
    grows = [name for name, values in last.data_vars.items() if dim in values.dims]
    joined = xr.concat([dataset[grows] for dataset in datasets], dim, join="exact", combine_attrs="override")
    return joined.assign({name: last[name] for name in last.data_vars if name not in grows})[list(last.data_vars)]


def growing(dataset: xr.Dataset) -> str | None:
    """Return the dim along which a group grows; None for a group that is written once."""
    return next((dim for dim in GROWING if dim in dataset.dims), None)
