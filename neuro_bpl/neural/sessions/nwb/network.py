"""One network of a run at one snapshot: what was recorded of its activity, and where it comes from."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neuro_bpl.refusals import refusal
from neuro_bpl.runs import schema
from neuro_bpl.runs.contents import statuses

STEP = "circuit.cortex.dt"
ORIGIN = ("model", "rule", "versions", "commit", "created_at", "simulator", "equations")
RECORD = 'train(..., record=["rates", "td_error"])'


class Network(NamedTuple):
    """Activity `(trial, time, …)`; attributes that say which run, seed and snapshot; duration of a step (s)."""

    activity: xr.Dataset
    attrs: dict[str, Any]
    dt: float


def network(
    run: Any, at: Mapping[str, Any] | None, seed: int | None, snapshot: int | None, dt: float | None
) -> Network:
    """Return a network of a run.

    Raises
    ------
    ValueError
        If it is no run, recorded no activity, has no such point, seed or snapshot, or nothing says how long a step is.
    """
    schema.validate(run)
    if "activity" not in run:
        raise refusal("run", list(run.children), "a run that recorded activity", "there is nothing to write", RECORD)
    label = _point(run, at or {})
    activity = _at_point(run["activity"].to_dataset(), label)
    chosen = _one(activity, "seed", seed, None)
    recorded = chosen.snapshot.values
    chosen = _one(chosen, "snapshot", snapshot, int(recorded[-1]))
    description = next(point for point in statuses(run) if point["at"] == label)
    attrs = {
        "seed": int(chosen.seed),
        "snapshot": int(chosen.snapshot),
        "at": json.dumps(label),
        **{name: run.attrs[name] for name in ORIGIN if name in run.attrs},
        "experiment": json.dumps(description["run"]),
    }
    return Network(chosen.drop_vars(["seed", "snapshot"]), attrs, _step(run, label, dt))


def _point(run: xr.DataTree, at: Mapping[str, Any]) -> dict[str, Any]:
    labels = [point["at"] for point in statuses(run)]
    found = [label for label in labels if all(label.get(dim) == value for dim, value in at.items())]
    if len(found) != 1:
        shown = ", ".join(map(str, labels[:6]))
        raise refusal("at", dict(at), f"one of {shown}", "a file holds one network", f"at={labels[0]}")
    return found[0]


def _at_point(dataset: xr.Dataset, label: Mapping[str, Any]) -> xr.Dataset:
    return dataset.sel({dim: value for dim, value in label.items() if dim in dataset.dims}, drop=True)


def _one(dataset: xr.Dataset, dim: str, wanted: int | None, default: int | None) -> xr.Dataset:
    values = dataset[dim].values
    default = int(values[0]) if len(values) == 1 else default
    value = default if wanted is None else wanted
    if value is None or value not in values:
        allowed = ", ".join(map(str, values))
        raise refusal(dim, wanted, f"one of {allowed}", f"the run has no other {dim}", f"{dim}={values[-1]}")
    return dataset.sel({dim: value})


def _step(run: xr.DataTree, label: Mapping[str, Any], dt: float | None) -> float:
    """Return duration of a step (s): the given one, or the cortex's."""
    known = run["parameters"].to_dataset()
    own = float(_at_point(known, label)[STEP]) if STEP in known else None
    if dt is None and own is not None:
        return own
    if isinstance(dt, bool) or not isinstance(dt, (int, float)) or not 0 < dt < np.inf:
        why = "steps of this cortex have no duration in seconds" if own is None else "time goes on"
        raise refusal("dt", dt, "a finite number above 0 (s)", why, "dt=0.02")
    if own is not None and not np.isclose(own, dt):
        raise refusal("dt", dt, f"{own} s, the step of the cortex", "the clock is the cortex's", f"dt={own}")
    return float(dt)
