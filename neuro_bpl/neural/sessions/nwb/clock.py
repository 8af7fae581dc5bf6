"""Trials laid one after another on one clock, with a gap between them: those of a run, and of a session."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from neuro_bpl.neural.sessions.nwb.tables import refuse_reserved
from neuro_bpl.neural.sessions.session import RECORDED, event_names
from neuro_bpl.refusals import refusal
from neuro_bpl.trials import Trials

ZERO = "trial_zero"


class Steps(NamedTuple):
    """Where each trial starts (s), how many steps of `dt` seconds it has, and how many there are at most."""

    starts: Float[np.ndarray, " trial"]
    lengths: Int[np.ndarray, " trial"]
    n_steps: int
    dt: float

    @classmethod
    def of(cls, activity: xr.Dataset, dt: float, gap: float, trials: Trials | None) -> "Steps":
        """Return trials of recorded activity, which are of full length unless the trials themselves are given.

        Raises
        ------
        ValueError
            If the gap is not possible, or the trials are not as many, or not as long.
        """
        check_gap(gap)
        n_trials, n_steps = activity.sizes["trial"], activity.sizes["time"]
        if trials is not None and (trials.n_trials, trials.n_steps) != (n_trials, n_steps):
            got, allowed = (trials.n_trials, trials.n_steps), f"{n_trials} trials of {n_steps} steps"
            raise refusal("trials", got, allowed, "activity was recorded on the probe trials", "trials=task.probe()")
        lengths = np.full(n_trials, n_steps) if trials is None else np.asarray(trials.last_step()).astype(int)
        return cls(np.arange(n_trials) * (n_steps * dt + gap), lengths, n_steps, dt)

    @property
    def stops(self) -> Float[np.ndarray, " trial"]:
        """End of each trial's own last step, s."""
        return self.starts + self.dt * self.lengths

    def ends(self) -> Float[np.ndarray, "trial time"]:
        """Return end of every step, s."""
        return self.starts[:, None] + self.dt * np.arange(1, self.n_steps + 1)

    def in_seconds(self, values: xr.DataArray) -> xr.DataArray:
        """Return the array with `time` in seconds from the beginning of the first step, and `step` its number."""
        steps = np.arange(1, self.n_steps + 1)
        time = ("time", self.dt * steps, {"units": "s", "long_name": "time from the beginning of the trial"})
        number = ("time", steps, {"units": "1", "long_name": "number of the step"})
        trial = ("trial", np.arange(len(self.starts)), {"units": "1", "long_name": "probe trial"})
        return values.assign_coords(time=time, step=number, trial=trial)


def on_session_clock(session: xr.DataTree, gap: float) -> xr.DataTree:
    """Return the session on a session clock: a trial begins `gap` seconds after the last moment of the one before it.

    Trials get a column `trial_zero` (s): where the clock of each begins.

    Raises
    ------
    ValueError
        If the gap is not possible, a trial has no finite time at all, or the trials have such a column already.
    """
    check_gap(gap)
    refuse_reserved("trials", session["trials"].to_dataset(), (ZERO,))
    first, last = _spans(session)
    zero = np.concatenate([[0.0], np.cumsum(last - first + gap)[:-1]]) - first
    groups = {str(name): node.to_dataset() for name, node in session.children.items()}
    times = (*event_names(session), *RECORDED)
    # Transposed, since some have a value for each unit of a trial.
    shifted = {name: groups["trials"][name].copy(data=(groups["trials"][name].values.T + zero).T) for name in times}
    about = {"units": "s", "long_name": "where the clock of the trial begins"}
    groups["trials"] = groups["trials"].assign(shifted).assign({ZERO: ("trial", zero, about)})
    for name in {"spikes", "events"} & set(groups):
        time = groups[name]["time"]
        groups[name] = groups[name].assign(time=time.copy(data=time.values + zero[groups[name]["trial"].values]))
    if "spikes" in groups:
        groups["spikes"] = groups["spikes"].drop_vars("trial")
    laid = xr.DataTree.from_dict(groups)
    laid.attrs = {**session.attrs, "clock": "session"}
    return laid


def check_gap(gap: float) -> None:
    """Refuse a time between trials (s) that is not possible."""
    if isinstance(gap, bool) or not isinstance(gap, (int, float)) or not 0 < gap < np.inf:
        raise refusal("gap", gap, "a finite number above 0 (s)", "trials do not overlap", "gap=1.0")


def moments(session: xr.DataTree) -> Float[np.ndarray, "moment trial"]:
    """Times of each trial, finite or not: its events, and the bounds of what was recorded of it, or of each unit in it.

    Trials of a trial clock have those of binned activity, too.
    """
    table = session["trials"].to_dataset()
    rows = [np.atleast_2d(table[name].values.astype(float).T) for name in (*event_names(session), *RECORDED)]
    if session.attrs["clock"] == "trial" and "activity" in session:
        time = session["activity"].to_dataset().coords.get("time")
        if time is not None and time.dims == ("time",) and time.attrs.get("units") == "s":
            rows.append(np.repeat(time.values.astype(float)[:, None], table.sizes["trial"], axis=1))
    return np.concatenate(rows)


def _spans(session: xr.DataTree) -> tuple[Float[np.ndarray, " trial"], Float[np.ndarray, " trial"]]:
    """Return first and last finite moment of each trial: of its columns, its activity, its spikes and its events."""
    known = moments(session)
    first = np.where(np.isfinite(known), known, np.inf).min(0)
    last = np.where(np.isfinite(known), known, -np.inf).max(0)
    for name in {"spikes", "events"} & set(session.children):
        happened = session[name].to_dataset()
        trial, time = happened["trial"].values, happened["time"].values
        there = np.isfinite(time)
        np.minimum.at(first, trial[there], time[there])
        np.maximum.at(last, trial[there], time[there])
    if not np.isfinite(first).all():
        at = int((~np.isfinite(first)).argmax())
        fix = 'a column with a time, such as {"stimulus_on": (times, "s", "stimulus onset")}'
        raise refusal(f"trial {at}", "no finite time", "at least one", "it has a place on the session clock", fix)
    return first, last
