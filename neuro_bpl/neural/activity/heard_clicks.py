"""Regions of rats that count clicks, and networks that heard the same clicks: rates on the same trials."""

import zlib
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuro_bpl.neural.activity.alignment import align
from neuro_bpl.neural.activity.binning import bin, rate
from neuro_bpl.neural.activity.clicks_as_trials import trials_of
from neuro_bpl.neural.activity.pseudo_population import pooled
from neuro_bpl.neural.activity.simulated_responses import respond

NEWBORN = "newborn"
DT, NOISE = "circuit.cortex.dt", "task.click_noise"


@dataclass(frozen=True)
class View:
    """What is looked at: bins of `width` from stimulus onset `until` an end (s), and quantiles of the evidence.

    Trials that are part of a run of more than `longest_silence` without a spike are left out.
    """

    until: float
    width: float
    n_conditions: int
    longest_silence: int
    seed: int


@dataclass(frozen=True)
class Region:
    """Rates of the units of one region `(trial, time, unit)`, and those of networks that heard the same, by rule.

    Rats have their choices as `went_right`, networks theirs as `choice` `(seed, trial)`.
    """

    recording: xr.DataArray
    models: dict[str, xr.DataArray]


def region_of(run: xr.DataTree, sessions: list[xr.DataTree], view: View) -> Region:
    """Return all units of a region, and all networks, with the condition of each trial."""
    recording = pooled([recorded(session, view) for session in sessions])
    heard = recording["heard"].values
    edges = np.quantile(heard, np.linspace(0, 1, view.n_conditions + 1)[1:-1])
    condition = {"condition": ("trial", np.searchsorted(edges, heard))}
    names = (*rules_of(run), NEWBORN)
    models = {name: xr.concat([simulated(run, name, one, view) for one in sessions], "trial") for name in names}
    return Region(
        recording.assign_coords(condition),
        {name: one.transpose("seed", "trial", ...).assign_coords(condition) for name, one in models.items()},
    )


def recorded(session: xr.DataTree, view: View) -> xr.DataArray:
    """Rates of a session's units (Hz) in its lasting trials, and the clicks `heard` in the window, right less left."""
    rates = rate(bin(align(session, "stimulus_on", (0.0, view.until)), view.width))
    clicks = np.asarray(trials_of(session, view.width).inputs)[:, : round(view.until / view.width)]
    labelled = rates.assign_coords(heard=("trial", clicks.sum(1) @ np.array([-1.0, 1.0])))
    return labelled.isel(trial=lasting(session, view)).assign_attrs(session=session.attrs["session"])


def simulated(run: xr.DataTree, rule: str, session: xr.DataTree, view: View) -> xr.DataArray:
    """Return rates of all networks of a rule in a session's lasting trials, until the end of the window."""
    dt, noise = (float(run["parameters"].to_dataset()[name].values.flat[0]) for name in (DT, NOISE))
    own = zlib.crc32(f"{view.seed} {session.attrs['session']}".encode()) >> 1  # every session has noise of its own
    trials, snapshots = trials_of(session, dt, noise, own), None
    if rule == NEWBORN:
        rule, snapshots = rules_of(run)[0], [int(run["weights"].to_dataset()["snapshot"][0])]
    at = {"rule": rule} if "rule" in run["training"].dims else {}
    rates = respond(run, trials, dt, at=at, snapshots=snapshots, columns=session["trials"].to_dataset())
    rates = rates.isel(snapshot=0, drop=True) if snapshots else rates
    return rates.isel(time=slice(round(view.until / dt)), trial=lasting(session, view)).drop_vars("trial")


def lasting(session: xr.DataTree, view: View) -> np.ndarray:
    """Return places of trials whose stimulus lasts until the end of the window, and that were recorded."""
    trials = session["trials"].to_dataset()
    there = (trials["stimulus_off"] >= view.until) & (trials["silent_run"] <= view.longest_silence)
    return np.flatnonzero(there.values)


def rules_of(run: xr.DataTree) -> list[str]:
    """Return rules of a run, by name."""
    return [str(name) for name in np.atleast_1d(run["training"].coords.get("rule", run.attrs["rule"]))]
