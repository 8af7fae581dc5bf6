"""Entrants: what is given as models, as the responses of each rule."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import xarray as xr

from neuro_bpl.neural.activity.responses import DIMS, LEADING, rates_of
from neuro_bpl.refusals import refusal

Point = dict[str, Any]


def entrants(models: Any, condition: str, snapshots: str) -> dict[str, xr.DataArray]:
    """Responses by name; a run that is a sweep has a name for each of its points, such as "small, BPTT, tau=0.1".

    Parameters
    ----------
    models : mapping or DataTree
        Responses or runs by name, or one run, whose points are named by themselves.
    condition : str
        Coordinate of `trial`.
    snapshots : "last" or "all"
        Of runs.

    Raises
    ------
    ValueError
        If there are none, or two have the same name.
    """
    if isinstance(models, xr.DataTree):
        models = {"" if _axes(models) else str(models.attrs.get("rule", "run")): models}
    if not isinstance(models, Mapping) or not models:
        fix = 'compare({"BP(1)": responses}, recording)'
        raise refusal("models", models, "responses by the name of their rule", "rules are compared", fix)
    found: dict[str, xr.DataArray] = {}
    for name, model in models.items():
        for label, one in _points(str(name), model).items():
            if label in found:
                raise refusal("models", label, "each name once", "results are labelled by it", "another name")
            found[label] = rates_of(label, one, condition, snapshots)
    return found


def _axes(model: Any) -> list[str]:
    """Return dims of a sweep; none of anything else."""
    if not isinstance(model, xr.DataTree) or "activity" not in model or "rates" not in model["activity"]:
        return []
    return [str(dim) for dim in model["activity"]["rates"].dims if dim not in (*DIMS, *LEADING)]


def _points(name: str, model: Any) -> dict[str, Any]:
    axes = _axes(model)
    if not axes:
        return {name: model}
    labels = [model["activity"]["rates"][dim].values.tolist() for dim in axes]
    points = [dict(zip(axes, values, strict=True)) for values in product(*labels)]
    return {_label(name, point): _at(model, point) for point in points}


def _label(name: str, point: Point) -> str:
    told = [str(value) if dim == "rule" else f"{dim}={value}" for dim, value in point.items()]
    return ", ".join([name, *told] if name else told)


def _at(run: xr.DataTree, point: Point) -> xr.DataTree:
    groups = {name: run[name].to_dataset() for name in ("activity", "parameters") if name in run}
    chosen = {
        name: one.sel({dim: value for dim, value in point.items() if dim in one.dims}, drop=True)
        for name, one in groups.items()
    }
    return xr.DataTree.from_dict(chosen)
