"""Results: arrays of training as labelled datasets, and datasets of many points as one run.

A part is what one compiled call trains: points that differ in numbers only, each with the same seeds. Its pieces have
dims `(point, seed, …)` and grow along `update` and `snapshot`; `runs.sweep_axes.combine` turns points into named dims.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Array

from neuro_bpl.circuit.circuit import Weights
from neuro_bpl.circuit.outcome import Outcome
from neuro_bpl.experiments.cohort import Cohort
from neuro_bpl.experiments.observers import GROUPS, Comparison, observed
from neuro_bpl.experiments.recording import units
from neuro_bpl.experiments.updates import PARTS, Update
from neuro_bpl.parameters import flatten
from neuro_bpl.runs.attributes import of_run
from neuro_bpl.runs.pieces import GROWING, Piece, coordinate, named_leaves
from neuro_bpl.runs.quantities import QUANTITIES


def by_point(part: Cohort, values: Array | np.ndarray) -> np.ndarray:
    """Reshape `(network, …)` to `(point, seed, …)`."""
    return np.asarray(values).reshape(len(part.points), part.n_seeds, *np.shape(values)[1:])


def seeds(part: Cohort) -> xr.DataArray:
    """Return the coordinate of the networks of a point."""
    return coordinate("seed", np.arange(part.n_seeds), "network trained")


def quantity(
    part: Cohort, name: str, values: Array | np.ndarray, coords: Mapping[str, xr.DataArray], long_name: str = ""
) -> xr.DataArray:
    """Return a recorded quantity with the dims, units and long name declared for it."""
    known = QUANTITIES[name]
    attrs = {"units": units(name, part.first.circuit), "long_name": long_name or known.long_name}
    dims = ("point", "seed", *coords)
    return xr.DataArray(
        by_point(part, values), {"seed": seeds(part), **coords}, dims, attrs={**attrs, "cadence": known.cadence}
    )


def parameters(part: Cohort) -> Piece:
    """Return every number and name of every point, with unit, symbol and source."""
    names = ("circuit", "task", "rule", "optimizers", "schedule")
    points = [
        {name: leaf for one in names for name, leaf in flatten(getattr(point, one), f"{one}.").items()}
        for point in part.points
    ]
    variables = {
        name: xr.DataArray([point[name][0] for point in points], dims="point", attrs=described(name, metadata))
        for name, (_, metadata) in points[0].items()
    }
    for stream in ("weights", "data", "noise"):
        values = np.array([getattr(point.seeds, stream) for point in part.points])
        attrs = {"units": "1", "long_name": f"seed of the {stream}"}
        variables[f"seeds.{stream}"] = xr.DataArray(values, {"seed": seeds(part)}, ("point", "seed"), attrs=attrs)
    return {"parameters": xr.Dataset(variables)}


def described(name: str, metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes of a parameter: unit, name in words, symbol and source."""
    return {
        "units": metadata.get("unit", "1"),
        "long_name": metadata.get("doc", "") or name,
        "symbol": metadata.get("symbol", ""),
        "source": metadata.get("source", ""),
    }


def training(part: Cohort, first: int, update: Update, diverged_at: np.ndarray) -> Piece:
    """Return what was recorded of updates `first + 1` and later."""
    n_updates = np.shape(update.outcome.loss)[1]
    at = coordinate("update", np.arange(first + 1, first + n_updates + 1), "number of the update")
    variables = {name: quantity(part, name, getattr(update.outcome, name), {"update": at}) for name in Outcome._fields}
    if "weight_change" in part.first.record:
        parts = coordinate("part", list(PARTS), "part of the circuit")
        variables["weight_change"] = quantity(
            part, "weight_change", update.weight_change, {"update": at, "part": parts}
        )
    if update.difficulty is not None:
        variables["difficulty"] = quantity(part, "difficulty", update.difficulty, {"update": at})
    attrs = {"units": "1", "long_name": "update whose loss was not finite (-1: none)"}
    diverged = xr.DataArray(by_point(part, diverged_at), {"seed": seeds(part)}, ("point", "seed"), attrs=attrs)
    return {"training": xr.Dataset({**variables, "diverged_at": diverged})}


def comparison(part: Cohort, first: int, found: Comparison) -> Piece:
    """Return what all rules of a comparison would have done at updates `first + 1` and later."""
    n_updates = np.shape(found.cosine)[1]
    names = [rule.name for rule in observed(part.first.rule, part.first.compare)]
    axes = {
        "update": coordinate("update", np.arange(first + 1, first + n_updates + 1), "number of the update"),
        "observed": coordinate("observed", names, "rule that is watched or watches"),
        "with_rule": coordinate("with_rule", names, "rule that it is compared with"),
        "weight_group": coordinate("weight_group", list(GROUPS), "group of cortical weights"),
    }
    variables = {
        name: quantity(part, name, values, {dim: axes[dim] for dim in QUANTITIES[name].dims})
        for name, values in found._asdict().items()
    }
    return {"comparison": xr.Dataset(variables)}


def evaluation(part: Cohort, update: int, found: Mapping[str, Outcome]) -> Piece:
    """Return held-out loss and accuracy after `update` updates."""
    coords = {
        "update": coordinate("update", [update], "updates before the evaluation"),
        "split": coordinate("split", list(found), "held-out set"),
    }
    variables = {
        name: quantity(
            part,
            name,
            np.stack([getattr(outcome, name) for outcome in found.values()], -1)[:, None],
            coords,
            f"held-out {QUANTITIES[name].long_name}",
        ).assign_attrs(cadence="every evaluation")
        for name in Outcome._fields
    }
    return {"evaluation": xr.Dataset(variables)}


def probed(part: Cohort, at: int, values: Mapping[str, np.ndarray]) -> Piece:
    """Return quantities on the probe batch after `at` updates, each in its group."""
    groups: dict[str, dict[str, xr.DataArray]] = {}
    for name, found in values.items():
        dims = QUANTITIES[name].dims
        sizes = (1, *np.shape(found)[1:])
        coords = {dim: _axis(dim, size, at) for dim, size in zip(dims, sizes, strict=True)}
        groups.setdefault(QUANTITIES[name].group, {})[name] = quantity(part, name, np.asarray(found)[:, None], coords)
    return {group: xr.Dataset(variables) for group, variables in groups.items()}


def _axis(dim: str, size: int, at: int) -> xr.DataArray:
    if dim in GROWING:
        words = {"update": "updates before the evaluation", "snapshot": "updates before the snapshot"}
        return coordinate(dim, [at], words[dim])
    if dim == "time":
        return coordinate("time", np.arange(1, size + 1), "step of the trial", "step")
    words = {"trial": "probe trial", "unit": "cortical unit", "state": "number of the cortical state, rates first"}
    return coordinate(dim, np.arange(size), words.get(dim, dim))


def weights(part: Cohort, at: int, found: Weights) -> Piece:
    """Return every weight after `at` updates."""
    variables = {}
    for name, leaf in named_leaves(found).items():
        axes = [
            coordinate(f"{name}.{axis}", np.arange(size), f"{axis} axis of {name}")
            for axis, size in zip(("post", "pre"), leaf.shape[1:], strict=False)
        ]
        coords = {"snapshot": _axis("snapshot", 1, at), **{str(axis.name): axis for axis in axes}}
        variables[name] = quantity(part, "weights", np.asarray(leaf)[:, None], coords, name)
    return {"weights": xr.Dataset(variables)}


def attributes(parts: Sequence[Cohort], grid: Mapping[str, Sequence]) -> dict[str, str]:
    """Return the root attributes that name the rules and the grid of a run."""
    return of_run([point.rule.name for part in parts for point in part.points], grid)
