"""Results: a run as one xarray.DataTree with named dims, units, long names and provenance."""

import datetime
import json
import platform
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from neuro_bpl.experiment import Experiment
from neuro_bpl.learner import Learner
from neuro_bpl.metrics import Outcome
from neuro_bpl.parameters import flatten, refusal, to_dict
from neuro_bpl.recording import QUANTITIES

FORMAT = "neuro_bpl run"
FORMAT_VERSION = 1
PACKAGES = ("neuro_bpl", "jax", "numpy", "optax", "xarray", "zarr")


@dataclass
class History:
    """What training and evaluation saw so far."""

    training: list[Outcome] = field(default_factory=list)
    updates: list[int] = field(default_factory=list)
    evaluation: list[dict[str, Outcome]] = field(default_factory=list)
    alignment: list[np.ndarray] = field(default_factory=list)

    def trained(self, outcome: Outcome) -> None:
        """Add a chunk of updates, `(seed, update)`."""
        self.training.append(outcome)

    def evaluated(self, update: int, outcomes: dict[str, Outcome], alignment: np.ndarray | None) -> None:
        """Add an evaluation after `update` updates."""
        self.updates.append(update)
        self.evaluation.append(outcomes)
        if alignment is not None:
            self.alignment.append(alignment)


def build(experiment: Experiment, history: History, activity: dict[str, np.ndarray], learners: Learner) -> xr.DataTree:
    """The DataTree of a run, from arrays with seeds first."""
    seed = _coordinate("seed", np.arange(len(experiment.seeds.weights)), "network trained")
    groups = {
        "parameters": _parameters(experiment, seed),
        "training": _training(history, learners, seed),
        "evaluation": _evaluation(history, seed),
        "weights": _weights(learners, seed),
    }
    if history.alignment:
        groups["gradients"] = _gradients(history, seed)
    if activity:
        groups["activity"] = _activity(activity, seed)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = _provenance(experiment)
    return tree


def _coordinate(name: str, values: Any, long_name: str, units: str = "1") -> xr.DataArray:
    return xr.DataArray(np.asarray(values), dims=name, attrs={"long_name": long_name, "units": units}, name=name)


def _variable(name: str, values: np.ndarray, **coords: xr.DataArray) -> xr.DataArray:
    """A recorded quantity with the dims, units and long name declared for it."""
    quantity = QUANTITIES[name]
    attrs = {"units": quantity.units, "long_name": quantity.long_name, "cadence": quantity.cadence}
    return xr.DataArray(values, coords=coords, dims=("seed", *quantity.dims), attrs=attrs)


def _parameters(experiment: Experiment, seed: xr.DataArray) -> xr.Dataset:
    parts = {
        "circuit": experiment.circuit,
        "task": experiment.task,
        "rule": experiment.rule,
        "optimizers": experiment.optimizers,
        "schedule": experiment.schedule,
    }
    leaves = {name: leaf for part, value in parts.items() for name, leaf in flatten(value, f"{part}.").items()}
    variables = {
        name: xr.DataArray(
            value,
            attrs={
                "units": metadata.get("unit", "1"),
                "long_name": metadata.get("doc", "") or name,
                "symbol": metadata.get("symbol", ""),
                "source": metadata.get("source", ""),
            },
        )
        for name, (value, metadata) in leaves.items()
    }
    for stream in ("weights", "data", "noise"):
        values = np.array(getattr(experiment.seeds, stream))
        attrs = {"units": "1", "long_name": f"seed of the {stream}"}
        variables[f"seeds.{stream}"] = xr.DataArray(values, coords={"seed": seed}, dims="seed", attrs=attrs)
    return xr.Dataset(variables)


def _training(history: History, learners: Learner, seed: xr.DataArray) -> xr.Dataset:
    loss, accuracy = (np.concatenate(chunks, axis=1) for chunks in zip(*history.training, strict=True))
    update = _coordinate("update", np.arange(1, loss.shape[1] + 1), "number of the update")
    diverged = xr.DataArray(
        learners.diverged_at,
        coords={"seed": seed},
        dims="seed",
        attrs={"units": "1", "long_name": "update whose loss was not finite (-1: none)"},
    )
    recorded = {"loss": loss, "accuracy": accuracy}
    variables = {name: _variable(name, values, seed=seed, update=update) for name, values in recorded.items()}
    return xr.Dataset({**variables, "diverged_at": diverged})


def _evaluation(history: History, seed: xr.DataArray) -> xr.Dataset:
    splits = list(history.evaluation[0])
    coords = {
        "seed": seed,
        "update": _coordinate("update", history.updates, "updates before the evaluation"),
        "split": _coordinate("split", splits, "held-out set"),
    }
    variables = {}
    for name in ("loss", "accuracy"):
        values = np.stack(
            [np.stack([getattr(at[split], name) for split in splits], -1) for at in history.evaluation], 1
        )
        attrs = {"units": QUANTITIES[name].units, "long_name": f"held-out {QUANTITIES[name].long_name}"}
        variables[name] = xr.DataArray(values, coords=coords, dims=("seed", "update", "split"), attrs=attrs)
    return xr.Dataset(variables)


def _gradients(history: History, seed: xr.DataArray) -> xr.Dataset:
    values = np.stack(history.alignment, axis=1)
    update = _coordinate("update", history.updates, "updates before the evaluation")
    return xr.Dataset(
        {"gradient_alignment": _variable("gradient_alignment", values, seed=seed, update=update, time=_time(values))}
    )


def _time(values: np.ndarray, axis: int = -1) -> xr.DataArray:
    return _coordinate("time", np.arange(1, values.shape[axis] + 1), "step of the trial", "step")


def _activity(activity: dict[str, np.ndarray], seed: xr.DataArray) -> xr.Dataset:
    variables = {}
    for name, values in activity.items():
        feature = QUANTITIES[name].dims[-1]
        variables[name] = _variable(
            name,
            values,
            seed=seed,
            trial=_coordinate("trial", np.arange(values.shape[1]), "probe trial"),
            time=_time(values, 2),
            **{feature: _coordinate(feature, np.arange(values.shape[-1]), f"cortical {feature}")},
        )
    return xr.Dataset(variables)


def _weights(learners: Learner, seed: xr.DataArray) -> xr.Dataset:
    variables = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(learners.weights):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        axes = [
            _coordinate(f"{name}.{axis}", np.arange(size), f"{axis} axis of {name}")
            for axis, size in zip(("post", "pre"), leaf.shape[1:], strict=False)
        ]
        attrs = {"units": "1", "long_name": f"{name} after the last update"}
        coords = {str(axis.name): axis for axis in (seed, *axes)}
        variables[name] = xr.DataArray(leaf, coords=coords, dims=tuple(coords), attrs=attrs)
    return xr.Dataset(variables)


def _provenance(experiment: Experiment) -> dict[str, str]:
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "rule": experiment.rule.name,
        "parameters": json.dumps(
            {
                "circuit": to_dict(experiment.circuit),
                "rule": to_dict(experiment.rule),
                "optimizers": to_dict(experiment.optimizers),
                "schedule": to_dict(experiment.schedule),
                "seeds": to_dict(experiment.seeds),
                "task": {name: value for name, (value, _) in flatten(experiment.task).items()},
            }
        ),
        "versions": json.dumps({name: version(name) for name in PACKAGES} | {"python": platform.python_version()}),
        "commit": _commit(),
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _commit() -> str:
    """Commit of the source tree that this package runs from; empty where it is installed or git is missing."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def side_by_side(runs: list[xr.DataTree]) -> xr.DataTree:
    """Runs that differ in their rule as one run with a `rule` dimension.

    Numbers that a rule does not have are NaN, names are empty.
    """
    labels = [run.attrs["rule"] for run in runs]
    if len(set(labels)) < len(labels):
        raise refusal("rules", labels, "each rule once", "rules are told apart by name", "runs of different rules")
    rules = _coordinate("rule", labels, "learning rule")
    names = list(dict.fromkeys(name for run in runs for name in run.children))
    groups = {}
    for name in names:
        having = [(rule, run[name].to_dataset()) for rule, run in zip(rules.values, runs, strict=True) if name in run]
        datasets = _filled([dataset for _, dataset in having])
        having_it = _coordinate("rule", [rule for rule, _ in having], "learning rule")
        groups[name] = xr.concat(datasets, having_it, combine_attrs="override", join="outer", data_vars="all")
    tree = xr.DataTree.from_dict(groups)
    parameters = {run.attrs["rule"]: json.loads(run.attrs["parameters"]) for run in runs}
    tree.attrs = {**runs[0].attrs, "rule": ", ".join(map(str, rules.values)), "parameters": json.dumps(parameters)}
    return tree


def _filled(datasets: list[xr.Dataset]) -> list[xr.Dataset]:
    """Datasets that all have the same variables."""
    known = {name: variable for dataset in datasets for name, variable in dataset.data_vars.items()}
    return [
        dataset.assign({name: _missing(like) for name, like in known.items() if name not in dataset})
        for dataset in datasets
    ]


def _missing(like: xr.DataArray) -> xr.DataArray:
    return xr.full_like(like, "") if like.dtype.kind in "UO" else xr.full_like(like, np.nan, dtype=float)
