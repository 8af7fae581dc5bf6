"""Points of a sweep as named dims: parts, each with a point axis, combined into one run."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from neuro_bpl.runs.pieces import Label, Piece, coordinate
from neuro_bpl.runs.quantities import QUANTITIES
from neuro_bpl.runs.schema import GROUPS


def combine(parts: Sequence[tuple[Piece, Sequence[Label]]], grid: Mapping[str, Sequence]) -> xr.DataTree:
    """Combine parts into one run: points become the dims of the grid, NaN or "" where a point has no value."""
    names = list(dict.fromkeys(group for piece, _ in parts for group in piece))
    tree = {}
    for group in names:
        having = [(piece[group], part_labels) for piece, part_labels in parts if group in piece]
        datasets = _filled([dataset for dataset, _ in having])
        points = (
            xr.concat(
                datasets,
                "point",
                join="outer",
                combine_attrs="override",
                data_vars="all",
                coords="minimal",
                compat="override",
            )
            if len(datasets) > 1
            else datasets[0]
        )
        here = [label for _, part_labels in having for label in part_labels]
        same = _constant(points) if group == "parameters" else {}
        dense = _unstacked(points.drop_vars(same), here, grid).assign(same)
        tree[group] = _ordered(_constant_dropped(dense, list(grid)) if group == "parameters" else dense)
    return xr.DataTree.from_dict({group: tree[group] for group in GROUPS if group in tree})


def _constant(points: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the variables that have the same value at all points."""
    first = points.isel(point=0)
    return {str(name): first[name] for name in points.data_vars if bool((points[name] == first[name]).all())}


def _ordered(dataset: xr.Dataset) -> xr.Dataset:
    """Sort variables by the list of quantities, then alphabetically: the same in memory and from disk."""
    known = list(QUANTITIES)
    return dataset[
        sorted(map(str, dataset.data_vars), key=lambda name: (known.index(name) if name in known else len(known), name))
    ]


def _unstacked(points: xr.Dataset, labels: Sequence[Label], grid: Mapping[str, Sequence]) -> xr.Dataset:
    """Replace the point axis by one axis for each dim of the grid, values in the grid's order."""
    if not grid:
        return points.isel(point=0, missing_dims="ignore")
    full = {dim: coordinate(dim, list(values), dim) for dim, values in grid.items()}
    if "point" not in points.dims:
        return points.assign_coords(full)
    index = pd.MultiIndex.from_tuples([tuple(label[dim] for dim in grid) for label in labels], names=list(grid))
    dense = points.assign_coords(xr.Coordinates.from_pandas_multiindex(index, "point")).unstack("point")
    complete = all(list(dense[dim].values) == list(full[dim].values) for dim in grid)
    dense = dense if complete else dense.reindex({dim: full[dim].values for dim in grid})
    dense = dense.assign_coords(full)
    for name, values in dense.data_vars.items():
        original = points[name]
        dense[name] = values.transpose(*grid, ...).assign_attrs(original.attrs)
        if values.dtype != original.dtype and not values.isnull().any():
            dense[name] = dense[name].astype(original.dtype)
        elif original.dtype.kind in "UO":
            dense[name] = dense[name].fillna("").astype(str) if values.dtype.kind == "O" else dense[name]
    return dense


def _constant_dropped(dataset: xr.Dataset, dims: Sequence[str]) -> xr.Dataset:
    """Drop from each parameter the dims along which it is constant."""
    variables = {}
    for name, values in dataset.data_vars.items():
        for dim in (dim for dim in dims if dim in values.dims):
            first = values.isel({dim: 0}, drop=True)
            if bool((values == first).all()):
                values = first
        variables[name] = values
    return xr.Dataset(variables).assign_coords({dim: dataset[dim] for dim in dims})


def _filled(datasets: list[xr.Dataset]) -> list[xr.Dataset]:
    """Give all datasets the same variables; those they lack are filled with NaN, or "" for texts."""
    known = {name: (variable, dataset) for dataset in datasets for name, variable in dataset.data_vars.items()}
    return [
        dataset.assign(
            {
                name: _missing(like.isel(point=[0] * dataset.sizes["point"]))
                for name, (like, _) in known.items()
                if name not in dataset
            }
        )
        for dataset in datasets
    ]


def _missing(like: xr.DataArray) -> xr.DataArray:
    return xr.full_like(like, "") if like.dtype.kind in "UO" else xr.full_like(like, np.nan, dtype=float)
