"""Clicks of a recorded session as trials for a network, so that animal and model hear the same."""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from neuro_bpl.neural import arguments, times
from neuro_bpl.neural.sessions.session import validate
from neuro_bpl.refusals import refusal
from neuro_bpl.tasks.poisson_clicks import SIDES, trials_from, with_noise
from neuro_bpl.trials import Trials


def trials_of(session: xr.DataTree, dt: float, click_noise: float = 0.0, seed: int = 0) -> Trials:
    """Return trials that give a network the very clicks of a recorded session, in its order.

    Step t holds the clicks with (t − 1) dt ≤ time < t dt after stimulus onset; T seconds of stimulus have ⌈T/dt⌉ steps.
    Trials whose stimulus was shorter than a step, or of unknown duration (NaN), get one step, the latter without
    clicks; their targets have a mask of 0, those of all others 1, so that they are there and do not count.

    Parameters
    ----------
    session : DataTree
        A recorded session: columns `stimulus_on` and `stimulus_off` (s) of its trials, and `events` with `time` (s),
        `trial` and `kind`, "left" or "right"; other kinds are not clicks.
    dt : float
        Duration of a step, s.
    click_noise : float
        Standard deviation of what one click counts.
    seed : int
        Seed of that noise.

    Returns
    -------
    Trials
        Inputs `(batch, time, 2)`; targets by the clicks, as in `PoissonClicks`.

    Raises
    ------
    ValueError
        If it is no session, has no clicks, or a click lies outside its stimulus.

    Examples
    --------
    >>> from neuro_bpl.neural import from_arrays
    >>> columns = {"stimulus_on": ([0.0], "s", "onset"), "stimulus_off": ([0.05], "s", "end")}
    >>> clicks = {"time": ([0.0, 0.0, 0.03], "s", "time"), "trial": ([0, 0, 0], "1", "trial")}
    >>> events = {**clicks, "kind": (["left", "right", "right"], "1", "side")}
    >>> trials = trials_of(from_arrays(None, columns, events=events), dt=0.02)
    >>> trials.inputs[0].astype(int).tolist(), trials.lengths.tolist(), trials.targets.tolist()
    ([[1, 1], [0, 1], [0, 0]], [3], [[1]])
    """
    _check_session(session, dt, click_noise)
    arguments.whole("seed", seed, "noise is drawn with it", "seed=0")
    table = session["trials"].to_dataset()
    on, off = (table[name].values.astype(float) for name in ("stimulus_on", "stimulus_off"))
    duration, known = off - on, np.isfinite(off - on)
    lengths = np.maximum(times.steps_begun(np.where(known, duration, 0.0), dt), 1).astype(np.int32)
    time, trial, side = _clicks(session, on, duration)
    clicks = np.zeros((len(on), int(lengths.max(initial=1)), len(SIDES)), np.int32)
    step = np.minimum(times.step_of(time, dt), lengths[trial] - 1)
    np.add.at(clicks, (trial, step, side), 1)
    counts = jnp.asarray(known & times.at_or_after(duration, dt), jnp.zeros(0).dtype)[:, None]
    trials = trials_from(jnp.asarray(clicks), jnp.asarray(lengths), counts)
    noise = click_noise * jax.random.normal(jax.random.key(seed), trials.inputs.shape, trials.inputs.dtype)
    return Trials(with_noise(trials.inputs, noise), trials.targets, trials.mask, trials.lengths)


def _clicks(
    session: xr.DataTree, on: Float[np.ndarray, " trial"], duration: Float[np.ndarray, " trial"]
) -> tuple[Float[np.ndarray, " click"], Int[np.ndarray, " click"], Int[np.ndarray, " click"]]:
    """Return time since stimulus onset, trial and side of every click of a trial whose duration is known."""
    events = session["events"].to_dataset()
    is_click: Bool[np.ndarray, " event"] = np.isin(events["kind"].values, SIDES) & (events["trial"].values >= 0)
    trial = events["trial"].values[is_click].astype(int)
    time = events["time"].values[is_click] - on[trial]
    side = (events["kind"].values[is_click] == SIDES[1]).astype(int)
    known = np.isfinite(duration[trial])
    inside = times.between(time, 0.0, duration[trial])
    if (known & ~inside).any():
        at = int((known & ~inside).argmax())
        got, allowed = float(time[at]), f"0 to {duration[trial[at]]:g} s, the stimulus of trial {trial[at]}"
        raise refusal("events/time", got, allowed, "clicks are the stimulus", "clicks within their stimulus")
    return np.maximum(time[known], 0), trial[known], side[known]


def _check_session(session: xr.DataTree, dt: float, click_noise: float) -> None:
    validate(session)
    arguments.number("dt", dt, "clicks are counted in steps of so many seconds", "dt=0.02", low=times.SHORTEST, high=60)
    arguments.number("click_noise", click_noise, "it is an SD", "click_noise=0.0", low=0)
    missing = [name for name in ("stimulus_on", "stimulus_off") if name not in session["trials"]]
    if missing:
        fix = 'from_arrays(spike_times, {"stimulus_on": (times, "s", "…"), "stimulus_off": …})'
        raise refusal("trials", f"no column {missing[0]!r}", "stimulus_on and stimulus_off", "steps fill it", fix)
    if "events" not in session or not {"time", "trial", "kind"} <= set(session["events"].data_vars):
        fix = 'from_arrays(..., events={"time": …, "trial": …, "kind": (["left", "right"], "1", "side")})'
        raise refusal("events", "no clicks", "events with time, trial and kind", "a network hears them", fix)
