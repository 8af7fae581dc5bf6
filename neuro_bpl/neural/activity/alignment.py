"""Spikes counted from an event of each trial."""

import itertools

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from neuro_bpl.neural import arguments, times
from neuro_bpl.neural.columns import NUMBERS
from neuro_bpl.neural.sessions.session import event_names, validate
from neuro_bpl.refusals import nearest, refusal

OWN = ("trial", "unit", "spike", "time", "covered", "event_time", "spike_time", "spike_unit", "spike_trial")
Spikes = tuple[Float[np.ndarray, " spike"], Int[np.ndarray, " spike"], Int[np.ndarray, " spike"]]


def align(session: xr.DataTree, event: str, window: tuple[float, float]) -> xr.Dataset:
    """t − t_event(trial) of all spikes with from ≤ t − t_event < until.

    Windows of neighbouring trials may overlap on a session clock; a spike then belongs to each of them. Times that are
    a microsecond apart or less are taken as equal.

    Parameters
    ----------
    session : DataTree
        A recorded session.
    event : str
        A column of its trials that is a time; `event_names(session)` lists them. NaN where a trial has none.
    window : (float, float)
        From and until, seconds from the event.

    Returns
    -------
    Dataset
        `spike_time` (s from the event), `spike_unit` and `spike_trial` (positions), each (spike); `event_time` (trial)
        on the session's clock; and `covered` (trial), or (trial, unit) where the session says when each unit was
        recorded: whether the event exists and the window lies between `recorded_from` and `recorded_until`. Spikes of
        a window that is not covered are there as far as they were recorded. Columns of trials and units are
        coordinates.

    Raises
    ------
    ValueError
        If there are no spikes, no such event, or the window is not from an earlier to a later time.

    Examples
    --------
    >>> from neuro_bpl.neural import from_arrays
    >>> session = from_arrays([[0.9, 1.1, 3.2]], {"go": ([1.0, 3.0], "s", "go cue")})
    >>> align(session, "go", (-0.5, 0.5))["spike_time"].values.round(3)
    array([-0.1,  0.1,  0.2])
    """
    _check(session, event)
    why = "seconds from the event: where it begins, and where it ends"
    window = arguments.window("window", window, why, "window=(-0.5, 1.0)")
    trials, units = session["trials"].to_dataset(), session["units"].to_dataset()
    at = trials[event].values.astype(float)
    pick = _of_session_clock if session.attrs["clock"] == "session" else _of_trial_clock
    time, unit, trial = pick(session["spikes"].to_dataset(), at, window, units.sizes["unit"])
    inside = times.in_window(time, *window)
    covered = _covered(trials, event, window)
    variables = {
        "spike_time": ("spike", time[inside], {"units": "s", "long_name": f"time of the spike from {event}"}),
        "spike_unit": ("spike", unit[inside], {"units": "1", "long_name": "position of the unit"}),
        "spike_trial": ("spike", trial[inside], {"units": "1", "long_name": "position of the trial"}),
        "event_time": ("trial", at, {"units": "s", "long_name": trials[event].attrs["long_name"]}),
        "covered": (covered.dims, covered.values, {"units": "1", "long_name": "whether the window was recorded"}),
    }
    about = {"event": event, "window_from": float(window[0]), "window_until": float(window[1])}
    return xr.Dataset(variables, _coordinates(trials, units), {**session.attrs, **about})


def _check(session: xr.DataTree, event: str) -> None:
    validate(session)
    if "spikes" not in session:
        has = ", ".join(session.children)
        raise refusal(
            "session", f"no spikes, but {has}", "spike times", "they are what is aligned", 'session["activity"]'
        )
    names, table = event_names(session), session["trials"].to_dataset()
    if not isinstance(event, str) or event not in names:
        fix = f'"{nearest(str(event), names)}"' if names else 'a column such as {"go": (times, "s", "go cue")}'
        why = "trials have these"
        if isinstance(event, str) and event in table.data_vars:
            why = f"{event} has the unit {table[event].attrs['units']!r}, and moments are in s"
            if table[event].attrs["units"] == "not stated" and table[event].dtype.kind in NUMBERS:
                fix = f'read_nwb(path, events=["{event}"]), or session["trials"]["{event}"].attrs["units"] = "s"'
        raise refusal("event", event, ", ".join(names) or "none: no column has the unit s", why, fix)


def _of_session_clock(spikes: xr.Dataset, at: Float[np.ndarray, " trial"], window: tuple, n_units: int) -> Spikes:
    """Return spikes of all trials' windows, found by bisection in each unit's sorted times."""
    order = np.lexsort((spikes["time"].values, spikes["unit"].values))
    time, units = spikes["time"].values[order], spikes["unit"].values[order]
    present = np.flatnonzero(np.isfinite(at))
    first = np.searchsorted(units, np.arange(n_units + 1))
    trains = [time[start:stop] for start, stop in itertools.pairwise(first)]
    found = [times.slices(train, at[present] + window[0], at[present] + window[1]) for train in trains]
    start = _join([begin + before for (begin, _), before in zip(found, first, strict=False)])
    stop = _join([end + before for (_, end), before in zip(found, first, strict=False)])
    counts = stop - start
    # Slices start:stop one behind the other: each goes on from where the spikes before it have ended.
    chosen = np.repeat(start - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    trial = np.repeat(np.tile(present, n_units), counts)
    return time[chosen] - at[trial], units[chosen], trial.astype(np.int32)


def _join(places: list[np.ndarray]) -> Int[np.ndarray, " slice"]:
    return np.concatenate(places) if places else np.zeros(0, int)


def _of_trial_clock(spikes: xr.Dataset, at: Float[np.ndarray, " trial"], window: tuple, n_units: int) -> Spikes:
    trial = spikes["trial"].values
    return spikes["time"].values - at[trial], spikes["unit"].values, trial


def _covered(trials: xr.Dataset, event: str, window: tuple) -> xr.DataArray:
    at = trials[event].astype(float)
    at = at.where(np.isfinite(at))  # what is compared with NaN is false
    begins = times.at_or_after(at + window[0], trials["recorded_from"])
    return begins & times.at_or_before(at + window[1], trials["recorded_until"])


def _coordinates(trials: xr.Dataset, units: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return columns of trials and units, by name, with the names of both."""
    twice = [str(name) for name in trials.data_vars if name in units.data_vars]
    taken = twice + [str(name) for table in (trials, units) for name in table.data_vars if name in OWN]
    if taken:
        why = "columns of trials and of units become coordinates of one array"
        group = "trials" if taken[0] in trials.data_vars else "units"
        new = f'rename({{"{taken[0]}": "{group[:-1]}_{taken[0]}"}})'
        fix = f'session["{group}"] = xr.DataTree(session["{group}"].to_dataset().{new})'
        raise refusal("column", taken[0], f"a name of its own, not {', '.join(OWN)}", why, fix)
    return {str(name): table[name].reset_coords(drop=True) for table in (trials, units) for name in table.variables}
