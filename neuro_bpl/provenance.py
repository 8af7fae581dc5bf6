"""Provenance: what was run, described so that it can be compared, shown and built again."""

import dataclasses
import datetime
import hashlib
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from neuro_bpl import (
    cells,
    cerebellum,
    circuit,
    credit,
    feedback,
    olive,
    optimizers,
    predictor_traces,
    projection,
    readout,
    regularization,
    traces,
)
from neuro_bpl import initial_state as initial
from neuro_bpl.experiment import Experiment
from neuro_bpl.parameters import flatten, refusal, to_dict

PACKAGES = ("neuro_bpl", "icechunk", "jax", "numpy", "optax", "xarray", "zarr")
KNOWN: dict[str, type] = {
    known.__name__: known
    for known in (
        circuit.Circuit,
        cells.RateCortex,
        cells.LSTMCortex,
        cells.GRUCortex,
        readout.LinearReadout,
        cerebellum.LinearPredictor,
        cerebellum.GranularPredictor,
        cerebellum.DeepPredictor,
        projection.ProjectedPredictor,
        initial.InitialState,
        feedback.FeedbackPathway,
        olive.OlivaryPathway,
        regularization.Regularization,
        optimizers.Optimizers,
        optimizers.Optimizer,
        traces.Immediate,
        traces.Leaky,
        traces.Diagonal,
        traces.Full,
        traces.RankOne,
        traces.Kronecker,
        traces.Perturbed,
        predictor_traces.FullTrace,
        predictor_traces.HistorySweep,
        predictor_traces.LowRankTrace,
        predictor_traces.ProjectedTrace,
        predictor_traces.DiagonalTrace,
        predictor_traces.LeakTrace,
        credit.ImmediateError,
        credit.Exact,
        credit.Predicted,
        credit.Feedback,
        credit.NoError,
        credit.RandomError,
        credit.Reward,
    )
}


def describe(experiment: Experiment) -> dict[str, Any]:
    """An experiment in plain dictionaries, ready for JSON; data and given weights appear as fingerprints."""
    parts = {spec.name: getattr(experiment, spec.name) for spec in dataclasses.fields(experiment)}
    task, weights = parts.pop("task"), parts.pop("weights")
    return {
        **{name: to_dict(part) for name, part in parts.items()},
        "task": {"name": type(task).__name__, **{name: value for name, (value, _) in flatten(task).items()}},
        "task_data": fingerprint(task),
        "start": "drawn" if weights is None else fingerprint(weights),
    }


def fingerprint(tree: PyTree) -> str:
    """SHA-256 of the arrays in a tree."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        values = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {values.dtype} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """What differs, one line each, such as ``rule.credit.lambda_: stored 0.5, asked for 1.0``."""
    old, new = dict(_flat(stored)), dict(_flat(asked))
    return [
        f"{name}: stored {old.get(name, 'nothing')}, asked for {new.get(name, 'nothing')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _flat(description: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(description, Mapping):
        for key, value in description.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, description


def rebuild(description: Any, types: Sequence[type] = ()) -> Any:
    """The object that `to_dict` described.

    Parameters
    ----------
    description : dict
        A description, its class under `"type"`.
    types : sequence of type, optional
        Classes of your own that it may name.

    Raises
    ------
    ValueError
        If it names a class that is neither neuro_bpl's nor in `types`, or values that the class refuses.
    """
    if isinstance(description, list):
        return tuple(rebuild(value, types) for value in description)
    if not isinstance(description, Mapping):
        return description
    values = {key: rebuild(value, types) for key, value in description.items() if key != "type"}
    if "type" not in description:
        return values
    known = {**KNOWN, **{own.__name__: own for own in types}}
    name = description["type"]
    if name not in known:
        raise refusal(
            "type",
            name,
            ", ".join(known),
            "a run names its classes, and this one is not part of neuro_bpl",
            f"load(run, types=[{name}]) with the class imported",
        )
    return known[name](**values)


def origin() -> dict[str, str]:
    """Versions, commit and time, for the attributes of a run."""
    return {
        "versions": json.dumps(versions()),
        "commit": _commit(),
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that compute and store a run."""
    return {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}


def _commit() -> str:
    """Commit of the source tree that this package runs from; empty where it is installed or git is missing."""
    here = Path(str(files("neuro_bpl"))).resolve().parent
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
