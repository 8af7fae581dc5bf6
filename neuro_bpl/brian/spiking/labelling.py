"""What spiking loops did, in the schema of a run (docs/schema.md)."""

from typing import Any

import brian2
import numpy as np
import xarray as xr

from neuro_bpl.brian import compile_targets
from neuro_bpl.brian.spiking.playing import Seen
from neuro_bpl.brian.spiking.protocol import Loop, Timetable
from neuro_bpl.experiments.labelling import described
from neuro_bpl.parameters import flatten
from neuro_bpl.runs import attributes
from neuro_bpl.runs.pieces import coordinate
from neuro_bpl.runs.provenance import origin


def tree(p: Loop, seen: list[Seen], trials: Timetable, model: str) -> xr.DataTree:
    """Return all that was seen, in the schema of a run; losses are of the trials that all seeds have in common."""
    run = xr.DataTree.from_dict(
        {
            "parameters": parameters(p),
            "training": training(p, seen, trials),
            "evaluation": evaluation(p, seen, trials),
            "activity": shown(p, seen),
            "gradients": gradients(p, seen),
            "weights": kept(p, seen),
        }
    )
    records = [attributes.point({"rule": name}, "complete", flat(p)) for name in p.rules]
    run.attrs = {
        "model": model,
        **attributes.of_run(p.rules, {"rule": p.rules}),
        **origin(),
        "simulator": f"Brian2 {brian2.__version__}, {compile_targets.resolve(p.target)}",
        **attributes.of_points(records),
    }
    return run


def flat(p: Loop) -> dict[str, Any]:
    """Return parameters by name, without what says where the run is stored."""
    return {name: value for name, (value, _) in flatten(p).items() if name not in ("output", "overwrite")}


def axes(p: Loop) -> dict[str, xr.DataArray]:
    """Return coordinates that all groups share."""
    return {
        "rule": coordinate("rule", list(p.rules), "network"),
        "seed": coordinate("seed", np.arange(p.seeds) + p.first_seed, "seed of weights, trials and noise"),
    }


def labelled(p: Loop, seen: list[np.ndarray], units: str, words: str, /, **coords: xr.DataArray) -> xr.DataArray:
    """Return values of every seed, (rule, …), with dims (rule, seed, …)."""
    attrs = {"units": units, "long_name": words}
    return xr.DataArray(np.stack(seen, 1), {**axes(p), **coords}, ("rule", "seed", *coords), attrs=attrs)


def parameters(p: Loop) -> xr.Dataset:
    """Return every constant with its unit, symbol and source."""
    return xr.Dataset(
        {
            name: xr.DataArray(value, attrs=described(name, metadata))
            for name, (value, metadata) in flatten(p).items()
            if name not in ("output", "overwrite")
        }
    )


def training(p: Loop, seen: list[Seen], trials: Timetable) -> xr.Dataset:
    """Return loss of every trial that was learnt from."""
    at = coordinate("update", np.arange(1, p.n_trials + 1), "number of the trial")
    loss = [one.losses[:, trials.learning] for one in seen]
    lost = [np.where(np.isfinite(x).all(1), -1, np.argmin(np.isfinite(x), 1) + 1) for x in loss]
    return xr.Dataset(
        {
            "loss": labelled(p, loss, "1", "½ |output − target|², mean over the window", update=at),
            "diverged_at": labelled(p, lost, "1", "trial whose loss was not finite (-1: none)"),
        }
    )


def evaluated_at(p: Loop) -> xr.DataArray:
    """Return trials learnt from before every evaluation."""
    done = np.linspace(0, p.n_trials, p.n_evaluations + 1).round().astype(int)
    return coordinate("update", done, "trials learnt from before the evaluation")


def evaluation(p: Loop, seen: list[Seen], trials: Timetable) -> xr.Dataset:
    """Return loss while nothing is learnt, mean over showings of all cues, and rates over the whole run."""
    number = trials.evaluation
    blocks = range(p.n_evaluations + 1)
    loss = [np.stack([one.losses[:, number == at].mean(1) for at in blocks], 1)[..., None] for one in seen]
    split = coordinate("split", ["test"], "cues shown again, with other noise")
    coords = {"update": evaluated_at(p), "split": split}
    return xr.Dataset({"loss": labelled(p, loss, "1", "½ |output − target|², mean over the window", **coords)})


def snapshots(p: Loop) -> xr.DataArray:
    """Return when activity is shown and weights are kept."""
    return coordinate("snapshot", [0, p.n_trials], "trials learnt from before the snapshot")


def shown(p: Loop, seen: list[Seen]) -> xr.Dataset:
    """Return activity in one showing of every cue, before learning and after it."""
    units, time = np.arange(p.n_units), np.arange(1, p.n_steps + 1) * p.dt
    common = {
        "snapshot": snapshots(p),
        "trial": coordinate("trial", np.arange(p.n_cues), "cue"),
        "time": coordinate("time", time, "time in the trial", "ms"),
    }
    per_spike = "loss per filtered spike"
    table = {  # unit, words, last dim
        "spikes": ("1", "spikes of the cortex in a step", "unit"),
        "filtered_spikes": ("1", "filtered spikes r of the cortex", "unit"),
        "predicted_gradient": (per_spike, "synthetic gradient ĝ of the nuclei", "state"),
        "td_error": (per_spike, "TD error δ of the olive, at the step that it judges", "state"),
        "climbing_fibre": (per_spike, "what climbing fibres say of it", "state"),
        "leak_gradient": (per_spike, "gradient of later losses through the leak of r alone", "state"),
        "true_gradient": (per_spike, "gradient of later losses, with pseudo-derivatives of spikes", "state"),
    }
    return xr.Dataset(
        {
            name: labelled(
                p,
                [one.activity[name].astype(np.int8 if name == "spikes" else np.float32) for one in seen],
                unit,
                words,
                **common,
                **{last: coordinate(last, units, "cortical neuron")},
            )
            for name, (unit, words, last) in table.items()
        }
    )


def gradients(p: Loop, seen: list[Seen]) -> xr.Dataset:
    """Return cosines of ĝ with the gradient that it can learn, and with all of it."""
    time = coordinate("time", np.arange(1, p.n_steps + 1) * p.dt, "time in the trial", "ms")
    words = {
        "gradient_alignment": "the gradient of later losses, with pseudo-derivatives of spikes",
        "leak_alignment": "its part through the leak of r",
    }
    return xr.Dataset(
        {
            name: labelled(
                p,
                [one.alignment[name] for one in seen],
                "1",
                f"cosine of ĝ with {of}, over units and cues",
                update=evaluated_at(p),
                time=time,
            )
            for name, of in words.items()
        }
    )


def kept(p: Loop, seen: list[Seen]) -> xr.Dataset:
    """Return weights before learning and after it."""
    found = {}
    for name, born in seen[0].born.items():
        coords = {
            f"{name}.{axis}": coordinate(f"{name}.{axis}", np.arange(size), f"{axis} axis of {name}")
            for axis, size in zip(("post", "pre"), born.shape[1:], strict=True)
        }
        values = [np.stack([one.born[name], one.grown[name]], 1) for one in seen]
        unit = "mV" if name.startswith("cortex") else "1"
        found[name] = labelled(p, values, unit, name, snapshot=snapshots(p), **coords)
    return xr.Dataset(found)
