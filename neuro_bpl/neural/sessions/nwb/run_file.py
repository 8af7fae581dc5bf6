"""The activity of one network of a run as the contents of an NWB file."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr

from neuro_bpl.neural.sessions.nwb import about, layout, series, tables
from neuro_bpl.neural.sessions.nwb.clock import Steps
from neuro_bpl.neural.sessions.nwb.file import library
from neuro_bpl.neural.sessions.nwb.network import Network, network
from neuro_bpl.neural.sessions.nwb.spiking import ClimbingFibres, PoissonSpikes
from neuro_bpl.neural.sessions.nwb.tables import TRIALS_RESERVED, described
from neuro_bpl.neural.sessions.session import RECORDED, Columns, from_arrays
from neuro_bpl.refusals import expect, refusal
from neuro_bpl.trials import Trials

WHAT = "Simulated activity of one network on the probe trials of its task; no recording of an animal."
KEYWORDS = '["simulation", "neural network model", "synthetic gradients", "cerebellum"]'
FIBRES = {"cortex": "cortical unit", "climbing_fibre": "climbing fibre, one for each component of the cortical state"}


@dataclass(frozen=True)
class Written:
    """What of a run is written, and how."""

    seed: int | None
    snapshot: int | None
    at: Mapping[str, Any] | None
    spikes: PoissonSpikes | None
    climbing_fibres: ClimbingFibres | None
    trials: Trials | None
    columns: Columns | None
    dt: float | None
    gap: float
    start_time: datetime.datetime | None

    def __post_init__(self) -> None:
        kinds = {"spikes": PoissonSpikes, "climbing_fibres": ClimbingFibres, "trials": Trials}
        fixes = {"spikes": "PoissonSpikes(max_rate=50.0)", "climbing_fibres": "ClimbingFibres(baseline=1.0, gain=1.0)"}
        for name, kind in kinds.items():
            fix = f"{name}={fixes.get(name, 'task.probe()')}"
            if getattr(self, name) is not None:
                expect(name, getattr(self, name), kind, f"{kind.__name__}, or None", "it says what is written", fix)


def file_of_run(run: Any, written: Written) -> Any:
    """Return a `pynwb.NWBFile` that holds a network's activity."""
    chosen = network(run, written.at, written.seed, written.snapshot, written.dt)
    start = about.start_of(written.start_time, chosen.attrs, "created_at")
    steps = Steps.of(chosen.activity, chosen.dt, written.gap, written.trials)
    attrs = {**chosen.attrs, "dt": chosen.dt, "gap": written.gap}
    attrs |= {name: str(getattr(written, name)) for name in ("spikes", "climbing_fibres") if getattr(written, name)}
    nwb = about.new_file(_metadata(chosen), WHAT, start)
    arrays = {str(name): steps.in_seconds(values) for name, values in chosen.activity.data_vars.items()}
    shown = {} if written.trials is None else _stimuli(written.trials, steps)
    table = _trial_table(written.columns, steps, xr.Dataset(arrays | shown))
    bounds = {"start_time": steps.starts, "stop_time": steps.stops}
    nwb.trials = tables.new_intervals("trials", "Probe trials, laid one after another.", table, bounds)
    _add_series(nwb, arrays, shown, steps)
    _add_units(nwb, chosen, written, steps)
    kept = {name: layout.described(values) for name, values in (arrays | shown).items()}
    layout.keep(nwb, {"of": layout.RUN, "attrs": layout.plain(attrs), "arrays": kept, "trials": described(table)})
    return nwb


def _metadata(chosen: Network) -> dict[str, Any]:
    attrs = chosen.attrs
    told = f"A circuit that learnt by {attrs['rule']}, trained with neuro_bpl; steps of {chosen.dt:g} s."
    session = f"seed-{attrs['seed']}-snapshot-{attrs['snapshot']}"
    notes = "Simulation. Circuit, task, rule, versions and commit: JSON in scratch/neuro_bpl."
    return {
        **about.SIMULATION,
        "session": session,
        "description": told,
        "keywords": KEYWORDS,
        "notes": notes,
        "was_generated_by": f'[["neuro_bpl", "{version("neuro_bpl")}"]]',
    }


def _stimuli(trials: Trials, steps: Steps) -> dict[str, xr.DataArray]:
    """Return inputs, targets and their weights, `(trial, time, …)`; `(trial, …)` where they belong to the last step."""
    meanings = {"inputs": "input of the step", "targets": "target", "mask": "weight of the target in the loss"}
    found = {}
    for name, meaning in meanings.items():
        given = getattr(trials, name)
        if given is not None:
            at_end = name != "inputs" and trials.at_last_step
            values = np.asarray(given)[:, 0] if at_end else np.asarray(given)
            dims: tuple[str, ...] = ("trial",) if at_end else ("trial", "time")
            dims += (name.removesuffix("s"),) * (values.ndim - len(dims))
            array = xr.DataArray(values, dims=dims, attrs={"units": "1", "long_name": meaning})
            found[name] = (
                steps.in_seconds(array) if "time" in dims else array.assign_coords(trial=np.arange(len(values)))
            )
    return found


def _trial_table(columns: Columns | None, steps: Steps, arrays: xr.Dataset) -> xr.Dataset:
    """Columns of the trials, with the number of steps of each; none has the name of an array or of its coordinates."""
    own: Columns = {"n_steps": (steps.lengths, "1", "steps of the trial")}
    table = from_arrays(None, {**own, **(columns or {})})["trials"].to_dataset().drop_vars(RECORDED)
    reserved = {"start_time", "stop_time", "n_steps", *RECORDED, *TRIALS_RESERVED, *map(str, arrays.variables)}
    taken = reserved & set(columns or {})
    if taken or table.sizes["trial"] != len(steps.starts):
        got = sorted(taken) or f"{table.sizes['trial']} trials"
        allowed = f"columns of {len(steps.starts)} trials, but for {', '.join(sorted(reserved))}"
        raise refusal("columns", got, allowed, "they are those of the run's probe trials", "one value a trial")
    return table


def _add_series(nwb: Any, arrays: Mapping[str, xr.DataArray], shown: Mapping[str, xr.DataArray], steps: Steps) -> None:
    """Arrays of the network, which share their timestamps, and what it was shown."""
    module = nwb.create_processing_module("activity", "What the circuit did, at the end of each step.")
    timestamps: Any = steps.ends().ravel()
    for name, values in arrays.items():
        made = series.series(library(), name, _in_a_row(values), timestamps)
        timestamps = made if isinstance(timestamps, np.ndarray) else timestamps
        module.add(made)
    for name, values in shown.items():
        at = steps.ends().ravel() if "time" in values.dims else steps.stops
        nwb.add_stimulus(series.series(library(), name, _in_a_row(values), at))


def _in_a_row(values: xr.DataArray) -> xr.DataArray:
    """Return trial after trial along one axis."""
    if "time" not in values.dims:
        return values
    flat = values.values.reshape(-1, *values.shape[2:])
    return xr.DataArray(flat, dims=("sample", *values.dims[2:]), attrs=values.attrs)


def _add_units(nwb: Any, chosen: Network, written: Written, steps: Steps) -> None:
    stream = (chosen.attrs["seed"], chosen.attrs["snapshot"])
    trains: list[np.ndarray] = []
    population: list[str] = []
    number: list[int] = []
    for name, source, of in (
        ("cortex", written.spikes, "rates"),
        ("climbing_fibre", written.climbing_fibres, "td_error"),
    ):
        if source is not None:
            drawn = source.draw(_recorded(chosen.activity, of), steps.starts, steps.lengths, steps.dt, stream)
            trains += drawn
            population += [name] * len(drawn)
            number += list(range(len(drawn)))
    if trains:
        about_units = {"population": (population, "1", "; ".join(f"{k}: {v}" for k, v in FIBRES.items()))}
        columns = {**about_units, "number": (number, "1", "number of the cortical unit or state component")}
        table = from_arrays(None, {}, units=columns)["units"].to_dataset()
        intervals = np.stack([steps.starts, steps.stops], axis=-1)
        nwb.units = tables.new_units(table, None, trains, [intervals] * len(trains))


def _recorded(activity: xr.Dataset, name: str) -> xr.DataArray:
    if name not in activity:
        fix = f'train(..., record=["{name}"])'
        raise refusal("run", list(activity.data_vars), f"a run that recorded {name}", "spikes are drawn from it", fix)
    return activity[name]
