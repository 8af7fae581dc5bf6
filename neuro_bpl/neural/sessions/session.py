"""A recorded session as an `xarray.DataTree`: units, trials, ragged spike times, events, binned activity.

Two clocks are known. On the "session" clock a spike has one time, and trials are intervals of it. On the "trial" clock
every trial counts time from its own zero, as files cut into trials do, and a spike belongs to one trial.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from neuro_bpl.neural import arguments
from neuro_bpl.neural.columns import values_of
from neuro_bpl.refusals import expect, refusal

FORMAT, FORMAT_VERSION = "neuro_bpl recording", 1
CLOCKS = ("session", "trial")
GROUPS = ("units", "trials", "spikes", "events", "activity", "behaviour", "decoders")
RECORDED = ("recorded_from", "recorded_until")
# Names of dims, which columns cannot have.
TAKEN = {"trials": ("trial", "unit"), "units": ("unit",), "events": ("event",), "spikes": ("spike",)}

Column = tuple[Any, str, str]
Columns = Mapping[str, Column]


def from_arrays(
    spike_times: Sequence[Any] | None,
    trials: Columns,
    *,
    clock: str = "session",
    units: Columns | None = None,
    unit: Sequence[Any] | None = None,
    events: Columns | None = None,
    activity: Mapping[str, xr.DataArray] | None = None,
    behaviour: Mapping[str, xr.DataArray] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Return a session from plain arrays.

    A column is `(values, unit, meaning)`, such as `(times, "s", "stimulus onset")`; columns of trials whose unit is "s"
    are events that activity can be aligned to.

    Parameters
    ----------
    spike_times : sequence, optional
        Seconds. Of a session clock: for each unit its spike times. Of a trial clock: for each trial, for each unit,
        its spike times, counted from the trial's zero. None: there is only binned activity.
    trials : mapping of columns
        One value a trial: numbers, truth values, texts or dates, as lists or columns of NumPy, pandas or JAX; a
        category becomes its text, a missing number NaN. `recorded_from` and `recorded_until` (s) say when the trial's
        units were recorded, or when each of them was, `(trial, unit)`; without them they count as recorded at all times
        (−inf to inf).
    units : mapping of columns, optional
        One value a unit, such as its region.
    unit : sequence, optional
        Names of the units; None: 0, 1, ….
    events : mapping of columns, optional
        Things that happen any number of times a trial, such as clicks: columns `time` (s), `trial` (position of the
        trial, from 0; −1: in none), and `kind`.
    activity : mapping of DataArrays, optional
        Binned activity and other arrays whose first dim is `trial`, with `units` and `long_name` in their attributes.
    behaviour : mapping of DataArrays, optional
        What was measured beside the units: arrays whose first dim is a time of their own (s), such as `wheel_time`.
    attrs : mapping, optional
        What is known of the session: `session`, `subject`, `region`, `source`, `citation`, `licence`.

    Returns
    -------
    DataTree
        As docs/neural_reading.md says.

    Raises
    ------
    ValueError
        If lengths or numbers of units do not agree, times are not finite, a column lacks its unit, mixes kinds, or has
        the name of an axis.

    Examples
    --------
    >>> trials = {"stimulus_on": ([1.0, 3.0], "s", "stimulus onset"), "went_right": ([1, 0], "1", "choice")}
    >>> session = from_arrays([[0.9, 1.1, 3.2], []], trials)
    >>> dict(session["spikes"].sizes), session["units"].sizes["unit"]
    ({'spike': 3}, 2)
    """
    if not isinstance(clock, str) or clock not in CLOCKS:
        raise refusal("clock", clock, " or ".join(CLOCKS), "times count from one of these", 'clock="session"')
    trial_table = _trials(trials)
    n_trials = trial_table.sizes["trial"]
    groups = {"trials": trial_table}
    n_units = None
    if spike_times is not None:
        groups["spikes"], n_units = _spikes(spike_times, clock, n_trials)
    if activity is not None and _given("activity", activity):
        groups["activity"] = _activity(activity, trial_table)
        n_units = _n_units(n_units, groups["activity"])
    if behaviour is not None and _given("behaviour", behaviour):
        groups["behaviour"] = _behaviour(behaviour)
    groups["units"] = _table("units", {} if units is None else units, "unit", unit, n_units)
    if events is not None:
        groups["events"] = _table("events", events, "event")
    if attrs is not None:
        fix = 'attrs={"session": "day 3"}'
        kind = dict if isinstance(attrs, (xr.Dataset, xr.DataTree)) else Mapping
        expect("attrs", attrs, kind, "a plain mapping", "what is known of a session has names", fix)
    about = {"format": FORMAT, "format_version": FORMAT_VERSION, "clock": clock, **(attrs or {})}
    session = xr.DataTree.from_dict({name: groups[name] for name in GROUPS if name in groups})
    session.attrs.update({key: value if np.isscalar(value) else json.dumps(value) for key, value in about.items()})
    validate(session)
    return session


def validate(session: xr.DataTree) -> None:
    """Refuse what is not a recorded session.

    Raises
    ------
    ValueError
        It names the group or variable, what it should be, and why.
    """
    if not isinstance(session, xr.DataTree) or session.attrs.get("format") != FORMAT:
        got = type(session).__name__ if not isinstance(session, xr.DataTree) else session.attrs.get("format")
        fix = "neuro_bpl.neural.read(path), or neuro_bpl.neural.from_arrays(...)"
        raise refusal("recording", got, f"a DataTree with format {FORMAT!r}", "its groups would not be known", fix)
    for group, node in session.children.items():
        if group not in GROUPS:
            raise refusal("group", group, ", ".join(GROUPS), "only these have a meaning", "another place for it")
        for name, values in node.data_vars.items():
            missing = [key for key in ("units", "long_name") if not values.attrs.get(key)]
            if missing:
                fix = f'attrs["{missing[0]}"]'
                raise refusal(f"{group}/{name}", f"no {missing[0]}", missing[0], "a number needs a unit", fix)
    _check_recorded(session)
    if "spikes" in session:
        _check_spikes(session)
    if "events" in session and "trial" in session["events"].data_vars:
        events = session["events"].to_dataset()
        _check_positions("events/trial", events["trial"].values, session["trials"].sizes["trial"], first=-1)


def spike_times(session: xr.DataTree, unit: int, trial: int | None = None) -> Float[np.ndarray, " spike"]:
    """Return times (s) of one unit's spikes by its position; on a trial clock those of one trial.

    Examples
    --------
    >>> spike_times(from_arrays([[0.5], [0.1, 0.2]], {"go": ([0.0], "s", "go")}), unit=1)
    array([0.1, 0.2])
    """
    validate(session)
    if "spikes" not in session:
        raise refusal("session", list(session.children), "spike times", "they are looked up", 'session["activity"]')
    spikes = session["spikes"].to_dataset()
    last = session["units"].sizes["unit"] - 1
    unit = arguments.whole("unit", unit, "units are counted from 0", "unit=0", high=last)
    chosen = spikes["unit"].values == unit
    if trial is not None and "trial" not in spikes:
        why = "on a session clock a spike belongs to no trial"
        raise refusal("trial", trial, "None", why, "align(session, event, window)")
    if trial is not None:
        most = session["trials"].sizes["trial"] - 1
        trial = arguments.whole("trial", trial, "trials are counted from 0", "trial=0", high=most)
        chosen &= spikes["trial"].values == trial
    return spikes["time"].values[chosen]


def event_names(session: xr.DataTree) -> tuple[str, ...]:
    """Return columns of trials that are moments: their unit is "s", and they do not say what was recorded."""
    validate(session)
    columns = session["trials"].data_vars.items()
    return tuple(str(n) for n, v in columns if v.attrs["units"] == "s" and v.dims == ("trial",) and n not in RECORDED)


def _trials(trials: Columns) -> xr.Dataset:
    table = _table("trials", trials, "trial")
    for name, bound in zip(RECORDED, (-np.inf, np.inf), strict=True):
        if name not in table:
            values = np.full(table.sizes["trial"], bound)
            meaning = "units recorded from here" if bound < 0 else "units recorded until here"
            table[name] = ("trial", values, {"units": "s", "long_name": meaning})
    return table


def _table(
    group: str, columns: Columns, dim: str, names: Sequence[Any] | None = None, size: int | None = None
) -> xr.Dataset:
    """Return columns of one dim, each with unit and meaning."""
    fix = '{"name": (values, "s", "what it is")}'
    expect(group, columns, Mapping, "a mapping of columns", "columns have names", fix)
    if isinstance(columns, (xr.Dataset, xr.DataTree)):
        raise refusal(group, type(columns).__name__, "a plain mapping of columns", "each needs unit and meaning", fix)
    if names is not None and not isinstance(names, (list, tuple, range, np.ndarray)):
        raise refusal(dim, names, f"a list of names, one for each {dim}", "rows are found by name", f"{dim}=[0, 1]")
    variables = {}
    for name, column in columns.items():
        if not (isinstance(column, tuple) and len(column) == 3 and all(isinstance(text, str) for text in column[1:])):
            fix = f'{{"{name}": (values, "s", "what it is")}}'
            raise refusal(f"{group}/{name}", column, "(values, unit, meaning)", "a number needs a unit", fix)
        _check_name(group, name)
        values = values_of(f"{group}/{name}", column[0], column[1])
        of_units = group == "trials" and name in RECORDED and values.ndim == 2
        if values.ndim != 1 and not of_units:
            fix = f"one number or text for each {dim}"
            raise refusal(f"{group}/{name}", column[0], f"one value a {dim}", "a column has one axis", fix)
        dims = (dim, "unit") if of_units else (dim,)
        variables[str(name)] = (dims, values, {"units": column[1], "long_name": column[2]})
    lengths = {name: len(values) for name, (_, values, _) in variables.items()}
    size = len(names) if size is None and names is not None else size
    size = next(iter(lengths.values()), 0) if size is None else size
    wrong = {name: length for name, length in lengths.items() if length != size}
    if wrong or (names is not None and len(names) != size):
        got = wrong or {dim: 0 if names is None else len(names)}
        raise refusal(group, got, f"{size} values each", f"there are {size} of {dim}", "columns of one length")
    labels = np.arange(size) if names is None else values_of(f"names of {dim}s", names, "1")
    if labels.ndim != 1:
        raise refusal(f"names of {dim}s", names, f"one name for each {dim}", "rows are found by name", f"{dim}=[0, 1]")
    if len(set(labels.tolist())) < size:
        raise refusal(dim, labels.tolist(), "names that differ", "units are found by name", f"{dim}=range({size})")
    return xr.Dataset(variables, coords={dim: labels})


def _check_name(group: str, name: Any) -> None:
    """Refuse names that the table has for something else, or that no file could hold."""
    taken = TAKEN.get(group, ())
    if not isinstance(name, str) or not name or "/" in name or name in taken:
        why = "rows are numbered under these names" if name in taken else "columns are found by their names"
        fix = f'"own_{str(name).replace("/", "_")}"'
        raise refusal(f"name of a column of {group}", name, f"a text without /, not {' or '.join(taken)}", why, fix)


def _spikes(spike_times: Sequence[Any], clock: str, n_trials: int) -> tuple[xr.Dataset, int]:
    """Return all spikes as one table, sorted by trial, unit and time; and the number of units."""
    fix = "spike_times[unit], or spike_times[trial][unit] on a trial clock"
    if not isinstance(spike_times, (list, tuple, np.ndarray)):
        raise refusal("spike_times", spike_times, "a list of arrays of seconds", "each unit has its own", fix)
    by_trial = [spike_times] if clock == "session" else list(spike_times)
    odd = next((units for units in by_trial if not isinstance(units, (list, tuple, np.ndarray))), None)
    if odd is not None or (isinstance(spike_times, np.ndarray) and not spike_times.ndim):
        raise refusal("spike_times", odd, "for each trial, for each unit its times", "units are counted", fix)
    if clock == "trial" and len(by_trial) != n_trials:
        fix = "spike_times[trial][unit]"
        raise refusal("spike_times", f"{len(by_trial)} trials", f"{n_trials}", "every trial has its spikes", fix)
    n_units = {len(units) for units in by_trial}
    if len(n_units) > 1:
        fix = "an empty array for a unit without spikes"
        raise refusal("spike_times", f"{sorted(n_units)} units", "as many in each trial", "units are counted", fix)
    trains = [_train(train) for units in by_trial for train in units]
    lengths = [len(train) for train in trains]
    count = n_units.pop() if n_units else 0
    times = np.concatenate(trains) if trains else np.zeros(0)
    train = np.repeat(np.arange(len(trains)), lengths)
    columns: dict[str, Column] = {
        "time": (times, "s", f"spike time on the {clock} clock"),
        "unit": ((train % max(count, 1)).astype(np.int32), "1", "position of the unit"),
    }
    if clock == "trial":
        columns["trial"] = ((train // max(count, 1)).astype(np.int32), "1", "position of the trial")
    return _table("spikes", columns, "spike"), count


def _activity(activity: Mapping[str, xr.DataArray], trials: xr.Dataset) -> xr.Dataset:
    _check_arrays("activity", activity)
    for name, values in activity.items():
        if values.dims[:1] != ("trial",) or values.sizes["trial"] != trials.sizes["trial"]:
            allowed = f"trial first, {trials.sizes['trial']} of them"
            raise refusal(f"activity/{name}", dict(values.sizes), allowed, "it belongs to trials", "transpose it")
    return _merged("activity", {name: at.assign_coords(trial=trials["trial"]) for name, at in activity.items()})


def _train(given: Any) -> Float[np.ndarray, " spike"]:
    """Return sorted spike times of one unit."""
    try:
        train = np.asarray(given)
    except (TypeError, ValueError):
        train = np.asarray(None)
    if (train.dtype.kind not in "iuf" and train.size) or not train.ndim or train.dtype == object:
        allowed, fix = "numbers, in a list or an array for each unit", "[[0.1, 0.2], []] for two units"
        raise refusal("spike_times", given, allowed, "each unit has spike times in seconds", fix)
    return np.sort(train.astype(float).reshape(-1))


def _given(group: str, arrays: Any) -> bool:
    """Return whether there are any arrays; refused where they are no mapping (`ValueError`)."""
    fix = f'{{"{group}": array}}'
    expect(group, arrays, Mapping, "a mapping of names to DataArrays", "arrays have names", fix)
    if isinstance(arrays, xr.DataTree):
        raise refusal(group, "DataTree", "a mapping of names to DataArrays", "arrays have names", fix)
    return len(arrays) > 0


def _check_arrays(group: str, arrays: Mapping[str, xr.DataArray]) -> None:
    """Refuse what is no array with a name of its own (`ValueError`)."""
    for name, values in arrays.items():
        _check_name(group, name)
        fix = 'xr.DataArray(values, dims=("trial", "time", "unit"))'
        expect(f"{group}/{name}", values, xr.DataArray, "a DataArray", "its axes would have no names", fix)
    of_axes = {str(key): name for name, at in arrays.items() for key in (*at.dims, *at.coords)}
    taken = next((name for name in arrays if name in of_axes), None)
    if taken is not None:
        why = f"an axis or coordinate of {of_axes[taken]} is called so"
        raise refusal(f"{group}/{taken}", taken, "a name of its own", why, f'"own_{taken}"')


def _merged(group: str, arrays: Mapping[str, xr.DataArray]) -> xr.Dataset:
    """Return arrays as one dataset; refused where axes of one name differ, along which values would be filled in."""
    named = [values.rename(name) for name, values in arrays.items()]
    try:
        return xr.merge(named, join="exact", compat="identical").drop_attrs(deep=False)
    except ValueError as error:
        why, fix = str(error).splitlines()[0], 'array.rename(time="time_of_its_own")'
        raise refusal(group, list(arrays), "the same coordinates along axes of one name", why, fix) from error


def _behaviour(behaviour: Mapping[str, xr.DataArray]) -> xr.Dataset:
    _check_arrays("behaviour", behaviour)
    for name, values in behaviour.items():
        time = str(values.dims[0]) if values.dims else ""
        if time in ("", "trial", "unit") or time not in values.coords or values[time].attrs.get("units") != "s":
            allowed = 'a first dim with a coordinate in seconds (units "s")'
            fix = f'coords {{"{name}_time": ("{name}_time", times, {{"units": "s"}})}}'
            raise refusal(f"behaviour/{name}", values.dims, allowed, "it is measured at times of its own", fix)
    return _merged("behaviour", behaviour)


def _n_units(of_spikes: int | None, activity: xr.Dataset) -> int | None:
    """Return number of units, on which spikes and activity agree; None where neither has units."""
    of_activity = activity.sizes.get("unit")
    if None not in (of_spikes, of_activity) and of_spikes != of_activity:
        got, why = f"spikes of {of_spikes} units, activity of {of_activity}", "both are of the session's units"
        raise refusal("units", got, "as many in both", why, "an empty array for a unit without spikes")
    return of_activity if of_spikes is None else of_spikes


def _check_recorded(session: xr.DataTree) -> None:
    """Refuse bounds of what was recorded that are not of the session's units (`ValueError`)."""
    n_units = session["units"].sizes.get("unit", 0) if "units" in session else 0
    for name, values in session["trials"].data_vars.items() if "trials" in session else ():
        if name in RECORDED and values.sizes.get("unit", n_units) != n_units:
            allowed = f"one for each trial, or for each trial and each of {n_units} units"
            why, fix = "it says when units were recorded", f"values (trial, unit) with {n_units} columns"
            raise refusal(f"trials/{name}", dict(values.sizes), allowed, why, fix)


def _check_spikes(session: xr.DataTree) -> None:
    spikes = session["spikes"].to_dataset()
    times, unit = spikes["time"].values, spikes["unit"].values
    if not np.isfinite(times).all():
        got = f"{int((~np.isfinite(times)).sum())} times that are not finite"
        raise refusal("spikes/time", got, "finite seconds", "a spike has a time", "spike times without them")
    _check_positions("spikes/unit", unit, session["units"].sizes["unit"])
    if session.attrs["clock"] == "trial":
        _check_positions("spikes/trial", spikes["trial"].values, session["trials"].sizes["trial"])


def _check_positions(name: str, positions: Int[np.ndarray, " spike"], size: int, first: int = 0) -> None:
    if positions.size and not first <= positions.min() <= positions.max() < size:
        got = (int(positions.min()), int(positions.max()))
        raise refusal(name, got, f"positions {first} to {size - 1}", f"there are {size}", "positions from 0")
