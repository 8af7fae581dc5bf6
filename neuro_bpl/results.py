"""Results: arrays of training as labelled datasets, and datasets of many points as one run.

A part is what one compiled call trains: points that differ in numbers only, each with the same seeds. Its pieces have
dims `(point, seed, …)` and grow along `update` and `snapshot`; `points.combine` turns points into named dims.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Key, PyTree

from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.experiment import Experiment, Seeds
from neuro_bpl.learner import PARTS, Hyperparameters, Update, Watch
from neuro_bpl.metrics import Outcome
from neuro_bpl.observers import GROUPS, Comparison, observed
from neuro_bpl.parameters import flatten
from neuro_bpl.provenance import describe
from neuro_bpl.recording import QUANTITIES, units

FORMAT = "neuro_bpl run"
FORMAT_VERSION = "3"
GROWING = ("update", "snapshot")
Piece = dict[str, xr.Dataset]
Label = Mapping[str, float | int | str]


@dataclass(frozen=True)
class Part:
    """Points that one compiled call trains, and the coordinates of each in the sweep ({} where there is none)."""

    points: tuple[Experiment, ...]
    labels: tuple[Label, ...]

    @property
    def first(self) -> Experiment:
        """The experiment whose circuit, task, schedule and seeds all points share."""
        return self.points[0]

    @property
    def n_seeds(self) -> int:
        """Networks of a point."""
        return len(self.first.seeds.weights)

    @property
    def name(self) -> str:
        """Name for progress and messages: the rule, or how many points there are."""
        rules = dict.fromkeys(point.rule.name for point in self.points)
        return next(iter(rules)) if len(rules) == 1 else f"{len(self.points)} points"

    def hyperparameters(self) -> Hyperparameters:
        """Rules and optimisers of all networks."""
        return Hyperparameters.stack([(point.rule, point.optimizers) for point in self.points], self.n_seeds)

    @property
    def watch(self) -> Watch:
        """The rules that watch."""
        return Watch.of(self.first.rule, self.first.compare, self.first.compare_draws)

    def keys(self) -> tuple[Key[Array, " network"], Key[Array, " network"], Key[Array, " network"]]:
        """Keys of weights, data and noise of all networks: those of the seeds, again for every point."""
        seeds, n_points = self.first.seeds, len(self.points)
        return Seeds(seeds.weights * n_points, seeds.data * n_points, seeds.noise * n_points).keys()

    def start(self) -> Weights | None:
        """The weights that were given, for every point, in the format of this run; None where they are drawn."""
        n_points, dtype = len(self.points), jnp.zeros(0).dtype
        return jax.tree.map(
            lambda leaf: jnp.tile(jnp.asarray(leaf, dtype), (n_points,) + (1,) * (leaf.ndim - 1)), self.first.weights
        )

    def descriptions(self) -> list[dict[str, Any]]:
        """Every experiment in plain dictionaries."""
        return [describe(point) for point in self.points]


def coordinate(name: str, values: Any, long_name: str, unit: str = "1") -> xr.DataArray:
    """A coordinate with its name in words and unit."""
    return xr.DataArray(np.asarray(values), dims=name, attrs={"long_name": long_name, "units": unit}, name=name)


def by_point(part: Part, values: Array | np.ndarray) -> np.ndarray:
    """`(network, …)` as `(point, seed, …)`."""
    return np.asarray(values).reshape(len(part.points), part.n_seeds, *np.shape(values)[1:])


def seeds(part: Part) -> xr.DataArray:
    """Coordinate of the networks of a point."""
    return coordinate("seed", np.arange(part.n_seeds), "network trained")


def quantity(
    part: Part, name: str, values: Array | np.ndarray, coords: Mapping[str, xr.DataArray], long_name: str = ""
) -> xr.DataArray:
    """A recorded quantity with the dims, units and long name declared for it."""
    known = QUANTITIES[name]
    attrs = {"units": units(name, part.first.circuit), "long_name": long_name or known.long_name}
    dims = ("point", "seed", *coords)
    return xr.DataArray(
        by_point(part, values), {"seed": seeds(part), **coords}, dims, attrs={**attrs, "cadence": known.cadence}
    )


def parameters(part: Part) -> Piece:
    """Every number and name of every point, with unit, symbol and source."""
    names = ("circuit", "task", "rule", "optimizers", "schedule")
    points = [
        {name: leaf for one in names for name, leaf in flatten(getattr(point, one), f"{one}.").items()}
        for point in part.points
    ]
    variables = {
        name: xr.DataArray([point[name][0] for point in points], dims="point", attrs=_described(name, metadata))
        for name, (_, metadata) in points[0].items()
    }
    for stream in ("weights", "data", "noise"):
        values = np.array([getattr(point.seeds, stream) for point in part.points])
        attrs = {"units": "1", "long_name": f"seed of the {stream}"}
        variables[f"seeds.{stream}"] = xr.DataArray(values, {"seed": seeds(part)}, ("point", "seed"), attrs=attrs)
    return {"parameters": xr.Dataset(variables)}


def _described(name: str, metadata: Mapping[str, Any]) -> dict[str, str]:
    return {
        "units": metadata.get("unit", "1"),
        "long_name": metadata.get("doc", "") or name,
        "symbol": metadata.get("symbol", ""),
        "source": metadata.get("source", ""),
    }


def training(part: Part, first: int, update: Update, diverged_at: np.ndarray) -> Piece:
    """Updates `first + 1` and on."""
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


def comparison(part: Part, first: int, found: Comparison) -> Piece:
    """What observed rules would have done at updates `first + 1` and on."""
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


def evaluation(part: Part, update: int, found: Mapping[str, Outcome]) -> Piece:
    """Held-out loss and accuracy after `update` updates."""
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


def probed(part: Part, at: int, values: Mapping[str, np.ndarray]) -> Piece:
    """Quantities on the probe batch after `at` updates, each in its group."""
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


def weights(part: Part, at: int, found: Weights) -> Piece:
    """Every weight after `at` updates."""
    variables = {}
    for name, leaf in named_leaves(found).items():
        axes = [
            coordinate(f"{name}.{axis}", np.arange(size), f"{axis} axis of {name}")
            for axis, size in zip(("post", "pre"), leaf.shape[1:], strict=False)
        ]
        coords = {"snapshot": _axis("snapshot", 1, at), **{str(axis.name): axis for axis in axes}}
        variables[name] = quantity(part, "weights", np.asarray(leaf)[:, None], coords, name)
    return {"weights": xr.Dataset(variables)}


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """Arrays of a tree by their path, such as "cortex.w_rec"."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def weights_of(circuit: Circuit, datasets: xr.Dataset) -> Weights:
    """Weights stored by name, in the structure of a circuit; leading axes are those of the dataset."""
    born = jax.eval_shape(circuit.init, jax.random.key(0))
    leaves = []
    for name, like in named_leaves(born).items():
        values = datasets[name].values
        # Points of a sweep over sizes are padded to the largest; the circuit's own synapses come first.
        own: tuple = (..., *(slice(size) for size in like.shape))
        leaves.append(values[own])
    return jax.tree.unflatten(jax.tree.structure(born), leaves)


def join(pieces: Sequence[Piece]) -> Piece:
    """Pieces in the order of their commits as one; what does not grow is taken from the last."""
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
    """The dim along which a group grows; None for one that is written once."""
    return next((dim for dim in GROWING if dim in dataset.dims), None)


def attributes(parts: Sequence[Part], grid: Mapping[str, Sequence]) -> dict[str, str]:
    """Root attributes that say what was run."""
    rules = list(dict.fromkeys(point.rule.name for part in parts for point in part.points))
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "rule": ", ".join(rules),
        "sweep": json.dumps({dim: list(values) for dim, values in grid.items()}),
    }
